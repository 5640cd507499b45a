"""What a month came to: the books from the store, and the proof counted in the simulators."""

from collections import Counter
from decimal import Decimal
from typing import Any, Final

import msgspec

from projections.queries import Queries
from projections.store.store import open_store
from streams.demo.month import Month
from streams.log.topics import Topics
from streams.operate.installation import events_in, opened_log
from streams.settings import Settings

#: The connection of the demo.
CONNECTION: Final = "acme"


class Counted(msgspec.Struct, frozen=True):
    """What the simulators say: each invoice's live debits and applied Zoho payments, and what is wrong with that."""

    paid_invoices: int
    debits: int
    zoho_payments: int
    payouts: int
    transfers: int
    expenses: int
    wrong: list[str]


def count(state: dict[str, Any]) -> Counted:
    """Count in the simulators: one debit per invoice attempt, one Zoho payment per confirmation, one transfer and
    expense per payout.
    """
    gocardless, zoho = state["gocardless"]["resources"], state["zoho"]
    wrong: list[str] = []
    commands = Counter(one["metadata"].get("command", "") for one in gocardless["payments"])
    wrong += [f"{number} debits of command {command}" for command, number in commands.items() if number > 1]
    live_debits = Counter(
        one["metadata"].get("zoho_invoice_id", "")
        for one in gocardless["payments"]
        if one["status"] in {"confirmed", "paid_out"}
    )
    keys = Counter(one["custom_fields"].get("cf_gocardless_key", "") for one in zoho["payments"])
    wrong += [f"{number} Zoho payments with the key {key}" for key, number in keys.items() if number > 1]
    applied = Counter(row["invoice_id"] for one in zoho["payments"] for row in one["invoices"])
    paid = [one for one in zoho["invoices"] if one["status"] == "paid"]
    for one in paid:
        if live_debits[one["invoice_id"]] != 1 or applied[one["invoice_id"]] != 1:
            number = one["invoice_number"]
            wrong.append(
                f"{number}: {live_debits[one['invoice_id']]} debits, {applied[one['invoice_id']]} Zoho payments"
            )
    wrong += _payouts_wrong(gocardless, zoho)
    return Counted(
        paid_invoices=len(paid),
        debits=sum(live_debits[one["invoice_id"]] for one in paid),
        zoho_payments=sum(applied[one["invoice_id"]] for one in paid),
        payouts=len(gocardless["payouts"]),
        transfers=len(zoho["banktransactions"]),
        expenses=len(zoho["expenses"]),
        wrong=wrong,
    )


def _payouts_wrong(gocardless: dict[str, Any], zoho: dict[str, Any]) -> list[str]:
    found = []
    transfers = Counter(row["description"].rpartition("[")[2].rstrip("]") for row in zoho["banktransactions"])
    expenses = {row["reference_number"]: row for row in zoho["expenses"]}
    for payout in gocardless["payouts"]:
        key = payout["id"]
        if payout["status"] != "paid":
            continue
        if transfers[key] != 1 and payout["amount"]:
            found.append(f"payout {key}: {transfers[key]} transfers")
        rows = gocardless["payout_items"].get(key, [])
        gross = sum((Decimal(item["amount"]) for item in rows if not item["type"].endswith("_fee")), Decimal(0))
        fee = int(gross) - payout["amount"]
        booked = expenses[key]["total_minor"] if key in expenses else 0
        if fee > 0 and booked != fee:
            found.append(f"payout {key}: fees of {fee} minor units, {booked} booked")
    return found


class Shown(msgspec.Struct, frozen=True):
    """One currency's line of the table, minor units."""

    currency: str
    invoices: int
    paid: int
    collected_minor: int
    fees_minor: int
    vat_minor: int
    bank_minor: int
    clearing_minor: int


class Result(msgspec.Struct, frozen=True):
    """How the month ended. The names of the first fields are the stable ones of `demo --json`."""

    invoices: int
    invoices_paid: int
    payments: int
    payouts: int
    clearing_minor: dict[str, int]
    clearing_open_items_minor: dict[str, int]
    ledger_balanced: bool
    discrepancies: int
    zoho_calls: int
    zoho_calls_marginal: float
    gocardless_calls: int
    events: int
    wrong: list[str]
    seconds: float
    lines: list[Shown]
    still_open: list[str]
    counted: Counted
    polls_a_day: float


#: Zoho's lists that are walked by the clock, whatever happens in the books.
_POLLED: Final = ("GET /books/v3/invoices", "GET /books/v3/contacts", "GET /books/v3/settings/currencies")


async def result(plan: Month, settings: Settings, state: dict[str, Any], seconds: float) -> Result:
    """The books from the store; the proof from the simulators."""
    counted = count(state)
    with open_store(settings.store) as store:
        queries = Queries(store)
        status = queries.status(CONNECTION)
        balances = queries.balances(CONNECTION)
        items: Counter[str] = Counter()
        for item in queries.open_items(CONNECTION):
            items[item.currency] += item.amount_minor
        sums: Counter[str] = Counter()
        for row in balances:
            sums[row.currency] += row.amount_minor
        clearing = {row.currency: row.amount_minor for row in balances if row.account == "clearing"}
        discrepancies = queries.discrepancies(CONNECTION)
        lines = shown(queries)
        still_open = [row.text for row in discrepancies]
    calls = state["calls"]["zoho"]
    polled = sum(number for name, number in calls.items() if name in _POLLED)
    per_invoice = sum(number for name, number in calls.items() if "customerpayments" in name)
    wrong = list(counted.wrong)
    wrong += [
        f"clearing in {cur} is {clearing[cur]}, its open items are {items[cur]}"
        for cur in clearing
        if clearing[cur] != items[cur]
    ]
    return Result(
        invoices=sum(status.invoices.values()),
        invoices_paid=counted.paid_invoices,
        payments=sum(status.payments.values()),
        payouts=sum(status.payouts.values()),
        clearing_minor=clearing,
        clearing_open_items_minor={currency: items[currency] for currency in clearing},
        ledger_balanced=not any(sums.values()),
        discrepancies=len(discrepancies),
        zoho_calls=sum(number for name, number in calls.items() if "oauth" not in name),
        zoho_calls_marginal=round(per_invoice / max(1, counted.paid_invoices), 3),
        gocardless_calls=sum(state["calls"]["gocardless"].values()),
        events=await _events(settings),
        wrong=wrong,
        seconds=round(seconds, 1),
        lines=lines,
        still_open=still_open,
        counted=counted,
        polls_a_day=round(polled / (plan.days + plan.drain_days), 1),
    )


def shown(queries: Queries) -> list[Shown]:
    """The table of the whole time, a line per currency."""
    found: dict[str, Counter[str]] = {}
    for one in queries.months(CONNECTION):
        sums = found.setdefault(one.currency, Counter())
        for field in ("invoices", "collected_minor", "fees_minor", "vat_minor", "bank_minor", "clearing_minor"):
            sums[field] += getattr(one, field)
    paid = queries.paid_by_currency(CONNECTION)
    return [
        Shown(currency=currency, paid=paid.get(currency, 0), **sums)
        for currency, sums in sorted(found.items(), reverse=True)
    ]


async def _events(settings: Settings) -> int:
    topics = Topics(settings.topic_prefix, settings.partitions)
    async with opened_log(settings) as log:
        return await events_in(log, topics)
