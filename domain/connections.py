"""The connection itself: what the first-run check found, whether a person has opened the gate, the policy in force, the
daily tick.
"""

from msgspec.structs import replace

from domain import ceilings, commands, customers, events, ledger, refs, times
from domain.draft import Draft
from domain.envelope import Event, Touched
from domain.refs import Ref
from domain.state import CommandRow, ConnectionRow, State
from domain.vocabulary import Environment, narrowed


def _put(state: State, row: ConnectionRow) -> Touched:
    state.connections[row.id] = row
    return (("connections", row.id),)


def evolve_checked(state: State, event: Event) -> Touched:
    """What the check found, and the facts about both sides."""
    data: events.ConnectionChecked = event.data
    return _put(
        state,
        replace(
            state.own,
            environment=narrowed(data.environment, Environment, ""),
            organization_id=data.organization_id,
            base_currency=data.base_currency,
            time_zone=data.time_zone,
            creditor=data.creditor,
            creditor_bank_accounts=data.creditor_bank_accounts,
            rates={**state.own.rates, **data.rates},
            checked_at=event.happened_at,
            undecided=tuple(finding.code for finding in data.findings if finding.level == "decide"),
            stops=tuple(finding.code for finding in data.findings if finding.level == "stop"),
        ),
    )


def evolve_gate_opened(state: State, event: Event) -> Touched:
    """A person opens the gate: it opens only when the check found nothing that stops, and each of its decisions was
    accepted.
    """
    own = state.own
    data: events.GateOpened = event.data
    if refusal(own, data) == "":
        own = replace(own, gate="open", undecided=(), collect_from=data.collect_from or own.collect_from)
        if data.first_count is not None and data.first_minor is not None:
            own = replace(
                own, accepted_at=event.happened_at, accepted_count=data.first_count, accepted_minor=data.first_minor
            )
    return _put(state, own)


def refusal(own: ConnectionRow, data: events.GateOpened) -> str:
    """Why the gate stays closed, "" when nothing holds it."""
    if own.gate == "open":
        return ""
    if not own.checked_at:
        return "the first-run check has not been run"
    if own.policy is None:
        return "no policy is set"
    if own.stops:
        return f"the check found {', '.join(own.stops)}"
    missing = [code for code in own.undecided if code not in data.accepted]
    return f"not yet accepted: {', '.join(missing)}" if missing else ""


def evolve_gate_closed(state: State, event: Event) -> Touched:
    """A person stops collection."""
    del event
    return _put(state, replace(state.own, gate="closed"))


def evolve_policy(state: State, event: Event) -> Touched:
    """A policy comes into force when its version is higher than the one held."""
    data: events.PolicySet = event.data
    own = state.own
    if own.policy is None or data.policy.version > own.policy.version:
        own = replace(own, policy=data.policy)
    return _put(state, own)


def evolve_currencies(state: State, event: Event) -> Touched:
    """Exchange rates of the organisation, as just read."""
    data: events.CurrenciesRead = event.data
    own = state.own
    if all(own.rates.get(code) == rate for code, rate in data.rates.items()):
        return ()
    return _put(state, replace(own, rates={**own.rates, **data.rates}))


def evolve_head(state: State, event: Event) -> Touched:
    """A list of an API was read to its end; the first time counts."""
    data: events.HeadReached = event.data
    own = state.own
    if data.kind in own.heads:
        return ()
    return _put(state, replace(own, heads={**own.heads, data.kind: data.as_of}))


def evolve_day_accepted(state: State, event: Event) -> Touched:
    """A person lets all debits of a day pass."""
    data: events.DayAccepted = event.data
    row = state.debit_days.get(ceilings.day_key(data.day, data.currency))
    if row is None or row.accepted:
        return ()
    state.debit_days[row.id] = replace(row, accepted=True)
    return (("connections", state.own.id),)


def evolve_time(state: State, event: Event) -> Touched:
    """A person vouches for the clock."""
    data: events.TimeAccepted = event.data
    return _put(state, replace(state.own, time_accepted=data.until))


def evolve_day(state: State, event: Event) -> Touched:
    """A new day of the organisation began. What is no day, or one that nowhere on earth had begun by then, changes
    nothing.
    """
    data: events.DayBegan = event.data
    own = state.own
    try:
        possible = times.believable_day(data.day) == data.day <= times.add_days(event.learned_at[:10], 1)
    except times.TimeError:
        possible = False
    return _put(state, replace(own, today=data.day)) if possible and data.day > own.today else ()


def decide(draft: Draft, key: str) -> None:
    """What the connection needs: a refusal explained; a sweep after opening and every day, by which whatever waits is
    looked at again.
    """
    own = draft.state.own
    data = draft.event.data
    if isinstance(data, events.GateOpened):
        reason = refusal(own, data)
        if reason:
            draft.open("gate_refused", Ref("connections", key), reason=reason)
        else:
            draft.close("gate_refused", Ref("connections", key))
            _post_opening(draft, own)
            ask_sweep(draft)
    elif isinstance(data, events.DayBegan) and own.gate == "open":
        ask_sweep(draft)
    elif isinstance(data, events.DayAccepted):
        draft.close("day_over_limit", Ref("debit_days", ceilings.day_key(data.day, data.currency)))
        ask_sweep(draft)
    elif isinstance(data, events.HeadReached) and customers.judged(draft.state):
        draft.wake(customers.UNMATCHED)
    elif isinstance(data, events.PolicySet) and own.policy is not None:
        if data.policy != own.policy:
            draft.open(
                "policy_ignored", Ref("connections", key), got=str(data.policy.version), wanted=str(own.policy.version)
            )
            return
        draft.wake(customers.UNMATCHED)
        if own.gate == "open":  # what a ceiling holds may pass under the new one
            ask_sweep(draft)


def _post_opening(draft: Draft, own: ConnectionRow) -> None:
    """The opening clearing balance that finance states, once: what was confirmed before `books_from` and is not paid
    out yet.
    """
    if own.opening_posted:
        return
    policy = draft.state.policy
    date = policy.books_from or times.local_day(draft.at, own.time_zone)
    for currency, amount in sorted(policy.opening_clearing_minor.items()):
        lines = [
            ledger.debit(ledger.CLEARING, amount, currency, item="opening", name="opening balance"),
            ledger.credit(ledger.OPENING, amount, currency),
        ]
        draft.entry(date, "opening clearing balance", Ref("connections", own.id), lines)
    draft.mark("connections", own.id, opening_posted=True)


def ask_sweep(draft: Draft) -> None:
    """Ask for a read of all open invoices, unless one is under way."""
    key, purpose = draft.state.connection, refs.purpose("sweep")
    asked_at = draft.state.own.sweep_asked_at
    if asked_at > draft.state.own.open_listed_at or asked_at == draft.at or draft.is_under_way(purpose):
        return
    draft.mark("connections", key, sweep_asked_at=draft.at)
    draft.command(Ref("connections", key), purpose, commands.ListOpenInvoices(), priority=commands.PRIORITY_DEBIT)


def on_outcome(draft: Draft, about: Ref, row: CommandRow, outcome: events.Outcome) -> None:
    """The sweep ended. A failed one frees the way for the next, and is shown."""
    if outcome.end == "succeeded":
        draft.close("read_refused", about)
    else:
        draft.mark("connections", about.key, sweep_asked_at="")
        draft.open("read_refused", about, what="the open invoices", reason=outcome.reason, id=row.id)
