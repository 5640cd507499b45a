"""Refunds: money that goes back to a payer, out of what is open in the ledger."""

from datetime import date, timedelta

from sandbox.calendars import add_working_days, london_day
from sandbox.gocardless.collection import Doc
from sandbox.gocardless.errors import invalid, state, usage
from sandbox.gocardless.fields import read_amount, read_metadata, read_text
from sandbox.gocardless.ledger import Item
from sandbox.gocardless.merchant import Call, Merchant
from sandbox.gocardless.payments import no_exchange
from sandbox.gocardless.schemes import SCHEMES

_ENVELOPE = "refunds"


def create_refund(merchant: Merchant, call: Call) -> Doc:
    """POST /refunds of a payment. Refusal: fields, 403 while refunds are off, and the states named in the reference.

    Refunds of a mandate are a restricted product and answer 403.
    """
    body = call.body
    amount = read_amount(_ENVELOPE, body)
    if isinstance(body.get("links"), dict) and "mandate" in body["links"]:
        raise usage("feature_disabled", "Refunds of mandates are not enabled for your account")
    payment = merchant.linked("payments", _ENVELOPE, body, "payment")
    creditor = merchant.collections["creditors"][payment["links"]["creditor"]]
    if not creditor["can_create_refunds"]:
        raise usage("feature_disabled", "Refunds are not enabled for your account")
    _check(merchant, payment, amount, read_amount(_ENVELOPE, body, "total_amount_confirmation"))
    reference = read_text(_ENVELOPE, body, "reference", longest=SCHEMES[payment["scheme"]].reference_max)
    metadata = read_metadata(_ENVELOPE, body)
    refund = merchant.collections["refunds"].add(
        {
            "id": merchant.new_id("RF"),
            "created_at": merchant.now_text,
            "amount": amount,
            "currency": payment["currency"],
            "reference": reference,
            "status": "created",
            "metadata": metadata,
            "fx": no_exchange(payment["currency"]),
            "links": {"payment": payment["id"], "mandate": payment["links"]["mandate"]},
        }
    )
    payment["amount_refunded"] += amount
    _book(merchant, refund, "payment_refunded", -amount * 10)
    tell_refund(merchant, refund, "created", cause="payment_refunded", origin="api", metadata=metadata)
    scheme = payment["scheme"]
    submit_on = add_working_days(london_day(merchant.world.now), 1, scheme)
    merchant.schedule.put("refund_submit", submit_on, refund["id"])
    merchant.schedule.put("refund_paid", add_working_days(submit_on, 1, scheme), refund["id"])
    return merchant.single("refunds", refund)


def list_refunds(merchant: Merchant, call: Call) -> Doc:
    """GET /refunds: those of payments, unless `refund_type=mandate`."""
    if "refund_type" in call.query:
        return merchant.page("refunds", call)
    return merchant.page("refunds", call, lambda doc: "payment" in doc["links"])


def update_refund(merchant: Merchant, call: Call) -> Doc:
    """PUT /refunds/{id}: metadata only."""
    refund = merchant.collections["refunds"].get(call.identity)
    merchant.update_metadata("refunds", refund, call.body)
    return merchant.single("refunds", refund)


def tell_refund(
    merchant: Merchant, refund: Doc, action: str, *, cause: str, origin: str = "gocardless", metadata: Doc | None = None
) -> None:
    """Record an event of a refund."""
    merchant.events.record(
        "refunds",
        action,
        {"refund": refund["id"]},
        cause=cause,
        origin=origin,
        metadata=metadata,
        resource_metadata=refund["metadata"],
    )


def submit_refund(refund: Doc) -> None:
    """Send a refund to the banks; no event tells of it."""
    if refund["status"] in ("created", "pending_submission"):
        refund["status"] = "submitted"


def pay_refund(merchant: Merchant, refund: Doc) -> None:
    """Let the money reach the payer."""
    if refund["status"] in ("created", "pending_submission", "submitted"):
        refund["status"] = "paid"
        tell_refund(merchant, refund, "paid", cause="refund_paid")


def bounce_refund(merchant: Merchant, refund: Doc) -> None:
    """Let the money come back: credited to a later payout, which announces `funds_returned`."""
    refund["status"] = "bounced"
    if merchant.settings.refund_bounce_restores:
        merchant.collections["payments"][refund["links"]["payment"]]["amount_refunded"] -= refund["amount"]
    tell_refund(merchant, refund, "failed", cause="refund_failed")
    _book(merchant, refund, "refund_funds_returned", refund["amount"] * 10)


def return_refund(merchant: Merchant, refund: Doc) -> None:
    """Announce that a bounced refund's money has been credited."""
    refund["status"] = "funds_returned"
    tell_refund(merchant, refund, "funds_returned", cause="refund_funds_returned")


def _check(merchant: Merchant, payment: Doc, amount: int, total: int) -> None:
    if payment["status"] not in ("confirmed", "paid_out"):
        raise state("refund_payment_invalid_state", "The payment cannot be refunded in its state")
    earliest = date.fromisoformat(payment["charge_date"]) + timedelta(days=merchant.settings.refund_after_days)
    if london_day(merchant.world.now) < earliest:
        raise state("refund_payment_invalid_state", "The payment was charged too recently to be refunded")
    count = sum(1 for doc in merchant.collections["refunds"].records if doc["links"]["payment"] == payment["id"])
    if count >= merchant.settings.refunds_per_payment:
        raise state("number_of_refunds_exceeded", "The payment has been refunded too many times")
    if total != payment["amount_refunded"] + amount:
        raise state("total_amount_confirmation_invalid", "total_amount_confirmation does not fit the refunds")
    if payment["amount_refunded"] + amount > payment["amount"]:
        raise invalid(_ENVELOPE, ("amount", "exceeds what is left of the payment"))
    if merchant.ledger.available_tenths(payment["links"]["creditor"], payment["currency"]) < amount * 10:
        raise state("available_refund_amount_insufficient", "There are not enough funds for this refund")


def _book(merchant: Merchant, refund: Doc, kind: str, tenths: int) -> None:
    payment = merchant.collections["payments"][refund["links"]["payment"]]
    links = {"payment": payment["id"], "refund": refund["id"], "mandate": payment["links"]["mandate"]}
    item = Item(kind=kind, amount_tenths=tenths, links=links, available_on=london_day(merchant.world.now))
    merchant.ledger.add(payment["links"]["creditor"], payment["currency"], item)
