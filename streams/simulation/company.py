"""The company that a seed gives: who its customers are, what it invoices, how its accounts at both APIs are set, and
what finance has decided. Drawn once, before anything runs; what happens later is drawn by others.

Each part has a stream of chance of its own: fewer invoices, or one draw more in one part, leave the others as they are.
"""

import random
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from domain.policy import Choice, Rules
from domain.vocabulary import APIS
from sandbox.gocardless.rates import default_rate
from sandbox.gocardless.schemes import SCHEME_OF_CURRENCY
from streams.population import FEES, GOODS, LAST_NAMES, VAT, VENDOR, Customer, Link, account_name
from streams.settings import Calls, Polling
from streams.simulation import company_accounts
from streams.simulation.traits import TRAITS

#: Where a company can be: time zone, country, base currency. Both ends of the day's line, a zone of half an hour, and
#: both countries in which fees bear tax.
HOMES: Final = (
    ("Europe/London", "GB", "GBP"),
    ("Europe/Paris", "FR", "EUR"),
    ("Europe/Berlin", "DE", "EUR"),
    ("Europe/Stockholm", "SE", "SEK"),
    ("Pacific/Auckland", "NZ", "NZD"),
    ("Australia/Adelaide", "AU", "AUD"),
    ("America/Los_Angeles", "US", "USD"),
    ("America/Toronto", "CA", "CAD"),
)
_TAX_RATES: Final = {"GB": "GB_VAT_1", "FR": "FR_VAT_1"}

_FIRST_NAMES: Final = ("Ada", "Jürgen", "Zoë", "Łukasz", "Siân", "Søren", "Anne-Marie", "D'Arcy", "玲", "Ben", "Ngọc")
_FORMS: Final = ("Ltd", "GmbH & Co. KG", "Söhne", 'Trading "West"', "Studio, Inc.", "AB", "Œuvres")
_DOMAINS: Final = ("example.com", "example.com", "EXAMPLE.org", "bücher.example")
_LINKS: Final[tuple[Link, ...]] = ("stored", "stored", "field", "email", "email", "reference", "invited")

#: Days before the start from which invoices may already lie there. Lower: the first import finds nothing old. Higher:
#: fewer of the month's invoices fall into the month.
_OLD_DAYS: Final = 12

#: Days that a person may take to pay. Higher than a month: invoices fall due when nobody looks any more.
_TERMS_DAYS: Final = (0, 3, 7, 10, 14, 21)

_Taxed = Literal["vat", "zero", ""]


class HandPayment(msgspec.Struct, frozen=True):
    """What a customer pays past us, and a person records: a share of the balance, at an instant."""

    at: datetime
    percent: int


class PlannedInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """One invoice: of the customer at that place, sent at an instant (a draft: made then). Before the start: it is
    there from the beginning. `tax`: a key of the population's taxes.
    """

    number: str
    customer: int
    sent_at: datetime
    day: date
    due: date
    lines: tuple[dict[str, Any], ...]
    tax: _Taxed = "vat"
    inclusive: bool = False
    draft: bool = False
    by_hand: HandPayment | None = None


class Company(msgspec.Struct, frozen=True, kw_only=True):
    """All that is drawn for one connection. Documents for the simulators are made of it by `company_documents`.

    `mandates`: the state of each customer's mandate at the start, None for a payer without one. `subscriptions`: what
    another tool collects, by place of the customer. `outcomes`, `payer`, `tariff`, `gocardless`: settings of the
    simulator of GoCardless; `switches` those of Zoho Books, `zoho_webhook` how its webhooks look. `webhooks`: API →
    whether any are sent.
    """

    seed: int
    start: datetime
    days: int
    time_zone: str
    country: str
    base: str
    currencies: tuple[str, ...]
    paid_in: tuple[str, ...]
    fx_paid_in: str | None
    plan: str
    customers: tuple[Customer, ...]
    mandates: tuple[str | None, ...]
    invoices: tuple[PlannedInvoice, ...]
    subscriptions: tuple[dict[str, Any], ...]
    outcomes: tuple[dict[str, Any], ...]
    payer: dict[str, Any]
    tariff: dict[str, Any]
    creditor: dict[str, Any]
    gocardless: dict[str, Any]
    switches: dict[str, Any]
    zoho_webhook: dict[str, Any]
    webhooks: dict[str, bool]
    rules: Rules
    polling: Polling
    calls: Calls

    @property
    def first_day(self) -> date:
        """The organisation's day at the start."""
        return self.start.astimezone(ZoneInfo(self.time_zone)).date()

    @property
    def books_currencies(self) -> tuple[str, ...]:
        """Every currency in which the books have accounts of money."""
        return tuple(dict.fromkeys((*self.currencies, *self.paid_in)))

    @property
    def rates(self) -> dict[str, str]:
        """Base units for one unit of each foreign currency, as the books have it."""
        foreign = [currency for currency in self.books_currencies if currency != self.base]
        return {currency: _decimal(default_rate(currency, self.base)) for currency in foreign}


def draw(
    rng: random.Random,
    *,
    seed: int,
    days: int = 31,
    invoices: int = 16,
    start: datetime | None = None,
    traits: Collection[str] = TRAITS,
) -> Company:
    """Draw a company whose invoices are sent within `days` of the start. `seed` is that of its world; `start` is drawn
    too, unless it is given: those of one installation have one. `traits`: which of `TRAITS` it may have.
    """
    streams = {name: random.Random(rng.getrandbits(64)) for name in _PARTS}
    place = streams["place"]
    time_zone, country, base = place.choice(HOMES)
    drawn = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=place.randrange(730), minutes=place.randrange(1440))
    start = start or drawn
    currencies = _currencies(streams["currencies"], base)
    paid_in, fx_paid_in = _paid_in(streams["currencies"], currencies, base)
    customers = _customers(streams["customers"], currencies)
    mandates = tuple(_mandate(streams["mandates"], customer) for customer in customers)
    planned = tuple(
        _invoice(random.Random(streams["invoices"].getrandbits(64)), number, len(customers), start, time_zone, days)
        for number in range(invoices)
    )
    first_day = start.astimezone(ZoneInfo(time_zone)).date()
    calls = _calls(streams["calls"], traits)
    return Company(
        seed=seed,
        start=start,
        days=days,
        time_zone=time_zone,
        country=country,
        base=base,
        currencies=currencies,
        paid_in=paid_in,
        fx_paid_in=fx_paid_in,
        plan=place.choice(("free", "standard", "professional", "premium")),
        customers=customers,
        mandates=mandates,
        invoices=planned,
        subscriptions=_subscriptions(streams["subscriptions"], mandates),
        outcomes=company_accounts.outcomes(
            streams["outcomes"], [(one.number, customers[one.customer].currency) for one in planned]
        ),
        payer=company_accounts.payer(streams["payer"]),
        tariff=_tariff(streams["tariff"], country, traits),
        creditor=company_accounts.creditor(streams["creditor"]),
        gocardless=company_accounts.gocardless(streams["gocardless"]),
        switches=_switches(streams["switches"], first_day, calls),
        zoho_webhook=company_accounts.zoho_webhook(streams["webhooks"]),
        webhooks={api: streams["webhooks"].random() < 0.8 for api in APIS},
        rules=_rules(streams["rules"], currencies, paid_in, country, first_day),
        polling=_polling(streams["polling"], days),
        calls=calls,
    )


_PARTS: Final = (
    "place",
    "currencies",
    "customers",
    "mandates",
    "invoices",
    "subscriptions",
    "outcomes",
    "payer",
    "tariff",
    "creditor",
    "gocardless",
    "switches",
    "webhooks",
    "rules",
    "polling",
    "calls",
)


def _decimal(rate: Any) -> str:
    return str(Decimal(rate.numerator) / Decimal(rate.denominator))


# --- money, customers, invoices ---


def _currencies(rng: random.Random, base: str) -> tuple[str, ...]:
    """One to three currencies that GoCardless collects; the base currency is not always one of them."""
    others = [currency for currency in sorted(SCHEME_OF_CURRENCY) if currency != base]
    first = base if rng.random() < 0.9 else rng.choice(others)
    rest = [currency for currency in (base, *others) if currency != first]
    return (first, *rng.sample(rest, rng.randrange(3)))


def _paid_in(rng: random.Random, currencies: tuple[str, ...], base: str) -> tuple[tuple[str, ...], str | None]:
    """What GoCardless pays out in; now and then one currency has no account, and is exchanged."""
    if len(currencies) < 2 or rng.random() < 0.75:
        return currencies, None
    without = rng.choice([currency for currency in currencies if currency != base])
    kept = tuple(currency for currency in currencies if currency != without)
    return tuple(dict.fromkeys((*kept, base))), base


def _customers(rng: random.Random, currencies: tuple[str, ...]) -> tuple[Customer, ...]:
    customers: list[Customer] = []
    for place in range(rng.randrange(2, 9)):
        first, last = rng.choice(_FIRST_NAMES), rng.choice(LAST_NAMES)
        email = f"{last}.{place + 1}@{rng.choice(_DOMAINS)}"
        email = rng.choice((email, email.lower(), email.lower()))
        if customers and rng.random() < 0.15:
            email = rng.choice(customers).email
        company = f"{last} {rng.choice(_FORMS)} {place + 1}"
        link = rng.choice(_LINKS)
        currency = rng.choice(currencies)
        customers.append(Customer(f"{first} {last}", company, email, currency, link, f"CUST{place + 1:05d}"))
    return tuple(customers)


def _mandate(rng: random.Random, customer: Customer) -> str | None:
    drawn = rng.choices(("active", "pending_submission", None), (85, 10, 5))[0]
    # A reference is the mandate's: without one there would be nothing to be matched by.
    return "active" if customer.link == "reference" and drawn is None else drawn


def _invoice(
    rng: random.Random, place: int, customers: int, start: datetime, time_zone: str, days: int
) -> PlannedInvoice:
    sent_at = start + timedelta(minutes=rng.randrange(-_OLD_DAYS * 1440, max(1, days - 3) * 1440))
    day = sent_at.astimezone(ZoneInfo(time_zone)).date()
    terms_days = rng.choice(_TERMS_DAYS)
    by_hand = None
    if rng.random() < 0.12:
        at = max(sent_at, start) + timedelta(minutes=rng.randrange(60, (terms_days + 5) * 1440))
        by_hand = HandPayment(at, rng.choice((10, 50, 90, 100)))
    return PlannedInvoice(
        number=f"INV-{place + 1:04d}",
        customer=rng.randrange(customers),
        sent_at=sent_at,
        day=day,
        due=day + timedelta(days=terms_days),
        lines=_lines(rng),
        tax=rng.choices(_TAXES, (6, 2, 2))[0],
        inclusive=rng.random() < 0.2,
        draft=rng.random() < 0.1,
        by_hand=by_hand,
    )


_TAXES: Final[tuple[_Taxed, ...]] = ("vat", "zero", "")


def _lines(rng: random.Random) -> tuple[dict[str, Any], ...]:
    """What is sold; now and then more than a scheme takes, or next to nothing."""
    special = rng.random()
    if special < 0.03:
        return ({"name": "Machine", "rate": "61000.00", "quantity": 1},)
    if special < 0.06:
        return ({"name": "Rounding", "rate": "0.01", "quantity": 1},)
    goods = rng.sample(GOODS, rng.randrange(1, 4))
    return tuple({"name": name, "rate": rate, "quantity": rng.randrange(1, 4)} for name, rate in goods)


def _subscriptions(rng: random.Random, mandates: tuple[str | None, ...]) -> tuple[dict[str, Any], ...]:
    """What another tool collects from the same payers."""
    places = [place for place, mandate in enumerate(mandates) if mandate is not None]
    taking = [place for place in places if rng.random() < 0.1]
    return tuple(
        {
            "customer": place,
            "amount": rng.choice((500, 1999, 9600)),
            "interval_unit": rng.choice(("weekly", "monthly")),
            "count": rng.choice((None, 2)),
            "name": "Club fee",
        }
        for place in taking
    )


# --- what finance has decided, and how the program is set ---


def _rules(
    rng: random.Random, currencies: tuple[str, ...], paid_in: tuple[str, ...], country: str, first_day: date
) -> Rules:
    fees = FEES if rng.random() < 0.9 else ""
    suspense = [currency for currency in currencies if rng.random() < 0.95]
    choices: tuple[Choice, ...] = ("auto", "auto", "ask")
    return Rules(
        clearing={currency: account_name("clearing", currency) for currency in currencies},
        suspense={currency: account_name("suspense", currency) for currency in suspense},
        bank={currency: account_name("bank", currency) for currency in paid_in},
        fees=fees,
        vendor=VENDOR,
        tax={_TAX_RATES[country]: VAT} if country in _TAX_RATES else {},
        match_by_email=rng.choice(choices),
        invite=rng.choice(choices),
        send_days_before_due=rng.choice((0, 0, 0, 1, 3, 5, 10)),
        send_hour=rng.randrange(24),
        max_debit=_ceiling(rng, currencies, "400.00"),
        max_payer_month=_ceiling(rng, currencies, "900.00"),
        max_day=_ceiling(rng, currencies, "700.00"),
        max_day_count=_count(rng, currencies),
        books_from=_day(rng, first_day, (None, 0, -10, -40)),
        closed_through=_day(rng, first_day, (None, None, -1, -20)),
        opening_clearing={currencies[0]: "120.00"} if rng.random() < 0.2 else {},
    )


def _ceiling(rng: random.Random, currencies: tuple[str, ...], tight: str) -> dict[str, str]:
    """Wide, tight, or none at all, which leaves it to what was collected before."""
    amount = rng.choices(("1000000.00", tight, ""), (7, 2, 1))[0]
    return dict.fromkeys(currencies, amount) if amount else {}


def _count(rng: random.Random, currencies: tuple[str, ...]) -> dict[str, int]:
    most = rng.choices((0, 100, 2), (7, 2, 1))[0]
    return dict.fromkeys(currencies, most) if most else {}


def _day(rng: random.Random, first_day: date, offsets: tuple[int | None, ...]) -> str:
    offset = rng.choice(offsets)
    return "" if offset is None else (first_day + timedelta(days=offset)).isoformat()


#: List → seconds between two walks of it, in a run of days. All within a day but for what hardly changes: a longer
#: pause leaves nothing to see, a shorter one spends the smallest plan's calls on looking.
_WALKS_S: Final[Mapping[str, tuple[int, ...]]] = {
    "gocardless_events_s": (900, 3_600, 10_800, 21_600),
    "gocardless_customers_s": (10_800, 43_200, 86_400),
    "gocardless_mandates_s": (10_800, 43_200, 86_400),
    "zoho_invoices_s": (1_800, 10_800, 21_600),
    "zoho_contacts_s": (7_200, 43_200, 86_400),
    "zoho_currencies_s": (43_200, 86_400, 259_200),
}

#: The same in a run of weeks: around the pauses of an installation that changes none. Shorter pauses are nine calls of
#: ten, in which nothing has happened, and a night of runs then sees a quarter of the months.
_WALKS_OF_WEEKS_S: Final[Mapping[str, tuple[int, ...]]] = {
    "gocardless_events_s": (3_600, 10_800, 21_600, 43_200),
    "gocardless_customers_s": (43_200, 86_400, 172_800),
    "gocardless_mandates_s": (43_200, 86_400, 172_800),
    "zoho_invoices_s": (10_800, 21_600, 43_200),
    "zoho_contacts_s": (21_600, 43_200, 86_400),
    "zoho_currencies_s": (86_400, 259_200),
}

#: From how many days on a run is one of weeks. Lower: runs of a week look so rarely that they see little.
_WEEKS_DAYS: Final = 14


def _polling(rng: random.Random, days: int) -> Polling:
    walks = _WALKS_OF_WEEKS_S if days >= _WEEKS_DAYS else _WALKS_S
    return Polling(**{name: rng.choice(pauses) for name, pauses in walks.items()})


def _tariff(rng: random.Random, country: str, traits: Collection[str]) -> dict[str, Any]:
    drawn = company_accounts.tariff(rng)
    if country not in _TAX_RATES or "odd_fees" in traits:
        return drawn
    whole = {"share_bp": 0, "min_tenths_minor": None, "cap_tenths_minor": None, "surcharge_tenths_minor": 0}
    return {**drawn, **whole, "fixed_tenths_minor": 600}


def _switches(rng: random.Random, first_day: date, calls: Calls) -> dict[str, Any]:
    """Lists lag behind writes by no more than the settings allow for: beyond it, what has no key may be made twice."""
    drawn = company_accounts.switches(rng, first_day)
    return {**drawn, "list_staleness_s": min(drawn["list_staleness_s"], calls.lookup_again_s)}


def _calls(rng: random.Random, traits: Collection[str]) -> Calls:
    return Calls(
        deadline_s=rng.choice((2.0, 10.0, 30.0, 60.0)),
        settle_s=rng.choice((0, 10, 30, 120)),
        park_after=max(rng.choice((3, 10, 30)), 0 if "few_tries" in traits else 30),
        lookup_again_s=rng.choice((10, 60, 300)),
    )
