"""What happens to mandates and payments: every change of status, with its event and its money, in one
place.

    payment   pending_submission -> submitted -> confirmed -> paid_out, with the late edges confirmed|paid_out ->
              failed|charged_back, failed -> pending_submission (retry) and
              charged_back -> confirmed|paid_out (chargeback cancelled)
    mandate   pending_submission -> submitted -> active -> cancelled | expired | failed

A failure before the payout takes the payment's items out of the ledger; after it, the gross amount and the fee go
back as a debit and a credit of a later payout, announced by `late_failure_settled` or `chargeback_settled`.
"""

import re
from datetime import date, timedelta
from typing import Any

from sandbox.calendars import add_working_days, london_day, working_day_on_or_after
from sandbox.gocardless.collection import Doc
from sandbox.gocardless.ledger import Item
from sandbox.gocardless.merchant import CHARGEABLE, Merchant
from sandbox.gocardless.schemes import (
    CAUSES,
    CHARGEBACK_CODES,
    SCHEMES,
    day_zero,
    payout_date,
    result_date,
    submit_date,
)
from sandbox.gocardless.settings import OutcomeRule

_NO_RULE = OutcomeRule(outcome="confirmed")
_SUBMITTED = "pending_payments_submitted"
LIVE_SUBSCRIPTION = frozenset({"pending_customer_approval", "active", "paused"})


def tell_mandate(
    merchant: Merchant, mandate: Doc, action: str, *, cause: str, links: dict[str, str] | None = None, **more: Any
) -> Doc:
    """Record an event of a mandate."""
    all_links = {"mandate": mandate["id"], **(links or {})}
    return merchant.events.record(
        "mandates", action, all_links, cause=cause, resource_metadata=mandate["metadata"], **more
    )


def tell_payment(
    merchant: Merchant, payment: Doc, action: str, *, cause: str, links: dict[str, str] | None = None, **more: Any
) -> Doc:
    """Record an event of a payment."""
    all_links = {"payment": payment["id"], **(links or {})}
    return merchant.events.record(
        "payments", action, all_links, cause=cause, resource_metadata=payment["metadata"], **more
    )


def schedule_mandate(merchant: Merchant, mandate: Doc) -> None:
    """Put a mandate's days into the schedule, where its scheme submits mandates by themselves."""
    scheme = SCHEMES[mandate["scheme"]]
    if scheme.mandate_days is not None:
        zero = day_zero(merchant.world.now, scheme.name)
        merchant.active_on[mandate["id"]] = add_working_days(zero, scheme.mandate_days, scheme.name)
        merchant.schedule.put("mandate_submit", zero, mandate["id"])
        merchant.schedule.put("mandate_active", merchant.active_on[mandate["id"]], mandate["id"])


def submit_mandate(merchant: Merchant, mandate: Doc) -> None:
    """Send a mandate to the banks."""
    if mandate["status"] == "pending_submission":
        mandate["status"] = "submitted"
        tell_mandate(merchant, mandate, "submitted", cause="mandate_submitted")


def activate_mandate(merchant: Merchant, mandate: Doc) -> None:
    """Let a submitted mandate become active. From then on its payments need not wait for the day on which the banks
    would have activated it (reference 2.3, 6.1); what the schedule still holds for that day finds it active and does
    nothing.
    """
    if mandate["status"] == "submitted":
        mandate["status"] = "active"
        merchant.active_on.pop(mandate["id"], None)
        mandate["verified_at"] = merchant.now_text
        tell_mandate(merchant, mandate, "active", cause="mandate_activated")


def end_mandate(
    merchant: Merchant,
    mandate: Doc,
    *,
    cause: str,
    origin: str,
    status: str = "cancelled",
    links: dict[str, str] | None = None,
    **more: Any,
) -> None:
    """End a mandate, and with it its subscriptions and every payment that has not gone to the banks; their events name
    this one as parent.
    """
    mandate["status"] = status
    action = "replaced" if links and "new_mandate" in links else status
    if origin == "bank":
        more["scheme"] = mandate["scheme"]
    event = tell_mandate(merchant, mandate, action, cause=cause, origin=origin, links=links, **more)
    for identity in merchant.payments_of[mandate["id"]]:
        payment = merchant.collections["payments"][identity]
        if payment["status"] == "pending_submission":
            # The catalogue of events knows no cause of a replaced mandate for payments.
            why = "mandate_cancelled" if action == "replaced" else cause
            cancel(merchant, payment, cause=why, origin=origin, parent=event["id"])
    for subscription in merchant.collections["subscriptions"].records:
        if subscription["links"]["mandate"] == mandate["id"] and subscription["status"] in LIVE_SUBSCRIPTION:
            end_subscription(merchant, subscription, cause="mandate_cancelled", origin=origin, parent=event["id"])


def end_subscription(
    merchant: Merchant,
    subscription: Doc,
    *,
    cause: str,
    origin: str,
    status: str = "cancelled",
    parent: str | None = None,
) -> None:
    """End a subscription. The payments it has made stay as they are."""
    subscription["status"] = status
    links = {"subscription": subscription["id"]} | ({} if parent is None else {"parent_event": parent})
    merchant.events.record(
        "subscriptions", status, links, cause=cause, origin=origin, resource_metadata=subscription["metadata"]
    )


def schedule(merchant: Merchant, payment: Doc) -> None:
    """Put the day on which a payment goes to the banks into the schedule."""
    scheme = SCHEMES[payment["scheme"]]
    day = submit_date(date.fromisoformat(payment["charge_date"]), scheme)
    merchant.schedule.put("submit", day, payment["id"], merchant.payment_files[payment["id"]].round)


def submit(merchant: Merchant, payment: Doc) -> None:
    """Send a payment to the banks, and with it its mandate where the scheme has it so."""
    scheme = SCHEMES[payment["scheme"]]
    file = merchant.payment_files[payment["id"]]
    mandate = merchant.collections["mandates"][payment["links"]["mandate"]]
    payment["status"] = "submitted"
    file.submissions += 1
    tell_payment(merchant, payment, "submitted", cause="payment_submitted")
    merchant.ledger.move(payment["links"]["creditor"], payment["currency"], _SUBMITTED, payment["amount"] * 10)
    if scheme.mandate_days is None:
        submit_mandate(merchant, mandate)
        activate_mandate(merchant, mandate)
    day = result_date(date.fromisoformat(payment["charge_date"]), scheme)
    merchant.schedule.put("result", day, payment["id"], file.round)


def settle(merchant: Merchant, payment: Doc) -> None:
    """Let the banks answer, as the scenario's plan says; a plan for a reversal is put into the schedule."""
    rule = _rule_for(merchant, payment)
    if rule.outcome == "failed":
        fail(
            merchant,
            payment,
            cause=rule.cause,
            reason_code=rule.reason_code,
            retry_after_days=rule.retry_after_days if rule.will_attempt_retry else None,
        )
        return
    confirm(merchant, payment)
    today = london_day(merchant.world.now)
    scheme = SCHEMES[payment["scheme"]]
    file = merchant.payment_files[payment["id"]]
    if rule.outcome == "late_failure":
        day = add_working_days(today, rule.after_working_days, scheme.name)
        merchant.schedule.put("late", day, payment["id"], file.round)
    if rule.outcome == "charged_back":
        day = add_working_days(payout_date(today, scheme), rule.after_working_days, scheme.name)
        merchant.schedule.put("late", day, payment["id"], file.round)
    file.plan = rule


def come_late(merchant: Merchant, payment: Doc) -> None:
    """Let a planned late failure or chargeback arrive."""
    rule = merchant.payment_files[payment["id"]].plan
    if rule is None or payment["status"] not in ("confirmed", "paid_out"):
        return
    if rule.outcome == "late_failure":
        fail(merchant, payment, cause=rule.cause, reason_code=rule.reason_code)
    else:
        charge_back(merchant, payment, cause=rule.cause, reason_code=rule.reason_code)


def confirm(merchant: Merchant, payment: Doc) -> None:
    """Confirm a payment: the gross amount enters the ledger, the fee leaves it at once."""
    _leave_banks(merchant, payment)
    payment["status"] = "confirmed"
    tell_payment(merchant, payment, "confirmed", cause="payment_confirmed")
    _credit(merchant, payment)


def fail(
    merchant: Merchant,
    payment: Doc,
    *,
    cause: str,
    reason_code: str | None = None,
    retry_after_days: int | None = None,
) -> None:
    """Fail a payment, before or after it was confirmed; with `retry_after_days` GoCardless resubmits it by itself."""
    _leave_banks(merchant, payment)
    payment["status"] = "failed"
    known = CAUSES.get(cause, CAUSES["other"])
    mandate = merchant.collections["mandates"][payment["links"]["mandate"]]
    if mandate["status"] not in CHARGEABLE or known.ends_mandate:
        retry_after_days = None
    code = reason_code or known.codes.get(payment["scheme"])
    not_retried = payment["retry_if_possible"] and retry_after_days is None
    tell_payment(
        merchant,
        payment,
        "failed",
        cause=cause,
        origin="bank",
        description=known.description,
        scheme=payment["scheme"],
        reason_code=code,
        will_attempt_retry=retry_after_days is not None,
        not_retried_reason="failure_filter_applied" if not_retried else None,
    )
    _reverse(merchant, payment, "payment_failed", "late_failure_settled")
    if known.ends_mandate and mandate["status"] == "active":
        end_mandate(merchant, mandate, cause=cause, origin="bank", reason_code=code, description=known.description)
    elif retry_after_days is not None:
        earliest = merchant.next_possible(mandate)
        assert earliest is not None, "a payment whose mandate has ended is not retried"
        wanted = london_day(merchant.world.now) + timedelta(days=retry_after_days)
        day = working_day_on_or_after(max(wanted, date.fromisoformat(earliest)), payment["scheme"])
        resubmit(merchant, payment, day, cause="payment_autoretried", origin="gocardless")


def charge_back(merchant: Merchant, payment: Doc, *, cause: str, reason_code: str | None = None) -> None:
    """Let the payer's bank take a payment back."""
    payment["status"] = "charged_back"
    tell_payment(
        merchant,
        payment,
        "charged_back",
        cause=cause,
        origin="bank",
        scheme=payment["scheme"],
        reason_code=reason_code or CHARGEBACK_CODES.get(payment["scheme"]),
    )
    _reverse(merchant, payment, "payment_charged_back", "chargeback_settled")


def cancel_chargeback(merchant: Merchant, payment: Doc) -> None:
    """Let a chargeback be reversed: its debit vanishes, or, when settled already, the gross amount is credited again.

    Which item types GoCardless uses for the second credit is UNCONFIRMED; a second `payment_paid_out` is most likely.
    """
    file = merchant.payment_files[payment["id"]]
    file.settles = None
    if merchant.ledger.withdraw(payment["links"]["creditor"], payment["currency"], payment["id"]):
        payment["status"] = "paid_out"
        file.credit = "payout"
    else:
        payment["status"] = "confirmed"
        _credit(merchant, payment)
    tell_payment(merchant, payment, "chargeback_cancelled", cause="payment_confirmed", origin="bank")


def resubmit(
    merchant: Merchant, payment: Doc, day: date, *, cause: str, origin: str, metadata: Doc | None = None
) -> None:
    """Send a failed payment round again, under the same id."""
    file = merchant.payment_files[payment["id"]]
    file.round += 1
    file.retries += origin == "api"
    payment["status"] = "pending_submission"
    payment["charge_date"] = day.isoformat()
    payment["links"].pop("payout", None)
    tell_payment(merchant, payment, "resubmission_requested", cause=cause, origin=origin, metadata=metadata)
    schedule(merchant, payment)


def cancel(
    merchant: Merchant,
    payment: Doc,
    *,
    cause: str,
    origin: str,
    parent: str | None = None,
    metadata: Doc | None = None,
) -> None:
    """Cancel a payment that has not gone to the banks; `metadata` goes onto the event, not the payment."""
    payment["status"] = "cancelled"
    merchant.payment_files[payment["id"]].round += 1
    links = {} if parent is None else {"parent_event": parent}
    scheme = payment["scheme"] if origin == "bank" else None
    tell_payment(
        merchant, payment, "cancelled", cause=cause, origin=origin, links=links, metadata=metadata, scheme=scheme
    )


def _leave_banks(merchant: Merchant, payment: Doc) -> None:
    if payment["status"] == "submitted":
        merchant.ledger.move(payment["links"]["creditor"], payment["currency"], _SUBMITTED, -payment["amount"] * 10)


def _credit(merchant: Merchant, payment: Doc) -> None:
    """Book gross and fee, to be paid out on the scheme's day."""
    scheme = SCHEMES[payment["scheme"]]
    file = merchant.payment_files[payment["id"]]
    fee = merchant.ledger.fee(payment["amount"], _country(merchant, payment))
    file.credit, file.fee_tenths, file.tax_tenths = "open", fee.gross_tenths, fee.tax_tenths
    day = payout_date(london_day(merchant.world.now), scheme)
    _book(merchant, payment, "payment_paid_out", payment["amount"] * 10, day)
    if fee.gross_tenths:
        _book(merchant, payment, "gocardless_fee", -fee.gross_tenths, day, -fee.tax_tenths)


def _reverse(merchant: Merchant, payment: Doc, kind: str, settles: str) -> None:
    """Take the money of a payment back, wherever it is."""
    file = merchant.payment_files[payment["id"]]
    was, file.credit = file.credit, "none"
    if was == "none":
        return
    if was == "open" and merchant.settings.unpaid_failure_items == "none":
        merchant.ledger.withdraw(payment["links"]["creditor"], payment["currency"], payment["id"])
        return
    today = london_day(merchant.world.now)
    _book(merchant, payment, kind, -payment["amount"] * 10, today)
    if file.fee_tenths:
        _book(merchant, payment, "gocardless_fee", file.fee_tenths, today, file.tax_tenths)
    surcharge = merchant.ledger.surcharge(_country(merchant, payment))
    if surcharge.gross_tenths:
        _book(merchant, payment, "surcharge_fee", -surcharge.gross_tenths, today, -surcharge.tax_tenths)
        tell_payment(merchant, payment, "surcharge_fee_debited", cause="surcharge_fee_debited")
    file.settles = settles


def _book(merchant: Merchant, payment: Doc, kind: str, tenths: int, day: date, tax_tenths: int = 0) -> None:
    item = Item(
        kind=kind,
        amount_tenths=tenths,
        links={"payment": payment["id"]},
        available_on=day,
        tax_tenths=tax_tenths,
    )
    merchant.ledger.add(payment["links"]["creditor"], payment["currency"], item)


def _country(merchant: Merchant, payment: Doc) -> str:
    return str(merchant.collections["creditors"][payment["links"]["creditor"]]["country_code"])


def _rule_for(merchant: Merchant, payment: Doc) -> OutcomeRule:
    file = merchant.payment_files[payment["id"]]
    for rule in merchant.settings.payment_outcomes:
        if file.submissions <= rule.attempts and _fits(rule, payment, file.ordinal):
            return rule
    return _NO_RULE


def _fits(rule: OutcomeRule, payment: Doc, ordinal: int) -> bool:
    if rule.ordinal is not None and rule.ordinal != ordinal:
        return False
    texts: list[tuple[str | None, str | None]] = [
        *((pattern, payment["metadata"].get(key)) for key, pattern in rule.metadata_match.items()),
        (rule.reference, payment["reference"]),
        (rule.description, payment["description"]),
    ]
    return all(re.search(pattern, text or "") is not None for pattern, text in texts if pattern is not None)
