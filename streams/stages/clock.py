"""Clock: decided due times and the daily tick become events when they are reached, each once.

It refuses to go on when the clock jumps by more than a bound, or disagrees with the APIs' `Date` headers, until a person vouches for it
(design rule 13): a machine that wakes up in another year must not send a year's debits.
"""

from datetime import timedelta
from typing import Final

from domain import events, ids, times
from domain.envelope import Event
from domain.state import ConnectionRow
from projections.queries import Queries
from streams import failpoints
from streams.stages.shop import Shop

#: Days without a tick that are believed. Lower than a long weekend and a holiday: a small company's machine would need a person too often.
#: Higher: a wrong clock sends that many days' debits.
MAX_JUMP_DAYS: Final = 10

#: Seconds by which an API's clock may differ. Lower: a slow network looks like a wrong clock. Higher: OAuth and send hours drift.
MAX_SKEW_S: Final = 300

#: Due times told in one turn. Lower: more appends in the morning. Higher: one long append holds up the rest.
_BATCH: Final = 1_000


class ClockStage:
    """Tells the log what time it is, as far as anything waits for it."""

    name: Final = "clock"

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._queries = Queries(shop.store)
        self._told: set[tuple[str, str, str]] = set()
        self._days: dict[str, str] = {}
        self.refusals: dict[str, str] = {}

    async def turn(self) -> str | None:
        """Tell what is due; the next instant at which something is."""
        now = self._shop.clock.now()
        rows = {row.id: row for row in self._queries.connections() if row.id in self._shop.connections and self._is_ours(row.id)}
        self.refusals = {key: why for key, row in rows.items() if (why := self._refusal(row, now))}
        self._shop.metrics.clock_refused.set(bool(self.refusals))
        found = self._ticks(rows, now)
        due = self._queries.due_timers(now, rows.keys() - self.refusals.keys(), _BATCH)
        self._told &= {(connection, row.id, row.at) for connection, row in due}
        for connection, row in due:
            key = (connection, row.id, row.at)
            if key not in self._told:
                found.append(self._event(connection, "clock.due_reached", events.DueReached(row.id, row.at), row.id, row.at))
                self._told.add(key)
        if found:
            failpoints.hit("clock.before_append")
            await self._shop.tell(*found)
            failpoints.hit("clock.after_append")
        return self._next(rows, now)

    def _is_ours(self, connection: str) -> bool:
        return self._shop.owns(self._shop.log.partition_for(self._shop.topics.events.name, connection.encode()))

    def _refusal(self, row: ConnectionRow, now: str) -> str:
        if now <= row.time_accepted:
            return ""
        skew = max((abs(self._shop.skews.get(f"{row.id}/{api}", 0.0)) for api in ("gocardless", "zoho")), default=0.0)
        if skew > MAX_SKEW_S:
            return f"this machine's clock and an API's differ by {skew:.0f} s: correct the clock, or accept it"
        if row.today:
            jump = times.day(times.local_day(now, row.time_zone)) - times.day(row.today)
            if jump > timedelta(days=MAX_JUMP_DAYS):
                return f"the clock is {jump.days} days past the last day worked on: check it, then accept it"
        return ""

    def _ticks(self, rows: dict[str, ConnectionRow], now: str) -> list[Event]:
        found = []
        for key, row in rows.items():
            day = times.local_day(now, row.time_zone)
            if row.checked_at and day > row.today and key not in self.refusals and self._days.get(key) != day:
                found.append(self._event(key, "clock.day_began", events.DayBegan(day), "day", day))
                self._days[key] = day
        return found

    def _event(self, connection: str, type_: str, data: events.Data, timer: str, at: str) -> Event:
        now = self._shop.clock.now()
        happened = at if "T" in at else now
        return Event(ids.clock_id(connection, timer, at), type_, connection, happened, now, "clock", data)

    def _next(self, rows: dict[str, ConnectionRow], now: str) -> str | None:
        midnights = [times.local_instant(times.add_days(times.local_day(now, row.time_zone), 1), 0, row.time_zone) for row in rows.values()]
        timer = self._queries.next_timer(now)
        return min([*midnights, timer] if timer is not None else midnights, default=None)
