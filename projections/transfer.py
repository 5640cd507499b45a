"""A store's rows into another store, whichever databases they are in: for the move to a cluster.

```
with source.write() as ours:                    nobody writes to the source meanwhile
    begin(target, filling)                      emptied; refused by all others from here on
    copy(ours, target, here)                    every table but `meta`
    differences(source, target, here)           row by row, read back
    finish(target, filling, …)                  a new generation of the target's log, which owes a look at both APIs
    mark_moved(ours, source, …)                 the source is refused from here on
arrived(target)                                 the target may be used
```
Whatever ends this in between, it is begun again; a target that was not finished is emptied first.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from projections.state.rebuild import Difference, compare
from projections.store import migrate
from projections.store.errors import StoreFenced
from projections.store.store import Store
from projections.store.tables import command_queue, leases, meta, metadata, outbox, positions

#: Rows of one transaction. Lower: more round trips. Higher: memory, as a row of the outbox or the queue can be large.
_ROWS: Final = 2_000

_FILLING: Final = "filling"
_MOVED: Final = "moved"

#: Every table that is copied. What `meta` says is about one store alone.
TABLES: Final[tuple[sa.Table, ...]] = tuple(table for table in metadata.sorted_tables if table is not meta)
_SAME: Final[tuple[sa.Table, ...]] = tuple(table for table in TABLES if table is not positions)

Progress = Callable[[int], None]
#: The target's name of a topic of the source.
Here = Callable[[str], str]


class Filling(msgspec.Struct, frozen=True):
    """What a target is being filled from (`source`) and for (`incarnation`): incarnations of logs. `whole`: everything
    is in it.
    """

    source: str
    incarnation: str
    whole: bool = False


class Waiting(msgspec.Struct, frozen=True):
    """What was under way: calls that had begun and were not answered, and decisions that were not published."""

    calls: int
    decisions: int


def filling_of(store: Store) -> Filling | None:
    """What a store is being filled from; None when it is not."""
    said = store.get_meta(_FILLING)
    return msgspec.json.decode(said, type=Filling) if said else None


def log_of(store: Store) -> str:
    """The incarnation of the log that a store belongs to, "" for none yet."""
    return store.get_meta("log_incarnation")


def moved_to(store: Store) -> str:
    """Where a store was moved, "" when it was not."""
    return store.get_meta(_MOVED)


def is_empty(store: Store) -> bool:
    """Whether nothing was ever in it."""
    with store.read() as reader:
        if store.get_meta("log_incarnation", reader):
            return False
        return not any(reader.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() for table in TABLES)


def waiting(store: Store) -> Waiting:
    """What is under way in it."""
    begun = sa.select(sa.func.count()).select_from(command_queue).where(command_queue.c.state.in_(("sent", "unknown")))
    with store.read() as reader:
        calls = reader.execute(begun).scalar_one()
        decisions = reader.execute(sa.select(sa.func.count()).select_from(outbox)).scalar_one()
    return Waiting(int(calls), int(decisions))


def begin(target: Store, filling: Filling) -> None:
    """Empty the target; until `arrived` nobody but the move opens it."""
    with target.write() as connection:
        migrate.lock(connection)
        target.require_generation(connection, alone=True)
        target.set_meta(connection, _FILLING, _encoded(filling))
        for table in TABLES:
            connection.execute(sa.delete(table))


def copy(source: sa.Connection, target: Store, here: Here, progress: Progress) -> dict[str, int]:
    """Copy all rows; return how many, by table. `progress` is told after each transaction."""
    counts: dict[str, int] = {}
    for table in TABLES:
        counts[table.name] = 0
        for rows in _chunks(source, table, here):
            with target.write() as connection:
                target.require_generation(connection)
                target.add(connection, table, rows)
            counts[table.name] += len(rows)
            progress(len(rows))
    return counts


def _chunks(source: sa.Connection, table: sa.Table, here: Here) -> Iterator[list[tuple[Any, ...]]]:
    with source.execute(sa.select(table), execution_options={"yield_per": _ROWS}) as result:
        for rows in result.partitions():
            found = [tuple(row) for row in rows]
            yield [_renamed(row, here) for row in found] if table is positions else found


def _renamed(row: tuple[Any, ...], here: Here) -> tuple[Any, ...]:
    stage, topic, *rest = row
    return stage, here(topic), *rest


def differences(source: Store, target: Store, here: Here, limit: int) -> list[Difference]:
    """Rows that are not the same in both, every column of every table; at most `limit`."""
    found = compare(source, target, limit, _SAME)
    with source.read() as ours, target.read() as theirs:
        wanted = {_renamed(tuple(row), here) for row in ours.execute(sa.select(positions))}
        got = {tuple(row) for row in theirs.execute(sa.select(positions))}
    names = [column.name for column in positions.columns]
    for row in sorted(wanted ^ got)[: limit - len(found)]:
        left, right = (dict(zip(names, row, strict=True)) if row in side else None for side in (wanted, got))
        found.append(Difference(positions.name, row[:3], left, right))
    return found


def finish(
    target: Store, filling: Filling, stood: Iterable[tuple[str, str, int, int]], now: str, connections: Iterable[str]
) -> None:
    """Make the copy a store of its own, in one transaction: of the target's log, in a new generation, whose executors
    stay off until both APIs were polled to their heads, with every call that has no final outcome unknown (design rule
    5).

    `stood`: further positions (stage, topic, partition, next offset). `connections` that it may not know yet owe the
    look as well.
    """
    with target.write() as connection:
        migrate.lock(connection)
        target.require_generation(connection, alone=True)
        target.set_meta(connection, "log_incarnation", filling.incarnation)
        places = [(*place, target.generation, 0) for place in stood]
        if places:
            target.put(connection, positions, places)
        # Whoever held them has ended: the lock of its log was the mover's.
        connection.execute(sa.update(leases).values(owner=""))
        target.set_back(connection, "moved", now, connections)
        target.set_meta(connection, _FILLING, _encoded(msgspec.structs.replace(filling, whole=True)))


def mark_moved(connection: sa.Connection, source: Store, destination: str) -> None:
    """From this transaction on the source is refused, with where its rows went."""
    source.set_meta(connection, _MOVED, destination)


def arrived(target: Store, filling: Filling) -> None:
    """Let the target be used. Raises `StoreFenced` when it is not this move's whole copy; may be repeated."""
    with target.write() as connection:
        migrate.lock(connection)
        said = target.get_meta(_FILLING, connection)
        if not said and target.get_meta("log_incarnation", connection) == filling.incarnation:
            return
        if said != _encoded(msgspec.structs.replace(filling, whole=True)):
            raise StoreFenced(
                "another move has taken this store", target.where, "look at what it holds, then move into an empty one"
            )
        target.set_meta(connection, _FILLING, "")


def _encoded(filling: Filling) -> str:
    return msgspec.json.encode(filling).decode()


__all__ = [
    "Filling",
    "Waiting",
    "arrived",
    "begin",
    "copy",
    "differences",
    "filling_of",
    "finish",
    "is_empty",
    "log_of",
    "mark_moved",
    "moved_to",
    "waiting",
]
