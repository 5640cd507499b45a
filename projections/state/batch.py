"""A batch: consecutive events of one partition, decided in order and committed together with the position.

```
own = take(store, "core", "events", 3)              on assignment: a new owner epoch; `own.position`: where to resume
with own.batch(own.position) as batch:
    batch.prepare(events)                           one look for all ids, one read per kind for the rows they name
    for offset, event in …:
        if batch.known(event): continue
        state = batch.state(event.connection)
        …evolve, decide…                            changes go to memory
        batch.record(offset, event, decision)       keeps them; `batch.discard()` takes back what came after the last
    batch.commit(next_offset)                       compare-and-set, then everything, in one transaction
```
Leaving the `with` without a commit drops all of it. Reads need no transaction: only the owner writes these rows, and
the compare-and-set on (generation, owner epoch, position) proves at the commit that this was so.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, Final

import sqlalchemy as sa

from domain.codec import encode_decision
from domain.decisions import Decision
from domain.envelope import Event
from domain.events import Outcome
from domain.state import State
from projections.state.mappings import RowSource, StateOverRows, take_back
from projections.state.prefetch import prefetch
from projections.store.direct import SqlConnection
from projections.store.errors import StoreFenced
from projections.store.rows import CODECS
from projections.store.select_in import among, chunks
from projections.store.store import Store
from projections.store.tables import STATE, event_ids, ledger_entries, ledger_lines, outbox, positions, quarantine
from projections.work import queue

#: Rows used lately that a partition keeps, in each of two generations. Lower: rows are read and decoded again. Higher:
#: memory, about 1 KiB a row, per partition.
CACHED_ROWS: Final = 10_000

_DIGEST_BYTES: Final = 16


def event_digest(connection: str, event_id: str) -> bytes:
    """The key under which an event is known as processed: short, and as good as the id."""
    return blake2b(f"{connection}\x1f{event_id}".encode(), digest_size=_DIGEST_BYTES).digest()


def known_digests(store: Store, source: RowSource, digests: list[bytes]) -> Iterator[bytes]:
    """Those of these events that the store knows as processed."""
    for sql, parameters in _known_of(store, digests):
        for row in source.run(sql, parameters):
            yield bytes(row[0])


def _known_of(store: Store, digests: list[bytes]) -> list[tuple[str, tuple[Any, ...]]]:
    return [
        (store.sql(f"known {size}", partial(_known, store, size)), tuple(parameters))
        for size, parameters in chunks(store, digests)
    ]


def processed(store: Store, connection: str, ids: Iterable[str]) -> set[str]:
    """Those of these event ids that the store has processed: what a poll need not bring again."""
    named = {event_digest(connection, event_id): event_id for event_id in ids}
    return {named[bytes(row[0])] for row in store.rows_of(_known_of(store, list(named)))}


class Facts:
    """Rows that are only ever added: event ids, journal, outbox, queue. Collected while deciding, written at the
    commit.
    """

    def __init__(self) -> None:
        self.ids: list[tuple[bytes, int]] = []
        self.entries: list[tuple[Any, ...]] = []
        self.lines: list[tuple[Any, ...]] = []
        self.outbox: list[tuple[Any, ...]] = []
        self.commands: list[tuple[Any, ...]] = []
        self.resends: list[tuple[Any, ...]] = []
        self.endings: list[tuple[Any, ...]] = []
        self.due = False
        """Whether anything is due at once, without being published first."""

    def add(
        self,
        digest: bytes,
        place: tuple[int, int],
        event: Event,
        decision: Decision | None,
        *,
        encoded: bytes = b"",
        recorded: bool = False,
    ) -> None:
        """What one event and its decision leave behind. `place` is (partition, offset) of the event; `encoded` the
        decision as it goes into the log, where the caller has it. A decision that is `recorded` in the log already is
        not published again, and its commands may have been sent.
        """
        partition, offset = place
        self.ids.append((digest, offset))
        if type(event.data) is Outcome:
            self.endings.append(queue.ending(event.connection, event.data))
        if decision is None or decision.empty:
            return
        connection = event.connection
        if decision.event != event.id or decision.connection != connection:
            raise ValueError(f"the decision of event {decision.event} was handed over with event {event.id}")
        if not recorded:
            self.outbox.append((partition, offset, event.id, connection, encoded or encode_decision(decision)))
        elif decision.commands or decision.resends:
            self.due = True
        if decision.entries:
            self.journal(offset, decision)
        for command in decision.commands:
            self.commands.append(queue.row(command, connection, decision.at, place, recorded=recorded))
            if command.supersedes:
                self.endings.append(queue.superseding(connection, command))
        for command_id in decision.resends:
            self.resends.append(queue.resending(command_id, connection, decision.at, place, recorded=recorded))

    def journal(self, offset: int, decision: Decision) -> None:
        """The ledger entries of a decision."""
        connection = decision.connection
        for number, entry in enumerate(decision.entries):
            self.entries.append(
                (
                    connection,
                    offset,
                    number,
                    entry.id,
                    entry.date,
                    entry.text,
                    entry.about,
                    decision.event,
                    decision.at,
                    decision.rules,
                    decision.policy,
                )
            )
            for place, line in enumerate(entry.lines):
                self.lines.append(
                    (
                        connection,
                        offset,
                        number,
                        place,
                        entry.date,
                        line.account,
                        line.currency,
                        line.amount_minor,
                        line.item,
                        line.item_name,
                    )
                )

    def write(self, store: Store, connection: SqlConnection) -> None:
        """Write all of it, in a write transaction."""
        self.ids.sort()  # neighbours share pages of the tree: a third less work
        for table, rows in (
            (event_ids, self.ids),
            (ledger_entries, self.entries),
            (ledger_lines, self.lines),
            (outbox, self.outbox),
        ):
            if rows:
                store.add(connection, table, rows)
        queue.write(store, connection, self.commands, self.resends, self.endings)
        if self.due:
            queue.wake_executors(store, connection)


class OwnedPartition:
    """One partition that this process owns for a stage. `position` is where the next batch must begin. Made by
    `take`.
    """

    def __init__(self, store: Store, stage: str, topic: str, partition: int, *, epoch: int, position: int) -> None:
        self.store = store
        self.stage = stage
        self.topic = topic
        self.partition = partition
        self.epoch = epoch
        self.position = position
        self.generation = store.generation
        self.source = RowSource(store)
        self.states: dict[str, StateOverRows] = {}
        self.frozen: dict[str, int] = {}
        """Connections that are set aside, and the offset of the first event of each that was not processed."""

    @property
    def where(self) -> str:
        """For messages: "core events/3 at 4711"."""
        return f"{self.stage} {self.topic}/{self.partition} at {self.position}"

    @contextlib.contextmanager
    def batch(self, first_offset: int) -> Iterator["Batch"]:
        """A batch that begins at this offset; dropped unless it is committed.

        Raises:
            StoreFenced: it does not begin where the store's position is.

        """
        if first_offset != self.position:
            raise StoreFenced(
                f"a batch begins at {first_offset}", self.where, "seek to the stored position and read again"
            )
        with self.store.connection() as connection:
            batch = Batch(self, connection)
            try:
                self.source.begin(connection)
                yield batch
            finally:
                self.source.end()
                batch.drop()
        self._age()

    def clear(self) -> None:
        """Forget what was read: somebody else may have written since."""
        self.states.clear()

    def carry_over(self) -> None:
        """Go on in the generation that this process has just begun, which raised the epoch of every position."""
        self.generation = self.store.generation
        self.epoch += 1
        self.clear()

    def _age(self) -> None:
        used = sum(state.cached for state in self.states.values())
        if used > CACHED_ROWS:
            self.states = {name: state for name, state in self.states.items() if state.age()}


class Batch:
    """Consecutive events of one partition. Made by `OwnedPartition.batch`."""

    def __init__(self, owned: OwnedPartition, connection: SqlConnection) -> None:
        self._own = owned
        self._store = owned.store
        self._connection = connection
        self._facts = Facts()
        self._digests: dict[tuple[str, str], bytes] = {}
        self._processed: set[bytes] = set()
        self._looked_up: set[bytes] = set()
        self._used: dict[str, StateOverRows] = {}
        self._frozen: dict[str, tuple[Any, ...]] = {}
        self._released: set[str] = set()
        self._ended = False

    # --- before deciding ---

    def known_ids(self, connection: str, ids: Iterable[str]) -> set[str]:
        """Which of these event ids were processed already, in an earlier batch or in this one."""
        named = {event_digest(connection, event_id): event_id for event_id in ids}
        self._look_up(list(named))
        return {event_id for digest, event_id in named.items() if digest in self._processed}

    def _look_up(self, digests: list[bytes]) -> None:
        unread = [digest for digest in digests if digest not in self._looked_up]
        self._processed.update(known_digests(self._store, self._own.source, unread))
        self._looked_up.update(unread)

    def _digest(self, event: Event) -> bytes:
        digest = self._digests.get((event.connection, event.id))
        if digest is None:
            digest = self._digests[event.connection, event.id] = event_digest(event.connection, event.id)
        return digest

    def known(self, event: Event) -> bool:
        """Whether this event was processed already. Costs a query unless the batch was prepared with it."""
        digest = self._digest(event)
        if digest not in self._looked_up:
            self._look_up([digest])
        return digest in self._processed

    def prepare(self, events: Sequence[Event]) -> None:
        """Look for all ids at once, and read the rows that the events name with one query per kind and connection."""
        self._look_up(list(dict.fromkeys(self._digest(event) for event in events)))
        prefetch(events, self.rows)

    def state(self, connection: str) -> State:
        """The state of one connection, as of the last event recorded."""
        return self.rows(connection).state

    def rows(self, connection: str) -> StateOverRows:
        """The rows that the state of one connection lies in."""
        over = self._used.get(connection)
        if over is None:
            over = self._own.states.get(connection)
            if over is None:
                over = self._own.states[connection] = StateOverRows(connection, self._own.source)
            self._used[connection] = over
        return over

    # --- deciding ---

    def record(
        self,
        offset: int,
        event: Event,
        decision: Decision | None = None,
        *,
        encoded: bytes = b"",
        recorded: bool = False,
    ) -> None:
        """Keep what this event changed, and what was decided. An empty decision leaves only the event's id. `encoded`:
        as in `Facts.add`.

        `recorded`: the decision was read from the log (a store that was restored catches up): it is not published
        again, and its commands count as unknown.

        Raises `ValueError` when the event is known already, or the decision is another event's.
        """
        digest = self._digest(event)
        if digest in self._processed:
            raise ValueError(f"event {event.id} was recorded before")
        self._facts.add(digest, (self._own.partition, offset), event, decision, encoded=encoded, recorded=recorded)
        self._looked_up.add(digest)
        self._processed.add(digest)
        self._own.source.undo.clear()

    def discard(self) -> None:
        """Take back every change of state since the last `record`: the rule that made them raised."""
        take_back(self._own.source.undo)

    def freeze(self, connection: str, offset: int, event_id: str, reason: str, now: str) -> None:
        """Set a connection aside at this event, discarding what the event changed: its position stays here while the
        partition goes on. `reason` without personal data.
        """
        self.discard()
        self._frozen[connection] = (connection, self._own.partition, offset, event_id, reason, now)
        self._released.discard(connection)

    def release(self, connection: str) -> None:
        """A connection that was set aside has caught up with its partition."""
        self._frozen.pop(connection, None)
        self._released.add(connection)

    def frozen(self, connection: str) -> bool:
        """Whether a connection is set aside, be it in this batch: then its events are left for later."""
        return connection in self._frozen or (connection in self._own.frozen and connection not in self._released)

    # --- commit ---

    def commit(self, next_offset: int) -> None:
        """Write all of it, with the position, in one transaction. `next_offset` may equal the begin (a set-aside
        connection catches up).

        Raises:
            StoreFenced: the position, epoch or generation is not the one held: another owner writes. Nothing was
            written. StoreUnavailable: nothing was written, or the next commit finds itself fenced.

        """
        own = self._own
        assert all(offset < next_offset for _, offset in self._facts.ids), "an event past the position would be lost"
        if self._ended:
            raise RuntimeError("a batch is committed once")
        self._ended = True
        if next_offset < own.position:
            raise ValueError(f"a position never goes back: {next_offset} is before {own.position}")
        self.discard()
        own.source.end()
        try:
            with self._store.direct_write(self._connection) as connection:
                self._compare_and_set(connection, next_offset)
                self._write(connection)
        except BaseException:
            own.clear()
            raise
        for over in self._used.values():
            for mapping in over.mappings.values():
                if mapping.changed:
                    mapping.keep()
                assert not mapping.changed, "a change that is not in the database would count as what it has"
        own.position = next_offset
        own.frozen.update((name, row[2]) for name, row in self._frozen.items())
        for name in self._released:
            own.frozen.pop(name, None)
        self._used = {}

    def _compare_and_set(self, connection: SqlConnection, next_offset: int) -> None:
        own = self._own
        sql = self._store.sql(
            "advance", _advance, ("next", "stage", "topic", "partition", "epoch", "generation", "begin")
        )
        done = connection.exec_driver_sql(
            sql, (next_offset, own.stage, own.topic, own.partition, own.epoch, own.generation, own.position)
        )
        if done.rowcount != 1:
            raise StoreFenced(
                "another owner has taken this partition", own.where, "drop what was read, and take it anew"
            )

    def _write(self, connection: SqlConnection) -> None:
        write: dict[str, list[tuple[Any, ...]]] = {}
        delete: dict[str, list[tuple[str, str]]] = {}
        for name, over in self._used.items():
            for kind, mapping in over.mappings.items():
                if mapping.changed:
                    rows, keys = mapping.differences()
                    values = CODECS[kind].values
                    write.setdefault(kind, []).extend([values(name, row) for row in rows])
                    delete.setdefault(kind, []).extend((name, key) for key in keys)
        for kind, values_of_rows in write.items():
            if values_of_rows:
                values_of_rows.sort()  # as above: neighbours share pages
                self._store.put(connection, STATE[kind], values_of_rows)
        for kind, keys_of_rows in delete.items():
            if keys_of_rows:
                connection.exec_driver_sql(self._store.sql(f"delete {kind}", partial(_delete, kind)), keys_of_rows)
        self._facts.write(self._store, connection)
        if self._frozen:
            self._store.put(connection, quarantine, list(self._frozen.values()))
        if self._released:
            connection.exec_driver_sql(
                self._store.sql("release", _release), [(name,) for name in sorted(self._released)]
            )
            queue.wake_executors(self._store, connection)

    def drop(self) -> None:
        """Forget what was not committed; the cache stays as the database is."""
        self._own.source.undo.clear()
        for over in self._used.values():
            for mapping in over.mappings.values():
                mapping.forget()
        self._used = {}


def take(store: Store, stage: str, topic: str, partition: int, *, start: int = 0) -> OwnedPartition:
    """Own a partition for a stage: earlier owners are fenced off. `start` is the position when the store knows none.

    Raises:
        StoreFenced: the store was rebuilt or restored by another process.

    """
    assert start >= 0, "a partition begins at 0"
    with store.write() as connection:
        store.require_generation(connection)
        # One statement: of two that take a partition nobody had before, one is first.
        place = (stage, topic, partition, start, store.generation, 1)
        connection.exec_driver_sql(
            store.sql("take", partial(_take, store), [column.name for column in positions.columns]), place
        )
        taken = store.sql("taken", _taken, ("stage", "topic", "partition"))
        epoch, position = connection.exec_driver_sql(taken, (stage, topic, partition)).one()
        own = OwnedPartition(store, stage, topic, partition, epoch=int(epoch), position=int(position))
        frozen = sa.select(quarantine.c.connection, quarantine.c.since_offset).where(
            quarantine.c.partition == partition
        )
        own.frozen.update((name, int(since)) for name, since in connection.execute(frozen))
    assert own.epoch > 0, "an owner without an epoch would be fenced off by nobody"
    assert own.position >= 0, "a position is an offset"
    return own


def _take(store: Store) -> sa.ClauseElement:
    insert = store.insert_of(positions)
    raised = {"owner_epoch": positions.c.owner_epoch + sa.literal_column("1"), "generation": insert.excluded.generation}
    made: sa.ClauseElement = insert.on_conflict_do_update(
        index_elements=list(positions.primary_key.columns), set_=raised
    )
    return made


def _here() -> list[sa.ColumnElement[bool]]:
    return [positions.c[name] == sa.bindparam(name) for name in ("stage", "topic", "partition")]


def _taken() -> sa.ClauseElement:
    return sa.select(positions.c.owner_epoch, positions.c.next_offset).where(*_here())


def _known(store: Store, size: int) -> sa.ClauseElement:
    return sa.select(event_ids.c.digest).where(among(store, event_ids.c.digest, size))


def _advance() -> sa.ClauseElement:
    held = {"owner_epoch": "epoch", "generation": "generation", "next_offset": "begin"}
    unchanged = [positions.c[name] == sa.bindparam(parameter) for name, parameter in held.items()]
    return sa.update(positions).values(next_offset=sa.bindparam("next")).where(*_here(), *unchanged)


def _delete(kind: str) -> sa.ClauseElement:
    table = STATE[kind]
    return sa.delete(table).where(table.c.connection == sa.bindparam("connection"), table.c.id == sa.bindparam("key"))


def _release() -> sa.ClauseElement:
    return sa.delete(quarantine).where(quarantine.c.connection == sa.bindparam("connection"))


__all__ = ["CACHED_ROWS", "Batch", "Facts", "OwnedPartition", "event_digest", "known_digests", "processed", "take"]
