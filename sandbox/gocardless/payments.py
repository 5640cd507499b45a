"""Payments as the API offers them: create, read, update, cancel, retry."""

from datetime import date

from sandbox.calendars import working_day_on_or_after
from sandbox.gocardless.collection import Doc
from sandbox.gocardless.errors import invalid, state, usage
from sandbox.gocardless.fields import read_amount, read_date, read_metadata, read_text
from sandbox.gocardless.lifecycle import cancel, resubmit, schedule, tell_payment
from sandbox.gocardless.merchant import CHARGEABLE, Call, Merchant, PaymentFile
from sandbox.gocardless.schemes import SCHEMES

RETRIES_MAX = 3
_ENVELOPE = "payments"


def create_payment(merchant: Merchant, call: Call) -> Doc:
    """POST /payments. Refusal: fields (422), `mandate_is_inactive`, `mandate_replaced`, `link_not_found`.

    A charge date before the mandate's next possible one is refused, a day on which the banks rest rolls forward.
    """
    body = call.body
    amount = read_amount(_ENVELOPE, body)
    mandate = merchant.linked("mandates", _ENVELOPE, body, "mandate")
    _check_mandate(mandate)
    scheme = SCHEMES[mandate["scheme"]]
    if amount > merchant.settings.amount_max.get(scheme.name, scheme.amount_max):
        raise invalid(_ENVELOPE, ("amount", "exceeds the maximum for this scheme"))
    currency = read_text(_ENVELOPE, body, "currency")
    if currency is None:
        raise invalid(_ENVELOPE, ("currency", "is required"))
    if currency != scheme.currency:
        raise invalid(_ENVELOPE, ("currency", "must be the currency of the mandate's scheme"))
    reference = read_text(_ENVELOPE, body, "reference", longest=scheme.reference_max)
    if reference is not None and scheme.name == "bacs" and not merchant.settings.bacs_payment_references:
        raise invalid(_ENVELOPE, ("reference", "cannot be set with your current package"))
    charge_date = _charge_date(merchant, mandate, read_date(_ENVELOPE, body, "charge_date"))
    retry = body.get("retry_if_possible", False)
    if not isinstance(retry, bool):
        raise invalid(_ENVELOPE, ("retry_if_possible", "must be a boolean"))
    description, metadata = read_text(_ENVELOPE, body, "description"), read_metadata(_ENVELOPE, body)
    if "app_fee" in body:
        raise usage("feature_disabled", "app_fee is for partner apps", pointer="/payments/app_fee")
    payment = add_payment(
        merchant,
        mandate,
        amount=amount,
        charge_date=charge_date,
        description=description,
        reference=reference,
        metadata=metadata,
        retry=retry,
    )
    return merchant.single("payments", payment)


def add_payment(
    merchant: Merchant,
    mandate: Doc,
    *,
    amount: int,
    charge_date: date,
    description: str | None,
    reference: str | None = None,
    metadata: dict[str, str] | None = None,
    retry: bool = False,
    origin: str = "api",
    links: dict[str, str] | None = None,
) -> Doc:
    """Make a payment of what was checked, and put its days into the schedule; `links`: beside mandate and creditor."""
    scheme = SCHEMES[mandate["scheme"]]
    metadata = metadata or {}
    payment = merchant.collections["payments"].add(
        {
            "id": merchant.new_id("PM"),
            "created_at": merchant.now_text,
            "charge_date": charge_date.isoformat(),
            "amount": amount,
            "description": description,
            "currency": scheme.currency,
            "status": "pending_customer_approval"
            if mandate["status"] == "pending_customer_approval"
            else "pending_submission",
            "amount_refunded": 0,
            "reference": reference,
            "metadata": metadata,
            # Present without any exchange, as recorded: only its currency is filled.
            "fx": no_exchange(scheme.currency),
            "links": {"mandate": mandate["id"], "creditor": mandate["links"]["creditor"], **(links or {})},
            "retry_if_possible": retry,
            "scheme": scheme.name,
        }
    )
    if scheme.name == "ach":
        payment["faster_ach"] = False
    merchant.payment_files[payment["id"]] = PaymentFile(ordinal=len(merchant.collections["payments"]))
    merchant.payments_of[mandate["id"]].append(payment["id"])
    # `metadata` of an API-caused event is what the call passed.
    tell_payment(merchant, payment, "created", cause="payment_created", origin=origin, metadata=metadata, links=links)
    schedule(merchant, payment)
    return payment


def no_exchange(currency: str) -> Doc:
    """Give the `fx` object of something that is not exchanged."""
    return {"fx_currency": currency, "fx_amount": None, "exchange_rate": None, "estimated_exchange_rate": None}


def list_payments(merchant: Merchant, call: Call) -> Doc:
    """GET /payments. Refusal 400: customer and creditor together."""
    if {"customer", "creditor"} <= set(call.query):
        raise usage("invalid_filters", "customer and creditor exclude each other")
    return merchant.page("payments", call)


def update_payment(merchant: Merchant, call: Call) -> Doc:
    """PUT /payments/{id}: `metadata` and `retry_if_possible` only; amount and charge date never change."""
    payment = merchant.collections["payments"].get(call.identity)
    unknown = sorted(set(call.body) - {"metadata", "retry_if_possible"})
    if unknown:
        raise invalid(_ENVELOPE, *((field, "cannot be updated") for field in unknown))
    retry = call.body.get("retry_if_possible", payment["retry_if_possible"])
    if not isinstance(retry, bool):
        raise invalid(_ENVELOPE, ("retry_if_possible", "must be a boolean"))
    merchant.update_metadata("payments", payment, call.body)
    payment["retry_if_possible"] = retry
    return merchant.single("payments", payment)


def cancel_payment(merchant: Merchant, call: Call) -> Doc:
    """POST /payments/{id}/actions/cancel: only from pending_submission, else `cancellation_failed`."""
    payment = merchant.collections["payments"].get(call.identity)
    if payment["status"] != "pending_submission":
        raise state("cancellation_failed", "This payment cannot be cancelled")
    metadata = read_metadata(_ENVELOPE, call.body)
    cancel(merchant, payment, cause="payment_cancelled", origin="api", metadata=metadata)
    return merchant.single("payments", payment)


def retry_payment(merchant: Merchant, call: Call) -> Doc:
    """POST /payments/{id}/actions/retry: only from failed, at most three times, else `retry_failed`."""
    payment = merchant.collections["payments"].get(call.identity)
    file = merchant.payment_files[payment["id"]]
    mandate = merchant.collections["mandates"][payment["links"]["mandate"]]
    if payment["status"] != "failed" or file.retries >= RETRIES_MAX:
        raise state("retry_failed", "This payment cannot be retried")
    _check_mandate(mandate)
    metadata = read_metadata(_ENVELOPE, call.body)
    day = _charge_date(merchant, mandate, read_date(_ENVELOPE, call.body, "charge_date"))
    resubmit(merchant, payment, day, cause="payment_retried", origin="api", metadata=metadata)
    return merchant.single("payments", payment)


def _check_mandate(mandate: Doc) -> None:
    if "new_mandate" in mandate["links"]:
        links = {"new_mandate": mandate["links"]["new_mandate"]}
        raise state("mandate_replaced", "Mandate has been replaced", links=links)
    if mandate["status"] not in CHARGEABLE:
        raise state("mandate_is_inactive", "Mandate is inactive")


def _charge_date(merchant: Merchant, mandate: Doc, given: date | None) -> date:
    earliest = merchant.next_possible(mandate)
    assert earliest is not None, "the mandate was checked to be chargeable"
    if given is None:
        return date.fromisoformat(earliest)
    if given.isoformat() < earliest:
        raise invalid(_ENVELOPE, ("charge_date", "must be on or after mandate's next_possible_charge_date"))
    return working_day_on_or_after(given, mandate["scheme"])
