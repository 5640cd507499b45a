"""The routing table: which room folds a fact, and which rules look again.

`evolve` folds one event and names the rows it touched; `decide` runs the rules of those rows, and of the rows they
touch in turn, until all are at rest; `apply` folds a recorded decision instead. All three are total: an event that
makes no sense in the present state gives a discrepancy or nothing, never an exception (an exception here is a fault of
ours, and sets the connection aside).
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from domain import (
    attempts,
    bookings,
    ceilings,
    connections,
    customers,
    events,
    invoices,
    mandates,
    payments,
    payouts,
    publications,
    purposes,
    refs,
)
from domain.commands import writes
from domain.decisions import Decision
from domain.draft import Draft, apply
from domain.envelope import Event, Touched, UnknownData
from domain.refs import ListName, Ref, RefKind
from domain.state import CommandRow, State
from domain.vocabulary import RuleKind

#: Resources of GoCardless whose events change nothing here. They are known, so nobody is told; any other unknown one is
#: shown.
QUIET_RESOURCES: Final = frozenset(
    {
        "creditors",
        "customers",
        "exports",
        "instalment_schedules",
        "organisations",
        "outbound_payments",
        "payer_authorisations",
        "payment_account_transactions",
        "payment_account_transaction",
        "scheme_identifiers",
        "subscriptions",
    }
)


def _evolve_outcome(state: State, event: Event) -> Touched:
    """How a command ended. Success with a resource beats every other outcome, in any order; a second resource is a
    conflict.
    """
    data: events.Outcome = event.data
    held = state.commands.get(data.command)
    if held is None:
        return ()
    if held.status == "succeeded":
        differs = (
            data.end == "succeeded" and data.resource_id and held.resource_id and data.resource_id != held.resource_id
        )
        return (("conflicts", data.command),) if differs else ()
    if held.status != "open" and data.end != "succeeded":
        return ()
    given_up = data.end == "parked" and not writes(held.type)
    superseded = given_up and not purposes.is_last(state, held.purpose, held.id)
    state.commands[held.id] = replace(
        held,
        status="superseded" if superseded else data.end,
        resource_id=data.resource_id,
        reason=data.reason,
        message=data.message,
        ended_at=event.learned_at,
    )
    before, after = (attempts.surely_not_made(row) for row in (held, state.commands[held.id]))
    if held.type == "gocardless.create_payment" and before != after:
        ceilings.recount(state, held, -1 if after else 1)
    return (("outcomes", data.command),)


def _evolve_due(state: State, event: Event) -> Touched:
    """A due time was reached: its timer is gone, its row looks again."""
    data: events.DueReached = event.data
    held = state.timers.get(data.timer)
    if held is None or held.at != data.at:
        return ()
    del state.timers[data.timer]
    about = refs.ruled(held.about)
    return (about,) if about is not None else ()


def _evolve_replay(state: State, event: Event) -> Touched:
    data: events.ReplayRequested = event.data
    return (("replays", data.item),) if data.item in state.commands else ()


def _evolve_closed(state: State, event: Event) -> Touched:
    data: events.DiscrepancyClosed = event.data
    return (("closings", data.discrepancy),) if data.discrepancy in state.discrepancies else ()


def _evolve_parked(state: State, event: Event) -> Touched:
    del state
    data: events.DeliveryParked = event.data
    return (("parked", data.delivery),)


_EVOLVE: Final[dict[str, Callable[[State, Event], Touched]]] = {
    "gocardless.payment_read": payments.evolve_read,
    "gocardless.mandate_payments_read": mandates.evolve_payments,
    "gocardless.mandate_read": mandates.evolve_read,
    "gocardless.payer_read": customers.evolve_payer,
    "gocardless.billing_request_read": customers.evolve_billing_request,
    "gocardless.flow_read": customers.evolve_flow,
    "gocardless.payout_read": payouts.evolve_read,
    "gocardless.payout_items_read": payouts.evolve_items,
    "zoho.invoice_seen": invoices.evolve_facts,
    "zoho.invoice_read": invoices.evolve_facts,
    "zoho.invoice_notified": invoices.evolve_facts,
    "zoho.invoice_gone": invoices.evolve_gone,
    "zoho.invoices_listed": invoices.evolve_listed,
    "zoho.contact_seen": customers.evolve_contact,
    "zoho.contact_read": customers.evolve_contact,
    "zoho.contact_notified": customers.evolve_contact,
    "zoho.customer_payment_read": invoices.evolve_applied,
    "zoho.currencies_read": connections.evolve_currencies,
    "command.outcome": _evolve_outcome,
    "connection.checked": connections.evolve_checked,
    "operator.gate_opened": connections.evolve_gate_opened,
    "operator.gate_closed": connections.evolve_gate_closed,
    "operator.match_approved": customers.evolve_match,
    "operator.invoice_released": invoices.evolve_released,
    "operator.replay_requested": _evolve_replay,
    "operator.discrepancy_closed": _evolve_closed,
    "operator.time_accepted": connections.evolve_time,
    "operator.day_accepted": connections.evolve_day_accepted,
    "policy.set": connections.evolve_policy,
    "poll.head_reached": connections.evolve_head,
    "clock.due_reached": _evolve_due,
    "clock.day_began": connections.evolve_day,
    "delivery.parked": _evolve_parked,
}

_EVOLVE_RESOURCE: Final[dict[str, Callable[[State, Event], Touched]]] = {
    "payments": payments.evolve_event,
    "mandates": mandates.evolve_event,
    "payouts": payouts.evolve_event,
    "billing_requests": customers.evolve_billing_request,
}

_KNOWN_ACTIONS: Final[dict[str, frozenset[str]]] = {
    "payments": frozenset(payments.ACTIONS),
    "mandates": frozenset(mandates.STATUS),
    "payouts": frozenset({"paid", "fx_rate_confirmed", "tax_exchange_rates_confirmed"}),
}


def evolve(state: State, event: Event) -> Touched:
    """Fold one event into the state; the rows whose rules must look again."""
    data = event.data
    if isinstance(data, UnknownData):
        return (("unknown", event.type),)
    if isinstance(data, events.GcEvent):
        fold = _EVOLVE_RESOURCE.get(data.resource_type)
        known = _KNOWN_ACTIONS.get(data.resource_type)
        if fold is None:
            return () if data.resource_type in QUIET_RESOURCES else (("unknown", event.type),)
        touched = fold(state, event)
        return touched if known is None or data.action in known else (*touched, ("unknown", event.type))
    found = _EVOLVE.get(event.type)
    return found(state, event) if found is not None else (("unknown", event.type),)


def _decide_outcome(draft: Draft, key: str) -> None:
    row = draft.state.commands[key]
    about = Ref.parse(row.about)
    if about is None:
        return
    handler = _OUTCOMES.get(about.kind)
    if handler is not None:
        handler(draft, about, row, draft.event.data)
    if draft.event.data.reason == "duplicate":
        draft.open("duplicate_found", about, command=row.type, got=draft.event.data.resource_id)


def _on_read(draft: Draft, about: Ref, row: CommandRow, outcome: events.Outcome) -> None:
    if outcome.end == "succeeded":
        draft.close("read_refused", about)
    else:
        draft.open("read_refused", about, what=about.key, reason=outcome.reason, id=row.id)


_OUTCOMES: Final[dict[RefKind, Callable[[Draft, Ref, CommandRow, events.Outcome], None]]] = {
    "connections": connections.on_outcome,
    "contacts": customers.on_outcome,
    "payers": _on_read,
    "billing_requests": _on_read,
    "mandates": mandates.on_outcome,
    "invoices": invoices.on_outcome,
    "payments": payments.on_outcome,
    "bookings": bookings.on_outcome,
    "payouts": payouts.on_outcome,
}


def _decide_conflict(draft: Draft, key: str) -> None:
    row = draft.state.commands[key]
    outcome: events.Outcome = draft.event.data
    draft.open("two_resources", Ref("commands", key), command=row.type, got=outcome.resource_id, wanted=row.resource_id)


def _decide_replay(draft: Draft, key: str) -> None:
    row = draft.state.commands[key]
    if row.status not in {"parked", "refused"}:
        return
    draft.resend(key)
    if row.type == "gocardless.create_payment":
        invoices.on_replay(draft, refs.split(row.about)[1], row)


def _decide_closing(draft: Draft, key: str) -> None:
    draft.close_id(key)
    row = draft.state.discrepancies[key]
    about = refs.ruled(row.about)
    if about is not None and about[1] in draft.state.mapping(about[0]):
        draft.touch(*about)


def _decide_parked(draft: Draft, key: str) -> None:
    data: events.DeliveryParked = draft.event.data
    draft.open("delivery_parked", Ref("deliveries", key), where=data.where or "the whole", reason=data.reason, id=key)


def _decide_list(draft: Draft, key: str) -> None:
    draft.wake_next(ListName(key))


def _decide_crowded(draft: Draft, key: str) -> None:
    draft.open("facts_left_out", Ref("payments", key), payment=key, count=str(payments.MAX_FACTS))


def _decide_unknown(draft: Draft, key: str) -> None:
    draft.open("not_understood", Ref("types", key), type=key)


_DECIDE: Final[dict[RuleKind, Callable[[Draft, str], None]]] = {
    "connections": connections.decide,
    "contacts": customers.decide,
    "contact_ties": customers.decide_tie,
    "billing_requests": customers.decide_billing_request,
    "mandates": mandates.decide,
    "invoices": invoices.decide,
    "invoice_ties": invoices.decide_tie,
    "payments": payments.decide,
    "payouts": payouts.decide,
    "lists": _decide_list,
    "crowded_payments": _decide_crowded,
    "outcomes": _decide_outcome,
    "conflicts": _decide_conflict,
    "replays": _decide_replay,
    "closings": _decide_closing,
    "parked": _decide_parked,
    "unknown": _decide_unknown,
}


def decide(state: State, event: Event, touched: Touched) -> Decision:
    """Run the rules of the touched rows until all are at rest. What is decided is in the state already when this
    returns.
    """
    draft = Draft(state, event)
    for kind, key in touched:
        draft.touch(kind, key)
    while (item := draft.take()) is not None:
        kind, key = item
        rule = _DECIDE.get(kind)
        if rule is not None:
            rule(draft, key)
    publications.discrepancies(draft)
    return draft.decision()


def step(state: State, event: Event) -> Decision:
    """Fold one event and decide: what a live worker does."""
    return decide(state, event, evolve(state, event))


def restep(state: State, event: Event, recorded: Decision | None) -> None:
    """Fold one event and take the recorded decision (None: nothing was decided): what a rebuild does."""
    evolve(state, event)
    if recorded is not None:
        apply(state, recorded)
