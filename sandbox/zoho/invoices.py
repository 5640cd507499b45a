"""Invoices (reference 3.3): drafts, sending, voiding, writing off, editing, and what payments do to them.

balance = total - payments (with tax withheld and discounts) - credits - write-off; a void one keeps its full balance.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from sandbox.zoho import contacts
from sandbox.zoho.books import Books
from sandbox.zoho.errors import (
    AMOUNT_OVER_BALANCE,
    IN_USE,
    NOT_ENOUGH_UNUSED,
    InvalidError,
    MissingError,
    RefusedError,
    TakenError,
)
from sandbox.zoho.money import ONE, minor, number, share
from sandbox.zoho.postings import post_credit_use, post_invoice, post_payment, post_write_off
from sandbox.zoho.records import CreditNote, Invoice, Line, Payment, Sale
from sandbox.zoho.values import (
    NOTES_MAX,
    REFERENCE_MAX,
    Body,
    day,
    flag,
    given,
    needed_text,
    rows,
    text,
    whole,
)

MODULE = "invoice"
_DESCRIPTION_MAX = 2000
# More lines than any invoice of the API; keeps a mistaken body from filling memory.
_LINES_MAX = 1000


def create(books: Books, body: Body, cause: str, source: str = "Api") -> Invoice:
    """A draft. Raises ApiError."""
    contact = contacts.customer(books, body)
    when = day(body, "date", books.today())
    books.refuse_locked(when)
    custom = books.custom_values(MODULE, body)
    books.refuse_duplicates(MODULE, custom)
    currency = books.currency_of(body, contact.currency)
    terms_days = whole(body, "payment_terms", contact.payment_terms_days)
    invoice_number = text(body, "invoice_number") or books.next_number(MODULE, "INV-", 6)
    if invoice_number in books.invoices_by_number:
        raise TakenError(f"The invoice {invoice_number}")
    if not rows(body, "line_items"):
        raise MissingError("line_items")
    inclusive = flag(body, "is_inclusive_tax")
    invoice_id = books.ids.new(MODULE, cause)
    now = books.now()
    invoice = Invoice(
        id=invoice_id,
        created_at=now,
        modified_at=now,
        number=invoice_number,
        reference=text(body, "reference_number", limit=REFERENCE_MAX),
        contact=contact,
        date=when,
        due=day(body, "due_date", when + timedelta(days=max(terms_days, 0))),
        payment_terms_days=terms_days,
        payment_terms_label=text(
            body, "payment_terms_label", "Due on Receipt" if not terms_days else f"Net {terms_days}"
        ),
        currency=currency,
        rate=books.rate_of(body, currency, books.rate_on(currency, when)),
        inclusive=inclusive,
        lines=read_lines(books, body, invoice_id, currency, inclusive=inclusive),
        sub_total_minor=0,
        tax_minor=0,
        total_minor=0,
        shipping_minor=_signed_minor(books, body, "shipping_charge", currency, 0),
        adjustment_minor=_signed_minor(books, body, "adjustment", currency, 0),
        adjustment_description=text(body, "adjustment_description"),
        state="draft",
        issued=None,
        notes=text(body, "notes", limit=NOTES_MAX),
        terms=text(body, "terms", limit=10_000),
        allow_partial=flag(body, "allow_partial_payments"),
        gateways=_gateways(body),
        recurring_invoice_id=text(body, "recurring_invoice_id"),
        source=source,
    )
    total_up(invoice)
    if invoice.total_minor < 0:
        raise InvalidError("line_items")
    books.writing(books.invoices, invoice_id)
    books.invoices.add(invoice)
    books.invoices_by_number[invoice_number] = invoice_id
    books.set_custom(MODULE, invoice, custom)
    contact.transactions += 1
    settle(books, invoice)
    books.announce(MODULE, "created", invoice)
    return invoice


def update(books: Books, invoice: Invoice, body: Body) -> Invoice:
    """Takes the fields the body names; lines left out of `line_items` are deleted. A total below what is settled is
    refused (UNCONFIRMED). A change of nothing leaves the times.
    """
    if invoice.state == "void":
        raise RefusedError(IN_USE, "A void invoice cannot be edited.")
    if text(body, "customer_id", invoice.contact.id) != invoice.contact.id:
        raise InvalidError("customer_id")
    custom = books.custom_values(MODULE, body)
    books.refuse_duplicates(MODULE, custom, invoice.id)
    inclusive = flag(body, "is_inclusive_tax", default=invoice.inclusive)
    currency = books.currency_of(body, invoice.currency)
    if currency != invoice.currency and (invoice.payments or invoice.credits):
        raise RefusedError(IN_USE, "The currency of an invoice with payments stays.")
    wanted: dict[str, Any] = {
        "number": text(body, "invoice_number") or invoice.number,
        "reference": text(body, "reference_number", invoice.reference, limit=REFERENCE_MAX),
        "date": day(body, "date", invoice.date),
        "due": day(body, "due_date", invoice.due),
        "currency": currency,
        "rate": books.rate_of(
            body, currency, invoice.rate if currency == invoice.currency else books.rate_on(currency, invoice.date)
        ),
        "inclusive": inclusive,
        "shipping_minor": _signed_minor(books, body, "shipping_charge", currency, invoice.shipping_minor),
        "adjustment_minor": _signed_minor(books, body, "adjustment", currency, invoice.adjustment_minor),
        "notes": text(body, "notes", invoice.notes, limit=NOTES_MAX),
        "terms": text(body, "terms", invoice.terms, limit=10_000),
        "allow_partial": flag(body, "allow_partial_payments", default=invoice.allow_partial),
        "gateways": _gateways(body) if "payment_options" in body else invoice.gateways,
        "custom": {**invoice.custom, **custom},
    }
    lines = invoice.lines
    if "line_items" in body:
        lines = read_lines(books, body, invoice.id, currency, inclusive=inclusive, kept=invoice.lines)
        if not lines:
            raise MissingError("line_items")
    same_lines = [_line_key(line) for line in lines] == [_line_key(line) for line in invoice.lines]
    if same_lines and all(getattr(invoice, field) == value for field, value in wanted.items()):
        return invoice
    if books.invoices_by_number.get(wanted["number"], invoice.id) != invoice.id:
        raise TakenError(f"The invoice {wanted['number']}")
    if set(body) - {"custom_fields", "notes", "terms"}:
        books.refuse_locked(invoice.date, wanted["date"])
    total = sum(line.total_minor for line in lines) + wanted["shipping_minor"] + wanted["adjustment_minor"]
    total += 0 if inclusive else sum(line.tax_minor for line in lines)
    if total < settled_minor(invoice):
        raise RefusedError(IN_USE, "The total may not fall below what has been paid and credited.")
    books.writing(books.invoices, invoice.id)
    del books.invoices_by_number[invoice.number]
    books.invoices_by_number[wanted["number"]] = invoice.id
    books.set_custom(MODULE, invoice, custom)
    for field, value in wanted.items():
        setattr(invoice, field, value)
    invoice.lines = lines
    total_up(invoice)
    books.touch(invoice)
    settle(books, invoice)
    for application in invoice.payments.values():
        post_payment(books, application.payment)
    for use in invoice.credits.values():
        post_credit_use(books, use)
    books.announce(MODULE, "edited", invoice)
    return invoice


def set_custom(books: Books, invoice: Invoice, wanted: list[dict[str, Any]]) -> None:
    """PUT /invoice/{id}/customfields: these fields alone."""
    custom = books.custom_values_of(MODULE, wanted)
    books.refuse_duplicates(MODULE, custom, invoice.id)
    if {**invoice.custom, **custom} == invoice.custom:
        return
    books.writing(books.invoices, invoice.id)
    books.set_custom(MODULE, invoice, custom)
    books.touch(invoice)
    books.announce(MODULE, "edited", invoice)


def mark_sent(books: Books, invoice: Invoice, *, emailed: bool = False) -> bool:
    """Draft → sent. A second e-mail moves no time. Returns whether it was the first."""
    first = not invoice.emailed
    if invoice.state == "void":
        raise RefusedError(IN_USE, "A void invoice cannot be sent.")
    if invoice.state == "sent":
        if emailed:
            books.writing(books.invoices, invoice.id)
            invoice.emailed = True
        return first
    books.refuse_locked(invoice.date)
    books.writing(books.invoices, invoice.id)
    invoice.state = "sent"
    invoice.emailed = invoice.emailed or emailed
    invoice.issued = invoice.issued or books.today()
    books.touch(invoice)
    settle(books, invoice)
    books.announce(MODULE, "edited", invoice)
    return first


def to_draft(books: Books, invoice: Invoice) -> None:
    """Void or sent → draft; refused while anything is settled on it."""
    if invoice.state == "draft":
        return
    if settled_minor(invoice):
        raise RefusedError(IN_USE, "An invoice with payments cannot become a draft.")
    move(books, invoice, "draft")


def write_off(books: Books, invoice: Invoice) -> None:
    """The open balance goes to Bad Debt; the status then reads paid (UNCONFIRMED)."""
    if invoice.state != "sent" or not invoice.balance_minor:
        raise RefusedError(IN_USE, "Only an open invoice can be written off.")
    books.refuse_locked(books.today())
    books.writing(books.invoices, invoice.id)
    invoice.write_off_minor, invoice.write_off_date = invoice.balance_minor, books.today()
    books.touch(invoice)
    settle(books, invoice)
    books.announce(MODULE, "edited", invoice)


def cancel_write_off(books: Books, invoice: Invoice) -> None:
    if not invoice.write_off_minor:
        raise RefusedError(IN_USE, "Nothing was written off.")
    books.writing(books.invoices, invoice.id)
    invoice.write_off_minor, invoice.write_off_date = 0, None
    books.touch(invoice)
    settle(books, invoice)
    books.announce(MODULE, "edited", invoice)


def delete(books: Books, invoice: Invoice) -> None:
    """Leaves no trace. Refused while payments or credits are applied."""
    if invoice.payments or invoice.credits:
        raise RefusedError(IN_USE, "An invoice with payments or credits cannot be deleted.")
    books.refuse_locked(invoice.date)
    books.writing(books.invoices, invoice.id)
    invoice.state = "deleted"
    settle(books, invoice)
    books.invoices.remove(invoice.id)
    del books.invoices_by_number[invoice.number]
    books.forget_custom(MODULE, invoice)
    invoice.contact.transactions -= 1
    books.announce(MODULE, "deleted", invoice)


def status_of(invoice: Invoice, today: date, *, overdue_hides_partial: bool = True) -> str:
    """The status as shown: overdue is a matter of the day, not of a stored time."""
    if invoice.state != "sent":
        return invoice.state
    if invoice.balance_minor <= 0:
        return "paid"
    partial = invoice.balance_minor < invoice.total_minor
    if invoice.due < today and (overdue_hides_partial or not partial):
        return "overdue"
    return "partially_paid" if partial else "sent"


def settled_minor(invoice: Invoice) -> int:
    """What payments, credits and write-off have taken off the total."""
    paid = invoice.payment_made_minor + invoice.withheld_minor + invoice.discount_minor
    return paid + invoice.credits_minor + invoice.write_off_minor


def refuse_credits(invoice: Invoice, wanted: Sequence[tuple[Payment | CreditNote, int]]) -> None:
    """Refuses credits of other customers or currencies, more than a source has left, or more than is open."""
    left: dict[str, int] = {}
    for source, amount in wanted:
        if source.contact is not invoice.contact or source.currency != invoice.currency:
            raise InvalidError("invoice_payments")
        held = source.unused_minor if isinstance(source, Payment) else source.open_minor
        left[source.id] = left.get(source.id, held) - amount
    if invoice.state != "sent" or any(rest < 0 for rest in left.values()):
        raise RefusedError(NOT_ENOUGH_UNUSED, "The credits are not there, or the invoice is not open.")
    if sum(amount for _, amount in wanted) > invoice.balance_minor:
        raise RefusedError(
            AMOUNT_OVER_BALANCE, "The amount entered is more than the balance due for the selected invoices."
        )


def changed_by_settlement(books: Books, invoice: Invoice, *, moves_time: bool = True) -> None:
    """After a payment or credit was put on or taken off: time, balance, ledger, webhook."""
    if moves_time:
        books.touch(invoice)
    settle(books, invoice)
    books.announce(MODULE, "edited", invoice)


def settle(books: Books, invoice: Invoice) -> None:
    """Recomputes what is open, what the customer owes, and the ledger entry."""
    invoice.payment_made_minor = sum(a.amount_minor for a in invoice.payments.values())
    invoice.discount_minor = sum(a.discount_minor for a in invoice.payments.values())
    invoice.withheld_minor = sum(a.withheld_minor for a in invoice.payments.values())
    invoice.credits_minor = sum(use.amount_minor for use in invoice.credits.values())
    days = [a.date for a in invoice.payments.values()]
    invoice.last_payment = max(days) if days else None
    invoice.balance_minor = invoice.total_minor - settled_minor(invoice)
    is_open = invoice.state == "sent"
    open_minor = invoice.balance_minor if is_open else 0
    open_base = books.base_minor(open_minor, invoice.currency, invoice.rate)
    contact = invoice.contact
    owed = contact.owed_minor.get(invoice.currency, 0) + open_minor - invoice.open_minor
    contact.owed_minor = {**contact.owed_minor, invoice.currency: owed}
    contact.owed_base_minor += open_base - invoice.open_base_minor
    invoice.open_minor, invoice.open_base_minor = open_minor, open_base
    if is_open:
        post_invoice(books, invoice)
    else:
        books.ledger.erase(invoice.id)
    post_write_off(books, invoice)


def read_lines(
    books: Books, body: Body, owner_id: str, currency: str, *, inclusive: bool, kept: Sequence[Line] = ()
) -> list[Line]:
    """The lines of a sales document; those with a known line_item_id keep what they do not name."""
    wanted = rows(body, "line_items")
    if len(wanted) > _LINES_MAX:
        raise InvalidError("line_items")
    held = {line.id: line for line in kept}
    lines = []
    for place, row in enumerate(wanted):
        line_id = text(row, "line_item_id")
        was = held.get(line_id)
        if line_id and was is None:
            raise InvalidError("line_item_id")
        if was is None and not given(row, "rate"):
            raise MissingError("rate")
        quantity = number(row["quantity"], "quantity") if given(row, "quantity") else (was.quantity if was else ONE)
        price = number(row["rate"], "rate") if given(row, "rate") else (was.rate if was else ONE)
        total = minor(quantity * price, books.precision(currency))
        tax = books.tax(text(row, "tax_id")) if "tax_id" in row or was is None else was.tax
        income = text(row, "account_id") or (was.account_id if was else books.ledger.system("sales").id)
        lines.append(
            Line(
                id=line_id or books.ids.new("line", f"{owner_id} {place}"),
                item_id=text(row, "item_id", was.item_id if was else ""),
                name=text(row, "name", was.name if was else "", limit=100),
                description=text(row, "description", was.description if was else "", limit=_DESCRIPTION_MAX),
                unit=text(row, "unit", was.unit if was else "", limit=100),
                quantity=quantity,
                rate=price,
                account_id=books.account(income).id,
                tax=tax,
                total_minor=total,
                tax_minor=share(total, tax.percentage, inclusive=inclusive) if tax else 0,
            )
        )
    return lines


def total_up(sale: Sale) -> None:
    """Sums the lines. With inclusive tax the line amounts contain it."""
    sale.tax_minor = sum(line.tax_minor for line in sale.lines)
    sale.sub_total_minor = sum(line.total_minor for line in sale.lines)
    sale.total_minor = sale.sub_total_minor + (0 if sale.inclusive else sale.tax_minor)
    if isinstance(sale, Invoice):
        sale.total_minor += sale.shipping_minor + sale.adjustment_minor


def move(books: Books, invoice: Invoice, state: str) -> None:
    """Gives the invoice another state, with its time, ledger entry and webhook."""
    books.refuse_locked(invoice.date)
    books.writing(books.invoices, invoice.id)
    invoice.state = state
    if state != "sent":
        invoice.issued = None
    books.touch(invoice)
    settle(books, invoice)
    books.announce(MODULE, "edited", invoice)


def _line_key(line: Line) -> tuple[Any, ...]:
    tax_id = line.tax.id if line.tax else ""
    return (
        line.id,
        line.item_id,
        line.name,
        line.description,
        line.unit,
        line.quantity,
        line.rate,
        line.account_id,
        tax_id,
        line.tax_minor,
    )


def _signed_minor(books: Books, body: Body, field: str, currency: str, default: int) -> int:
    if not given(body, field):
        return default
    return minor(number(body[field], field), books.precision(currency))


def _gateways(body: Body) -> list[dict[str, Any]]:
    options = body.get("payment_options") or {}
    if not isinstance(options, dict):
        raise InvalidError("payment_options")
    return [
        {
            "configured": flag(row, "configured"),
            "gateway_name": needed_text(row, "gateway_name"),
            "additional_field1": text(row, "additional_field1"),
        }
        for row in rows(options, "payment_gateways")
    ]
