"""Credit notes on the wire (reference 3.5)."""

from sandbox.zoho.books import Books
from sandbox.zoho.creditnotes import refunded_minor, used_minor
from sandbox.zoho.money import shown
from sandbox.zoho.records import CreditNote, CreditRefund, CreditUse, Line
from sandbox.zoho.render_common import (
    LOCK_DETAIL,
    Document,
    address,
    amount,
    base_amount,
    custom_fields,
    customer,
    day_text,
    times,
)
from sandbox.zoho.render_sales import LINE_CONSTANT, SALE_CONSTANT, sale, sale_line

_NOTE_LINE_CONSTANT: Document = {
    **LINE_CONSTANT,
    "invoice_id": "",
    "invoice_item_id": "",
    "item_type": "",
    "can_skip_stock_tracking": False,
    "is_credit_only_item": False,
}
_NOTE_CONSTANT: Document = {
    **SALE_CONSTANT,
    **LOCK_DETAIL,
    "approvers_list": [],
    "invoice_id": "",
    "sales_channel": "",
    "is_emailed": False,
}


def creditnote(books: Books, held: CreditNote) -> Document:
    """The `creditnote` of a GET or POST."""
    code = held.currency
    return {
        **_NOTE_CONSTANT,
        **sale(books, held, held.state),
        "creditnote_id": held.id,
        "creditnote_number": held.number,
        "invoices_credited": [credit_use(books, use) for use in held.uses.values()],
        "line_items": [_note_line(books, held, line, place) for place, line in enumerate(held.lines, 1)],
        "shipping_charge": 0,
        "shipping_charge_exclusive_of_tax": 0,
        "shipping_charge_exclusive_of_tax_formatted": shown(0, code),
        "shipping_charge_inclusive_of_tax_formatted": shown(0, code),
        "adjustment": 0,
        "adjustment_description": "",
        "total_credits_used": amount(books, used_minor(held), code),
        "total_refunded_amount": amount(books, refunded_minor(held), code),
        "creditnote_refunds": [credit_refund(books, made) for made in held.refunds],
        "billing_address": address(held.contact.billing),
        "shipping_address": address(held.contact.shipping),
        **custom_fields(books, "creditnote", held),
    }


def creditnote_row(books: Books, held: CreditNote) -> Document:
    return {
        "creditnote_id": held.id,
        "creditnote_number": held.number,
        "status": held.state,
        "reference_number": held.reference,
        "date": held.date.isoformat(),
        "issued_date": day_text(held.issued),
        "total": amount(books, held.total_minor, held.currency),
        "balance": amount(books, held.balance_minor, held.currency),
        **customer(held.contact),
        "applied_invoices": ",".join(use.invoice.number for use in held.uses.values()),
        "is_emailed": False,
        "has_attachment": False,
        "salesperson_name": "",
        "salesperson_id": "",
        "is_viewed_by_client": False,
        "client_viewed_time": "",
        "color_code": "",
        "current_sub_status_id": "",
        "current_sub_status": held.state,
        "currency_id": books.currencies[held.currency].id,
        "currency_code": held.currency,
        **times(books, held),
        "exchange_rate": held.rate,
        "template_id": books.part_id("template", "creditnote"),
        "template_type": "standard",
        "rounding_mode": "round_half_up",
        "price_precision": books.precision(held.currency),
        "tags": [],
    }


def credit_use(books: Books, use: CreditUse) -> Document:
    return {
        "creditnote_id": use.note.id,
        "creditnote_invoice_id": use.id,
        "invoice_id": use.invoice.id,
        "invoice_number": use.invoice.number,
        "date": use.date.isoformat(),
        "credited_amount": amount(books, use.amount_minor, use.note.currency),
        "credit_card_paid_amount": 0,
    }


def credit_refund(books: Books, made: CreditRefund) -> Document:
    code = made.note.currency
    return {
        "creditnote_refund_id": made.id,
        "creditnote_id": made.note.id,
        "creditnote_number": made.note.number,
        "date": made.date.isoformat(),
        "refund_mode": made.mode,
        "reference_number": made.reference,
        "customer_name": made.note.contact.name,
        "amount": amount(books, made.amount_minor, code),
        "amount_fcy": amount(books, made.amount_minor, code),
        "amount_bcy": base_amount(books, books.base_minor(made.amount_minor, code, made.rate)),
        "exchange_rate": made.rate,
        "from_account_id": made.account_id,
        "from_account_name": books.ledger.accounts[made.account_id].name,
        "description": made.description,
    }


def _note_line(books: Books, held: CreditNote, line: Line, place: int) -> Document:
    return {**_NOTE_LINE_CONSTANT, **sale_line(books, held, line, place)}
