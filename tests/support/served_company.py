"""A company that an earlier version serves, with a hand at each control: the operator's, the customers', the banks'."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streams.demo.demo import Simulators
from tests.support.earlier import EarlierProgram

_HEADERS = {"Authorization": "Bearer sandbox-token", "GoCardless-Version": "2015-07-06"}
_CUSTOMER = {
    "given_name": "Uma",
    "family_name": "Vale",
    "company_name": "",
    "currency": "GBP",
    "mandate": "active",
    "metadata": {},
}


class ServedCompany:
    def __init__(self, world: Simulators, program: EarlierProgram, folder: Path) -> None:
        self.world = world
        self.program = program
        self.folder = folder

    async def until(self, day_and_time: str) -> None:
        """Live until "DD hh:mm" of March."""
        day, _, time = day_and_time.partition(" ")
        await self.world.run_until(f"2026-03-{day}T{time}:00.000000Z", self.program.watch)

    async def cli(self, *words: str) -> Any:
        """The operator's command line, of the version that is served."""
        return await asyncio.to_thread(self.program.earlier.command, self.folder, *words)

    async def edit(self, action: str, **what: Any) -> Any:
        """A person works in Zoho Books."""
        return await self.world.post(self.world.zoho, "/_sandbox/zoho/edit", {"action": action, **what})

    async def act(self, verb: str, **what: Any) -> Any:
        """The banks, GoCardless's staff or a payer act."""
        return await self.world.post(self.world.gocardless, "/_sandbox/gocardless/act", {"do": verb, **what})

    async def config(self, **what: Any) -> None:
        await self.world.post(self.world.gocardless, "/_sandbox/config", what)

    async def faults(self, *rules: dict[str, Any], clear: bool = False) -> None:
        await self.world.post(self.world.gocardless, "/_sandbox/faults", {"rules": list(rules), "clear": clear})

    async def payers(self, *rows: dict[str, Any], **more: Any) -> Any:
        customers = [{**_CUSTOMER, **row} for row in rows]
        return await self.world.post(
            self.world.gocardless, "/_sandbox/gocardless/populate", {"customers": customers, **more}
        )

    async def books(self, **what: Any) -> Any:
        return await self.world.post(self.world.zoho, "/_sandbox/zoho/populate", what)

    async def call(self, envelope: str, body: dict[str, Any]) -> bool:
        """Somebody else's tool writes to GoCardless; whether that was taken."""
        async with self.world.session.post(
            f"{self.world.gocardless}/{envelope}", json={envelope: body}, headers=_HEADERS
        ) as answer:
            return answer.status < 300

    async def resources(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.world.state())["gocardless"]["resources"][kind]
        return found

    async def payment(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first payment of ours that fits."""
        return next(one for one in await self.resources("payments") if one["metadata"].get("command") and fits(one))

    async def told(self, code: str) -> list[dict[str, Any]]:
        """The open discrepancies of a code."""
        (connection,) = (await self.cli("status"))["connections"]
        return [one for one in connection["discrepancies"] if one["code"] == code]

    async def discrepancies(self, code: str) -> list[str]:
        """Ids of the open ones of a code."""
        return [one["id"] for one in await self.told(code)]

    def rules(self, **changed: str) -> None:
        """Finance changes rules in the settings."""
        file = self.folder / "settings.toml"
        text = file.read_text()
        for name, value in changed.items():
            line = re.compile(rf"^{name} = .*$", re.MULTILINE)
            text = (
                line.sub(f"{name} = {value}", text)
                if line.search(text)
                else text.rstrip("\n") + f"\n{name} = {value}\n"
            )
        file.write_text(text)

    async def approve(self, *words: str) -> None:
        """The check is run and approved: a new policy, and the gate open."""
        decisions = (await self.cli("check", "acme", *words))["decisions"]
        accept = [word for code in decisions for word in ("--accept", code)]
        await self.cli("check", "acme", "--approve", "--by", "finance", *words, *accept)


def invoice(
    contact: str, number: str, due: str, rate: str = "40.00", currency: str = "GBP", **more: Any
) -> dict[str, Any]:
    return {
        "contact": contact,
        "invoice_number": number,
        "date": "2026-03-02",
        "due_date": due,
        "currency": currency,
        "line_items": [{"name": "Hosting", "rate": rate, "quantity": 1}],
        **more,
    }
