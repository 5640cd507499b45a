"""Shared helpers of the sandbox's own tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sandbox.barrier import Barrier
from sandbox.control import serving
from sandbox.gocardless import gocardless_app
from sandbox.world import World


class Receiver:
    """A real HTTP server that keeps what it is sent and answers as told."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)


class Served:
    """One application on a real port, with a client."""

    def __init__(self, url: str, world: World, barrier: Barrier, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.world = world
        self.barrier = barrier
        self.http = http

    async def get(self, path: str, **kwargs: Any) -> tuple[int, Any]:
        return await self.call("GET", path, **kwargs)

    async def post(self, path: str, document: Any = None, **kwargs: Any) -> tuple[int, Any]:
        return await self.call("POST", path, json=document, **kwargs)

    async def call(self, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
        async with self.http.request(method, self.url + path, **kwargs) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text())

    async def run_until(self, until: str) -> dict[str, Any]:
        status, body = await self.post("/_sandbox/clock/run", {"until": until, "participants": []})
        assert status == 200, body
        status, body = await self.get("/_sandbox/clock/wait", params={"timeout_s": "20"})
        assert status == 200, body
        assert body["idle"], body
        return dict(body)


@asynccontextmanager
async def _served(world: World, name: str, app: web.Application) -> AsyncIterator[Served]:
    barrier = Barrier(world)
    async with (
        serving(world, barrier, {name: app}, host="127.0.0.1", ports={name: 0}) as urls,
        aiohttp.ClientSession() as http,
    ):
        yield Served(urls[name], world, barrier, http)


@pytest.fixture
def served() -> Callable[[World, str, web.Application], AbstractAsyncContextManager[Served]]:
    return _served


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    box = Receiver()
    app = web.Application()
    app.router.add_post("/hook", box.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    box.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield box
    await runner.cleanup()


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


@pytest.fixture
async def shop(served: Callable[..., AbstractAsyncContextManager[Any]]) -> AsyncIterator[Shop]:
    world = World(seed=5, start=datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
    async with served(world, "gocardless", gocardless_app(world)) as server:
        yield Shop(server)
