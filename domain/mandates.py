"""Mandates: what GoCardless says of them, newest word wins; a mandate we do not know is read before anything is made of
it.
"""

from typing import Final

from msgspec.structs import replace

from domain import chargeable, commands, customers, events, lists, payments, refs, times
from domain.currencies import SCHEME_CURRENCY
from domain.draft import Draft
from domain.envelope import Event, Touched
from domain.refs import Ref
from domain.state import CommandRow, Mandate, Payer, State

#: What each action of GoCardless makes of a mandate's status (API reference, events, mandates). "" leaves it as it is.
STATUS: Final[dict[str, str]] = {
    "created": "pending_submission",
    "customer_approval_granted": "pending_submission",
    "customer_approval_skipped": "pending_submission",
    "submitted": "submitted",
    "resubmission_requested": "pending_submission",
    "active": "active",
    "reinstated": "active",
    "transferred": "",
    "replaced": "cancelled",
    "failed": "failed",
    "cancelled": "cancelled",
    "expired": "expired",
    "consumed": "consumed",
    "blocked": "blocked",
}

#: Statuses in the order they follow one another, for two events of the same instant.
_RANK: Final = (
    "",
    "pending_submission",
    "submitted",
    "active",
    "consumed",
    "expired",
    "failed",
    "cancelled",
    "blocked",
)

#: How far back a mandate's payments are read before a debit. Lower than 60 days: a payment that is still failing and
#: being retried by GoCardless could be missed. Higher: more pages for each debit.
PAYMENTS_WINDOW_DAYS: Final = 60


def evolve_event(state: State, event: Event) -> Touched:
    """One of GoCardless's mandate events."""
    data: events.GcEvent = event.data
    key = data.links.get("mandate", "")
    if not key:
        return ()
    held = state.mandates.get(key) or Mandate(key)
    status = STATUS.get(data.action, "") or held.status
    newer = (event.happened_at, _rank(status)) > (held.status_at, _rank(held.status))
    state.mandates[key] = replace(
        held,
        status=status if newer else held.status,
        status_at=event.happened_at if newer else held.status_at,
        new_mandate=data.links.get("new_mandate", held.new_mandate),
    )
    return (("mandates", key),)


def _rank(status: str) -> int:
    return _RANK.index(status) if status in _RANK else 0


def evolve_read(state: State, event: Event) -> Touched:
    """A mandate as GoCardless holds it now."""
    data: events.MandateRead = event.data
    held = state.mandates.get(data.id) or Mandate(data.id)
    state.mandates[data.id] = replace(
        held,
        status=data.status,
        status_at=max(held.status_at, event.learned_at),
        scheme=data.scheme,
        currency=SCHEME_CURRENCY.get(data.scheme, ""),
        payer=data.customer,
        reference=data.reference,
        new_mandate=data.new_mandate or held.new_mandate,
        read=True,
    )
    if data.customer not in state.payers:
        state.payers[data.customer] = Payer(data.customer)
    lists.add(state, refs.list_of("mandates", data.customer), data.id)
    return (("mandates", data.id), *customers.add_reference(state, data.reference, data.customer))


def evolve_payments(state: State, event: Event) -> Touched:
    """A page of a mandate's payments; the last one makes the view of it fresh."""
    data: events.MandatePaymentsRead = event.data
    touched = [one for payment in data.payments for one in payments.fold_read(state, payment)]
    held = state.mandates.get(data.mandate)
    if held is not None and data.complete and data.as_of > held.payments_read_at:
        state.mandates[data.mandate] = replace(held, payments_read_at=data.as_of)
        touched.append(("mandates", data.mandate))
    return tuple(touched)


def decide(draft: Draft, key: str) -> None:
    """Read what is not known; wake the contact, and the invoices that wait for this mandate's payments."""
    mandate = draft.state.mandates[key]
    if not mandate.read:
        purpose = refs.purpose("read_mandate", key)
        draft.ask_once(Ref("mandates", key), purpose, commands.ReadMandate(key), until_cleared=True)
        return
    if mandate.new_mandate and mandate.new_mandate not in draft.state.mandates:
        draft.mark("mandates", mandate.new_mandate, payer=mandate.payer)
        draft.touch("mandates", mandate.new_mandate)
    payer = draft.state.payers.get(mandate.payer)
    if payer is not None:
        if not payer.email and not payer.name:
            customers.read_payer(draft, payer.id)
        draft.touch("contacts", payer.contact)
    if isinstance(draft.event.data, events.MandatePaymentsRead) or mandate.status not in chargeable.CHARGEABLE:
        draft.wake(refs.list_of("viewing", key))


def ask_payments(draft: Draft, mandate: Mandate, invoice: str, since: str) -> None:
    """Ask for a view of the mandate's payments no older than `since`; the invoice is woken when it is there."""
    draft.join(refs.list_of("viewing", mandate.id), invoice)
    if mandate.payments_asked_at >= since:
        return
    draft.mark("mandates", mandate.id, payments_asked_at=draft.at)
    day = times.add_days(draft.at[:10], -PAYMENTS_WINDOW_DAYS)
    draft.command(
        Ref("mandates", mandate.id),
        refs.purpose("view_mandate", mandate.id),
        commands.ReadMandatePayments(mandate.id, f"{day}T00:00:00.000Z"),
        priority=commands.PRIORITY_DEBIT,
    )


def ask_again(draft: Draft, mandate: Mandate) -> Mandate:
    """The view of the mandate's payments was waited for too long: whoever needs one asks, unless it is still under
    way.
    """
    if not draft.is_under_way(refs.purpose("view_mandate", mandate.id)):
        draft.mark("mandates", mandate.id, payments_asked_at="")
    return draft.state.mandates[mandate.id]


def on_outcome(draft: Draft, about: Ref, row: CommandRow, outcome: events.Outcome) -> None:
    """A read of a mandate, or of its payments, ended."""
    key = about.key
    if outcome.end == "succeeded":
        draft.close("read_refused", about)
        return
    if row.type == "gocardless.read_mandate_payments":
        draft.mark("mandates", key, payments_asked_at="")
    draft.open("read_refused", about, what=f"mandate {key}", reason=outcome.reason, id=row.id)
