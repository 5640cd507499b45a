"""Clock: decided due times and the daily tick become events when they are reached, each once.

It refuses to go on when the clock jumps by more than a bound, or disagrees with the APIs' `Date` headers, until a
person vouches for it (design rule 13): a machine that wakes up in another year must not send a year's debits.
"""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from domain import events, ids, times
from domain.envelope import Event
from domain.state import ConnectionRow
from projections.queries import Queries
from streams import failpoints
from streams.stages.context import StageContext

#: Days without a tick that are believed. Lower than a long weekend and a holiday: a small company's machine would need
#: a person too often. Higher: a wrong clock sends that many days' debits.
MAX_JUMP_DAYS: Final = 10

#: Seconds by which an API's clock may differ. Lower: a slow network looks like a wrong clock. Higher: OAuth and send
#: hours drift.
MAX_SKEW_S: Final = 300

#: Seconds until a turn is made anew when the next due time cannot be told. Lower: idle turns. Higher: due times are
#: told later.
_AGAIN_S: Final = 60

#: Due times told in one turn. Lower: more appends in the morning. Higher: one long append holds up the rest.
_BATCH: Final = 1_000


class ClockStage:
    """Tells the log what time it is, as far as anything waits for it."""

    name: Final = "clock"

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._queries = Queries(context.store)
        self._told: set[tuple[str, str, str]] = set()
        self._days: dict[str, str] = {}
        self.refusals: dict[str, str] = {}

    async def turn(self) -> str | None:
        """Tell what is due; the next instant at which something is."""
        now = self._context.clock.now()
        before, self.refusals = self.refusals, {}
        rows = self._rows()
        found: list[Event] = []
        midnights: list[str] = []
        for key, row in rows.items():
            with self._guard(key, before):
                midnights.append(
                    times.local_instant(times.add_days(times.local_day(now, row.time_zone), 1), 0, row.time_zone)
                )
                if why := self._refusal(row, now):
                    self.refusals[key] = why
                else:
                    found += self._ticks(row, now)
        found += self._due(rows, now, before)
        following = self._next_timer(rows, now, before)
        self._context.metrics.clock_refused.set(bool(self.refusals))
        if found:
            failpoints.hit("clock.before_append")
            await self._context.tell(*found)
            failpoints.hit("clock.after_append")
        return min([*midnights, *following], default=None)

    @contextlib.contextmanager
    def _guard(self, connection: str, before: Mapping[str, str]) -> Iterator[None]:
        """Whatever a connection's own state makes us raise inside is a refusal of that connection, and stops no
        other.
        """
        try:
            yield
        except Exception as fault:  # noqa: BLE001 - any fault at all: the clock of all the others must go on
            kind = type(fault).__name__
            why = (
                f"what is stored of it cannot be worked with ({kind}): run `zoho-gocardless rebuild`, and report it if"
                " that does not help"
            )
            known = why in (before.get(connection), self.refusals.get(connection))
            self.refusals[connection] = why
            if not known:
                self._context.metrics.clock_faults.inc()
                self._context.journal.error("clock.connection_refused", connection=connection, error=kind)

    def _rows(self) -> dict[str, ConnectionRow]:
        """The connections of the settings that are ours to keep time for."""
        return {
            row.id: row
            for row in self._queries.connections()
            if row.id in self._context.connections and self._is_ours(row.id)
        }

    def _is_ours(self, connection: str) -> bool:
        return self._context.owns(
            self._context.log.partition_for(self._context.topics.events.name, connection.encode())
        )

    def _refusal(self, row: ConnectionRow, now: str) -> str:
        if now <= row.time_accepted:
            return ""
        skew = max(
            (abs(self._context.skews.get(f"{row.id}/{api}", 0.0)) for api in ("gocardless", "zoho")), default=0.0
        )
        if skew > MAX_SKEW_S:
            return f"this machine's clock and an API's differ by {skew:.0f} s: correct the clock, or accept it"
        if row.today:
            jump = times.day(times.local_day(now, row.time_zone)) - times.day(row.today)
            if jump > timedelta(days=MAX_JUMP_DAYS):
                return f"the clock is {jump.days} days past the last day worked on: check it, then accept it"
        return ""

    def _ticks(self, row: ConnectionRow, now: str) -> list[Event]:
        day = times.local_day(now, row.time_zone)
        if not row.checked_at or day <= row.today or self._days.get(row.id) == day:
            return []
        event = self._event(row.id, "clock.day_began", events.DayBegan(day), "day", day)
        self._days[row.id] = day
        return [event]

    def _due(self, rows: Mapping[str, ConnectionRow], now: str, before: Mapping[str, str]) -> list[Event]:
        """What is due and was not told yet. A connection with a timer that is none is left out, so that it takes no
        place of another's.
        """
        while True:
            due = self._queries.due_timers(now, rows.keys() - self.refusals.keys(), _BATCH)
            made: dict[tuple[str, str, str], Event] = {}
            for connection, row in due:
                with self._guard(connection, before):
                    times.parse(row.at)
                    data = events.DueReached(row.id, row.at)
                    made[(connection, row.id, row.at)] = self._event(
                        connection, "clock.due_reached", data, row.id, row.at
                    )
            if len(made) == len(due):
                break
        new = [event for key, event in made.items() if key not in self._told]
        self._told = set(made)
        return new

    def _event(self, connection: str, type_: str, data: events.Data, timer: str, at: str) -> Event:
        now = self._context.clock.now()
        happened = at if "T" in at else now
        return Event(ids.clock_id(connection, timer, at), type_, connection, happened, now, "clock", data)

    def _next_timer(self, rows: Mapping[str, ConnectionRow], now: str, before: Mapping[str, str]) -> list[str]:
        """The next decided due time, if any; soon, when that is no instant, since it hides those after it."""
        at = self._queries.next_timer(now)
        if at is None:
            return []
        try:
            times.parse(at)
        except times.TimeError:
            for connection in rows:
                with self._guard(connection, before):
                    for _, row in self._queries.due_timers(at, [connection], _BATCH):
                        times.parse(row.at)
            return [times.add_seconds(now, _AGAIN_S)]
        return [at]
