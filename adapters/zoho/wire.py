"""Zoho's JSON as it really comes: every scalar read as text, "" for absent, rows read one by one.

Zoho writes `""` for an absent number, list or object, ids as strings here and as bare numbers there, and adds fields at
will. So a scalar of any kind is read as `Text`, exactly as its digits stood; lists and objects are kept raw until they
are needed; unknown fields are skipped; and a row that cannot be read spoils nothing but itself. Fields: Zoho Books API
v3, the page of each resource, corrected by what was seen on the wire.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec

from adapters.texts import UNREADABLE, why
from adapters.zoho import amounts
from domain.errors import AmountError, DomainError
from domain.times import believable_day, believable_instant

S = TypeVar("S", bound="Row")

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
#: A member that is absent.
NOTHING: Final = msgspec.Raw(b"null")


class WireError(DomainError):
    """A body or a row that is not what Zoho documents. The message names fields and shapes, never values."""


class Text(str):
    """A scalar of Zoho's JSON as text: "" when absent, null or empty; "true" and "false"; a number digit for digit."""

    __slots__ = ()


_EMPTY: Final = Text("")


class Row(msgspec.Struct, frozen=True):
    """Base of what is read: unknown fields are skipped, absent ones are empty."""


class InvoiceRow(Row, frozen=True):
    """An invoice: of a list, a read, or a webhook. `line_items` is absent in a list."""

    invoice_id: Text = _EMPTY
    invoice_number: Text = _EMPTY
    customer_id: Text = _EMPTY
    status: Text = _EMPTY
    currency_code: Text = _EMPTY
    total: Text = _EMPTY
    balance: Text = _EMPTY
    date: Text = _EMPTY
    due_date: Text = _EMPTY
    email: Text = _EMPTY
    exchange_rate: Text = _EMPTY
    last_modified_time: Text = _EMPTY
    updated_time: Text = _EMPTY
    organization_id: Text = _EMPTY
    ach_payment_initiated: Text = _EMPTY
    inprocess_transaction_present: Text = _EMPTY
    is_autobill_enabled: Text = _EMPTY
    in_process_payments: msgspec.Raw = NOTHING
    line_items: msgspec.Raw = NOTHING


class LineRow(Row, frozen=True):
    """A line of an invoice."""

    name: Text = _EMPTY
    description: Text = _EMPTY
    quantity: Text = _EMPTY
    item_total: Text = _EMPTY


class ContactRow(Row, frozen=True):
    """A customer or vendor. `email` is the primary person's; a webhook may hold only `contact_persons`."""

    contact_id: Text = _EMPTY
    contact_name: Text = _EMPTY
    company_name: Text = _EMPTY
    contact_type: Text = _EMPTY
    contact_number: Text = _EMPTY
    status: Text = _EMPTY
    email: Text = _EMPTY
    currency_code: Text = _EMPTY
    last_modified_time: Text = _EMPTY
    organization_id: Text = _EMPTY
    contact_persons: msgspec.Raw = NOTHING
    custom_fields: msgspec.Raw = NOTHING
    custom_field_hash: msgspec.Raw = NOTHING


class PersonRow(Row, frozen=True):
    """A contact person."""

    email: Text = _EMPTY
    is_primary_contact: Text = _EMPTY


class PaymentRow(Row, frozen=True):
    """A customer payment. Reads say `updated_time`, list rows `last_modified_time`; list rows have no currency."""

    payment_id: Text = _EMPTY
    customer_id: Text = _EMPTY
    amount: Text = _EMPTY
    unused_amount: Text = _EMPTY
    currency_code: Text = _EMPTY
    date: Text = _EMPTY
    account_id: Text = _EMPTY
    reference_number: Text = _EMPTY
    description: Text = _EMPTY
    created_time: Text = _EMPTY
    updated_time: Text = _EMPTY
    last_modified_time: Text = _EMPTY
    organization_id: Text = _EMPTY
    invoices: msgspec.Raw = NOTHING
    custom_fields: msgspec.Raw = NOTHING
    custom_field_hash: msgspec.Raw = NOTHING


class AppliedRow(Row, frozen=True):
    """The part of a payment that is applied to one invoice."""

    invoice_id: Text = _EMPTY
    amount_applied: Text = _EMPTY
    balance: Text = _EMPTY
    invoice_payment_id: Text = _EMPTY


class RefundRow(Row, frozen=True):
    """A refund of a customer payment: `amount` in an answer to the call that made it, `amount_fcy` in a list."""

    payment_refund_id: Text = _EMPTY
    reference_number: Text = _EMPTY
    amount: Text = _EMPTY
    amount_fcy: Text = _EMPTY
    description: Text = _EMPTY


class ExpenseRow(Row, frozen=True):
    """An expense. `total` is gross; list rows have no `amount` and no `tax_amount`."""

    expense_id: Text = _EMPTY
    total: Text = _EMPTY
    amount: Text = _EMPTY
    tax_amount: Text = _EMPTY
    currency_code: Text = _EMPTY
    reference_number: Text = _EMPTY
    description: Text = _EMPTY
    created_time: Text = _EMPTY
    last_modified_time: Text = _EMPTY
    custom_fields: msgspec.Raw = NOTHING
    custom_field_hash: msgspec.Raw = NOTHING


class TransactionRow(Row, frozen=True):
    """A bank transaction."""

    transaction_id: Text = _EMPTY
    transaction_type: Text = _EMPTY
    amount: Text = _EMPTY
    currency_code: Text = _EMPTY
    reference_number: Text = _EMPTY
    description: Text = _EMPTY


class CurrencyRow(Row, frozen=True):
    """A currency of the organisation; a never-used one has rate 0 and no date."""

    currency_code: Text = _EMPTY
    exchange_rate: Text = _EMPTY
    effective_date: Text = _EMPTY
    is_base_currency: Text = _EMPTY


class CustomFieldRow(Row, frozen=True):
    """A custom field of a record."""

    api_name: Text = _EMPTY
    value: Text = _EMPTY


class PageContext(Row, frozen=True):
    """Where in a list a page stands."""

    page: Text = _EMPTY
    has_more_page: Text = _EMPTY


def _scalar(kind: type[Any], value: Any) -> Any:
    if kind is not Text:
        raise NotImplementedError
    if value is None:
        return _EMPTY
    if isinstance(value, bool):
        return Text("true" if value else "false")
    if isinstance(value, str | int):
        return Text(value)
    raise ValueError("expected a text, a number or a flag")


_decoders: Final[dict[type[Row], msgspec.json.Decoder[Any]]] = {
    shape: msgspec.json.Decoder(shape, dec_hook=_scalar, float_hook=str)
    for shape in (
        InvoiceRow,
        LineRow,
        ContactRow,
        PersonRow,
        PaymentRow,
        AppliedRow,
        RefundRow,
        ExpenseRow,
        TransactionRow,
        CurrencyRow,
        CustomFieldRow,
        PageContext,
    )
}
_decode_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text: Final = msgspec.json.Decoder(Text, dec_hook=_scalar, float_hook=str).decode


def read(raw: bytes | msgspec.Raw, shape: type[S]) -> S:
    """One row. Raises `WireError`."""
    try:
        row: S = _decoders[shape].decode(raw)
    except UNREADABLE as error:
        raise WireError(f"not a readable {shape.__name__}: {why(error)}") from None
    return row


def members(raw: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, undecoded. Raises `WireError`."""
    try:
        return _decode_object(raw)
    except UNREADABLE as error:
        raise WireError(f"not a JSON object: {why(error)}") from None


def elements(raw: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    """The elements of a JSON list, undecoded; none when it is absent, null or "". Raises `WireError`."""
    if memoryview(raw).nbytes <= 4 and bytes(raw) in (b"", b'""', b"null"):
        return []
    try:
        return _decode_list(raw)
    except UNREADABLE as error:
        raise WireError(f"not a JSON list: {why(error)}") from None


def scalar(raw: bytes | msgspec.Raw) -> str:
    """One scalar as text. Raises `WireError`."""
    try:
        return _decode_text(raw)
    except UNREADABLE as error:
        raise WireError(f"not a scalar: {why(error)}") from None


class Body(msgspec.Struct, frozen=True):
    """An answer: Zoho's code (None when it has none: no answer of the API), message, and the rest of its members."""

    code: int | None
    message: str
    fields: dict[str, msgspec.Raw]

    def one(self, *names: str) -> msgspec.Raw | None:
        """The first of these members that is there."""
        return next((self.fields[name] for name in names if name in self.fields), None)

    def rows(self, *names: str) -> list[msgspec.Raw]:
        """The rows of a list. Raises `WireError` when none of these members is there, or it is no list."""
        found = self.one(*names)
        if found is None:
            raise WireError(f"the answer holds no {names[0]}")
        return elements(found)

    def has_more(self, row_count: int, per_page: int) -> bool:
        """Whether a further page follows. Without a readable `page_context`, a full page is taken to have one."""
        try:
            context = read(self.fields["page_context"], PageContext)
        except (KeyError, WireError):
            return row_count >= per_page
        return context.has_more_page == "true"


@lru_cache(maxsize=1)  # of a page it is asked whether it is one, what follows, and for its rows
def body(raw: bytes) -> Body:
    """An answer's body. Raises `WireError` when it is not a JSON object (HTML, truncated, empty)."""
    fields = members(raw)
    code: int | None = None
    message = ""
    try:
        shown = scalar(fields.get("code", NOTHING))
        code = int(shown) if re.fullmatch(r"-?[0-9]{1,9}", shown) else None
        message = scalar(fields.get("message", NOTHING))
    except WireError:
        message = ""
    return Body(code, message, fields)


def require_id(text: str, what: str) -> str:
    """An id of Zoho's: digits as a rule; never anything that could change the path of a call. Raises `WireError`."""
    if _ID.match(text) is None:
        raise WireError(f"{what} is missing or not an id")
    return str(text)


def require_day(text: str, what: str) -> str:
    """A day, "2026-06-09". Raises `WireError`."""
    if _DAY.match(text) is None:
        raise WireError(f"{what} is not a day of the form YYYY-MM-DD")
    try:
        return believable_day(text)
    except DomainError as error:
        raise WireError(f"{what}: {error}") from None


def instant(text: str, what: str) -> str:
    """A time of Zoho's ("2026-06-09T09:46:21-0400") in our one form. Raises `WireError`."""
    if not text:
        raise WireError(f"{what} is missing")
    try:
        return believable_instant(text)
    except DomainError as error:
        raise WireError(f"{what}: {error}") from None


def flag(text: str) -> bool:
    """Whether a flag is set; "" is not."""
    return text == "true"


def custom_value(name: str, fields: msgspec.Raw, by_name: msgspec.Raw) -> str:
    """The value of a custom field: from `custom_fields[]` or `custom_field_hash`; "" when neither shows it."""
    try:
        for raw in elements(fields):
            row = read(raw, CustomFieldRow)
            if row.api_name == name:
                return row.value
    except WireError:
        pass  # an unreadable list is the same as none: the hash may still show the value
    try:
        return scalar(members(by_name).get(name, NOTHING))
    except WireError:
        return ""


def shows_key(texts: Iterable[str], key: str) -> bool:
    """Whether one of the texts holds the key as a word of its own: "live:PM1:1" is not in "live:PM1:12"."""
    pattern = re.compile(rf"(?<![\w:.-]){re.escape(key)}(?![\w:.-])")
    return any(pattern.search(text) for text in texts)


def amount_minor(text: str, currency: str, what: str) -> int:
    """An amount that cannot be below zero, in minor units. Raises `AmountError` or `UnknownCurrencyError`."""
    found = amounts.minor(text, currency, what)
    if found < 0:
        raise AmountError(f"{what} is below zero")
    return found
