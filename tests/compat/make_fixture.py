"""Make a fixture: the log and store of a company that a version served through all that can happen to it, packed as an
archive.

Run by hand, once for each version whose installations must be carried over, with that version's wheel beside this file:

    .venv/bin/python tests/compat/make_fixture.py 0.1.0

It writes `fixtures/<version>/killed.tar.xz` and `stopped.tar.xz`. What it could not bring about is told by
`test_fixtures.py`.
"""

import asyncio
import contextlib
import io
import re
import sqlite3
import sys
import tarfile
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from streams.demo import demo  # noqa: E402
from streams.demo.demo import World  # noqa: E402
from streams.demo.month import Month  # noqa: E402
from tests.support.earlier import Earlier, EarlierProgram  # noqa: E402 - the path was set just now

PLAN = Month(customers=8, invoices=16, days=16, drain_days=16, invited_every=4, fail_before=1, fail_after=1)

#: What is packed beside the settings; all else in the folder is made anew by whoever unpacks it.
PACKED = ("log.db", "store.db", "keys")

_HEADERS = {"Authorization": "Bearer sandbox-token", "GoCardless-Version": "2015-07-06"}
_CUSTOMER = {
    "given_name": "Uma",
    "family_name": "Vale",
    "company_name": "",
    "currency": "GBP",
    "mandate": "active",
    "metadata": {},
}


class Company:
    """The company, with a hand at each control: the operator's, the customers', the banks'."""

    def __init__(self, world: World, program: EarlierProgram, folder: Path) -> None:
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

    async def approve(self) -> None:
        """The check is run and approved: a new policy, and the gate open."""
        decisions = (await self.cli("check", "acme"))["decisions"]
        accept = [word for code in decisions for word in ("--accept", code)]
        await self.cli("check", "acme", "--approve", "--by", "finance", *accept)


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


async def unclear_customers(company: Company) -> dict[str, str]:
    """Customers who are not told apart by themselves: two payers of one address, one to be proposed, a stored link
    against a claim.
    """
    await company.payers(
        {"email": "twice@example.com"},
        {"email": "twice@example.com", "given_name": "Una"},
        {"email": "asked@example.com"},
        {"email": "by.hand@example.com"},
    )
    payers = {one["email"]: one["id"] for one in await company.resources("customers")}
    made = await company.books(
        currencies={"USD": "0.8"},
        contacts=[
            {"contact_name": "Twice Ltd", "email": "twice@example.com", "currency_code": "GBP"},
            {"contact_name": "Asked Ltd", "email": "asked@example.com", "currency_code": "GBP"},
            {"contact_name": "Nobody Ltd", "email": "nobody@example.com", "currency_code": "GBP"},
            {"contact_name": "Dollar Ltd", "email": "dollar@example.com", "currency_code": "USD"},
            {
                "contact_name": "Conflict Ltd",
                "email": "conflict@example.com",
                "currency_code": "GBP",
                "custom_fields": {"cf_gocardless_customer": payers["by.hand@example.com"]},
            },
        ],
    )
    names = dict(zip(("twice", "asked", "nobody", "dollar", "conflict"), made["contacts"], strict=True))
    await company.payers({"email": "other@example.com", "metadata": {"zoho_contact_id": names["conflict"]}})
    rows = [
        invoice(key, f"INV-9{place}", "2026-03-12", currency="USD" if who == "dollar" else "GBP")
        for place, (who, key) in enumerate(names.items())
    ]
    await company.books(invoices=rows)
    return {**names, "payer": payers["twice@example.com"]}


async def odd_deliveries(company: Company) -> None:
    """What comes in and cannot be read, or names what is not ours."""
    await company.act("post_events", events=[{"id": "EVODD1", "resource_type": "payments"}])
    unknown = {
        "id": "EVODD2",
        "created_at": "2026-03-02T09:00:00.000Z",
        "resource_type": "balloons",
        "action": "burst",
        "links": {},
        "details": {},
    }
    paid = {
        "id": "EVODD3",
        "created_at": "2026-03-02T09:00:00.000Z",
        "resource_type": "payouts",
        "action": "paid",
        "links": {"payout": "PO0000NOTHERE0"},
    }
    await company.act(
        "post_events",
        events=[unknown, {**paid, "details": {"origin": "gocardless", "cause": "payout_paid", "description": ""}}],
    )
    await company.act("test_webhook")
    assert await company.call("billing_requests", {"mandate_request": {"scheme": "bacs", "currency": "GBP"}})


async def lived(company: Company, halfway: Callable[[], Awaitable[None]]) -> None:
    """The month. `halfway`: debits wait for a view, invoices for a mandate, and a person for several answers."""
    await company.until("02 09:00")
    contacts = await unclear_customers(company)
    await odd_deliveries(company)
    await company.until("02 10:00")
    for delivery in await company.discrepancies("delivery_parked"):
        await company.cli("parked", "replay", delivery.rpartition(":")[2], "--by", "finance")
    # Two changes of one second, and an invoice that goes.
    await company.edit("edit_invoice", invoice_number="INV-90", changes={"due_date": "2026-03-10"})
    await company.edit("edit_invoice", invoice_number="INV-90", changes={"due_date": "2026-03-11"})
    await company.books(invoices=[invoice(contacts["nobody"], "INV-80", "2026-03-20")])
    await company.until("02 11:00")
    await company.edit("delete_invoice", invoice_number="INV-80")
    # A customer whose invoice is known first.
    made = await company.books(
        contacts=[{"contact_name": "Late Ltd", "email": "late@example.com", "currency_code": "GBP"}]
    )
    await company.books(invoices=[invoice(made["contacts"][0], "INV-81", "2026-03-19")])
    await company.until("02 12:00")
    await company.cli("decide", "gate", "--close", "--note", "stock-taking", "--by", "finance")
    await company.until("02 18:00")
    company.rules(match_by_email='"ask"', invite='"ask"', max_debit='{ GBP = "500.00" }')
    made = await company.books(
        contacts=[{"contact_name": "Proposed Ltd", "email": "proposed@example.com", "currency_code": "GBP"}]
    )
    await company.payers({"email": "proposed@example.com"}, {"email": "large@example.com"})
    await company.approve()
    await company.cli("decide", "time", "--until", "2026-03-04T00:00:00Z", "--by", "finance")
    large = await company.books(
        contacts=[{"contact_name": "Large Ltd", "email": "large@example.com", "currency_code": "GBP"}]
    )
    uninvited = await company.books(
        contacts=[{"contact_name": "Uninvited Ltd", "email": "uninvited@example.com", "currency_code": "GBP"}]
    )
    await company.books(
        invoices=[
            invoice(made["contacts"][0], "INV-82", "2026-03-12"),
            invoice(large["contacts"][0], "INV-83", "2026-03-12", "900.00"),
            invoice(uninvited["contacts"][0], "INV-84", "2026-03-12"),
        ]
    )
    # Another gateway is collecting; only a full read shows it, and two changes of one second ask for one.
    await company.edit("in_process", invoice_number="INV-91")
    for day in ("13", "12"):
        await company.edit("edit_invoice", invoice_number="INV-91", changes={"due_date": f"2026-03-{day}"})
    await company.edit("edit_contact", contact_id=contacts["asked"], changes={"contact_name": "Asked Again Ltd"})
    await company.until("03 12:00")
    await company.cli("decide", "match", contacts["twice"], "--payer", contacts["payer"], "--by", "finance")
    await company.cli("decide", "match", uninvited["contacts"][0], "--invite", "--by", "finance")
    payers = {one["email"]: one["id"] for one in await company.resources("customers")}
    await company.cli(
        "decide", "match", large["contacts"][0], "--payer", payers["large@example.com"], "--by", "finance"
    )
    await company.until("03 13:00")
    # Another tool has a subscription, and a mandate of ours is replaced.
    await company.payers(
        {"email": "subscriber@example.com"},
        subscriptions=[
            {"customer": 0, "amount": 2500, "currency": "GBP", "interval_unit": "weekly", "interval": 1, "count": 2}
        ],
    )
    await company.until("09 06:30")
    first = await company.payment(lambda one: one["status"] == "pending_submission" and one["currency"] == "GBP")
    await company.act("replace_mandate", mandate=first["links"]["mandate"])
    # A view that is long in coming is asked for again; what waits for it is debited after it, or refused for being too
    # much.
    await company.config(gocardless={"amount_max": {"bacs": 100}})
    await company.until("11 05:50")
    await company.faults(
        {"api": "gocardless", "method": "GET", "path": "^/payments$", "kind": "500_before", "times": 1000}
    )
    await company.until("11 08:30")
    await halfway()
    await company.until("11 10:15")
    await company.faults(clear=True)
    await company.until("11 12:15")
    await company.config(gocardless={"amount_max": {}})
    await company.until("17 10:00")
    # Paid in part by other means while the debit is under way.
    under_way = await company.payment(lambda one: one["status"] == "submitted" and one["currency"] == "GBP")
    await company.edit("record_payment", invoice_number=under_way["metadata"]["zoho_invoice_number"], amount="5.00")
    # The books are closed for a while: what should be posted is refused, and sent again by a person.
    await company.config(zoho={"switches": {"lock_date": "2026-03-31"}})
    await company.until("17 15:00")
    await company.config(zoho={"switches": {"lock_date": ""}})
    booked_by_hand, *sent_again = await company.told("posting_refused")
    await company.cli("decide", "discrepancy", booked_by_hand["id"], "--note", "booked by hand", "--by", "finance")
    for one in sent_again:
        await company.cli("parked", "replay", re.search(r"replay (cm-\w+)", one["remedy"])[1], "--by", "finance")
    for number in [one.rpartition(":")[2] for one in await company.discrepancies("debit_failed")]:
        await company.cli("decide", "invoice", number, "--retry", "--note", "spoke with them", "--by", "finance")
    for number in [one.rpartition(":")[2] for one in await company.discrepancies("debit_over_limit")]:
        await company.cli("decide", "invoice", number, "--ignore", "--by", "finance")
    await company.until("21 15:00")
    for number in [one.rpartition(":")[2] for one in await company.discrepancies("debit_refused")][1:]:
        await company.cli("decide", "invoice", number, "--retry", "--by", "finance")
    paid = await company.payment(lambda one: one["status"] == "paid_out" and one["currency"] == "GBP")
    await company.act("charge_back", payment=paid["id"])
    bounced = next(one for one in await company.resources("payouts") if one["status"] == "paid")
    await company.act("bounce_payout", payout=bounced["id"])
    await company.until("22 15:00")
    await company.act("cancel_chargeback", payment=paid["id"])
    refunded = await company.payment(
        lambda one: one["status"] == "paid_out" and one["currency"] == "GBP" and one["id"] != paid["id"]
    )
    # The last word that Zoho has about a reversal is no.
    await company.until("25 12:30")
    second = await company.payment(
        lambda one: (
            one["status"] == "paid_out" and one["currency"] == "GBP" and one["id"] not in {paid["id"], refunded["id"]}
        )
    )
    await company.config(zoho={"switches": {"lock_date": "2026-03-31"}})
    await company.act("fail_payment", payment=second["id"])
    await company.until("25 14:00")
    await company.config(zoho={"switches": {"lock_date": ""}})
    await money_goes_back(company, refunded["id"])
    await company.until("31 12:00")
    await company.world.run_until("2026-04-04T12:00:00.000000Z", company.program.watch)


async def money_goes_back(company: Company, payment: str) -> None:
    """Payouts arrive in another currency from now on, and a payer is refunded as soon as the creditor's balance bears
    it.
    """
    await company.config(gocardless={"refund_after_days": 0, "exchange_rates": {"EUR/GBP": "1.15"}})
    await company.payers(
        creditor={"can_create_refunds": True, "fx_payout_currency": "EUR", "payout_currencies": ["EUR"]}
    )
    body = {"amount": 100, "total_amount_confirmation": 100, "links": {"payment": payment}}
    for day in range(26, 32):
        await company.until(f"{day} 13:00")
        if await company.call("refunds", body):
            return
    raise AssertionError("the balance never bore a refund")


async def make(version: str, folder: Path, archives: Path) -> None:
    """The company lives in a folder, and is packed twice: killed halfway, and stopped at the end."""
    earlier = Earlier.unpack(version, folder / "code")
    home = folder / "installation"
    home.mkdir()
    async with demo.sandbox(PLAN, home) as world:
        await earlier.act("prepare", world, home, PLAN)
        program = earlier.program(home)

        async def halfway() -> None:
            await program.kill()
            pack(home, archives / "killed.tar.xz")
            await program.start()
            await program.ready()

        try:
            await program.start()
            await program.ready()
            await world.run_until(PLAN.opens_at.replace("T05:00", "T05:10"), program.watch)
            await earlier.act("open_gate", world, home, PLAN)
            await demo.plant(PLAN, world)
            await lived(Company(world, program, home), halfway)
        finally:
            await program.stop()
    pack(home, archives / "stopped.tar.xz")


def pack(home: Path, archive: Path) -> None:
    """Only what an installation is, with paths that whoever unpacks it can replace."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for name in PACKED:
            if name.endswith(".db"):
                whole(home / name)
            packed.add(home / name, name, filter=nameless)
        settings = (home / "settings.toml").read_text().replace(str(home), "{folder}").encode()
        entry = tarfile.TarInfo("settings.toml")
        entry.size = len(settings)
        packed.addfile(entry, io.BytesIO(settings))


def whole(database: Path) -> None:
    """Bring what a killed program left in the write-ahead log into the file, which is half the size then."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def nameless(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without who packed it and when."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def main(version: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="fixture-"))
    archives = HERE / "fixtures" / version
    asyncio.run(make(version, folder, archives))
    for archive in sorted(archives.iterdir()):
        sys.stdout.write(f"{archive}: {archive.stat().st_size:,} bytes\n")
    sys.stdout.write(f"made in {folder}\n")


if __name__ == "__main__":
    main(sys.argv[1])
