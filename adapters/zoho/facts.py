"""One row of Zoho's → one fact of ours. A row that cannot be read exactly is refused with a reason that names the
field, never a value.
"""

from typing import Final

import msgspec

from adapters.texts import clip
from adapters.zoho import amounts, wire
from domain.currencies import exponent
from domain.events import AppliedInvoice, ContactFacts, CustomerPaymentRead, InvoiceFacts, LineItem

#: Lines kept of an invoice, for its page. Lower: long invoices are shown cut. Higher: one event could exceed what a
#: reader accepts.
_MAX_LINES: Final = 250

#: Characters kept of free text: enough to recognise it by; none of it decides anything.
_NAME: Final = 200
_DESCRIPTION: Final = 500

#: Longest e-mail address there is (RFC 5321); a cut one would be another person's.
_EMAIL: Final = 254

#: Applied invoices kept of a payment. Higher than a customer ever pays at once; a longer list is refused, since its sum
#: would be wrong.
_MAX_APPLIED: Final = 1000


def invoice(row: wire.InvoiceRow, as_of: str) -> InvoiceFacts:
    """An invoice of a list, a read or a webhook. Raises `DomainError`."""
    currency = row.currency_code
    exponent(currency)
    return InvoiceFacts(
        id=wire.require_id(row.invoice_id, "invoice_id"),
        number=clip(row.invoice_number, _NAME),
        customer_id=wire.require_id(row.customer_id, "customer_id"),
        status=_status(row.status),
        currency=str(currency),
        total_minor=wire.amount_minor(row.total, currency, "total"),
        balance_minor=wire.amount_minor(row.balance, currency, "balance"),
        date=wire.require_day(row.date, "date"),
        due_date=wire.require_day(row.due_date or row.date, "due_date"),
        last_modified=wire.instant(row.last_modified_time or row.updated_time, "last_modified_time"),
        exchange_rate=amounts.rate(row.exchange_rate),
        email=_email(row.email),
        elsewhere=_elsewhere(row),
        line_items=None
        if bytes(row.line_items) == b"null"
        else [_line(raw, currency) for raw in wire.elements(row.line_items)[:_MAX_LINES]],
        as_of=as_of,
    )


def contact(row: wire.ContactRow, payer_link_field: str) -> ContactFacts:
    """A contact of a list, a read or a webhook. Raises `DomainError`."""
    return ContactFacts(
        id=wire.require_id(row.contact_id, "contact_id"),
        name=clip(row.contact_name, _NAME),
        status=_status(row.status),
        contact_type=clip(row.contact_type, _NAME),
        last_modified=wire.instant(row.last_modified_time, "last_modified_time"),
        email=_email(row.email) or _primary_email(row),
        company_name=clip(row.company_name, _NAME),
        currency=clip(row.currency_code, 3),
        reference=clip(row.contact_number, _NAME),
        payer_link=clip(wire.custom_value(payer_link_field, row.custom_fields, row.custom_field_hash), _NAME),
    )


def payment(row: wire.PaymentRow, unique_field: str, *, created: bool | None) -> CustomerPaymentRead:
    """A customer payment of a read, an answer or a webhook; a list row has no currency and is refused. Raises
    `DomainError`.
    """
    currency = row.currency_code
    exponent(currency)
    applied = wire.elements(row.invoices)
    if len(applied) > _MAX_APPLIED:
        raise wire.WireError(f"invoices has more than {_MAX_APPLIED} rows")
    return CustomerPaymentRead(
        id=wire.require_id(row.payment_id, "payment_id"),
        customer_id=wire.require_id(row.customer_id, "customer_id"),
        amount_minor=wire.amount_minor(row.amount, currency, "amount"),
        unused_minor=wire.amount_minor(row.unused_amount, currency, "unused_amount"),
        currency=str(currency),
        date=wire.require_day(row.date, "date"),
        account_id=wire.require_id(row.account_id, "account_id"),
        reference=clip(row.reference_number, _NAME),
        key=clip(wire.custom_value(unique_field, row.custom_fields, row.custom_field_hash), _NAME),
        created=created,
        invoices=[_applied(raw, currency) for raw in applied],
    )


def payment_time(row: wire.PaymentRow) -> str:
    """When a payment last changed. Raises `DomainError`."""
    return wire.instant(row.updated_time or row.last_modified_time or row.created_time, "updated_time")


def rates(rows: list[msgspec.Raw]) -> dict[str, str]:
    """The organisation's rates by currency code; a never-used currency is left out, the base currency is 1. Raises
    `DomainError`.
    """
    found: dict[str, str] = {}
    for raw in rows:
        row = wire.read(raw, wire.CurrencyRow)
        exponent(row.currency_code)
        if wire.flag(row.is_base_currency):
            found[str(row.currency_code)] = "1"
        elif row.effective_date or amounts.plain(row.exchange_rate or "0", "exchange_rate") != "0":
            found[str(row.currency_code)] = amounts.rate(row.exchange_rate)
    return found


def _status(text: str) -> str:
    if not text:
        raise wire.WireError("status is missing")
    return clip(text, 64).lower()


def _email(text: str) -> str:
    return clip(text, _EMAIL) if len(text) <= _EMAIL else ""


def _primary_email(row: wire.ContactRow) -> str:
    """A webhook's contact may show its address only among its persons."""
    persons = [wire.read(raw, wire.PersonRow) for raw in wire.elements(row.contact_persons)]
    return next((_email(person.email) for person in persons if wire.flag(person.is_primary_contact)), "")


def _elsewhere(row: wire.InvoiceRow) -> bool:
    """Another way of collecting this invoice is under way."""
    flags = (row.ach_payment_initiated, row.inprocess_transaction_present, row.is_autobill_enabled)
    return any(wire.flag(text) for text in flags) or bool(wire.elements(row.in_process_payments))


def _line(raw: msgspec.Raw, currency: str) -> LineItem:
    row = wire.read(raw, wire.LineRow)
    return LineItem(
        name=clip(row.name, _NAME),
        quantity=amounts.plain(row.quantity or "0", "line_items.quantity"),
        total_minor=amounts.minor(row.item_total, currency, "line_items.item_total"),  # a discount line is below zero
        description=clip(row.description, _DESCRIPTION),
    )


def _applied(raw: msgspec.Raw, currency: str) -> AppliedInvoice:
    row = wire.read(raw, wire.AppliedRow)
    return AppliedInvoice(
        invoice_id=wire.require_id(row.invoice_id, "invoices.invoice_id"),
        applied_minor=wire.amount_minor(row.amount_applied, currency, "invoices.amount_applied"),
        balance_minor=wire.amount_minor(row.balance, currency, "invoices.balance") if row.balance else None,
        application_id=clip(row.invoice_payment_id, _NAME),
    )
