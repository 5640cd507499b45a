"""The books of one simulated organisation: its settings, its tables, its ledger, and what every rule needs of them.

All state is here and in the records; nothing reads a real clock or real chance. Rules change it through the functions
of the rooms beside this one (contacts, invoices, payments, ...), each of which ends by telling `announce`.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from sandbox.zoho.errors import LOCKED_PERIOD, ApiError, InvalidError, NotFoundError, RefusedError, TakenError
from sandbox.zoho.identity import Identity
from sandbox.zoho.ledger import SYSTEM_ACCOUNTS, Account, Entry, Ledger, Leg
from sandbox.zoho.money import KNOWN_CURRENCIES, ONE, PRELOADED, from_base, in_base, precision_of
from sandbox.zoho.records import (
    BankTransaction,
    Contact,
    CreditNote,
    CustomField,
    Expense,
    Invoice,
    Journal,
    Payment,
    R,
    Record,
    Table,
    Tax,
)
from sandbox.zoho.values import rate, rows, text

# Calls a day by plan (reference 2.6), and calls at once.
PLANS: dict[str, tuple[int, int]] = {
    "free": (1_000, 5),
    "standard": (2_000, 10),
    "professional": (5_000, 10),
    "premium": (10_000, 10),
    "elite": (10_000, 10),
    "ultimate": (10_000, 10),
}


class Switches(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Behaviours the reference calls UNCONFIRMED, limits and closed periods; set by `POST /_sandbox/config`.

    list_staleness_s: for how long after a write lists show the state before it (simulated seconds).
    lock_date: nothing dated on or before this day may be written, changed or deleted.
    modified_after_inclusive: whether the filter last_modified_time includes the second named.
    payments_on_drafts: whether a draft invoice takes a payment (and is thereby sent).
    overdue_hides_partial: whether a partly paid invoice past its due day reads overdue.
    missing_rate: what a foreign record without a rate gets: the organisation's rate of that day, or 1.
    payment_moves_invoice_time: "create" (a deletion leaves the invoice's time), or "always".
    invoice_payment_row_delete: whether deleting an invoice's payment row removes the application or the payment.
    throttle_status: the HTTP status of a throttled token endpoint.
    minute_limit, daily_limit, concurrency_limit: 0 means the plan's own figure (100 a minute).
    names_unique: whether two contacts may not share a name (3062).
    payment_key: the key of a customer payment in a default webhook payload.
    webhook_ids_as_numbers: whether webhook bodies carry ids as bare numbers.
    """

    list_staleness_s: int = 0
    lock_date: str = ""
    modified_after_inclusive: bool = False
    payments_on_drafts: bool = True
    overdue_hides_partial: bool = True
    missing_rate: Literal["organization", "one"] = "organization"
    payment_moves_invoice_time: Literal["create", "always"] = "always"
    invoice_payment_row_delete: Literal["application", "payment"] = "application"
    throttle_status: int = 400
    minute_limit: int = 0
    daily_limit: int = 0
    concurrency_limit: int = 0
    names_unique: bool = False
    payment_key: Literal["payment", "customer_payment"] = "payment"
    webhook_ids_as_numbers: bool = False


class Organization(msgspec.Struct, kw_only=True):
    """The organisation's own settings. `decoys` are further organisations of the same user, seen in the list only."""

    id: str
    name: str = "Harbour Row Trading"
    time_zone: str = "Europe/London"
    currency_code: str = "GBP"
    country_code: str = "GB"
    plan: str = "professional"
    contact_name: str = "Pat Winter"
    email: str = "books@harbour-row.example"
    created: date = date(2024, 1, 1)
    decoys: list[str] = []


class Currency(msgspec.Struct, kw_only=True):
    """A currency the organisation knows, with its rates by day: id, day, rate."""

    id: str
    code: str
    rates: list[tuple[str, date, Decimal]] = []


class Books:
    """One organisation's books. `now` gives simulated time (aware, UTC)."""

    def __init__(self, seed: int, now: Callable[[], datetime], organization: Mapping[str, Any] | None = None) -> None:
        self.ids = Identity(seed)
        self._now = now
        self.org = msgspec.convert({"id": self.ids.organization_id, **(organization or {})}, Organization)
        if self.org.plan.lower() not in PLANS or self.org.currency_code not in KNOWN_CURRENCIES:
            raise ValueError("plan or currency_code is not known")
        self.zone = ZoneInfo(self.org.time_zone)
        self._today = (now(), now().astimezone(self.zone).date())
        self.stamp = lru_cache(maxsize=65536)(self._stamp)
        self.switches = Switches()
        self.user_id = self.ids.new("user", "owner")
        self.currencies: dict[str, Currency] = {}
        for code in dict.fromkeys((*PRELOADED, self.org.currency_code)):
            self.add_currency(code)
        self.ledger = Ledger(self.org.currency_code)
        for name, kind, key in SYSTEM_ACCOUNTS:
            self._open_system_account(name, kind, key)
        self.taxes: dict[str, Tax] = {}
        self.contacts: Table[Contact] = Table()
        self.invoices: Table[Invoice] = Table()
        self.payments: Table[Payment] = Table()
        self.creditnotes: Table[CreditNote] = Table()
        self.expenses: Table[Expense] = Table()
        self.banktransactions: Table[BankTransaction] = Table()
        self.journals: Table[Journal] = Table()
        self.invoices_by_number: dict[str, str] = {}
        self.custom_fields: dict[str, dict[str, CustomField]] = {}
        self.numbers: dict[str, int] = {}
        # Rows of invoices as last shown, with what they depend on: polls ask for the same ones again and again.
        self.invoice_rows: dict[str, tuple[tuple[int, int, date], msgspec.Raw]] = {}
        self._unique: dict[tuple[str, str, str], str] = {}
        self.announce: Callable[[str, str, Record], None] = lambda _module, _event, _record: None

    # time

    def now(self) -> datetime:
        """Simulated time in whole seconds: the API knows no finer ones."""
        return self._now().replace(microsecond=0)

    def today(self) -> date:
        """The day in the organisation's time zone."""
        now = self._now()
        if now != self._today[0]:
            self._today = (now, now.astimezone(self.zone).date())
        return self._today[1]

    def seconds_to_midnight(self) -> int:
        """Real seconds of the organisation's day still to go, which a day of 23 or 25 hours changes."""
        now = self.now().astimezone(self.zone)
        end = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), self.zone)
        return int((end.astimezone(UTC) - now.astimezone(UTC)).total_seconds())

    def _stamp(self, moment: datetime) -> str:
        return moment.astimezone(self.zone).strftime("%Y-%m-%dT%H:%M:%S%z")

    # currencies and amounts

    @property
    def base(self) -> str:
        return self.org.currency_code

    def add_currency(self, code: str) -> Currency:
        if code not in KNOWN_CURRENCIES:
            raise InvalidError("currency_code")
        if code in self.currencies:
            raise TakenError(f"The currency {code}")
        self.currencies[code] = Currency(id=self.ids.new("currency", code), code=code)
        return self.currencies[code]

    def add_rate(self, code: str, effective: date, found: Decimal) -> str:
        rate_id = self.ids.new("exchange_rate", f"{code} {effective}")
        rates = self.currencies[code].rates
        rates.append((rate_id, effective, found))
        rates.sort(key=lambda row: (row[1], row[0]))
        return rate_id

    def rate_on(self, code: str, when: date) -> Decimal:
        """The organisation's rate of a currency on a day: the nearest earlier one, else 1; base is always 1."""
        if code == self.base or self.switches.missing_rate == "one":
            return ONE
        earlier = [found for _, effective, found in self.currencies[code].rates if effective <= when]
        return earlier[-1] if earlier else ONE

    def rate_of(self, body: Mapping[str, Any], currency: str, default: Decimal) -> Decimal:
        """The rate a body names or the default; of the base currency always 1."""
        named = rate(body, default)
        return ONE if currency == self.base else named

    def currency_of(self, body: Mapping[str, Any], default: str) -> str:
        """The currency a body names by id or code."""
        wanted = text(body, "currency_id")
        if wanted:
            for currency in self.currencies.values():
                if currency.id == wanted:
                    return currency.code
            raise InvalidError("currency_id")
        code = text(body, "currency_code") or default
        if code not in self.currencies:
            raise InvalidError("currency_code")
        return code

    def base_minor(self, amount: int, currency: str, at: Decimal) -> int:
        return in_base(amount, currency, at, self.base)

    def foreign_minor(self, base_amount: int, currency: str, at: Decimal) -> int:
        return from_base(base_amount, self.base, currency, at)

    def precision(self, currency: str) -> int:
        return precision_of(currency)

    # records

    def contact(self, contact_id: str, what: str = "Customer") -> Contact:
        return found(self.contacts, contact_id, what)

    def account(self, account_id: str, field: str = "account_id") -> Account:
        account = self.ledger.accounts.get(account_id)
        if account is None:
            raise ApiError(400, 2, f"Account does not exist: {field}")
        return account

    def tax(self, tax_id: str) -> Tax | None:
        if not tax_id:
            return None
        if tax_id not in self.taxes:
            raise InvalidError("tax_id")
        return self.taxes[tax_id]

    def terms_id(self, days: int) -> str:
        return self.part_id("payment_terms", str(days))

    def part_id(self, kind: str, of: str) -> str:
        """The id of something that is part of a record or of the settings and needs no table of its own."""
        return self.ids.fixed(kind, of)

    def next_number(self, kind: str, prefix: str, width: int) -> str:
        self.numbers[kind] = self.numbers.get(kind, 0) + 1
        return f"{prefix}{self.numbers[kind]:0{width}d}"

    def refuse_locked(self, *days: date) -> None:
        """Refuses a write that touches a day in the closed period."""
        lock = self.switches.lock_date
        if lock and any(day <= date.fromisoformat(lock) for day in days):
            raise RefusedError(LOCKED_PERIOD, "The transaction falls in a period that is locked.")

    def writing(self, table: Table[R], record_id: str) -> None:
        table.writing(record_id, self.now(), self.switches.list_staleness_s)

    def touch(self, record: Record) -> None:
        record.modified_at = self.now()

    # custom fields

    def define_custom_field(self, module: str, api_name: str, *, unique: bool) -> CustomField:
        fields = self.custom_fields.setdefault(module, {})
        if api_name in fields:
            raise TakenError(f"The field {api_name}")
        made = CustomField(
            id=self.ids.new("customfield", f"{module} {api_name}"),
            module=module,
            api_name=api_name,
            label=api_name.removeprefix("cf_").replace("_", " ").capitalize(),
            unique=unique,
            index=len(fields) + 1,
        )
        fields[api_name] = made
        return made

    def custom_values(self, module: str, body: Mapping[str, Any], field: str = "custom_fields") -> dict[str, str]:
        """The custom fields a body sets: api name to value. Named by customfield_id, api_name, label or index."""
        return self.custom_values_of(module, rows(body, field))

    def custom_values_of(self, module: str, wanted: list[dict[str, Any]]) -> dict[str, str]:
        defined = self.custom_fields.get(module, {}).values()
        values: dict[str, str] = {}
        for row in wanted:
            match = next((f for f in defined if _names(row, f)), None)
            if match is None:
                raise InvalidError("custom_fields")
            values[match.api_name] = text(row, "value", limit=255)
        return values

    def refuse_duplicates(self, module: str, values: Mapping[str, str], own_id: str = "") -> None:
        """Refuses values of unique fields that another record of the module holds."""
        for api_name, value in values.items():
            if self.custom_fields[module][api_name].unique and value:
                holder = self._unique.get((module, api_name, value))
                if holder not in (None, own_id):
                    raise TakenError(f"A record with this {api_name}")

    def set_custom(self, module: str, record: Record, values: Mapping[str, str]) -> None:
        """Writes custom values (checked before) and keeps the index of unique ones."""
        for api_name, value in values.items():
            self._unique.pop((module, api_name, record.custom.get(api_name, "")), None)
            if value and self.custom_fields[module][api_name].unique:
                self._unique[(module, api_name, value)] = record.id
        record.custom = {**record.custom, **values}

    def forget_custom(self, module: str, record: Record) -> None:
        for api_name, value in record.custom.items():
            self._unique.pop((module, api_name, value), None)

    def holder_of(self, module: str, api_name: str, value: str) -> str | None:
        """The id of the record whose unique field holds the value. Raises InvalidError when the field is not unique."""
        defined = self.custom_fields.get(module, {}).get(api_name)
        if defined is None or not defined.unique:
            raise InvalidError("X-Unique-Identifier-Key")
        return self._unique.get((module, api_name, value))

    # ledger

    def post(
        self, kind: str, record_id: str, legs: list[Leg], *, when: date, reference: str, contact: Contact | None
    ) -> None:
        """Books an entry; what rounding or rates leave over in base goes to Exchange Gain or Loss."""
        rest = -sum(leg.base_minor for leg in legs)
        if rest:
            legs.append(Leg(self.ledger.system("exchange_gain_or_loss").id, self.base, rest, rest))
        name = contact.name if contact else ""
        self.ledger.write(
            Entry(
                kind, record_id, when, reference, contact.id if contact else "", name, [x for x in legs if any(x[2:])]
            )
        )

    def leg(self, account_id: str, currency: str, amount: int, at: Decimal) -> Leg:
        """A debit (positive) or credit of an amount at a rate."""
        return Leg(account_id, currency, amount, self.base_minor(amount, currency, at))

    def open_account(self, account: Account) -> Account:
        if any(a.name == account.name and a.currency == account.currency for a in self.ledger.accounts.values()):
            raise TakenError(f"The account {account.name}")
        self.ledger.open(account)
        return account

    def _open_system_account(self, name: str, kind: str, key: str) -> None:
        made = self.now()
        account_id = self.ids.new("account", key)
        self.ledger.open(Account(account_id, name, kind, self.base, made, made, key=key, system=True))


def found(table: Table[R], record_id: str, what: str) -> R:
    """The record, or NotFoundError("<what> does not exist.")."""
    record = table.get(record_id)
    if record is None:
        raise NotFoundError(what)
    return record


def _names(row: Mapping[str, Any], defined: CustomField) -> bool:
    for key, value in (("customfield_id", defined.id), ("api_name", defined.api_name), ("label", defined.label)):
        if row.get(key):
            return bool(row[key] == value)
    return bool(row.get("index") == defined.index)
