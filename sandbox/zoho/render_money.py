"""Payments, refunds and expenses on the wire (reference 3.4, 3.8)."""

from sandbox.zoho.books import Books
from sandbox.zoho.records import (
    Application,
    Expense,
    ExpenseLine,
    Payment,
    Refund,
)
from sandbox.zoho.render_common import (
    LOCKS,
    PAPER,
    Document,
    amount,
    base_amount,
    currency,
    custom_fields,
    customer,
    times,
)

_PAYMENT_CONSTANT: Document = {
    **LOCKS,
    **PAPER,
    "sales_channel": "",
    "account_identifier": "",
    "payment_link_id": "",
    "payment_number_prefix": "",
    "documents": [],
    "beat_id": "",
    "beat_number": "",
    "journey_plan_id": "",
    "sales_person_id": "",
    "sales_person_name": "",
    "card_type": "",
    "offline_created_date_with_time": "",
    "tax_account_id": "",
    "tax_account_name": "",
    "is_client_review_settings_enabled": False,
    "is_early_payment_discount_applicable": False,
    "settlement_status": "",
    "is_ondc_channel": False,
    "payment_status": "paid",
    "tender_id": "",
    "deposit_details": [],
    "last_four_digits": "",
    "template_name": "Plain",
    "template_type": "standard",
    "attachment_name": "",
    "can_send_in_mail": True,
    "can_send_payment_sms": True,
    "is_payment_details_required": True,
    "rounding_mode": "round_half_up",
    "tags": [],
}
_PAYMENT_ROW_CONSTANT: Document = {
    "last_four_digits": "",
    "applied_invoices": [],
    "has_attachment": False,
    "tags": [],
    "documents": "",
    "tax_account_id": "",
    "tax_account_name": "",
    "payment_status": "paid",
    "settlement_status": "",
    "sales_channel": "",
}
_EXPENSE_CONSTANT: Document = {
    "transaction_type": "expense",
    "transaction_type_formatted": "Expense",
    "documents": [],
    "markup_percent": 0,
    "tax_override_preference": "no_override",
    "is_billable": False,
    "is_personal": False,
    "expense_receipt_name": "",
    "expense_receipt_type": "",
    "employee_id": "",
    "employee_name": "",
    "employee_email": "",
    "vehicle_id": "",
    "vehicle_name": "",
    "mileage_rate": 0,
    "mileage_unit": "km",
    "mileage_type": "non_mileage",
    "expense_type": "non_mileage",
    "start_reading": "",
    "end_reading": "",
    "status": "nonbillable",
    "invoice_id": "",
    "invoice_number": "",
    "report_id": "",
    "report_name": "",
    "report_number": "",
    "user_id": "",
    "user_name": "",
    "user_email": "",
    "approver_id": "",
    "approver_name": "",
    "approver_email": "",
    "report_status": "",
    "is_reimbursable": False,
    "trip_id": "",
    "trip_number": "",
    "location": "",
    "merchant_id": "",
    "merchant_name": "",
    "payment_mode": "Cash",
    "project_id": "",
    "template_id": "",
    "template_name": "",
    "template_type": "",
    "page_width": "",
    "page_height": "",
    "orientation": "",
    "project_name": "",
    "tags": [],
    "is_recurring_applicable": True,
    "is_surcharge_applicable": False,
    "fcy_surcharge_amount": 0,
    "bcy_surcharge_amount": 0,
    "zcrm_potential_id": "",
    "zcrm_potential_name": "",
    "imported_transactions": [],
}
_EXPENSE_ROW_CONSTANT: Document = {
    "user_name": "",
    "is_billable": False,
    "is_personal": False,
    "status": "nonbillable",
    "expense_receipt_name": "",
    "distance": 0,
    "mileage_rate": 0,
    "mileage_unit": "mile",
    "mileage_type": "non_mileage",
    "expense_type": "non_mileage",
    "report_id": "",
    "start_reading": "",
    "end_reading": "",
    "report_name": "",
    "report_number": "",
    "has_attachment": False,
    "tags": [],
}


def payment(books: Books, held: Payment) -> Document:
    """The `payment` of a GET, POST or PUT: its time of change is called `updated_time` here."""
    code = held.currency
    account = books.ledger.accounts[held.account_id]
    advance = books.ledger.system("accounts_receivable")
    fees = books.ledger.system("bank_fees") if held.bank_charges_minor else None
    return {
        **_PAYMENT_CONSTANT,
        "payment_id": held.id,
        "payment_number": held.number,
        "payment_number_suffix": held.number,
        "created_by": books.org.contact_name,
        "created_time": books.stamp(held.created_at),
        "updated_time": books.stamp(held.modified_at),
        **customer(held.contact),
        "payment_mode": held.mode,
        "date": held.date.isoformat(),
        "account_id": account.id,
        "account_name": account.name,
        "account_type": account.type,
        "customer_advance_account_id": advance.id,
        "customer_advance_account_name": advance.name,
        **currency(books, code),
        "exchange_rate": held.rate,
        "amount": amount(books, held.amount_minor, code),
        "unused_amount": amount(books, held.unused_minor, code),
        "bank_charges": amount(books, held.bank_charges_minor, code),
        "bank_charges_account_id": fees.id if fees else "",
        "bank_charges_account_name": fees.name if fees else "",
        "tax_amount_withheld": amount(books, sum(a.withheld_minor for a in held.applied), code),
        "discount_amount": amount(books, sum(a.discount_minor for a in held.applied), code),
        "description": held.description,
        "reference_number": held.reference,
        "online_transaction_id": held.online_transaction_id,
        "payment_gateway": held.gateway,
        "invoices": [_applied(books, a) for a in held.applied],
        "payment_refunds": [refund(books, made) for made in held.refunds],
        "template_id": books.part_id("template", "payment"),
        **custom_fields(books, "customerpayment", held),
        "imported_transactions": held.matched,
        "price_precision": books.precision(code),
    }


def payment_row(books: Books, held: Payment) -> Document:
    """One row of a list: no applied amounts, no currency, no custom fields; its time is `last_modified_time` here."""
    code = held.currency
    refunded = sum(made.amount_minor for made in held.refunds)
    return {
        **_PAYMENT_ROW_CONSTANT,
        "payment_id": held.id,
        "payment_number": held.number,
        "invoice_numbers": ", ".join(a.invoice.number for a in held.applied),
        "date": held.date.isoformat(),
        "payment_mode": held.mode,
        "payment_mode_formatted": held.mode,
        "amount": amount(books, held.amount_minor, code),
        "bcy_amount": base_amount(books, books.base_minor(held.amount_minor, code, held.rate)),
        "unused_amount": amount(books, held.unused_minor, code),
        "bcy_unused_amount": base_amount(books, held.unused_base_minor),
        "account_id": held.account_id,
        "account_name": books.ledger.accounts[held.account_id].name,
        "description": held.description,
        "reference_number": held.reference,
        **customer(held.contact),
        **times(books, held),
        "gateway_transaction_id": held.online_transaction_id,
        "payment_gateway": held.gateway,
        "bcy_refunded_amount": base_amount(books, books.base_minor(refunded, code, held.rate)),
        "custom_fields_list": ",".join(value for value in held.custom.values() if value),
        "tax_amount_withheld": amount(books, sum(a.withheld_minor for a in held.applied), code),
        "payment_type": "Invoice Payment" if held.applied else "Customer Advance",
    }


def refund(books: Books, made: Refund) -> Document:
    """A refund of unused money: the same in a list, a GET and a POST."""
    code = made.payment.currency
    return {
        "payment_refund_id": made.id,
        "payment_id": made.payment.id,
        "payment_number": made.payment.number,
        "date": made.date.isoformat(),
        "refund_mode": made.mode,
        "reference_number": made.reference,
        "customer_name": made.payment.contact.name,
        "amount": amount(books, made.amount_minor, code),
        "amount_fcy": amount(books, made.amount_minor, code),
        "amount_bcy": base_amount(books, books.base_minor(made.amount_minor, code, made.rate)),
        "exchange_rate": made.rate,
        "from_account_id": made.account_id,
        "from_account_name": books.ledger.accounts[made.account_id].name,
        "payment_form": "",
        "description": made.description,
    }


def expense(books: Books, held: Expense) -> Document:
    """The `expense` of a GET, POST or PUT."""
    code, first = held.currency, held.lines[0]
    accounts = books.ledger.accounts
    total = amount(books, held.total_minor, code)
    return {
        **_EXPENSE_CONSTANT,
        "expense_id": held.id,
        "expense_item_id": first.id,
        "account_id": first.account_id,
        "account_name": accounts[first.account_id].name,
        "paid_through_account_id": held.paid_through_id,
        "paid_through_account_name": accounts[held.paid_through_id].name,
        **_parties(held),
        "date": held.date.isoformat(),
        "tax_id": first.tax.id if first.tax else "",
        "tax_name": first.tax.name if first.tax else "",
        "tax_percentage": first.tax.percentage if first.tax else 0,
        "taxes": [
            {"tax_id": x.tax.id, "tax_name": x.tax.name, "tax_amount": amount(books, x.tax_minor, code)}
            for x in held.lines
            if x.tax
        ],
        "currency_id": books.currencies[code].id,
        "currency_code": code,
        "exchange_rate": held.rate,
        "tax_amount": amount(books, held.tax_minor, code),
        "sub_total": amount(books, held.sub_total_minor, code),
        "total": total,
        "bcy_total": base_amount(books, books.base_minor(held.total_minor, code, held.rate)),
        "amount": total,
        "is_inclusive_tax": held.inclusive,
        "reference_number": held.reference,
        "description": held.description,
        **times(books, held),
        "created_by_id": books.user_id,
        "last_modified_by_id": books.user_id,
        **custom_fields(books, "expense", held),
        "line_items": [_expense_line(books, held, line, place) for place, line in enumerate(held.lines, 1)],
    }


def expense_row(books: Books, held: Expense) -> Document:
    code = held.currency
    accounts = books.ledger.accounts
    return {
        **_EXPENSE_ROW_CONSTANT,
        "expense_id": held.id,
        "date": held.date.isoformat(),
        "paid_through_account_name": accounts[held.paid_through_id].name,
        "account_name": accounts[held.lines[0].account_id].name,
        "description": held.description,
        "currency_id": books.currencies[code].id,
        "currency_code": code,
        "bcy_total": base_amount(books, books.base_minor(held.total_minor, code, held.rate)),
        "bcy_total_without_tax": base_amount(books, books.base_minor(held.sub_total_minor, code, held.rate)),
        "total": amount(books, held.total_minor, code),
        "total_without_tax": amount(books, held.sub_total_minor, code),
        "reference_number": held.reference,
        **_parties(held),
        **times(books, held),
        "exchange_rate": held.rate,
        "custom_fields_list": ",".join(value for value in held.custom.values() if value),
    }


def _applied(books: Books, held: Application) -> Document:
    invoice, code = held.invoice, held.payment.currency
    return {
        "invoice_number": invoice.number,
        "invoice_payment_id": held.id,
        "invoice_id": invoice.id,
        "invoice_customer_id": "",
        "invoice_customer_name": "",
        "amount_applied": amount(books, held.amount_minor, code),
        "tax_amount_withheld": amount(books, held.withheld_minor, code),
        "discount_amount": amount(books, held.discount_minor, code),
        "total": amount(books, invoice.total_minor, code),
        "balance": amount(books, invoice.balance_minor, code),
        "date": invoice.date.isoformat(),
        "due_date": invoice.due.isoformat(),
        "price_precision": books.precision(code),
        "apply_date": held.date.isoformat(),
        "allow_partial_payments": "",
        "is_early_payment_discount_applicable": False,
        "invoice_installments": [],
        "installments": [],
    }


def _parties(held: Expense) -> Document:
    return {
        "vendor_id": held.vendor.id if held.vendor else "",
        "vendor_name": held.vendor.name if held.vendor else "",
        "customer_id": held.customer.id if held.customer else "",
        "customer_name": held.customer.name if held.customer else "",
    }


def _expense_line(books: Books, held: Expense, line: ExpenseLine, place: int) -> Document:
    code = held.currency
    return {
        "line_item_id": line.id,
        "account_id": line.account_id,
        "account_name": books.ledger.accounts[line.account_id].name,
        "description": line.description or ("" if held.itemized else held.description),
        "tax_amount": amount(books, line.tax_minor, code),
        "tax_id": line.tax.id if line.tax else "",
        "tax_name": line.tax.name if line.tax else "",
        "tax_type": "tax",
        "tax_percentage": line.tax.percentage if line.tax else 0,
        "item_total": amount(books, line.net_minor, code),
        "amount": amount(books, line.amount_minor, code),
        "item_order": place,
        "line_item_taxes": [],
        "tags": [],
    }
