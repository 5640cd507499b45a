"""What a payment's end means for the invoice it collects: collected, failed, or taken back and on hold."""

from domain.draft import Draft
from domain.refs import Ref
from domain.state import Invoice, Payment, PaymentFact


def _invoice(draft: Draft, payment: Payment) -> Invoice | None:
    row = draft.state.invoices.get(payment.invoice)
    return row if row is not None and row.payment in {"", payment.id} else None


def mark_collected(draft: Draft, payment: Payment) -> None:
    """Confirmed: the invoice is collected."""
    row = _invoice(draft, payment)
    if row is not None and row.stage != "collected" and row.reason != "amount_mismatch":
        draft.mark("invoices", row.id, stage="collected", reason="", since=draft.at, payment=payment.id)
        for code in ("debit_failed", "debit_reversed"):
            draft.close(code, Ref("invoices", row.id))


def mark_failed(draft: Draft, payment: Payment, fact: PaymentFact) -> None:
    """Failed or cancelled before it was confirmed. While GoCardless retries by itself, nothing is to be done."""
    row = _invoice(draft, payment)
    if row is None or row.stage in {"hold", "ignored"}:
        return
    if row.approved_minor and row.stage in {"none", "waiting", "scheduled", "viewing"}:
        return  # a person has released it since: this is the failure they answered
    if fact.will_retry:
        draft.mark("invoices", row.id, stage="collecting", reason="gocardless_retries", since=draft.at)
    elif (row.stage, row.reason) != ("failed", fact.cause or fact.action):
        reason = fact.cause or fact.action
        draft.mark("invoices", row.id, stage="failed", reason=reason, since=draft.at, payment=payment.id)
        draft.open(
            "debit_failed",
            Ref("invoices", row.id),
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            number=row.number,
            reason=reason.replace("_", " "),
        )
        draft.touch("invoices", row.id)


def hold_taken_back(draft: Draft, payment: Payment, fact: PaymentFact) -> None:
    """Taken back after it was confirmed: on hold, whatever else is known."""
    row = _invoice(draft, payment)
    if row is None:
        return
    reason = fact.cause or fact.action
    draft.mark("invoices", row.id, stage="hold", reason=reason, since=draft.at, payment=payment.id)
    draft.close("debit_failed", Ref("invoices", row.id))
    draft.open(
        "debit_reversed",
        Ref("invoices", row.id),
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        number=row.number,
        reason=reason.replace("_", " "),
    )
