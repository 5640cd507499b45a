"""Invoices on the wire (reference 3.3), and what a credit note shows like them."""

from datetime import date

import msgspec

from sandbox.zoho.books import Books
from sandbox.zoho.invoices import status_of
from sandbox.zoho.money import shown
from sandbox.zoho.records import Invoice, Line, Sale
from sandbox.zoho.render_common import (
    LOCK_DETAIL,
    LOCKS,
    PAPER,
    SHIPPING_CHARGE,
    SUBMISSION,
    Document,
    address,
    amount,
    author,
    base_amount,
    currency,
    currency_name,
    custom_fields,
    customer,
    day_text,
    encode,
    row_address,
    times,
)

SALE_CONSTANT: Document = {
    **SHIPPING_CHARGE,
    **SUBMISSION,
    **LOCKS,
    **PAPER,
    "adjustment_account_id": "",
    "adjustment_account_name": "",
    "bcy_rounding_mode": "round_half_up",
    "client_viewed_time": "",
    "color_code": "",
    "computation_type": "basic",
    "contact_category": "",
    "contact_persons": [],
    "contact_persons_associated": [],
    "current_sub_status_id": "",
    "discount": 0,
    "discount_account_id": "",
    "discount_account_name": "",
    "discount_applied_on_amount": 0,
    "discount_type": "item_level",
    "documents": [],
    "exceptions": [],
    "is_discount_before_tax": True,
    "is_viewed_by_client": False,
    "offline_created_date_with_time": "",
    "rounding_mode": "round_half_up",
    "roundoff_value": 0,
    "salesperson_id": "",
    "salesperson_name": "",
    "sub_statuses": [],
    "sub_total_inclusive_of_tax": 0,
    "subject_content": "",
    "tags": [],
    "tax_override_preference": "no_override",
    "tax_rounding": "entity_level",
    "tds_calculation_type": "tds_item_level",
    "template_name": "Plain",
    "template_type": "standard",
    "transaction_rounding_type": "no_rounding",
}
_INVOICE_CONSTANT: Document = {
    **SALE_CONSTANT,
    **LOCK_DETAIL,
    "account_identifier": "",
    "ach_payment_initiated": False,
    "ach_supported": False,
    "approvers_list": [],
    "attachment_name": "",
    "bcy_discount_total": 0,
    "can_send_in_mail": False,
    "can_send_invoice_sms": True,
    "can_show_kit_return": False,
    "channel_invoice_id": "",
    "contact_persons_details": [],
    "customer_custom_field_hash": {},
    "customer_custom_fields": [],
    "deliverychallans": [],
    "discount_percent": 0,
    "discount_total": 0,
    "early_payment_discount_amount": 0,
    "early_payment_discount_due_days": "",
    "early_payment_discount_percentage": 0,
    "ecomm_operator_id": "",
    "ecomm_operator_name": "",
    "estimate_id": "",
    "exchange_invoices": [],
    "includes_package_tracking_info": False,
    "invoice_installments": [],
    "is_autobill_enabled": False,
    "is_backorder": "",
    "is_client_review_settings_enabled": False,
    "is_early_payment_discount_applicable": False,
    "is_kit_partial_return": False,
    "is_last_child_invoice": False,
    "is_progress_invoice": False,
    "last_reminder_sent_date": "",
    "merchant_id": "",
    "merchant_name": "",
    "next_reminder_date_formatted": "",
    "payment_expected_date": "",
    "payment_reminder_enabled": True,
    "payment_terms_id": "",
    "qr_code": {"qr_source": "invoice_url", "is_qr_enabled": False, "qr_value": "", "qr_description": ""},
    "reader_offline_payment_initiated": False,
    "reminders_sent": 0,
    "retention_items": [],
    "retention_override_preference": "no_override",
    "sales_channel": "direct_sales",
    "salesorder_id": "",
    "salesorder_number": "",
    "salesorders": [],
    "schedule_time": "",
    "shipping_bills": [],
    "stop_reminder_until_payment_expected_date": False,
    "total_retention_amount": 0,
    "unprocessed_payment_amount": 0,
    "unused_retainer_payments": 0,
    "zcrm_potential_id": "",
    "zcrm_potential_name": "",
}
_INVOICE_ROW_CONSTANT: Document = {
    key: _INVOICE_CONSTANT[key]
    for key in (
        "ach_payment_initiated", "zcrm_potential_id", "zcrm_potential_name", "payment_expected_date", "tags",
        "salesperson_name", "is_viewed_by_client", "client_viewed_time", "color_code", "current_sub_status_id",
        "schedule_time", "template_type", "sales_channel", "reminders_sent", "last_reminder_sent_date",
        "salesperson_id", "unprocessed_payment_amount",
    )
} | {"project_name": "", "has_attachment": False, "documents": "", "transaction_type": "renewal"}  # fmt: skip
LINE_CONSTANT: Document = {
    "internal_name": "",
    "discount_account_id": "",
    "discount_account_name": "",
    "discount_amount": 0,
    "discount": 0,
    "discounts": [],
    "pricebook_id": "",
    "item_custom_fields": [],
    "pricing_scheme": "unit",
    "tags": [],
    "project_id": "",
    "item_code": {},
    "mapped_items": [],
    "is_modifier_item": False,
    "line_item_category": "line_item",
}
_INVOICE_LINE_CONSTANT: Document = {
    **LINE_CONSTANT,
    "header_id": "",
    "header_name": "",
    "documents": [],
    "image_document_id": "",
    "bill_id": "",
    "bill_item_id": "",
    "stock_on_hand": "",
    "available_stock": "",
    "committed_stock": "",
    "available_for_sale_stock": "",
    "time_entry_ids": [],
    "expense_id": "",
    "item_type": "sales",
    "expense_receipt_name": "",
    "purchase_rate": "",
    "salesorder_item_id": "",
    "cost_amount": 0,
    "markup_percent": 0,
}


def invoice(books: Books, held: Invoice) -> Document:
    """The `invoice` of a GET, POST or PUT."""
    code, contact = held.currency, held.contact
    status = _status(books, held)
    return {
        **_INVOICE_CONSTANT,
        **sale(books, held, status),
        "invoice_id": held.id,
        "invoice_number": held.number,
        "due_date": held.due.isoformat(),
        "email": contact.email,
        "invoice_source": held.source,
        "recurring_invoice_id": held.recurring_invoice_id,
        "payment_terms": held.payment_terms_days,
        "payment_terms_label": held.payment_terms_label,
        "payment_made": amount(books, held.payment_made_minor, code),
        "line_items": [_invoice_line(books, held, line, place) for place, line in enumerate(held.lines, 1)],
        "inprocess_transaction_present": bool(held.in_process),
        "in_process_payments": held.in_process,
        "allow_partial_payments": held.allow_partial,
        "total_taxable_amount": amount(books, sum(x.total_minor for x in held.lines if x.tax), code),
        "adjustment_description": held.adjustment_description,
        "adjustment": amount(books, held.adjustment_minor, code),
        "shipping_charge": amount(books, held.shipping_minor, code),
        "shipping_charge_exclusive_of_tax": amount(books, held.shipping_minor, code),
        "shipping_charge_exclusive_of_tax_formatted": shown(held.shipping_minor, code),
        "shipping_charge_inclusive_of_tax_formatted": shown(0, code),
        **{
            f"bcy_{name}": base_amount(books, books.base_minor(value, code, held.rate))
            for name, value in (
                ("shipping_charge", held.shipping_minor),
                ("adjustment", held.adjustment_minor),
                ("sub_total", held.sub_total_minor),
                ("tax_total", held.tax_minor),
                ("total", held.total_minor),
            )
        },
        "write_off_amount": amount(books, held.write_off_minor, code),
        "payment_discount": amount(books, held.discount_minor, code),
        "credits_applied": amount(books, held.credits_minor, code),
        "tax_amount_withheld": amount(books, held.withheld_minor, code),
        "last_payment_date": day_text(held.last_payment),
        "payment_options": {"payment_gateways": held.gateways},
        "contact": {
            "customer_balance": amount(books, contact.owed_minor.get(contact.currency, 0), contact.currency),
            "credit_limit": contact.credit_limit,
            "unused_customer_credits": amount(books, contact.credit_minor.get(contact.currency, 0), contact.currency),
            "is_credit_limit_migration_completed": True,
        },
        "is_emailed": held.emailed,
        "billing_address": _invoice_address(contact.billing),
        "shipping_address": _invoice_address(contact.shipping),
        "customer_default_billing_address": {
            **{key: contact.billing.get(key, "") for key in _DEFAULT_ADDRESS},
            "city_code": "",
        },
        "invoice_url": invoice_url(books, held),
        "created_date": held.created_at.astimezone(books.zone).date().isoformat(),
        **custom_fields(books, "invoice", held),
    }


_DEFAULT_ADDRESS = ("zip", "country", "address", "city", "phone", "street2", "state", "fax", "state_code")


def invoice_row(books: Books, held: Invoice) -> msgspec.Raw:
    """One row of a list, ready encoded."""
    key = (held.version, held.contact.version, books.today())
    cached = books.invoice_rows.get(held.id)
    if cached is not None and cached[0] == key:
        return cached[1]
    found = msgspec.Raw(encode(_invoice_row(books, held)))
    books.invoice_rows[held.id] = (key, found)
    return found


def _invoice_row(books: Books, held: Invoice) -> Document:
    """No lines, no payments made; a draft or void one has no link."""
    code, contact = held.currency, held.contact
    status = _status(books, held)
    found = {
        **_INVOICE_ROW_CONSTANT,
        "invoice_id": held.id,
        **customer(contact),
        "company_name": contact.company,
        "status": status,
        "current_sub_status": status,
        "invoice_number": held.number,
        "reference_number": held.reference,
        "date": held.date.isoformat(),
        "due_date": held.due.isoformat(),
        "issued_date": day_text(held.issued),
        "due_days": _due_days(held, status, books.today()),
        "email": contact.email,
        "billing_address": row_address(contact.billing),
        "shipping_address": row_address(contact.shipping),
        "country": contact.billing.get("country", ""),
        "phone": contact.primary.get("phone", ""),
        "created_by": books.org.contact_name,
        "total": amount(books, held.total_minor, code),
        "balance": amount(books, held.balance_minor, code),
        **custom_fields(books, "invoice", held),
        "shipping_charge": amount(books, held.shipping_minor, code),
        "adjustment": amount(books, held.adjustment_minor, code),
        **times(books, held),
        "updated_time": books.stamp(held.modified_at),
        "is_emailed": held.emailed,
        **currency(books, code),
        "invoice_source": held.source,
        "last_payment_date": day_text(held.last_payment),
        "template_id": books.part_id("template", "invoice"),
        "write_off_amount": amount(books, held.write_off_minor, code),
        "exchange_rate": held.rate,
    }
    if held.state == "sent":
        found["invoice_url"] = invoice_url(books, held)
    if held.emailed:
        found |= {"is_viewed_in_mail": False, "mail_first_viewed_time": "", "mail_last_viewed_time": ""}
    return found


def invoice_payments(books: Books, held: Invoice) -> list[Document]:
    """`GET /invoices/{id}/payments`."""
    return [
        {
            "payment_id": a.payment.id,
            "payment_number": a.payment.number,
            "invoice_id": held.id,
            "invoice_payment_id": a.id,
            "payment_mode": a.payment.mode,
            "description": a.payment.description,
            "date": a.payment.date.isoformat(),
            "reference_number": a.payment.reference,
            "exchange_rate": a.payment.rate,
            "amount": amount(books, a.amount_minor, held.currency),
            "tax_amount_withheld": amount(books, a.withheld_minor, held.currency),
            "discount_amount": amount(books, a.discount_minor, held.currency),
            "online_transaction_id": a.payment.online_transaction_id,
            "is_single_invoice_payment": len(a.payment.applied) == 1,
        }
        for a in held.payments.values()
    ]


def invoice_credits(books: Books, held: Invoice) -> list[Document]:
    """`GET /invoices/{id}/creditsapplied`."""
    return [
        {
            "creditnote_id": use.note.id,
            "creditnotes_invoice_id": use.id,
            "creditnotes_number": use.note.number,
            "credited_date": use.date.isoformat(),
            "amount_applied": amount(books, use.amount_minor, held.currency),
        }
        for use in held.credits.values()
    ]


def invoice_url(books: Books, held: Invoice) -> str:
    return f"https://pay.{books.org.id}.example/invoice?CInvoiceID={books.ids.hex('invoice_url', held.id)}"


def sale(books: Books, held: Sale, status: str) -> Document:
    """What an invoice and a credit note show alike."""
    code = held.currency
    receivable = books.ledger.system("accounts_receivable")
    return {
        "date": held.date.isoformat(),
        "issued_date": day_text(held.issued),
        **customer(held.contact),
        **currency(books, code),
        "currency_name_formatted": currency_name(code),
        "status": status,
        "current_sub_status": status,
        "reference_number": held.reference,
        "exchange_rate": held.rate,
        "price_precision": books.precision(code),
        "sub_total": amount(books, held.sub_total_minor, code),
        "tax_total": amount(books, held.tax_minor, code),
        "total": amount(books, held.total_minor, code),
        "balance": amount(books, held.balance_minor, code),
        "account_id": receivable.id,
        "account_name": receivable.name,
        "is_inclusive_tax": held.inclusive,
        "taxes": _taxes(books, held),
        "template_id": books.part_id("template", "invoice"),
        "notes": held.notes,
        "terms": held.terms,
        **times(books, held),
        **author(books),
    }


def _taxes(books: Books, held: Sale) -> list[Document]:
    sums: dict[str, tuple[str, int]] = {}
    for line in held.lines:
        if line.tax:
            name, so_far = sums.get(line.tax.id, (line.tax.name, 0))
            sums[line.tax.id] = (name, so_far + line.tax_minor)
    return [
        {"tax_id": tax_id, "tax_name": name, "tax_amount": amount(books, value, held.currency)}
        for tax_id, (name, value) in sums.items()
    ]


def sale_line(books: Books, held: Sale, line: Line, place: int) -> Document:
    """What their lines show alike."""
    tax_name = f"{line.tax.name} ({line.tax.percentage.normalize():f}%)" if line.tax else ""
    return {
        "line_item_id": line.id,
        "item_id": line.item_id,
        "item_order": place,
        "name": line.name,
        "description": line.description,
        "unit": line.unit,
        "quantity": line.quantity,
        "bcy_rate": (line.rate * held.rate).normalize() + 0,
        "rate": line.rate,
        "account_id": line.account_id,
        "account_name": books.ledger.accounts[line.account_id].name,
        "tax_id": line.tax.id if line.tax else "",
        "tax_name": line.tax.name if line.tax else "",
        "tax_type": "tax",
        "tax_percentage": line.tax.percentage if line.tax else 0,
        "item_total": amount(books, line.total_minor, held.currency),
        "line_item_taxes": [
            {
                "tax_id": line.tax.id,
                "tax_name": tax_name,
                "tax_amount": amount(books, line.tax_minor, held.currency),
            }
        ]
        if line.tax
        else [],
    }


def _invoice_line(books: Books, held: Invoice, line: Line, place: int) -> Document:
    return {**_INVOICE_LINE_CONSTANT, **sale_line(books, held, line, place), "sales_rate": line.rate}


def _invoice_address(held: dict[str, str]) -> Document:
    return {**address(held), "street": held.get("address", ""), "country_code": held.get("country_code", "")}


def _status(books: Books, held: Invoice) -> str:
    return status_of(held, books.today(), overdue_hides_partial=books.switches.overdue_hides_partial)


def _due_days(held: Invoice, status: str, today: date) -> str:
    if status not in ("sent", "overdue", "partially_paid"):
        return ""
    days = (held.due - today).days
    if days == 0:
        return "Due Today"
    return f"Due in {days} days" if days > 0 else f"Overdue by {-days} days"
