"""Dry run: everything decided afresh by the present rules, in memory, beside what the log has recorded. Nothing is
written.

It answers, before an upgrade touches anything: which events would this version have decided otherwise? A first
difference may lead to others: what follows is decided over what this version would have made of it.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from domain import codec, routing
from domain.decisions import Decision
from domain.envelope import Event
from domain.state import State
from projections.state.batch import event_digest
from streams.gc_pause import without_collector
from streams.log.interface import Log
from streams.log.topics import Topics
from streams.operate.replay import Decisions, Progress, decision_of, events_of, no_progress

#: Parts of a decision that are compared, and how each item of one is named. The version of the rules differs by design.
_PARTS: Final[dict[str, Callable[[Any], str]]] = {
    "commands": lambda one: f"{one.type} {one.about} attempt {one.attempt}",
    "resends": str,
    "entries": lambda one: (
        f"{one.date} {one.text}: {sum(line.amount_minor for line in one.lines if line.amount_minor > 0)}"
    ),
    "opened": lambda one: one.id,
    "closed": str,
    "timers": lambda one: f"{one.id} at {one.at or 'never'}",
    "marks": lambda one: (
        f"{one.kind}:{one.key} {', '.join(f'{name}={value}' for name, value in sorted(one.changes.items()))}"
    ),
    "publications": lambda one: f"{one.topic} {one.key}",
}

#: Items of one part that are shown. Lower: the one that differs may be hidden. Higher: a sweep of a thousand invoices
#: fills the screen.
_SHOWN: Final = 20


class Part(msgspec.Struct, frozen=True):
    """One part of a decision that differs: what only the log has, and what only this version decides."""

    part: str
    recorded: list[str]
    afresh: list[str]


class Differs(msgspec.Struct, frozen=True):
    """An event that this version decides otherwise; `raised` names the error of a rule that raised instead."""

    connection: str
    partition: int
    offset: int
    event: str
    type: str
    parts: list[Part]
    raised: str = ""


class DryRun(msgspec.Struct, frozen=True):
    """`compared`: events with their decision, or with none; `beyond`: events after the last recorded decision, which
    decide afresh anyway. `differing` counts all; `differences` are the first of them.
    """

    events: int
    compared: int
    beyond: int
    differing: int
    differences: list[Differs]


class _Run:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.states: dict[str, State] = {}
        self.known: set[bytes] = set()
        self.stopped: set[str] = set()
        self.events = self.compared = self.beyond = self.differing = 0
        self.differences: list[Differs] = []

    def see(self, partition: int, offset: int, event: Event, decisions: Decisions) -> None:
        self.events += 1
        digest = event_digest(event.connection, event.id)
        if digest in self.known or event.connection in self.stopped:
            return
        self.known.add(digest)
        state = self.states.setdefault(event.connection, State(event.connection))
        try:
            afresh = routing.step(state, event)
        except Exception as fault:  # noqa: BLE001 - that a rule of this version raises is what a dry run is to find
            self.stopped.add(event.connection)
            self._note(Differs(event.connection, partition, offset, event.id, event.type, [], type(fault).__name__))
            return
        if offset > decisions.last:
            self.beyond += 1
            return
        self.compared += 1
        value = decisions.take(offset)
        if value is None:
            if not afresh.empty:
                self._compare(partition, offset, event, Decision(event.id, event.connection, event.learned_at), afresh)
        elif codec.encode_decision(afresh) != value:
            self._compare(partition, offset, event, decision_of(value, event, offset), afresh)

    def _compare(self, partition: int, offset: int, event: Event, recorded: Decision, afresh: Decision) -> None:
        parts = [
            found
            for part, name in _PARTS.items()
            if (found := _part(part, name, getattr(recorded, part), getattr(afresh, part)))
        ]
        if parts:
            self._note(Differs(event.connection, partition, offset, event.id, event.type, parts))

    def _note(self, found: Differs) -> None:
        self.differing += 1
        if len(self.differences) < self.limit:
            self.differences.append(found)


def _part(part: str, name: Callable[[Any], str], recorded: list[Any], afresh: list[Any]) -> Part | None:
    if recorded == afresh:
        return None
    missing = [name(one) for one in recorded if one not in afresh]
    added = [name(one) for one in afresh if one not in recorded]
    if not missing and not added:
        return Part(part, ["the same, in another order"], [])
    return Part(part, missing[:_SHOWN], added[:_SHOWN])


def dry_run(log: Log, topics: Topics, *, limit: int = 100, progress: Progress = no_progress) -> DryRun:
    """Decide the whole log afresh and compare. State is held in memory, about 1 KiB a row. A connection one of whose
    events makes a rule raise is followed no further.
    """
    run = _Run(limit)
    with without_collector():
        for partition in range(topics.partitions):
            decisions = Decisions(log, topics, partition)
            for chunk in events_of(log, topics, partition):
                for offset, event in chunk:
                    run.see(partition, offset, event, decisions)
                progress(len(chunk))
    return DryRun(run.events, run.compared, run.beyond, run.differing, run.differences)
