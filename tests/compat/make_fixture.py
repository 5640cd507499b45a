"""Make a fixture: the log and store of a company that a version served through all that can happen to it, packed as an
archive.

Run by hand, once for each version whose installations must be carried over:

    .venv/bin/python tests/compat/make_fixture.py 0.1.0

A version's code comes from its wheel beside this file. One that was never released is named in `COMMITS`: its wheel is
built from that commit, with the version in `pyproject.toml` set to the name (`built`), and is not kept.

It writes `fixtures/<version>.tar.xz`, with the installation twice: `killed` halfway, and `stopped` at the end. Most of
the second is the first, so that together they take little more room than it. What the version could not be brought to
is told by `test_fixtures.py`.
"""

import asyncio
import contextlib
import io
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from streams.demo import demo  # noqa: E402 - the path was set just now
from streams.demo.month import Month  # noqa: E402 - as above
from tests.support.earlier import WHEELS, Earlier  # noqa: E402 - as above
from tests.support.served_company import ServedCompany, invoice  # noqa: E402 - as above

PLAN = Month(customers=8, invoices=16, days=16, drain_days=16, invited_every=4, fail_before=1, fail_after=1)

#: What is packed beside the settings; all else in the folder is made anew by whoever unpacks it.
PACKED = ("log.db", "store.db", "keys")

#: Versions that were never released → the commit that is taken for them.
COMMITS = {
    "0.2.0.dev0": "271953c",  # ceilings, lists as rows, rules of version 2; the last commit before the modules were moved
}

#: Versions that have no ceilings, and link by e-mail before all is read.
WITHOUT_CEILINGS = {"0.1.0"}


async def unclear_customers(company: ServedCompany) -> dict[str, str]:
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


async def old_debts(company: ServedCompany) -> None:
    """What fell due before collection began: on a day that is to be collected from, and on one before that."""
    old = await linked_customer(company, "Old Ltd", "old@example.com")
    due = {"INV-70": "2026-02-20", "INV-71": "2026-02-27"}
    await company.books(invoices=[invoice(old, number, day, date="2026-02-06") for number, day in due.items()])


async def linked_customer(company: ServedCompany, name: str, email: str) -> str:
    """A customer with a mandate, whom GoCardless's metadata names; its id in Zoho."""
    made = await company.books(contacts=[{"contact_name": name, "email": email, "currency_code": "GBP"}])
    contact: str = made["contacts"][0]
    await company.payers({"email": email, "metadata": {"zoho_contact_id": contact}})
    return contact


async def large_month(company: ServedCompany) -> None:
    """One payer owes more than may be taken in a month. It is due late: the payments that are taken back later are the
    first ones, and the creditor's balance has to bear them.
    """
    monthly = await linked_customer(company, "Monthly Ltd", "monthly@example.com")
    await company.books(invoices=[invoice(monthly, f"INV-7{place}", "2026-03-16", "450.00") for place in range(2, 6)])


async def taken_payer(company: ServedCompany) -> None:
    """A contact is stored with the payer of another one."""
    payers = {one["email"]: one["id"] for one in await company.resources("customers")}
    taken = {
        "contact_name": "Taken Ltd",
        "email": "taken@example.com",
        "currency_code": "GBP",
        "custom_fields": {"cf_gocardless_customer": payers["monthly@example.com"]},
    }
    made = await company.books(contacts=[taken])
    await company.books(invoices=[invoice(made["contacts"][0], "INV-69", "2026-03-20")])


async def large_day(company: ServedCompany) -> None:
    """More falls due on a day than may be debited; a person lets the day pass."""
    await company.until("05 10:00")
    company.rules(max_day='{ GBP = "100.00", EUR = "1000000.00" }', max_day_count="{ GBP = 2 }")
    await company.approve()
    busy = await linked_customer(company, "Busy Ltd", "busy@example.com")
    await company.books(invoices=[invoice(busy, f"INV-7{place}", "2026-03-06") for place in range(6, 10)])
    await company.until("06 09:00")
    (held,) = await company.told("day_over_limit")
    _, day, currency = held["about"].split(":")
    await company.cli("decide", "day", day, "--currency", currency, "--by", "finance")
    await company.until("06 10:00")
    company.rules(max_day='{ GBP = "1000000.00", EUR = "1000000.00" }', max_day_count="{}")
    await company.approve()


async def told_too_often(company: ServedCompany) -> None:
    """GoCardless tells more facts of one payment than are kept of it."""
    old = await company.payment(lambda one: one["metadata"]["zoho_invoice_number"] == "INV-71")
    facts = [
        {
            "id": f"EVMANY{place:03}",
            "created_at": "2026-03-31T10:00:00.000Z",
            "resource_type": "payments",
            "action": "surcharge_fee_debited",
            "links": {"payment": old["id"]},
            "details": {"origin": "gocardless", "cause": "surcharge_fee_debited", "description": ""},
        }
        for place in range(200)
    ]
    await company.act("post_events", events=facts)


async def odd_deliveries(company: ServedCompany) -> None:
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


async def lived(company: ServedCompany, halfway: Callable[[], Awaitable[None]], *, ceilings: bool) -> None:
    """The month. `halfway`: debits wait for a view, invoices for a mandate, and a person for several answers.
    `ceilings`: the version has them, and what brings them about is done as well.
    """
    await company.until("02 09:00")
    contacts = await unclear_customers(company)
    await odd_deliveries(company)
    if ceilings:
        await large_month(company)
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
    if ceilings:
        company.rules(max_payer_month='{ GBP = "1500.00" }')
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
    if ceilings:
        await taken_payer(company)
        await large_day(company)
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
    if ceilings:
        await told_too_often(company)
    await company.world.run_until("2026-04-04T12:00:00.000000Z", company.program.watch)


async def money_goes_back(company: ServedCompany, payment: str) -> None:
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


async def make(version: str, folder: Path, archive: Path) -> None:
    """The company lives in a folder; what it is when it is killed halfway, and when it is stopped at the end, is
    packed.
    """
    wheels = built(version, folder) if version in COMMITS else WHEELS
    earlier = Earlier.unpack(version, folder / "code", wheels)
    ceilings = version not in WITHOUT_CEILINGS
    home, killed = folder / "stopped", folder / "killed"
    home.mkdir()
    async with demo.sandbox(PLAN, home) as world:
        await earlier.act("prepare", world, home, PLAN)
        program = earlier.program(home)
        company = ServedCompany(world, program, home)
        if ceilings:
            await old_debts(company)

        async def halfway() -> None:
            await program.kill()
            keep(home, killed)
            await program.start()
            await program.ready()

        try:
            await program.start()
            await program.ready()
            await world.run_until(PLAN.opens_at.replace("T05:00", "T05:10"), program.watch)
            if ceilings:
                await company.approve("--collect-from", "2026-02-25")
            else:
                await earlier.act("open_gate", world, home, PLAN)
            await demo.plant(PLAN, world)
            await lived(company, halfway, ceilings=ceilings)
        finally:
            await program.stop()
    keep(home, folder / "packed")
    pack({"killed": killed, "stopped": folder / "packed"}, archive)


def built(version: str, folder: Path) -> Path:
    """The folder with the wheel of a commit: its files as `git archive` gives them, with the version's name in
    `pyproject.toml`, made a wheel by `pip wheel --no-deps`.
    """
    source = folder / "source"
    source.mkdir()
    archive = subprocess.run(
        ["git", "archive", COMMITS[version]], cwd=HERE.parents[1], check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(source, filter="data")
    project = source / "pyproject.toml"
    project.write_text(re.sub(r'^version = ".*"$', f'version = "{version}"', project.read_text(), flags=re.MULTILINE))
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)]
    subprocess.run(wheel, check=True)
    return folder


def keep(home: Path, copy: Path) -> None:
    """Only what an installation is, with paths that whoever unpacks it can replace."""
    copy.mkdir()
    for name in PACKED:
        if name.endswith(".db"):
            whole(home / name)
        shutil.copy2(home / name, copy / name)
    (copy / "settings.toml").write_text((home / "settings.toml").read_text().replace(str(home), "{folder}"))


def whole(database: Path) -> None:
    """Bring what a killed program left in the write-ahead log into the file, which is half the size then."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def pack(copies: dict[str, Path], archive: Path) -> None:
    """Pack copies of an installation under their names."""
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for file in (*PACKED, "settings.toml"):
            for name, copy in copies.items():
                packed.add(copy / file, f"{name}/{file}", filter=nameless)


def nameless(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without who packed it and when."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def main(version: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="fixture-"))
    archive = HERE / "fixtures" / f"{version}.tar.xz"
    asyncio.run(make(version, folder, archive))
    sys.stdout.write(f"{archive}: {archive.stat().st_size:,} bytes; made in {folder}\n")


if __name__ == "__main__":
    main(sys.argv[1])
