"""Oracles of how we run: nobody set aside, nothing left to catch up with, polls in time, calls within the day's
budget.
"""

from collections.abc import Iterator

from domain import times
from domain.refs import Ref
from streams.simulation.oracles import truth
from streams.simulation.oracles.breach import Breach
from streams.simulation.oracles.evidence import Evidence
from streams.stages.poller import KINDS


def set_aside(evidence: Evidence) -> Iterator[Breach]:
    """No rule has raised."""
    for one in evidence.set_aside:
        words = f"set aside at event {one.event} (offset {one.since_offset}) since {one.frozen_at}: {one.reason}"
        yield Breach("set_aside", evidence.connection, f"events:{one.event}", words)


def catch_up(evidence: Evidence) -> Iterator[Breach]:
    """Each API has been polled to its head since the store was made anew."""
    for one in evidence.catch_ups:
        words = f"{one.api} is still to be caught up with: {one.reason} at {one.required_at}"
        yield Breach("catch_up", evidence.connection, f"api {one.api}", words)


def poll_late(evidence: Evidence) -> Iterator[Breach]:
    """Each list was walked to its head within twice its interval."""
    walked = {one.kind: one for one in evidence.polls}
    for kind in (name for kinds in KINDS.values() for name in kinds):
        every_s = int(getattr(evidence.settings.polling, kind.replace(".", "_") + "_s"))
        head_at = walked[kind].head_at if kind in walked else ""
        if not head_at or truth.minutes_apart(head_at, evidence.now) * 60 > 2 * every_s:
            words = f"it is to be walked every {every_s} s; last walked {head_at or 'never'}, now it is {evidence.now}"
            yield Breach("poll_late", evidence.connection, f"polls:{kind}", words)


def calls_over_budget(evidence: Evidence) -> Iterator[Breach]:
    """No day has seen more calls than the API allows us."""
    for (api, day), count in sorted(evidence.calls_a_day.items()):
        if count > evidence.day_limits[api]:
            words = f"{count} calls on {day}; the day allows {evidence.day_limits[api]}"
            yield Breach("calls_over_budget", evidence.connection, f"api {api}", words)


def timer_past(evidence: Evidence) -> Iterator[Breach]:
    """Each due time is to come: what was reached is an event, and gone."""
    early = truth.before(evidence, truth.GRACE_S)
    for row in evidence.state.timers.values():
        if row.at < early:
            words = f"it was reached at {row.at}, and {row.about} has not looked again"
            yield Breach("timer_past", evidence.connection, str(Ref("timers", row.id)), words)


def future_instant(evidence: Evidence) -> Iterator[Breach]:
    """What says when something was read, or done, lies in the past."""
    now = times.normalise(evidence.now)
    instants = [(f"polls:{one.kind}", one.head_at) for one in evidence.polls]
    instants += [(str(Ref("invoices", one.id)), one.as_of) for one in evidence.state.invoices.values()]
    instants += [(str(Ref("mandates", one.id)), one.payments_read_at) for one in evidence.state.mandates.values()]
    instants += [
        (str(Ref("commands", one.id)), max(one.asked_at, one.ended_at)) for one in evidence.state.commands.values()
    ]
    instants += [("connections", evidence.state.own.open_listed_at), ("connections", evidence.state.own.sweep_asked_at)]
    for about, at in instants:
        if at and times.normalise(at) > now:
            yield Breach("future_instant", evidence.connection, about, f"it says {at}; now it is {evidence.now}")
