"""One connection over both simulators: its store and credentials, what its settings say, and the whole program when a
test wants it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from adapters.vault import Keyring, Vault
from domain import routing
from domain.envelope import Event
from domain.state import KINDS, ConnectionRow, State
from projections.queries import Queries
from projections.state.batch import take
from projections.store.store import open_store
from projections.work.polls import Poll, Polls
from streams import population
from streams.credentials import Credentials
from streams.operate import check as checks
from streams.process.program import Program
from streams.settings import Settings, decode
from streams.stages import poller

NAME = "acme"
START = "2026-03-02T05:00:00.000Z"
SECRET = "hook-secret-1234"

RULES: dict[str, Any] = {
    "clearing": {"GBP": "Clearing GBP", "EUR": "Clearing EUR"},
    "suspense": {"GBP": "Suspense GBP", "EUR": "Suspense EUR"},
    "bank": {"GBP": "Bank GBP", "EUR": "Bank EUR"},
    "fees": "Debit fees",
    "vendor": "GoCardless",
    "tax": {"GB_VAT_1": "VAT 20%"},
    "books_from": "2026-03-01",
    "match_by_email": "auto",
    "invite": "auto",
}
BOOKS: dict[str, Any] = {
    "organization": {
        "name": "Rosehip Supplies",
        "time_zone": "Europe/London",
        "currency_code": "GBP",
        "country_code": "GB",
    },
    "currencies": {"EUR": "0.85"},
    "accounts": [
        *(
            {"name": f"{what} {cur}", "type": "bank", "currency_code": cur}
            for what in ("Clearing", "Suspense", "Bank")
            for cur in ("GBP", "EUR")
        ),
        {"name": "Debit fees", "type": "expense"},
    ],
    "taxes": [{"name": "VAT 20%", "percentage": 20, "key": "vat"}, {"name": "VAT 5%", "percentage": 5, "key": "low"}],
    "custom_fields": [
        {"module": module, "api_name": "cf_gocardless_key", "unique": True}
        for module in ("customerpayments", "expenses")
    ],
    "contacts": [
        {
            "contact_name": "Quince Ltd",
            "company_name": "Quince Ltd",
            "email": "pay@quince.example",
            "currency_code": "GBP",
        },
        {"contact_name": "GoCardless", "contact_type": "vendor", "currency_code": "GBP"},
    ],
    "invoices": [
        {
            "contact": 0,
            "invoice_number": "INV-1",
            "date": "2026-03-02",
            "due_date": "2026-03-03",
            "currency": "GBP",
            "line_items": [{"name": "Hosting", "rate": "100.00", "quantity": 1}],
        }
    ],
}
PAYERS: dict[str, Any] = {
    "quiet": True,
    "customers": [
        {"company_name": "Quince Ltd", "email": "pay@quince.example", "currency": "GBP", "mandate": "active"}
    ],
}


class CheckedConnection:
    """A connection that may be checked, and what a test does to it."""

    def __init__(self, folder: Path, sandbox: Any, http: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.gocardless, self.zoho = sandbox.gocardless_url, sandbox.zoho_url
        self.world = sandbox.world
        self.http = http
        self.rules = dict(RULES)
        self.more: dict[str, Any] = {}
        self.others: dict[str, Any] = {}
        self.organization = ""
        self.payers: dict[str, Any] = {}
        self.store = open_store(f"sqlite:///{folder}/store.db", now=START)
        self.credentials = Credentials(self.store, Vault(Keyring.from_file(folder / "keys.txt")))
        self._events = 0

    # --- both sides ---

    async def post(self, path: str, document: Any, *, zoho: bool = False, headers: dict[str, str] | None = None) -> Any:
        async with self.http.post(
            (self.zoho if zoho else self.gocardless) + path, json=document, headers=headers
        ) as answer:
            text = await answer.text()
            assert answer.status < 300, (path, answer.status, text)
            return msgspec.json.decode(text) if text else None

    async def get(self, path: str) -> Any:
        async with self.http.get(self.gocardless + path) as answer:
            assert answer.status == 200, path
            return await answer.json()

    async def open(self, books: dict[str, Any] | None = None, payers: dict[str, Any] | None = None) -> None:
        """Fill both sides and enter the credentials."""
        found = await self.post("/_sandbox/zoho/populate", {**BOOKS, **(books or {})}, zoho=True)
        self.payers = await self.post("/_sandbox/gocardless/populate", {**PAYERS, **(payers or {})})
        self.organization = found["organization_id"]
        population.enter_credentials(self.credentials, NAME, found["oauth"], self.zoho, {"main": SECRET})
        self.credentials.reload()

    async def api(self, path: str, document: Any) -> Any:
        """One call to GoCardless, by somebody else."""
        headers = {"Authorization": f"Bearer {population.TOKEN}", "GoCardless-Version": "2015-07-06"}
        return await self.post(path, document, headers=headers)

    async def pay(self, **metadata: str) -> None:
        """A payment of 5.00 by the first payer."""
        links = {"mandate": self.payers["customers"][0]["mandate"]}
        await self.api(
            "/payments", {"payments": {"amount": 500, "currency": "GBP", "links": links, "metadata": metadata}}
        )

    # --- the check ---

    @property
    def settings(self) -> Settings:
        connection = {
            "environment": "sandbox",
            "gocardless": {"url": self.gocardless},
            "zoho": {"organization_id": self.organization, "url": self.zoho},
            "rules": self.rules,
            **self.more,
        }
        return decode(
            {
                "log": f"sqlite://{self.folder}/log.db",
                "store": f"sqlite:///{self.folder}/store.db",
                "keys": f"file:{self.folder}/keys.txt",
                "clock": self.gocardless,
                "partitions": 1,
                "gateway": {"port": 0},
                "calls": {"deadline_s": 3.0},
                "connections": {NAME: connection, **self.others},
            },
            "test",
        )

    def imported(self, *without: str) -> None:
        """Every list has been read to its end, but for these."""
        for kind in (*poller.KINDS["gocardless"], *poller.KINDS["zoho"]):
            if kind not in without:
                Polls(self.store).save(Poll(NAME, kind, due_at=START, head_at=START))

    async def check(self, collect_from: str = "") -> checks.Checked:
        return await checks.check(self.settings, NAME, self.store, self.credentials, lambda: START, collect_from)

    async def found(self) -> dict[str, str]:
        """Code → level of all that is not well."""
        return {one.code: one.level for one in (await self.check()).event.findings if one.level != "ok"}

    async def text(self, code: str) -> str:
        """What the check says about one finding."""
        return next(one.text for one in (await self.check()).event.findings if one.code == code)

    def decide(self, *told: Event) -> None:
        """What the core does with events; committed."""
        owned = take(self.store, "core", "events", 0)
        with owned.batch(owned.position) as writing:
            for place, event in enumerate(told, start=owned.position):
                decision = routing.step(writing.state(NAME), event)
                writing.record(place, event, decision)
            writing.commit(owned.position + len(told))

    def keep(self, row: ConnectionRow) -> None:
        """Another connection's row, as its own check left it."""
        owned = take(self.store, "core", "events", 1)
        with owned.batch(owned.position) as writing:
            writing.state(row.id).connections[row.id] = row
            event = Event(f"kept-{row.id}", "connection.checked", row.id, START, START, "test", None)
            writing.record(owned.position, event)
            writing.commit(owned.position + 1)

    def approve(self, checked: checks.Checked, accepted: list[str]) -> None:
        """What a person's approval leaves, worked in."""
        self.decide(
            checks.checked_event(NAME, checked, START),
            *checks.approval_events(NAME, checked, "finance", accepted, START),
        )

    @property
    def own(self) -> ConnectionRow:
        return Queries(self.store).status(NAME).connection


class Running:
    """The program at work on an office; time moves only when a test says so."""

    def __init__(self, office: CheckedConnection, program: Program) -> None:
        self.office = office
        self.program = program
        self._running = asyncio.create_task(program.run())

    async def until(self, at: str) -> None:
        """Let time come to `at`, and everything become quiet there."""
        await self.office.post("/_sandbox/clock/run", {"until": at, "participants": ["program"]})
        while not (await self.office.get("/_sandbox/clock/wait?timeout_s=1"))["idle"]:
            if self._running.done():
                self._running.result()

    async def open_gate(self) -> None:
        """Check and approve, as a person does; the rules open the gate."""
        office = self.office
        checked = await checks.check(
            office.settings, NAME, self.program.store, self.program.credentials, self.program.clock.now
        )
        assert checked.stops == []
        now = self.program.clock.now()
        await self.program.context.tell(*checks.accepted_events(NAME, checked, "finance", now))

    async def calls(self, endpoint: str, api: str = "gocardless") -> int:
        """How often an endpoint was called."""
        return int((await self.office.get("/_sandbox/state"))["calls"][api].get(endpoint, 0))

    async def payments(self) -> list[dict[str, Any]]:
        """The payments that GoCardless has."""
        return list((await self.office.get("/_sandbox/state"))["gocardless"]["resources"]["payments"])

    def state(self) -> State:
        """The committed state."""
        with take(self.program.store, "look", "look", 0).batch(0) as batch:
            state = batch.state(NAME)
            return State(NAME, {kind: dict(state.mapping(kind).items()) for kind in KINDS})

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)


@asynccontextmanager
async def running(office: CheckedConnection) -> AsyncIterator[Running]:
    async with Program(office.settings) as program:
        running = Running(office, program)
        try:
            hook = {"url": f"http://127.0.0.1:{program.port}/webhooks/gocardless/{NAME}", "secret": SECRET}
            zoho = {
                "url": f"http://127.0.0.1:{program.port}/webhooks/zoho/{NAME}",
                "secret": SECRET,
                "modules": ["invoice", "contact"],
            }
            await office.post("/_sandbox/config", {"gocardless": {"endpoints": [hook]}, "zoho": {"webhooks": [zoho]}})
            yield running
        finally:
            await running.stop()
