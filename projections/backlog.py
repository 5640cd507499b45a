"""Backlog: how much waits in the store, and for how long. For a scrape every few seconds, so nothing here reads a table
as a whole.

| figure | read by | at most |
|---|---|---|
| commands that wait | `ix_command_queue_due`, which holds only those, by due time | `LIMIT` rows of an API |
| commands being called | `ix_command_queue_sent`, which holds only those | `LIMIT` rows |
| commands that wait for publication | `ix_command_queue_waiting`, which holds only those | `LIMIT` rows |
| decisions to publish | the outbox' key; the relay empties it | `LIMIT` rows |
| polls, connections set aside, APIs to catch up with | whole tables, of a few rows for each connection | `LIMIT` rows |

A count that reaches the limit says 10,000 and means "or more".
"""

from collections.abc import Collection
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa

from domain import times
from domain.vocabulary import APIS
from projections.store.store import Store
from projections.store.tables import catch_ups, command_queue, outbox, polls, quarantine

#: Rows of one figure. Lower: a burst looks smaller than it is. Higher: a scrape reads more of the store.
LIMIT: Final = 10_000

State = Literal["waiting_publication", "ready", "unknown", "sent"]
STATES: Final[tuple[State, ...]] = ("waiting_publication", "ready", "unknown", "sent")


class Backlog(msgspec.Struct, frozen=True):
    """What waits. `queue`: commands by (API, state); `queue_overdue_s`: by API, how long ago its oldest due command was
    due, 0 for none; `polls_overdue_s`: the same by list; `set_aside`: connections; `catch_ups`: pairs of connection and
    API.
    """

    outbox: int
    queue: dict[tuple[str, State], int]
    queue_overdue_s: dict[str, float]
    polls_overdue_s: dict[str, float]
    set_aside: int
    catch_ups: int


def read(store: Store, connections: Collection[str], now: str) -> Backlog:
    """Read them, as of `now`. Commands and polls of other connections than `connections` wait for nobody and are left
    out.

    Raises:
        StoreError: the store cannot be read.

    """
    with store.read() as reader:
        queue: dict[tuple[str, State], int] = {(api, state): 0 for api in APIS for state in STATES}
        overdue: dict[str, float] = dict.fromkeys(APIS, 0.0)
        for api in APIS:
            for connection, state, count, due_at in reader.execute(_WAITING, {"api": api}):
                if connection in connections:
                    queue[api, state] = min(queue[api, state] + count, LIMIT)
                    overdue[api] = max(overdue[api], _since(due_at, now))
        for state, query in _IN_STATE.items():
            for connection, api, count in reader.execute(query):
                if connection in connections:
                    queue[api, state] = min(queue[api, state] + count, LIMIT)
        return Backlog(
            _count(reader, outbox.c.partition),
            queue,
            overdue,
            _polls_overdue(reader, connections, now),
            _count(reader, quarantine.c.connection),
            _count(reader, catch_ups.c.connection),
        )


def _since(due_at: str, now: str) -> float:
    return max((times.parse(now) - times.parse(due_at)).total_seconds(), 0.0)


def _polls_overdue(reader: sa.Connection, connections: Collection[str], now: str) -> dict[str, float]:
    overdue: dict[str, float] = {}
    for connection, kind, due_at in reader.execute(_POLLS):
        if connection in connections:
            overdue[kind] = max(overdue.get(kind, 0.0), _since(due_at, now) if due_at else 0.0)
    return overdue


def _count(reader: sa.Connection, column: sa.Column[Any]) -> int:
    rows = sa.select(column).limit(LIMIT).subquery()
    return int(reader.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one())


def _waiting() -> sa.Select[Any]:
    """What waits for one API, that due first first: by connection and state, how many and since when."""
    c = command_queue.c
    first = (
        sa.select(c.connection, c.state, c.due_at)
        .where(c.api == sa.bindparam("api"), c.due_at.is_not(None))
        .order_by(c.due_at)
        .limit(LIMIT)
        .subquery()
    )
    return sa.select(first.c.connection, first.c.state, sa.func.count(), sa.func.min(first.c.due_at)).group_by(
        first.c.connection, first.c.state
    )


def _in_state(state: State) -> sa.Select[Any]:
    """Commands of a state that has an index of its own, by connection and API. It is a literal: by it the databases
    know that index.
    """
    c = command_queue.c
    found = sa.select(c.connection, c.api).where(c.state == sa.literal_column(f"'{state}'")).limit(LIMIT).subquery()
    return sa.select(found.c.connection, found.c.api, sa.func.count()).group_by(found.c.connection, found.c.api)


_WAITING: Final = _waiting()
_IN_STATE: Final[dict[State, sa.Select[Any]]] = {
    "sent": _in_state("sent"),
    "waiting_publication": _in_state("waiting_publication"),
}
_POLLS: Final = sa.select(polls.c.connection, polls.c.kind, polls.c.due_at).limit(LIMIT)
