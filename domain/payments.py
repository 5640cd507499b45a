"""Payments: what GoCardless says of them, in any order and however often, and what each fact does to the books and the
invoice.

A payment keeps every distinct fact; its status is a fold over them in their own order (`happened_at`, then rank), so
the order of arrival does not matter. Two numbers say what the facts amount to: how often it was confirmed, and how
often that was taken back. The ledger and Zoho follow them: booking n is made when `confirmed` reaches n, and undone
when `reversed` does.

What happens when a payment fails after it was confirmed: `_reverse`.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final, Literal

from msgspec.structs import replace

from domain import bookings, commands, events, refs
from domain.collection import hold_taken_back, mark_collected, mark_failed
from domain.draft import Draft
from domain.envelope import Event, Touch, Touched
from domain.refs import Ref
from domain.state import CommandRow, DebitCount, Payment, PaymentFact, State

#: What each action makes of the status (reference 3.1), and its place among facts of the same instant: what follows
#: from a failure (it is charged again, or its mandate ends and it is cancelled) comes after it. "" leaves the status.
ACTIONS: Final[dict[str, tuple[int, str]]] = {
    "created": (0, "pending_submission"),
    "customer_approval_granted": (1, "pending_submission"),
    "customer_approval_denied": (1, "customer_approval_denied"),
    "submitted": (2, "submitted"),
    "confirmed": (3, "confirmed"),
    "chargeback_cancelled": (3, "confirmed"),
    "paid_out": (4, "paid_out"),
    "failed": (5, "failed"),
    "resubmission_requested": (6, "pending_submission"),
    "cancelled": (7, "cancelled"),
    "charged_back": (8, "charged_back"),
    "late_failure_settled": (9, ""),
    "chargeback_settled": (9, ""),
    "surcharge_fee_debited": (9, ""),
}
#: Facts that are kept of one payment. GoCardless tells of some ten, and of a few more with each retry. Lower: a payment
#: with a long history is cut short. Higher: a row grows, and is written whole with each.
MAX_FACTS: Final = 200

_CONFIRMS: Final = frozenset({"confirmed", "chargeback_cancelled", "paid_out"})
_REVERSES: Final = frozenset({"failed", "charged_back", "cancelled"})

#: What one fact does to what is booked: "item", it is in a payout, and out again by another item.
Effect = Literal["confirms", "reverses", "item", ""]

#: The charge is made once more: what is paid out after this may be the new charge.
_RENEWS: Final = frozenset({"resubmission_requested", "submitted"})


# --- facts ------------------------------------------------------------------------------------------------------------


def evolve_event(state: State, event: Event) -> Touched:
    """One of GoCardless's payment events."""
    data: events.GcEvent = event.data
    key = data.links.get("payment", "")
    if not key:
        return ()
    fact = PaymentFact(
        event.id,
        event.happened_at,
        data.action,
        data.cause,
        data.reason_code,
        data.will_attempt_retry is True,
        data.links.get("payout", ""),
    )
    before = state.payments.get(key)
    held = with_claim(before or Payment(key), data.resource_metadata)
    _count_debit(state, before, held)
    return add_fact(state, held, fact)


def add_fact(state: State, payment: Payment, fact: PaymentFact) -> Touched:
    """Keep a fact once, and fold all of them again."""
    if any(known.id == fact.id for known in payment.facts):
        return ()
    if len(payment.facts) >= MAX_FACTS:
        return (("crowded_payments", payment.id),)
    state.payments[payment.id] = fold(replace(payment, facts=tuple(sorted((*payment.facts, fact), key=_order))))
    return (("payments", payment.id),)


def _order(fact: PaymentFact) -> tuple[str, int, str]:
    return (fact.at, ACTIONS.get(fact.action, (9, ""))[0], fact.id)


def fold(payment: Payment) -> Payment:
    """Status, counts, reason and payout from the facts in their own order."""
    status, reason, payout = payment.status if not payment.facts else "", "", ""
    confirmed = reversed_ = 0
    for fact, effect in _effects(payment):
        now = "" if effect == "item" else ACTIONS.get(fact.action, (9, ""))[1]
        if now:
            status, reason = now, fact.cause if fact.action in _REVERSES else ""
        payout = fact.payout or payout
        confirmed += effect == "confirms"
        reversed_ += effect == "reverses"
    return replace(
        payment,
        status=status or payment.status,
        reason=reason,
        payout=payout or payment.payout,
        confirmed=confirmed,
        reversed=reversed_,
    )


def alternating_facts(payment: Payment, *, reverses: bool) -> Iterator[PaymentFact]:
    """The facts that confirmed the payment, or those that took it back, in order; the two take turns."""
    wanted: Effect = "reverses" if reverses else "confirms"
    return (fact for fact, effect in _effects(payment) if effect == wanted)


def _effects(payment: Payment) -> Iterator[tuple[PaymentFact, Effect]]:
    """What each fact does, in order. A payment that failed before its payout is in that payout twice, in and out
    (reference 5.2): the item alone confirms nothing anew, and the payment stays what it was.
    """
    live = taken_back = False
    for fact in payment.facts:
        effect: Effect = ""
        if fact.action == "paid_out" and taken_back and not live:
            effect = "item"
        elif fact.action in _CONFIRMS and not live:
            live, effect = True, "confirms"
        elif fact.action in _REVERSES and live:
            live, taken_back, effect = False, True, "reverses"
        elif fact.action in _RENEWS:
            taken_back = False
        yield fact, effect


def with_claim(payment: Payment, metadata: dict[str, str]) -> Payment:
    """Our command's id in its metadata makes a payment ours; the invoice it names is the one it collects."""
    if payment.claim == "ours" or "command" not in metadata or "zoho_invoice_id" not in metadata:
        return payment
    return replace(payment, claim="ours", invoice=metadata["zoho_invoice_id"], command=metadata["command"])


def evolve_read(state: State, event: Event) -> Touched:
    """A payment as GoCardless holds it now."""
    data: events.PaymentRead = event.data
    return fold_read(state, data)


def fold_read(state: State, data: events.PaymentRead) -> Touched:
    """Fold a full read. Amount, currency and mandate never change; the status counts only while no fact has come."""
    held = state.payments.get(data.id)
    base = with_claim(held or Payment(data.id), data.metadata)
    new = replace(
        base,
        claim=base.claim if base.claim == "ours" else "foreign",
        amount_minor=data.amount_minor,
        currency=data.currency,
        mandate=data.mandate,
        charge_date=data.charge_date or base.charge_date,
        created_at=data.created_at,
        payout=base.payout or data.payout,
        status=base.status if base.facts else data.status,
        read=True,
    )
    if new == held:
        return ()
    state.payments[data.id] = new
    touched: list[Touch] = [("payments", data.id)]
    _count_debit(state, held, new)
    invoice = state.invoices.get(new.invoice)
    if invoice is not None and invoice.payment != new.id and _newer(state, invoice.payment, new):
        state.invoices[invoice.id] = replace(invoice, payment=new.id)
        touched.append(("invoices", invoice.id))
    return tuple(touched)


def _count_debit(state: State, before: Payment | None, after: Payment) -> None:
    """Count a debit of an invoice when it is first known as one: read, and ours."""
    known = before is not None and before.read and before.claim == "ours"
    if after.read and after.claim == "ours" and after.invoice and not known:
        counted = state.debit_counts.get(after.invoice) or DebitCount(after.invoice)
        state.debit_counts[after.invoice] = replace(counted, shown=counted.shown + 1)


def _newer(state: State, held: str, new: Payment) -> bool:
    before = state.payments.get(held)
    return before is None or (before.created_at, before.id) < (new.created_at, new.id)


# --- rules ------------------------------------------------------------------------------------------------------------


def decide(draft: Draft, key: str) -> None:
    """Read what is not known; book and unbook until the books say what the facts say; tell the invoice."""
    payment = draft.state.payments[key]
    if payment.claim == "foreign":
        draft.touch("payouts", payment.payout)
        return
    if not payment.read:
        _ask_read(draft, payment)
        return
    while payment.booked < payment.confirmed:
        if not bookings.book(draft, payment, nth(payment, payment.booked + 1, reverses=False)):
            return
        payment = draft.state.payments[key]
    while payment.unbooked < payment.reversed:
        _reverse(draft, payment)
        payment = draft.state.payments[key]
    _tell_invoice(draft, payment)
    draft.touch("payouts", payment.payout)


def _ask_read(draft: Draft, payment: Payment) -> None:
    creation = draft.state.commands.get(payment.command)
    answer_is_coming = (
        creation is not None and creation.status == "open" and not payment.confirmed and not payment.reversed
    )
    if not answer_is_coming:
        ask, purpose = commands.ReadPayment(payment.id), refs.purpose("read_payment", payment.id)
        draft.ask_once(Ref("payments", payment.id), purpose, ask, priority=commands.PRIORITY_MONEY, until_cleared=True)


def _reverse(draft: Draft, payment: Payment) -> None:
    """Taken back after it was confirmed: the booking is undone in the ledger now and in Zoho as soon as Zoho has it;
    the invoice is open again, and on hold until a person releases it (design rule 7).
    """
    number = payment.unbooked + 1
    fact = nth(payment, number, reverses=True)
    draft.mark("payments", payment.id, unbooked=number)
    bookings.unbook(draft, payment, number, fact)
    hold_taken_back(draft, payment, fact)


def nth(payment: Payment, number: int, *, reverses: bool) -> PaymentFact:
    """The fact that made the nth confirmation, or the nth reversal of one."""
    return next(islice(alternating_facts(payment, reverses=reverses), number - 1, None))


def _tell_invoice(draft: Draft, payment: Payment) -> None:
    last = next((fact for fact in reversed(payment.facts) if ACTIONS.get(fact.action, (9, ""))[1]), None)
    if payment.confirmed > payment.reversed:
        mark_collected(draft, payment)
    elif last is not None and last.action in {*_REVERSES, "customer_approval_denied"} and not payment.reversed:
        mark_failed(draft, payment, last)


def on_outcome(draft: Draft, about: Ref, row: CommandRow, outcome: events.Outcome) -> None:
    """A read of a payment ended: one that GoCardless does not have is not ours (a test webhook names such)."""
    key = about.key
    if outcome.end == "succeeded":
        draft.close("read_refused", about)
    elif outcome.end == "refused" and outcome.http_status in {404, 410}:
        draft.mark("payments", key, claim="foreign")
        draft.touch("payments", key)
    else:
        draft.open("read_refused", about, what=f"payment {key}", reason=outcome.reason, id=row.id)
