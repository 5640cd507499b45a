"""A rebuild: all projections anew from the log, in memory, then written as a whole; and the comparison of two stores.

```
with Rebuild(store, "core", "events", now) as rebuild:   the tables are emptied; whoever used the store is fenced off
    rebuild.prepare(events)                                     per chunk of the log
    for partition, offset, event, decision in …:
        if rebuild.known(event) or rebuild.frozen(event.connection, offset): continue
        state = rebuild.state(event.connection)                 evolve, apply the recorded decision
        rebuild.record(partition, offset, event, decision)
    rebuild.finish({partition: next_offset}, {partition: last_published})
```
Until `finish` the store says that it is being rebuilt, and is refused by whoever opens it.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, Final, Self

import msgspec
import sqlalchemy as sa

from domain.decisions import Decision
from domain.envelope import Event
from domain.state import KINDS, State
from projections.state.batch import Facts, event_digest, known_digests
from projections.state.mappings import RowSource
from projections.store import migrate
from projections.store.rows import CODECS
from projections.store.store import Store
from projections.store.tables import PROJECTIONS, REBUILT, STATE, outbox_positions, positions, quarantine

#: Events between two writes of what is only ever added. Lower: more transactions. Higher: memory, about 1 KiB an event.
_FLUSH_EVENTS: Final = 20_000
#: Rows written by one statement. Higher: memory for their values; lower: more round trips.
_WRITE_ROWS: Final = 10_000
#: Rows read ahead while comparing.
_READ_ROWS: Final = 1_000


class _Remembering(dict[str, Any]):
    """The rows of one kind, in memory, that remember how to take a change back."""

    __slots__ = ("_undo",)

    def __init__(self, undo: list[tuple[dict[str, Any], str, Any]]) -> None:
        super().__init__()
        self._undo = undo

    def __setitem__(self, key: str, row: Any) -> None:
        self._undo.append((self, key, self.get(key)))
        super().__setitem__(key, row)

    def __delitem__(self, key: str) -> None:
        self._undo.append((self, key, self[key]))
        super().__delitem__(key)

    def pop(self, key: str, *default: Any) -> Any:
        """Take a row out; as for any dict."""
        if key in self:
            self._undo.append((self, key, self[key]))
        return super().pop(key, *default)


class Rebuild:
    """A rebuild under way. State is held in memory, for all connections: about 1 KiB a row."""

    def __init__(self, store: Store, stage: str, topic: str, now: str) -> None:
        self._store = store
        self._stage = stage
        self._topic = topic
        self._now = now
        self._source = RowSource(store)
        self._states: dict[str, State] = {}
        self._undo: list[tuple[dict[str, Any], str, Any]] = []
        self._facts = Facts()
        self._processed: set[bytes] = set()
        self._digests: dict[tuple[str, str], bytes] = {}
        with store.write() as connection:
            migrate.lock(connection)
            store.set_meta(connection, "rebuild", "running")
            store.new_generation(connection)
            for table in REBUILT:
                connection.execute(sa.delete(table))
            query = sa.select(quarantine.c.connection, quarantine.c.since_offset)
            self._frozen = {name: int(since) for name, since in connection.execute(query)}
        self._set_aside: list[tuple[Any, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing is undone: an unfinished rebuild is begun again."""
        self._states.clear()

    def prepare(self, events: Sequence[Event]) -> None:
        """Look for the ids of the next chunk among those that are written already."""
        if len(self._facts.ids) >= _FLUSH_EVENTS:
            self._flush()
        self._digests = {(event.connection, event.id): event_digest(event.connection, event.id) for event in events}
        with self._store.read() as connection:
            self._source.begin(connection)
            self._processed.update(known_digests(self._store, self._source, list(self._digests.values())))
            self._source.end()

    def known(self, event: Event) -> bool:
        """Whether this event was processed already. Its chunk must have been prepared."""
        return self._digests[event.connection, event.id] in self._processed

    def frozen(self, connection: str, offset: int) -> bool:
        """Whether a connection is set aside at or before this offset: its event is left for later, as before the
        rebuild.
        """
        since = self._frozen.get(connection)
        return since is not None and offset >= since

    def state(self, connection: str) -> State:
        """The state of one connection, as of the last event recorded."""
        state = self._states.get(connection)
        if state is None:
            mappings: dict[str, MutableMapping[str, Any]] = {kind: _Remembering(self._undo) for kind in KINDS}
            state = self._states[connection] = State(connection, mappings)
        return state

    def record(
        self, partition: int, offset: int, event: Event, decision: Decision | None, *, recorded: bool = True
    ) -> None:
        """Keep what this event changed, and the decision that the log has for it (None: it decided nothing).

        `recorded` False: the log ends before this decision; it was made just now, and is published like any other.
        """
        digest = self._digests[event.connection, event.id]
        self._facts.add(digest, (partition, offset), event, decision, recorded=recorded)
        self._processed.add(digest)
        self._undo.clear()

    def discard(self) -> None:
        """Take back every change of state since the last `record`: the rule that made them raised."""
        for rows, key, before in reversed(self._undo):
            if before is None:
                dict.pop(rows, key, None)
            else:
                dict.__setitem__(rows, key, before)
        self._undo.clear()

    def freeze(self, connection: str, partition: int, offset: int, event_id: str, reason: str) -> None:
        """Set a connection aside at this event, which made a rule raise: it is left for later. `reason` without
        personal data.
        """
        self.discard()
        self._frozen[connection] = offset
        self._set_aside.append((connection, partition, offset, event_id, reason, self._now))

    def _flush(self) -> None:
        with self._store.write() as connection:
            self._store.require_generation(connection)
            self._facts.write(self._store, connection)
        self._facts = Facts()
        self._processed.clear()

    def finish(self, next_offsets: Mapping[int, int], published: Mapping[int, int]) -> None:
        """Write all state, the positions to go on from, and how far decisions are published (by partition). Executors
        stay off until both APIs were polled to their heads.

        Raises:
            StoreFenced: another rebuild was begun meanwhile.

        """
        assert all(offset >= 0 for offset in next_offsets.values()), "a position is an offset"
        self.discard()
        self._flush()
        assert not self._facts.ids, "an event whose id is not written would be decided twice"
        for kind in KINDS:
            for values in self._chunks(kind):
                with self._store.write() as connection:
                    self._store.require_generation(connection)
                    self._store.add(connection, STATE[kind], values)
        with self._store.write() as connection:
            self._store.require_generation(connection)
            for partition, offset in next_offsets.items():
                place = (self._stage, self._topic, partition, offset, self._store.generation, 0)
                connection.exec_driver_sql(self._store.insert(positions), place)
            for partition, offset in published.items():
                connection.exec_driver_sql(self._store.insert(outbox_positions), (partition, offset))
            if self._set_aside:
                self._store.put(connection, quarantine, self._set_aside)
            self._store.require_catch_up(connection, "rebuilt", self._now)
            self._store.set_meta(connection, "rebuild", "")
            assert self._stood(connection) == dict(next_offsets), "the next owner would go on somewhere else"

    def _stood(self, connection: sa.Connection) -> dict[int, int]:
        """Where the next owner of each partition goes on."""
        c = positions.c
        here = sa.and_(c.stage == self._stage, c.topic == self._topic, c.generation == self._store.generation)
        found = connection.execute(sa.select(c.partition, c.next_offset).where(here))
        return {int(partition): int(offset) for partition, offset in found}

    def _chunks(self, kind: str) -> Iterator[list[tuple[Any, ...]]]:
        values = CODECS[kind].values
        chunk: list[tuple[Any, ...]] = []
        for name in sorted(self._states):
            rows = self._states[name].mapping(kind)
            for key in sorted(rows):
                chunk.append(values(name, rows[key]))
                if len(chunk) >= _WRITE_ROWS:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk


class Difference(msgspec.Struct, frozen=True):
    """A row that two stores do not agree on; None where one has no such row."""

    table: str
    key: tuple[Any, ...]
    left: dict[str, Any] | None
    right: dict[str, Any] | None


def compare(left: Store, right: Store, limit: int = 100, tables: Iterable[sa.Table] = PROJECTIONS) -> list[Difference]:
    """Rows of these tables in which two stores differ, by table and key; at most `limit`. Empty: they are the same."""
    found: list[Difference] = []
    with left.read() as left_reader, right.read() as right_reader:
        for table in tables:
            with closing(_rows(left_reader, table)) as ours, closing(_rows(right_reader, table)) as theirs:
                found.extend(islice(_differences(table, ours, theirs), limit - len(found)))
    return found


def _rows(reader: sa.Connection, table: sa.Table) -> Generator[tuple[Any, ...], None, None]:
    query = sa.select(table).order_by(*table.primary_key.columns)
    with reader.execution_options(yield_per=_READ_ROWS).execute(query) as result:
        for row in result:
            yield tuple(row)


def _differences(
    table: sa.Table, left: Iterator[tuple[Any, ...]], right: Iterator[tuple[Any, ...]]
) -> Iterator[Difference]:
    """Walk both in the order of their keys."""
    names = [column.name for column in table.columns]
    places = [names.index(column.name) for column in table.primary_key.columns]

    def key_of(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple([row[place] for place in places])

    def of(key: tuple[Any, ...], one: tuple[Any, ...] | None, other: tuple[Any, ...] | None) -> Difference:
        shown = [None if row is None else dict(zip(names, row, strict=True)) for row in (one, other)]
        return Difference(table.name, key, *shown)

    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if one is not None and one == other:
            one, other = next(left, None), next(right, None)
        elif other is None or (one is not None and key_of(one) < key_of(other)):
            assert one is not None
            yield of(key_of(one), one, None)
            one = next(left, None)
        elif one is None or key_of(other) < key_of(one):
            yield of(key_of(other), None, other)
            other = next(right, None)
        else:
            yield of(key_of(one), one, other)
            one, other = next(left, None), next(right, None)
