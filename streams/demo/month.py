"""A company's month, as a scenario for the sandbox: who its customers are, what it invoices, what goes wrong.

The same seed gives the same month. `make demo` runs it whole; the tests run shorter ones, killed and unharmed, and
compare how they end.
"""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec

from streams import population
from streams.population import FAILURES, FIRST_NAMES, GOODS, LAST_NAMES, VAT, Customer, Link

_CURRENCIES: Final = ("GBP", "EUR")
_LINKS: Final[tuple[Link, ...]] = ("stored", "email", "email", "reference")


class Month(msgspec.Struct, frozen=True):
    """How large the month is. `start` is the first day; invoices fall due on weekdays of the following `days`; then
    `drain_days` more.
    """

    customers: int = 200
    invoices: int = 300
    seed: int = 7
    start: str = "2026-03-01"
    days: int = 31
    drain_days: int = 24
    fail_before: int = 3
    fail_after: int = 1
    invited_every: int = 20
    faults: bool = True

    @property
    def opens_at(self) -> str:
        """The instant simulated time begins at."""
        return f"{self.start}T05:00:00.000000Z"

    @property
    def month_ends_at(self) -> str:
        """The end of the month."""
        return f"{self._day(self.days)}T00:00:00.000000Z"

    @property
    def drained_at(self) -> str:
        """When every debit has ended and every payout has arrived."""
        return f"{self._day(self.days + self.drain_days)}T00:00:00.000000Z"

    def _day(self, number: int) -> str:
        return (date.fromisoformat(self.start) + timedelta(days=number)).isoformat()

    def failing(self) -> dict[str, str]:
        """Invoice number → "failed" or "late_failure", for the debits that are planned to fail.

        The late ones are small, in pounds, and due early, so that a later payout can bear what is taken back.
        """
        draw = random.Random(f"{self.seed}/failing")
        early = sorted(
            (_due(self, place), place) for place in range(self.invoices) if _currency(place % self.customers) == "GBP"
        )
        small = sorted(early[: max(4, self.invoices // 4)], key=lambda one: _net(self, one[1]))
        late = [_number(place) for _, place in small[: self.fail_after]]
        others = [_number(place) for place in range(self.invoices) if _number(place) not in late]
        return dict.fromkeys(draw.sample(others, self.fail_before), "failed") | dict.fromkeys(late, "late_failure")


def _number(place: int) -> str:
    return f"INV-{place + 1:04d}"


def _currency(place: int) -> str:
    return "EUR" if place % 4 == 3 else "GBP"


def customers(month: Month) -> list[Customer]:
    """The company's customers, in order."""
    draw = random.Random(f"{month.seed}/customers")
    found = []
    for place in range(month.customers):
        first, last = draw.choice(FIRST_NAMES), draw.choice(LAST_NAMES)
        invited = place % month.invited_every == month.invited_every - 1
        link: Link = "invited" if invited else _LINKS[place % len(_LINKS)]
        company = f"{last} {draw.choice(('Ltd', 'Works', 'Studio', 'Trading'))} {place + 1}"
        email = f"{first}.{last}.{place + 1}@example.com".lower()
        found.append(Customer(f"{first} {last}", company, email, _currency(place), link, f"CUST{place + 1:05d}"))
    return found


def zoho_population(month: Month) -> dict[str, Any]:
    """The organisation, its accounts, customers and invoices, for the simulator of Zoho Books."""
    return {
        "organization": {
            "name": "Acme Supplies",
            "time_zone": "Europe/London",
            "currency_code": "GBP",
            "country_code": "GB",
            "plan": "premium",
        },
        "currencies": {"EUR": "0.85"},
        "accounts": population.accounts(_CURRENCIES),
        "taxes": [{"name": VAT, "percentage": 20, "key": "vat"}],
        "custom_fields": population.custom_fields(),
        "contacts": [*(population.contact(one) for one in customers(month)), population.vendor("GBP")],
        "invoices": [_invoice(month, place) for place in range(month.invoices)],
    }


def _due(month: Month, place: int) -> date:
    draw = random.Random(f"{month.seed}/due/{place}")
    due = date.fromisoformat(month.start) + timedelta(days=draw.randrange(3, max(4, month.days - 3)))
    return due + timedelta(days=(7 - due.weekday()) if due.weekday() > 4 else 0)


def _lines(month: Month, place: int) -> list[dict[str, Any]]:
    draw = random.Random(f"{month.seed}/lines/{place}")
    goods = draw.sample(GOODS, draw.randrange(1, 4))
    return [{"name": name, "rate": rate, "quantity": draw.randrange(1, 4)} for name, rate in goods]


def _net(month: Month, place: int) -> Decimal:
    return sum((Decimal(line["rate"]) * line["quantity"] for line in _lines(month, place)), Decimal(0))


def _invoice(month: Month, place: int) -> dict[str, Any]:
    draw = random.Random(f"{month.seed}/sent/{place}")
    due = _due(month, place)
    sent = max(date.fromisoformat(month.start), due - timedelta(days=draw.randrange(2, 15)))
    sent_at = datetime(sent.year, sent.month, sent.day, draw.choice((8, 10, 13, 15)), 0, tzinfo=UTC)
    customer = place % month.customers
    return {
        "contact": customer,
        "invoice_number": _number(place),
        "date": sent.isoformat(),
        "due_date": due.isoformat(),
        "currency": _currency(customer),
        "line_items": _lines(month, place),
        "tax": "vat",
        "sent_at": f"{sent_at:%Y-%m-%dT%H:%M:%S}.000000Z",
    }


def gocardless_population(month: Month, contact_ids: list[str]) -> dict[str, Any]:
    """The payers and mandates that exist before the month, for the simulator of GoCardless."""
    rows = [
        population.payer(one, contact)
        for one, contact in zip(customers(month), contact_ids, strict=False)
        if one.link != "invited"
    ]
    return {"quiet": True, "customers": rows}


def gocardless_settings(month: Month, endpoint: dict[str, str]) -> dict[str, Any]:
    """Where webhooks go, which debits fail, how soon payers sign, what it costs."""
    outcomes = []
    for place, (number, outcome) in enumerate(month.failing().items()):
        cause, code = FAILURES[place % len(FAILURES)]
        outcomes.append(
            {
                "outcome": outcome,
                "metadata_match": {"zoho_invoice_number": f"^{number}$"},
                "cause": cause,
                "reason_code": code,
                "after_working_days": 1,
            }
        )
    return {
        "endpoints": [endpoint],
        "payment_outcomes": outcomes,
        "payer": {"behaviour": "completes", "delay_hours_min": 2, "delay_hours_max": 30},
        "tariff": {"share_bp": 100, "fixed_tenths_minor": 200},
    }


def faults(month: Month) -> list[dict[str, Any]]:
    """A 500 after the commit on each API: the resource is there and the answer says it is not."""
    if not month.faults:
        return []
    skip = month.invoices // 10
    return [
        {
            "api": "gocardless",
            "method": "POST",
            "path": "^/payments$",
            "kind": "500_after_commit",
            "skip": skip,
            "times": 1,
        },
        {
            "api": "zoho",
            "method": "PUT",
            "path": "/customerpayments$",
            "kind": "500_after_commit",
            "skip": skip,
            "times": 1,
        },
    ]


def webhook_faults(month: Month) -> list[dict[str, Any]]:
    """One webhook twice, one after its successor, one never."""
    if not month.faults:
        return []
    return [
        {"api": "gocardless", "match": "payments.confirmed", "kind": "duplicate", "skip": 2, "times": 1},
        {"api": "gocardless", "match": "payments.submitted", "kind": "reorder", "skip": 1, "times": 1},
        {"api": "gocardless", "match": "payouts.paid", "kind": "drop", "skip": 3, "times": 1},
    ]
