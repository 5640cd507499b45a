"""What the books hold: one class per kind of record, and the table that keeps a kind.

Amounts are integer minor units of the record's currency. Sums over other records (payments made, unused, owed by a
customer) are stored where they are read and changed by the rules that own them, so that a list costs no sums.
"""

import datetime as dt
from copy import copy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, TypeVar


@dataclass(slots=True, kw_only=True, eq=False)
class Record:
    id: str
    created_at: dt.datetime
    modified_at: dt.datetime
    custom: dict[str, str] = field(default_factory=dict)
    version: int = 0


@dataclass(slots=True, frozen=True)
class CustomField:
    id: str
    module: str
    api_name: str
    label: str
    unique: bool
    index: int


@dataclass(slots=True, eq=False)
class Tax:
    id: str
    name: str
    percentage: Decimal
    key: str


@dataclass(slots=True, kw_only=True, eq=False)
class Contact(Record):
    name: str
    company: str
    kind: str
    currency: str
    fields: dict[str, str]
    persons: list[dict[str, Any]]
    billing: dict[str, str]
    shipping: dict[str, str]
    payment_terms_days: int
    payment_terms_label: str
    credit_limit: Decimal
    active: bool = True
    portal: bool = False
    transactions: int = 0
    owed_minor: dict[str, int] = field(default_factory=dict)
    owed_base_minor: int = 0
    credit_minor: dict[str, int] = field(default_factory=dict)
    credit_base_minor: int = 0

    @property
    def primary(self) -> dict[str, Any]:
        """The primary contact person, or nothing; the e-mail address of a contact lives there."""
        return next((p for p in self.persons if p["is_primary_contact"]), {})

    @property
    def email(self) -> str:
        return str(self.primary.get("email", ""))


@dataclass(slots=True, kw_only=True, eq=False)
class Line:
    id: str
    item_id: str
    name: str
    description: str
    unit: str
    quantity: Decimal
    rate: Decimal
    account_id: str
    tax: Tax | None
    total_minor: int
    tax_minor: int


@dataclass(slots=True, kw_only=True, eq=False)
class Sale(Record):
    """What an invoice and a credit note share: a customer, lines, and a total."""

    number: str
    reference: str
    contact: Contact
    date: dt.date
    currency: str
    rate: Decimal
    inclusive: bool
    lines: list[Line]
    sub_total_minor: int
    tax_minor: int
    total_minor: int
    state: str
    issued: dt.date | None
    notes: str
    terms: str
    balance_minor: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Invoice(Sale):
    due: dt.date
    payment_terms_days: int
    payment_terms_label: str
    shipping_minor: int
    adjustment_minor: int
    adjustment_description: str
    allow_partial: bool
    gateways: list[dict[str, Any]]
    recurring_invoice_id: str
    source: str
    emailed: bool = False
    payment_made_minor: int = 0
    withheld_minor: int = 0
    discount_minor: int = 0
    credits_minor: int = 0
    write_off_minor: int = 0
    write_off_date: dt.date | None = None
    last_payment: dt.date | None = None
    payments: dict[str, "Application"] = field(default_factory=dict)
    credits: dict[str, "CreditUse"] = field(default_factory=dict)
    open_minor: int = 0
    open_base_minor: int = 0
    in_process: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True, eq=False)
class Application:
    """One payment's part in one invoice; `discount_minor` and `withheld_minor` settle without money."""

    id: str
    payment: "Payment"
    invoice: Invoice
    amount_minor: int
    withheld_minor: int
    discount_minor: int
    date: dt.date

    @property
    def settles_minor(self) -> int:
        return self.amount_minor + self.withheld_minor + self.discount_minor


@dataclass(slots=True, kw_only=True, eq=False)
class Refund(Record):
    payment: "Payment"
    date: dt.date
    amount_minor: int
    mode: str
    reference: str
    rate: Decimal
    account_id: str
    description: str


@dataclass(slots=True, kw_only=True, eq=False)
class Payment(Record):
    number: str
    contact: Contact
    mode: str
    date: dt.date
    account_id: str
    currency: str
    rate: Decimal
    amount_minor: int
    bank_charges_minor: int
    description: str
    reference: str
    applied: list[Application]
    refunds: list[Refund]
    unused_minor: int = 0
    unused_base_minor: int = 0
    matched: list[dict[str, Any]] = field(default_factory=list)
    gateway: str = ""
    online_transaction_id: str = ""


@dataclass(slots=True, kw_only=True, eq=False)
class CreditNote(Sale):
    uses: dict[str, "CreditUse"] = field(default_factory=dict)
    refunds: list["CreditRefund"] = field(default_factory=list)
    open_minor: int = 0
    open_base_minor: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class CreditUse:
    id: str
    note: CreditNote
    invoice: Invoice
    amount_minor: int
    date: dt.date


@dataclass(slots=True, kw_only=True, eq=False)
class CreditRefund(Record):
    note: CreditNote
    date: dt.date
    amount_minor: int
    mode: str
    reference: str
    rate: Decimal
    account_id: str
    description: str


@dataclass(slots=True, kw_only=True, eq=False)
class ExpenseLine:
    id: str
    account_id: str
    description: str
    amount_minor: int
    tax: Tax | None
    tax_minor: int
    net_minor: int


@dataclass(slots=True, kw_only=True, eq=False)
class Expense(Record):
    date: dt.date
    paid_through_id: str
    currency: str
    rate: Decimal
    inclusive: bool
    lines: list[ExpenseLine]
    itemized: bool
    tax_minor: int
    sub_total_minor: int
    total_minor: int
    reference: str
    description: str
    vendor: Contact | None
    customer: Contact | None


@dataclass(slots=True, kw_only=True, eq=False)
class BankTransaction(Record):
    kind: str
    from_id: str
    to_id: str
    currency: str
    rate: Decimal
    amount_minor: int
    received_minor: int
    bank_charges_minor: int
    date: dt.date
    reference: str
    description: str
    payment_mode: str
    customer: Contact | None
    matched: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True, eq=False)
class JournalLine:
    id: str
    account_id: str
    contact: Contact | None
    description: str
    debit: bool
    amount_minor: int


@dataclass(slots=True, kw_only=True, eq=False)
class Journal(Record):
    number: str
    reference: str
    date: dt.date
    notes: str
    kind: str
    currency: str
    rate: Decimal
    published: bool
    lines: list[JournalLine]
    total_minor: int


R = TypeVar("R", bound=Record)


class Table(Generic[R]):
    """All records of a kind by id. `listed` is what a list shows: with staleness, the state before the last write."""

    def __init__(self) -> None:
        self.rows: dict[str, R] = {}
        self._unseen: dict[str, tuple[dt.datetime, R | None]] = {}

    def get(self, record_id: str) -> R | None:
        return self.rows.get(record_id)

    def add(self, record: R) -> None:
        self.rows[record.id] = record

    def remove(self, record_id: str) -> None:
        del self.rows[record_id]

    def writing(self, record_id: str, now: dt.datetime, staleness_s: int) -> None:
        """Called before each write: counts the record's version up, and with staleness lists go on showing the record
        as it is now for `staleness_s` simulated seconds.
        """
        held = self.rows.get(record_id)
        shown = copy(held) if staleness_s else None
        if held is not None:
            held.version += 1
        if not staleness_s:
            return
        until = now + dt.timedelta(seconds=staleness_s)
        earlier = self._unseen.get(record_id)
        if earlier is not None and earlier[0] > now:
            self._unseen[record_id] = (until, earlier[1])
        else:
            self._unseen[record_id] = (until, shown)

    def listed(self, now: dt.datetime) -> list[R]:
        if not self._unseen:
            return list(self.rows.values())
        for record_id in [r for r, (until, _) in self._unseen.items() if until <= now]:
            del self._unseen[record_id]
        fresh = [row for row_id, row in self.rows.items() if row_id not in self._unseen]
        return fresh + [old for _, old in self._unseen.values() if old is not None]
