"""Records of the shape that GoCardless sends, vendored bodies, and small builders around them."""

import json
from typing import Any

from adapters.deliveries import CallInfo, DeliveryMeta, PageInfo, Translation
from adapters.gocardless import perform
from domain import commands as c
from domain.codec import decode_event, encode_event
from domain.envelope import Event
from tests.support import recorded

NOW = "2026-03-09T10:00:00.000Z"

PAYMENT: dict[str, Any] = {
    "id": "PM00AB12CD34EF",
    "created_at": "2026-03-02T09:00:00.268Z",
    "charge_date": "2026-03-10",
    "amount": 12999,
    "description": "INV-0042",
    "currency": "GBP",
    "status": "pending_submission",
    "amount_refunded": 0,
    "reference": None,
    "metadata": {"zoho_invoice_id": "910000000042001", "zoho_invoice_number": "INV-0042", "command": "cm-1"},
    "fx": {"fx_currency": "GBP", "fx_amount": None, "exchange_rate": None, "estimated_exchange_rate": None},
    "links": {"mandate": "MD00AB12CD34EF", "creditor": "CR000000000001"},
    "retry_if_possible": False,
}
PAYOUT: dict[str, Any] = {
    "id": "PO00AB12CD34EF",
    "amount": 14772,
    "arrival_date": None,
    "created_at": "2026-03-09T09:30:00.000Z",
    "currency": "GBP",
    "deducted_fees": 228,
    "fx": {"fx_currency": "GBP", "fx_amount": None, "exchange_rate": None, "estimated_exchange_rate": None},
    "metadata": {},
    "payout_type": "merchant",
    "reference": "ACME-9Q2WX",
    "status": "pending",
    "tax_currency": "GBP",
    "links": {"creditor": "CR000000000001", "creditor_bank_account": "BA000000000009"},
}
MANDATE: dict[str, Any] = {
    "id": "MD00AB12CD34EF",
    "created_at": "2026-02-20T12:00:00.000Z",
    "reference": "ACME-X1",
    "status": "active",
    "scheme": "bacs",
    "next_possible_charge_date": "2026-03-13",
    "metadata": {"zoho_contact_id": "910000000031007"},
    "links": {"creditor": "CR000000000001", "customer": "CU000000000001", "customer_bank_account": "BA000000000001"},
}
CUSTOMER: dict[str, Any] = {
    "id": "CU000000000001",
    "created_at": "2026-02-20T12:00:00.000Z",
    "email": "accounts@rosehip.example",
    "given_name": "Rose",
    "family_name": "Hipp",
    "company_name": None,
    "country_code": "GB",
    "metadata": {},
}
BILLING_REQUEST: dict[str, Any] = {
    "id": "BRQ000000000001",
    "created_at": "2026-02-20T12:00:00.000Z",
    "status": "pending",
    "mandate_request": {"currency": "GBP", "scheme": "bacs", "links": {}, "metadata": {}, "sweeping": False},
    "payment_request": None,
    "metadata": None,
    "links": {"customer": "CU000000000001", "creditor": "CR000000000001", "mandate_request": "MRQ000000000001"},
    "actions": [{"type": "choose_currency", "required": True, "status": "completed"}],
}
FLOW: dict[str, Any] = {
    "id": "BRF000000000001",
    "authorisation_url": "https://pay-sandbox.gocardless.com/billing/static/flow?id=BRF000000000001",
    "expires_at": "2026-03-09T12:00:00.000Z",
    "session_token": None,
    "links": {"billing_request": "BRQ000000000001"},
}
ITEMS: list[dict[str, Any]] = [
    {"type": "payment_paid_out", "amount": "10000.0", "taxes": [], "links": {"payment": "PM000000000001"}},
    {"type": "payment_paid_out", "amount": "5000.0", "taxes": [], "links": {"payment": "PM000000000002"}},
    {
        "type": "gocardless_fee",
        "amount": "-144.5",
        "taxes": [{"tax_rate_id": "GB_VAT_1", "amount": "24.1", "currency": "GBP", "destination_amount": None}],
        "links": {"payment": "PM000000000001"},
    },
]

COMMANDS: dict[str, c.AnyCommandData] = {
    "create_payment": c.CreatePayment("910000000042001", "INV-0042", "MD00AB12CD34EF", 12999, "GBP"),
    "create_billing_request": c.CreateBillingRequest("910000000031007", "GBP", "bacs"),
    "create_flow": c.CreateFlow("910000000031007", "BRQ000000000001"),
    "read_payment": c.ReadPayment("PM00AB12CD34EF"),
    "read_mandate": c.ReadMandate("MD00AB12CD34EF"),
    "read_payer": c.ReadPayer("CU000000000001"),
    "read_billing_request": c.ReadBillingRequest("BRQ000000000001"),
    "read_payout": c.ReadPayout("PO00AB12CD34EF"),
    "read_payout_items": c.ReadPayoutItems("PO00AB12CD34EF"),
    "read_mandate_payments": c.ReadMandatePayments("MD00AB12CD34EF", "2026-01-01T00:00:00.000Z"),
}


#: Every name that `command` takes.
names = list(COMMANDS)


def command(name: str) -> c.Command:
    data = COMMANDS[name]
    writes = name.startswith("create_")
    return c.Command("cm-1", "invoices:910000000042001", name, data, key="zg01-abc" if writes else "")


def listing(name: str, rows: list[Any], after: str | None = None) -> dict[str, Any]:
    return {name: rows, "meta": {"cursors": {"before": None, "after": after}, "limit": 50}}


def body(document: Any) -> bytes:
    return json.dumps(document).encode()


def webhook_meta(**changes: Any) -> DeliveryMeta:
    return DeliveryMeta("wh-1", "main", "gocardless", "webhook", NOW, **changes)


def page_meta(kind: str, *, fresh: list[int] | None = None, status: int = 200, same_as: str = "") -> DeliveryMeta:
    return DeliveryMeta(
        "pg-1", "main", "gocardless", "page", NOW, page=PageInfo(kind, 1, NOW, True, status, fresh), same_as=same_as
    )


def answer_meta(
    name: str,
    *,
    status: int = 200,
    step: str = "send",
    query: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> DeliveryMeta:
    asked = command(name)
    call = perform.send_call(asked)
    if step == "look_up":
        call = perform.look_up_call(asked) or call
    info = CallInfo(asked, 3, step, call.method, call.path, query or call.query, status, "2026-03-09T09:59:58.000Z")
    return DeliveryMeta("an-1", "main", "gocardless", "answer", NOW, headers=headers or {}, call=info)


def fixture(path: str) -> bytes:
    """A vendored body as it is."""
    return recorded.raw(f"gocardless/{path}")


def load(path: str) -> Any:
    """A vendored body, read."""
    return recorded.load(f"gocardless/{path}")


def survives(translation: Translation) -> None:
    """Whatever it says, the log takes it and gives it back."""
    for event in translation.events:
        assert decode_event(encode_event(event)) == event


def one(translation: Translation) -> Event:
    assert translation.parked == []
    assert len(translation.events) == 1
    return translation.events[0]
