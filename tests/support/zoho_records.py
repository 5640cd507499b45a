"""Records of the shape that Zoho Books sends, with invented values, and small builders around them."""

import copy
import json
from typing import Any

from adapters.deliveries import CallInfo, DeliveryMeta, PageInfo
from domain import commands as c

ORG = "20077001"
NOW = "2026-03-02T09:00:00.000Z"

INVOICE: dict[str, Any] = {
    "invoice_id": "910000000042001",
    "account_identifier": "",
    "invoice_number": "INV-0042",
    "date": "2026-02-20",
    "due_date": "2026-03-06",
    "customer_id": "910000000031007",
    "customer_name": "Rosehip Bakery",
    "email": "accounts@rosehip.example",
    "currency_id": "910000000000097",
    "currency_code": "GBP",
    "status": "sent",
    "custom_fields": [],
    "custom_field_hash": {},
    "recurring_invoice_id": "",
    "early_payment_discount_due_days": "",
    "lock_details": {"can_lock": False},
    "line_items": [
        {
            "line_item_id": "1",
            "name": "Ovens, service",
            "description": "Two visits",
            "quantity": 2.50,
            "rate": 40,
            "item_total": 100.00,
            "tax_id": "",
        },
        {"line_item_id": "2", "name": "Discount", "description": "", "quantity": 1, "rate": -0.01, "item_total": -0.01},
    ],
    "exchange_rate": 1.000000,
    "is_autobill_enabled": False,
    "inprocess_transaction_present": False,
    "ach_payment_initiated": False,
    "in_process_payments": [],
    "price_precision": 2,
    "total": 119.99,
    "balance": 19.90,
    "payment_made": 100.09,
    "contact": {"customer_balance": 19.90, "unused_customer_credits": 0},
    "documents": "",
    "created_time": "2026-02-20T08:12:01+0000",
    "last_modified_time": "2026-02-21T10:00:00+0100",
}

INVOICE_ROW: dict[str, Any] = {
    **{k: v for k, v in INVOICE.items() if k not in ("line_items", "payment_made", "contact", "in_process_payments")},
    "due_days": "Due in 4 days",
    "updated_time": "2026-02-21T10:00:00+0100",
    "invoice_url": "https://pay.example/secure?x=1",
    "transaction_type": "renewal",
}

CONTACT: dict[str, Any] = {
    "contact_id": "910000000031007",
    "contact_name": "Rosehip Bakery",
    "company_name": "Rosehip Ltd",
    "contact_type": "customer",
    "contact_number": "C-31",
    "status": "active",
    "email": "",
    "currency_code": "GBP",
    "exchange_rate": "",
    "outstanding_receivable_amount": 19.90,
    "contact_persons": [
        {"contact_person_id": "1", "email": "second@rosehip.example", "is_primary_contact": False},
        {"contact_person_id": "2", "email": "accounts@rosehip.example", "is_primary_contact": True},
    ],
    "custom_fields": [
        {"customfield_id": "9", "api_name": "cf_gocardless_customer", "label": "GoCardless customer", "value": "CU0042"}
    ],
    "custom_field_hash": {"cf_gocardless_customer": "CU0042"},
    "created_time": "2026-01-05T08:00:00+0000",
    "last_modified_time": "2026-02-01T08:00:00+0000",
}

PAYMENT: dict[str, Any] = {
    "payment_id": "910000000055003",
    "payment_number": "17",
    "customer_id": "910000000031007",
    "customer_name": "Rosehip Bakery",
    "payment_mode": "banktransfer",
    "date": "2026-03-01",
    "account_id": "910000000070001",
    "account_name": "GoCardless Clearing GBP",
    "currency_code": "GBP",
    "exchange_rate": 1,
    "amount": 19.90,
    "unused_amount": 0.00,
    "bank_charges": 0,
    "description": "Direct debit [live:PM01:1]",
    "reference_number": "PM01",
    "invoices": [
        {
            "invoice_payment_id": "910000000055009",
            "invoice_id": "910000000042001",
            "amount_applied": 19.90,
            "balance": 0,
            "total": 119.99,
        },
    ],
    "payment_refunds": [],
    "custom_fields": [{"api_name": "cf_gocardless_key", "value": "live:PM01:1"}],
    "custom_field_hash": {},
    "created_time": "2026-03-01T09:00:00+0000",
    "updated_time": "2026-03-01T09:00:00+0000",
}

PAYMENT_ROW: dict[str, Any] = {
    **{
        k: v
        for k, v in PAYMENT.items()
        if k
        not in ("currency_code", "invoices", "custom_fields", "custom_field_hash", "updated_time", "payment_refunds")
    },
    "invoice_numbers": "INV-0042",
    "custom_fields_list": "",
    "applied_invoices": [],
    "last_modified_time": "2026-03-01T09:00:00+0000",
}

EXPENSE: dict[str, Any] = {
    "expense_id": "910000000061001",
    "currency_code": "GBP",
    "total": 3.60,
    "amount": 3.60,
    "tax_amount": 0.60,
    "reference_number": "PO01",
    "description": "GoCardless fees [live:PO01]",
    "custom_fields": [{"api_name": "cf_gocardless_key", "value": "live:PO01"}],
    "vendor_id": "",
}

EXPENSE_ROW: dict[str, Any] = {k: v for k, v in EXPENSE.items() if k not in ("custom_fields", "amount", "tax_amount")}

TRANSFER: dict[str, Any] = {
    "transaction_id": "910000000065001",
    "transaction_type": "transfer_fund",
    "amount": 96.40,
    "currency_code": "GBP",
    "date": "2026-03-03",
    "reference_number": "ROSEHIP-JX3",
    "description": "Payout [live:PO01:1]",
}

REFUND: dict[str, Any] = {
    "payment_refund_id": "910000000066001",
    "payment_id": "910000000055003",
    "reference_number": "EV0099",
    "amount": 19.90,
    "date": "2026-03-05",
}

CREATE_PAYMENT = c.CreateCustomerPayment(
    customer="910000000031007",
    amount_minor=1990,
    currency="GBP",
    date="2026-03-01",
    account="910000000070001",
    reference="PM01",
    unique_field="cf_gocardless_key",
    unique_value="live:PM01:1",
    description="Direct debit",
    applied=[c.Application("910000000042001", 1990)],
)
CREATE_EXPENSE = c.CreateExpense(
    account="910000000071000",
    paid_through="910000000070001",
    amount_minor=360,
    currency="GBP",
    date="2026-03-03",
    reference="PO01",
    unique_field="cf_gocardless_key",
    unique_value="live:PO01",
    lines=[c.ExpenseLine("Fees", 360, "910000000080001", 60)],
    vendor="910000000031999",
    description="GoCardless fees",
)
UNAPPLY = c.UnapplyPayment("910000000055003", 1990, "GBP")
REFUND_PAYMENT = c.RefundPayment("910000000055003", 1990, "GBP", "2026-03-05", "910000000070001", "EV0099")
CREATE_TRANSFER = c.CreateTransfer(
    "910000000070001",
    "910000000072000",
    9640,
    "GBP",
    "2026-03-03",
    reference="ROSEHIP-JX3",
    marker="live:PO01:1",
    description="Payout",
)


def body(**members: Any) -> bytes:
    return json.dumps({"code": 0, "message": "success", **members}).encode()


def listing(member: str, rows: list[Any], more: bool = False, page: int = 1) -> bytes:
    return body(
        **{member: rows, "page_context": {"page": page, "per_page": 200, "has_more_page": more, "report_name": member}}
    )


def refusal(code: int, message: str = "no") -> bytes:
    return json.dumps({"code": code, "message": message}).encode()


def command(data: Any, **changes: Any) -> c.Command:
    return c.Command(**{"id": "cm-1", "about": "invoices:910000000042001", "purpose": "book", "data": data, **changes})


def webhook_meta(**changes: Any) -> DeliveryMeta:
    return DeliveryMeta(
        **{"id": "d-1", "connection": "main", "api": "zoho", "kind": "webhook", "received_at": NOW, **changes}
    )


def page_meta(kind: str, **changes: Any) -> DeliveryMeta:
    same_as = changes.pop("same_as", "")
    page = PageInfo(**{"kind": kind, "page": 1, "as_of": "2026-03-02T08:59:00.000Z", "complete": True, **changes})
    return DeliveryMeta(
        id="d-2", connection="main", api="zoho", kind="page", received_at=NOW, page=page, same_as=same_as
    )


def answer_meta(data: Any, call: Any, status: int = 200, step: str = "send", number: int = 1) -> DeliveryMeta:
    info = CallInfo(
        command=command(data),
        call=number,
        step=step,
        method=call.method,
        path=call.path,
        query=call.query,
        status=status,
        as_of="2026-03-02T08:59:30.000Z",
    )
    return DeliveryMeta(id="d-3", connection="main", api="zoho", kind="answer", received_at=NOW, call=info)


def edited(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    found = copy.deepcopy(record)
    found.update(changes)
    return found
