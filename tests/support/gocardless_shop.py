"""A shop whose debits the tests make: the simulated GoCardless, spoken to over HTTP."""

from decimal import Decimal
from typing import Any

from sandbox.world import World

HEADERS = {"Authorization": "Bearer token", "GoCardless-Version": "2015-07-06"}


class Shop:
    """A GoCardless with one creditor, and short words for what the tests do."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.world: World = server.world
        self.mandates: list[str] = []
        self.creditor = ""

    async def open(self, currency: str = "GBP", count: int = 2, creditor: dict[str, Any] | None = None) -> None:
        customers = [
            {"given_name": "Ada", "family_name": f"Nr {n}", "email": "a@example.com", "currency": currency}
            for n in range(count)
        ]
        document = {"quiet": True, "customers": customers, "creditor": creditor or {}}
        status, body = await self.server.post("/_sandbox/gocardless/populate", document)
        assert status == 200, body
        self.mandates = [customer["mandate"] for customer in body["customers"]]
        self.creditor = body["creditor"]

    async def config(self, **settings: Any) -> None:
        status, body = await self.server.post("/_sandbox/config", {"gocardless": settings})
        assert status == 200, body

    async def call(self, method: str, path: str, document: Any = None, **headers: str) -> tuple[int, Any]:
        json = {} if document is None else {"json": document}
        answer: tuple[int, Any] = await self.server.call(method, path, headers=HEADERS | headers, **json)
        return answer

    async def get(self, path: str) -> Any:
        status, body = await self.call("GET", path)
        assert status == 200, body
        return body[path.strip("/").split("?")[0].split("/")[0]]

    async def make(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        status, answer = await self.call("POST", f"/{name}", {name: body})
        assert status == 201, answer
        return dict(answer[name])

    async def pay(self, amount: int, mandate: int = 0, currency: str = "GBP", **more: Any) -> str:
        links = {"mandate": self.mandates[mandate]}
        payment = await self.make("payments", {"amount": amount, "currency": currency, "links": links, **more})
        return str(payment["id"])

    async def until(self, text: str) -> None:
        await self.server.run_until(text)

    async def act(self, verb: str, **given: Any) -> dict[str, Any]:
        status, body = await self.server.post("/_sandbox/gocardless/act", {"do": verb, **given})
        assert status == 200, body
        return dict(body)

    async def simulate(self, name: str, resource: str) -> None:
        document = {"data": {"links": {"resource": resource}}}
        status, body = await self.call("POST", f"/scenario_simulators/{name}/actions/run", document)
        assert status == 200, body

    async def happened(self, resource: str) -> list[str]:
        """Give the actions of all events of a resource, oldest first, whether visible yet or not."""
        _, state = await self.server.get("/_sandbox/state")
        events = state["gocardless"]["resources"]["events"]
        return [event["action"] for event in events if next(iter(event["links"].values())) == resource]

    async def items(self, payout: str) -> list[tuple[str, str]]:
        return [(item["type"], item["amount"]) for item in await self.get(f"/payout_items?payout={payout}")]

    async def balances(self) -> dict[str, int]:
        rows = await self.get(f"/balances?creditor={self.creditor}")
        return {row["balance_type"]: row["amount"] for row in rows if row["currency"] == "GBP"}

    async def check_books(self) -> None:
        """Check what must hold at any time: payouts are the sum of their items, balances the sum of what is open."""
        _, state = await self.server.get("/_sandbox/state")
        resources, money = state["gocardless"]["resources"], state["gocardless"]["money"]
        for payout in resources["payouts"]:
            items = resources["payout_items"][payout["id"]]
            total = sum(Decimal(item["amount"]) for item in items)
            fees = -sum(Decimal(item["amount"]) for item in items if item["type"].endswith("_fee"))
            assert abs(total - payout["amount"]) <= Decimal("0.5")
            assert abs(fees - payout["deducted_fees"]) <= Decimal("0.5")
            assert Decimal(money["payout_sums"][payout["id"]]) == total
        for row in money["balances_tenths"]:
            if row["balance_type"] == "confirmed_funds":
                open_items = [
                    item
                    for account in money["open_items"]
                    if (account["creditor"], account["currency"]) == (row["creditor"], row["currency"])
                    for item in account["items"]
                ]
                assert row["tenths"] == 10 * sum(Decimal(item["amount"]) for item in open_items)
            if row["balance_type"] == "pending_payouts":
                pending = [
                    p for p in resources["payouts"] if p["status"] == "pending" and p["currency"] == row["currency"]
                ]
                assert row["tenths"] == 10 * sum(p["amount"] for p in pending)
            if row["balance_type"] == "pending_payments_submitted":
                sent = [
                    p for p in resources["payments"] if p["status"] == "submitted" and p["currency"] == row["currency"]
                ]
                assert row["tenths"] == 10 * sum(p["amount"] for p in sent)
