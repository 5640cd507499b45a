"""The queue of commands: what is to be sent, when, how far each is. Rows only; sending is a stage of `streams`.

```
waiting_publication ──published──► ready ──intent──► sent ──► answered ──► done | parked      (by its outcome event)
                                     ▲  ▲              │                        │
                                     │  └─ retry_at ───┤                        └──resend──► waiting_publication
                                     └──── unknown ◄───┴── nobody knows: look up first
```
`done` and `parked` are set with the core's commit, by the outcome event; everything else by the executor. A late answer
of an earlier call never moves a command backwards.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa

from domain.commands import PRIORITY_DEBIT, PRIORITY_MONEY, PRIORITY_READ, PRIORITY_SWEEP, Command
from domain.events import Outcome
from projections.store.direct import SqlConnection
from projections.store.select_in import among, chunks, literals
from projections.store.store import Store
from projections.store.tables import catch_ups, command_queue, quarantine
from projections.store.wakeups import NAMES
from projections.work import leases
from projections.work.leases import Lease

_PRIORITIES: Final = (PRIORITY_DEBIT, PRIORITY_MONEY, PRIORITY_READ, PRIORITY_SWEEP)
_READS: Final = (PRIORITY_READ, PRIORITY_SWEEP)

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_decode: Final = msgspec.json.Decoder(Command).decode

QueueState = Literal["waiting_publication", "ready", "sent", "unknown", "answered", "done", "parked"]


#: States of a command that is sent or looked up at its due time.
_WAITS: Final[frozenset[QueueState]] = frozenset({"ready", "unknown"})


class Queued(msgspec.Struct, frozen=True):
    """A command in the queue. `state` "unknown" (or `calls` above zero, for a write): look up before sending. `due_at`
    "" while nothing is to be done; `deadline_at`: the hard deadline of the last call begun.
    """

    connection: str
    command: Command
    state: QueueState
    due_at: str
    asked_at: str
    deadline_at: str
    calls: int
    attempts: int
    last_error: str


class Queue:
    """The executor's view of the queue. Each method that writes is one durable transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def claim(self, now: str, connection: str, api: str, limit: int) -> list[Queued]:
        """What may be sent or looked up at `now`, by priority, then due time; at most `limit`. Nothing is changed.

        Empty while the connection must catch up with this API; without debits and other money while it is set aside.
        """
        sql = self._store.sql
        found: list[Queued] = []
        with self._store.direct_read() as reader:
            behind = sql("queue behind", _behind, ("connection", "api"))
            if reader.exec_driver_sql(behind, (connection, api)).first():
                return []
            frozen = reader.exec_driver_sql(sql("queue frozen", _frozen, ("connection",)), (connection,)).first()
            # One exact range of the index per priority: commands that wait for later are never walked over.
            for priority in _READS if frozen else _PRIORITIES:
                if len(found) < limit:
                    claimable = sql(f"queue claim {limit}", partial(_claimable, limit), _CLAIM_ORDER)
                    rows = reader.exec_driver_sql(claimable, (connection, api, now, priority))
                    found.extend(_queued(row) for row in rows)
        return found[:limit]

    def due_connections(self, now: str, api: str) -> list[str]:
        """Connections with something to send or look up at `now`; the one that waits longest first."""
        sql = self._store.sql("queue due connections", _due_connections, ("api", "now"))
        return [str(row[0]) for row in self._store.rows(sql, (api, now))]

    def begun(self, api: str) -> list[str]:
        """Connections with calls that were begun and have not ended: under way, or left behind by a process that died.
        No due time tells of these.
        """
        sql = self._store.sql("queue begun", _begun, ("api",))
        return [str(row[0]) for row in self._store.rows(sql, (api,))]

    def next_due(self, api: str, after: str) -> str | None:
        """The earliest instant after `after` at which something may be sent to this API or looked up; None when nothing
        waits.
        """
        sql = self._store.sql("queue next due", _next_due, ("api", "after"))
        due: str | None = self._store.rows(sql, (api, after))[0][0]
        return due

    def record_intents(self, lease: Lease, now: str, deadline_at: str, claims: list[Queued]) -> list[Queued]:
        """Commit, before any byte is sent, that these are about to be called until `deadline_at`: those that may be,
        with their call counted. One that changed since it was claimed is left out.

        `now` is the caller's instant, by which due times count; the lease is held to its own clock.

        Raises:
            LeaseLost: the lease is another's now, or has lapsed. Nothing was written.
            StoreFenced: the store was rebuilt. Nothing was written.

        """
        granted: list[Queued] = []
        assert all(claim.state in _WAITS for claim in claims), "only what waits is called"
        assert deadline_at >= now, "a call whose deadline is over could not be told from one that a dead process began"
        intent = self._store.sql("queue intent", _intent, _INTENT_ORDER)
        with self._store.direct_write() as connection:
            self._store.require_generation(connection)
            leases.require(self._store, connection, lease, now)
            hold(self._store, connection, [(claim.connection, claim.command.id) for claim in claims])
            for claim in claims:
                unchanged = (claim.connection, claim.command.id, claim.state, claim.calls, now)
                calls = claim.calls + 1
                if connection.exec_driver_sql(intent, (deadline_at, calls, *unchanged)).rowcount:
                    sent = {"state": "sent", "due_at": "", "calls": calls, "deadline_at": deadline_at}
                    granted.append(msgspec.structs.replace(claim, **sent))
        return granted

    def answered(self, connection: str, command_id: str, call: int) -> bool:
        """The answer of this call is in the log. False: the command has moved on meanwhile."""
        return self._after_call(connection, command_id, call, "answered", None)

    def retry_at(
        self, connection: str, command_id: str, call: int, due_at: str, error: str, *, counted: bool = True
    ) -> bool:
        """The call had no effect for certain (refused connection, 429): again at `due_at`. `error` without personal
        data. `counted`: as an attempt of this command; not where the whole API would let nothing in.
        """
        return self._after_call(connection, command_id, call, "ready", due_at, error, counted=counted)

    def goes_on(self, connection: str, command_id: str, call: int, due_at: str, *, state: str) -> bool:
        """A walk over pages has come as far as the budget reaches, and goes on at `due_at`; no attempt is spent.
        `state`: "ready", or "unknown" where it is a look-up.
        """
        return self._after_call(connection, command_id, call, state, due_at, "")

    def unknown(
        self, connection: str, command_id: str, call: int, due_at: str, error: str, *, counted: bool = True
    ) -> bool:
        """Nobody knows whether the call had an effect: look up at `due_at`. `error` and `counted` as for `retry_at`."""
        return self._after_call(connection, command_id, call, "unknown", due_at, error, counted=counted)

    def abandoned(self, lease: Lease, now: str, due_at: str) -> int:
        """A new owner's first act: what the former one had begun counts as unknown, to be looked up at `due_at` (once
        its deadlines and the settle time have passed, counted from the acquisition). Returns how many; what had not
        been begun does not wait.

        Raises:
            LeaseLost: the lease is another's now, or has lapsed.

        """
        assert due_at, "a look-up that is due at no instant never comes"
        here = (lease.connection, lease.api)
        begun = self._store.sql("queue begun by", _begun_by, ("connection_", "api_"))
        with self._store.write() as connection:
            self._store.require_generation(connection)
            leases.require(self._store, connection, lease, now)
            rows = connection.exec_driver_sql(begun, here).all()
            hold(self._store, connection, [(name, command) for name, command in rows])
            unknown = self._store.sql("queue abandoned", _abandoned, ("due_at_", "connection_", "api_"))
            count = connection.exec_driver_sql(unknown, (due_at, *here)).rowcount
        assert count == len(rows), "a call that was begun would be forgotten"
        return count

    def get(self, connection: str, command_id: str) -> Queued | None:
        """One command, in whatever state."""
        sql = self._store.sql("queue one", _one, ("connection_", "id_"))
        rows = self._store.rows(sql, (connection, command_id))
        return _queued(rows[0]) if rows else None

    def counts(self) -> dict[tuple[str, str, str], int]:
        """How many commands, by (connection, api, state). Reads all of the queue: for pages and reports."""
        c = command_queue.c
        with self._store.read() as reader:
            rows = reader.execute(
                sa.select(c.connection, c.api, c.state, sa.func.count()).group_by(c.connection, c.api, c.state)
            )
            return {(connection, api, state): int(count) for connection, api, state, count in rows}

    def _after_call(
        self,
        connection: str,
        command_id: str,
        call: int,
        state: str,
        due_at: str | None,
        error: str | None = None,
        *,
        counted: bool = False,
    ) -> bool:
        """`error` None: as it stands. `counted`: as an attempt."""
        assert call > 0, "the intent of a call is counted before it"
        assert (state in _WAITS) == bool(due_at), "what waits has an instant to go on at, no other"
        sql = self._store.sql("queue after call", _after_call, _AFTER_CALL_ORDER)
        values = (state, due_at, int(counted), error, connection, command_id, call)
        return self._store.write_one(sql, values) == 1


def wake_executors(store: Store, connection: SqlConnection) -> None:
    """Wake the executors of every process when this transaction is committed."""
    for name in NAMES:
        store.wake(connection, name)


def _due_connections() -> sa.ClauseElement:
    c = command_queue.c
    return (
        sa.select(c.connection)
        .where(c.api == sa.bindparam("api"), c.due_at <= sa.bindparam("now"))
        .group_by(c.connection)
        .order_by(sa.func.min(c.due_at), c.connection)
    )


def _begun() -> sa.ClauseElement:
    c = command_queue.c
    sent = c.state == sa.literal_column("'sent'")  # a literal: by it the databases know the index of these few rows
    return (
        sa.select(c.connection).where(sent, c.api == sa.bindparam("api")).group_by(c.connection).order_by(c.connection)
    )


def _next_due() -> sa.ClauseElement:
    c = command_queue.c
    return sa.select(sa.func.min(c.due_at)).where(c.api == sa.bindparam("api"), c.due_at > sa.bindparam("after"))


def _behind() -> sa.ClauseElement:
    c = catch_ups.c
    return sa.select(c.api).where(c.connection == sa.bindparam("connection"), c.api == sa.bindparam("api"))


def _frozen() -> sa.ClauseElement:
    return sa.select(quarantine.c.connection).where(quarantine.c.connection == sa.bindparam("connection"))


_CLAIM_ORDER: Final = ("connection", "api", "now", "priority")


def _claimable(limit: int) -> sa.ClauseElement:
    c = command_queue.c
    own = sa.and_(c.connection == sa.bindparam("connection"), c.api == sa.bindparam("api"))
    due = sa.and_(c.due_at <= sa.bindparam("now"), c.priority == sa.bindparam("priority"))
    most, first = literals(limit, 0)
    return sa.select(*_QUEUED).where(own, due).order_by(c.due_at, c.id).limit(most).offset(first)


_INTENT_ORDER: Final = ("deadline_", "calls_", "connection_", "id_", "state_", "before_", "now_")


def _intent() -> sa.ClauseElement:
    c = command_queue.c
    unchanged = sa.and_(c.state == sa.bindparam("state_"), c.calls == sa.bindparam("before_"))
    return (
        sa.update(command_queue)
        .values(
            state=sa.literal_column("'sent'"),
            due_at=sa.null(),
            deadline_at=sa.bindparam("deadline_"),
            calls=sa.bindparam("calls_"),
        )
        .where(*_bound(), unchanged, c.due_at <= sa.bindparam("now_"))
    )


def _is_begun() -> sa.ColumnElement[bool]:
    c = command_queue.c
    own = sa.and_(c.connection == sa.bindparam("connection_"), c.api == sa.bindparam("api_"))
    return sa.and_(own, c.state == sa.literal_column("'sent'"))


def _begun_by() -> sa.ClauseElement:
    return sa.select(command_queue.c.connection, command_queue.c.id).where(_is_begun())


def _abandoned() -> sa.ClauseElement:
    unknown: sa.ColumnElement[str] = sa.literal_column("'unknown'")
    return sa.update(command_queue).values(state=unknown, due_at=sa.bindparam("due_at_")).where(_is_begun())


_AFTER_CALL_ORDER: Final = ("state_", "due_at_", "counted_", "error_", "connection_", "id_", "call_")


def _after_call() -> sa.ClauseElement:
    c = command_queue.c
    return (
        sa.update(command_queue)
        .values(
            state=sa.bindparam("state_"),
            due_at=sa.bindparam("due_at_"),
            attempts=c.attempts + sa.bindparam("counted_"),
            last_error=sa.func.coalesce(sa.bindparam("error_"), c.last_error),
        )
        .where(*_bound(), c.state == sa.literal_column("'sent'"), c.calls == sa.bindparam("call_"))
    )


#: The columns that a `Queued` is made of, in its order.
_QUEUED: Final = [
    *(command_queue.c[name] for name in ("connection", "command", "state", "due_at", "asked_at", "deadline_at")),
    *(command_queue.c[name] for name in ("calls", "attempts", "last_error")),
]


def _one() -> sa.ClauseElement:
    return sa.select(*_QUEUED).where(*_bound())


def _queued(values: Any) -> Queued:
    connection, command, state, due_at, *rest = values
    found = Queued(connection, _decode(command), state, due_at or "", *rest)
    assert (state in _WAITS) == bool(due_at), f"{found.command.id} is {state}, and due at {due_at!r}"
    assert state != "sent" or found.calls > 0, f"{found.command.id} is being called, and no call is counted"
    return found


# --- rows, written by the batch with the decision that caused them ---


def row(command: Command, connection: str, asked_at: str, place: tuple[int, int], *, recorded: bool) -> tuple[Any, ...]:
    """A new command, in the order of the table's columns. `place` is (partition, offset) of its event. One whose
    decision is `recorded` in the log already may have been sent: it is looked up first.
    """
    what = (connection, command.id, command.api, command.type, command.priority)
    progress = (*_entrance(asked_at, recorded=recorded), command.not_after, asked_at, "", 0, 0, "")
    return (*what, *progress, _encode(command).decode(), *place)


def resending(
    command_id: str, connection: str, asked_at: str, place: tuple[int, int], *, recorded: bool
) -> tuple[Any, ...]:
    """A command to be sent again, as `write` wants it; the rest as for `row`."""
    return (*_entrance(asked_at, recorded=recorded), asked_at, *place, connection, command_id)


def _entrance(asked_at: str, *, recorded: bool) -> tuple[str, str | None]:
    return ("unknown", asked_at) if recorded else ("waiting_publication", None)


def ending(connection: str, outcome: Outcome) -> tuple[Any, ...]:
    """An outcome event, as `write` wants it."""
    return ("parked" if outcome.end == "parked" else "done", connection, outcome.command)


def superseding(connection: str, command: Command) -> tuple[Any, ...]:
    """A command that stands for one that was given up, as `write` wants it."""
    return "done", connection, command.supersedes


def write(store: Store, connection: SqlConnection, commands: list[Any], resends: list[Any], endings: list[Any]) -> None:
    """Write new commands, then endings (an outcome may end what an earlier event of the same batch asked for), then
    what is to be sent again: each list of tuples as made by `row`, `ending` and `resending`.
    """
    if commands:
        store.add(connection, command_queue, commands)
    hold(store, connection, [values[-2:] for values in (*endings, *resends)])
    if endings:
        connection.exec_driver_sql(store.sql("queue end", _end, ("state_", "connection_", "id_")), endings)
    if resends:
        connection.exec_driver_sql(store.sql("queue resend", _resend, _RESEND_ORDER), resends)


def hold(store: Store, connection: SqlConnection, keys: Sequence[tuple[str, str]]) -> None:
    """Lock the rows of several (connection, id) before they are written, in their order: two transactions that lock the
    same commands each in an order of its own would wait for each other. SQLite has one writer at a time.
    """
    if store.dialect == "postgresql" and len(keys) > 1:
        connections, ids = zip(*keys, strict=True)
        connection.exec_driver_sql(_HOLD, (list(connections), list(ids)))


_HOLD: Final = (
    "SELECT 1 FROM command_queue"
    " WHERE (connection, id) IN (SELECT * FROM unnest(%b::text[], %b::text[])) ORDER BY connection, id FOR UPDATE"
)


def _bound() -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return command_queue.c.connection == sa.bindparam("connection_"), command_queue.c.id == sa.bindparam("id_")


def _end() -> sa.ClauseElement:
    # A command that is done stays done: success beats a later "gave up".
    return (
        sa.update(command_queue)
        .values(state=sa.bindparam("state_"), due_at=sa.null())
        .where(*_bound(), command_queue.c.state != sa.literal_column("'done'"))
    )


_RESEND_ORDER: Final = ("state_", "due_at_", "asked_at_", "partition_", "offset_", "connection_", "id_")


def _resend() -> sa.ClauseElement:
    return (
        sa.update(command_queue)
        .values(
            partition=sa.bindparam("partition_"),
            event_offset=sa.bindparam("offset_"),
            asked_at=sa.bindparam("asked_at_"),
            state=sa.bindparam("state_"),
            due_at=sa.bindparam("due_at_"),
            attempts=sa.literal_column("0"),
            last_error=sa.literal_column("''"),
        )
        .where(*_bound())
    )


def publish(store: Store, connection: SqlConnection, partition: int, offsets: list[int]) -> int:
    """The decisions of these events of a partition are published: their commands may be sent; one that was called
    before is looked up first. Returns how many.
    """
    if store.dialect == "postgresql":
        waiting = connection.exec_driver_sql(
            store.sql("queue waiting", partial(_waiting, store)), (partition, offsets)
        ).all()
        hold(store, connection, [(name, command) for name, command in waiting])
        if not waiting:
            return 0
    changed = 0
    for size, parameters in chunks(store, offsets):
        sql = store.sql(f"queue publish {size}", partial(_publish, store, size))
        changed += connection.exec_driver_sql(sql, (partition, *parameters)).rowcount
    return changed


def _of_events(store: Store, size: int) -> sa.ColumnElement[bool]:
    c = command_queue.c
    waits = c.state == sa.literal_column("'waiting_publication'")
    return sa.and_(c.partition == sa.bindparam("partition_"), among(store, c.event_offset, size), waits)


def _waiting(store: Store) -> sa.ClauseElement:
    return sa.select(command_queue.c.connection, command_queue.c.id).where(_of_events(store, 2))


def _publish(store: Store, size: int) -> sa.ClauseElement:
    c = command_queue.c
    called = sa.case(
        (c.calls == sa.literal_column("0"), sa.literal_column("'ready'")), else_=sa.literal_column("'unknown'")
    )
    return sa.update(command_queue).values(state=called, due_at=c.asked_at).where(_of_events(store, size))
