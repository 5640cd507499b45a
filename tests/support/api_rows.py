"""Rows as both APIs send them, with no more than the tests of several rooms need."""

from typing import Any

PAYMENT = {
    "id": "PM1",
    "status": "pending_submission",
    "amount": 1200,
    "currency": "GBP",
    "created_at": "2026-03-02T09:00:00.000Z",
    "links": {"mandate": "MD1"},
    "metadata": {"zoho_invoice_id": "inv-1"},
}

TRANSFER = {"transaction_id": "T1", "transaction_type": "transfer_fund", "amount": 50.00, "currency_code": "GBP"}

#: The answer to a search for a transfer that was not made.
NO_TRANSFERS = {
    "code": 0,
    "message": "success",
    "banktransactions": [],
    "page_context": {"page": 1, "has_more_page": False},
}

#: The invoice that `installation` reads.
INVOICE = {
    "invoice_id": "inv-2",
    "invoice_number": "INV-2",
    "customer_id": "c-1",
    "status": "sent",
    "currency_code": "GBP",
    "total": 12,
    "balance": 12,
    "date": "2026-03-01",
    "due_date": "2026-03-02",
    "exchange_rate": 1,
    "last_modified_time": "2026-03-01T09:00:00+0000",
}


def invoice_in_part(key: str, number: str) -> dict[str, Any]:
    """An invoice that was paid in part, in an organisation east of Greenwich."""
    return {
        "invoice_id": key,
        "invoice_number": number,
        "date": "2026-02-20",
        "due_date": "2026-03-06",
        "customer_id": "910000000031007",
        "currency_code": "GBP",
        "status": "sent",
        "exchange_rate": 1,
        "total": 119.99,
        "balance": 19.90,
        "last_modified_time": "2026-02-21T10:00:00+0100",
    }
