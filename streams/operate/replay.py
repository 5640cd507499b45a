"""Replay: the log through the rules in bulk, without Faust and without sending. The rebuild, and its proof.

Recorded decisions are taken as they stand (design rule 3). Of two records for one event the first counts; an event at
or below the highest recorded one, without a record, decided nothing; beyond it the rules decide afresh, and what they
decide goes into the outbox.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import sqlalchemy as sa
import structlog

from adapters.headers import whole
from domain import codec, routing
from domain.decisions import Decision
from domain.envelope import Event
from domain.errors import UndecodableEventError
from projections.state.rebuild import Difference, Rebuild, compare
from projections.store.store import Store, open_store
from projections.store.tables import PROJECTIONS, positions, quarantine
from projections.work.halts import Halts
from projections.work.outbox import Outbox
from streams.gc_pause import without_collector
from streams.log.interface import Log, LogCorrupt, LogError, Record
from streams.log.records import MAX_OFFSET, OFFSET_HEADER, event_offset
from streams.log.topics import Topics
from streams.settings import Settings, group_of
from streams.stages.core import STAGE

#: Records read at once. Lower: more reads of the file. Higher: memory, about 2 KiB a record.
_CHUNK: Final = 10_000

Progress = Callable[[int], None]


class ReplayStopped(LogError):  # noqa: N818 - named as the log's errors are: by the condition
    """A rule of this version raises on an event that an earlier version decided: its recorded decision must not be made
    anew.
    """


class Rebuilt(msgspec.Struct, frozen=True):
    """What a rebuild went through. `recorded`: events whose decision was taken from the log; `derived`: events beyond
    its last decision; `repeated`: records of an event that had been there before; `undecodable`: records that are no
    events; `set_aside`: events left for later, of connections that are set aside; `positions`: where the core goes on,
    in order of the partitions.
    """

    events: int
    recorded: int
    derived: int
    repeated: int
    undecodable: int
    set_aside: int
    positions: list[int]


class _Tally:
    __slots__ = ("derived", "events", "recorded", "repeated", "set_aside", "undecodable")

    def __init__(self) -> None:
        self.events = self.recorded = self.derived = self.repeated = self.undecodable = self.set_aside = 0

    def rebuilt(self, places: dict[int, int]) -> Rebuilt:
        return Rebuilt(
            self.events,
            self.recorded,
            self.derived,
            self.repeated,
            self.undecodable,
            self.set_aside,
            list(places.values()),
        )


def no_progress(records: int) -> None:
    """Nobody watches."""
    del records


# --- the decisions in the log ---


class Decisions:
    """The recorded decisions of one partition, by the offset of their event, asked for in rising order.

    They were published in the order of their events, but for a connection that had been set aside and caught up, and
    for records written twice: a first walk finds those few, so that the second needs no more memory than a chunk.
    `last` is the highest offset of an event that has a record, -1 before the first.
    """

    def __init__(self, log: Log, topics: Topics, partition: int) -> None:
        self.last = -1
        self._late: dict[int, bytes] = {}
        self._log = log
        self._topic = topics.decisions.name
        self._partition = partition
        for records in log.scan(self._topic, partition, batch=_CHUNK):
            for record in records:
                offset = _event_offset(record)
                if offset > self.last:
                    self.last = offset
                else:
                    self._late.setdefault(offset, record.value or b"")
        self._rising = self._in_order()
        self._next: tuple[int, bytes] | None = next(self._rising, None)

    def _in_order(self) -> Iterator[tuple[int, bytes]]:
        highest = -1
        for records in self._log.scan(self._topic, self._partition, batch=_CHUNK):
            for record in records:
                offset = _event_offset(record)
                if offset > highest:
                    highest = offset
                    yield offset, record.value or b""

    def take(self, offset: int) -> bytes | None:
        """The decision of the event at this offset, None when there is no record of one."""
        while self._next is not None and self._next[0] < offset:
            self._next = next(self._rising, None)
        if self._next is not None and self._next[0] == offset:
            return self._next[1]
        return self._late.get(offset)


def _event_offset(record: Record) -> int:
    headers = record.headers
    usual = len(headers) > 1 and headers[1][0] == OFFSET_HEADER
    found = whole(headers[1][1] or b"", MAX_OFFSET) if usual else event_offset(record)
    if found is None:
        where = f"{record.topic}[{record.partition}]@{record.offset}"
        raise LogCorrupt(
            "a decision that does not say where its event is", where, "stop, keep the file, restore the last backup"
        )
    return found


def decision_of(value: bytes, event: Event, offset: int) -> Decision:
    """The recorded decision of an event. Raises `LogCorrupt` when it cannot be read, or is another event's."""
    where = f"event {event.id}, offset {offset}"
    try:
        decision = codec.decode_decision(value)
    except UndecodableEventError:
        raise LogCorrupt(
            "the decision of this event cannot be read", where, "upgrade, or restore the last backup"
        ) from None
    if decision.event != event.id:
        raise LogCorrupt(
            "the log holds another event's decision for this event",
            where,
            "stop, keep the file, restore the last backup",
        )
    return decision


def events_of(
    log: Log, topics: Topics, partition: int, start: int = 0, stop: int | None = None, tally: _Tally | None = None
) -> Iterator[list[tuple[int, Event]]]:
    """The events of a partition with their offsets, in chunks; records that are no events are counted and left out."""
    decode, counted = codec.decode_event, _Tally() if tally is None else tally
    for records in log.scan(topics.events.name, partition, start, stop, batch=_CHUNK):
        found: list[tuple[int, Event]] = []
        for record in records:
            try:
                found.append((record.offset, decode(record.value or b"")))
            except UndecodableEventError:
                counted.undecodable += 1
        counted.events += len(records)
        yield found


# --- rebuild ---


def rebuild(
    log: Log,
    topics: Topics,
    store: Store,
    now: str,
    *,
    until: Mapping[int, int] | None = None,
    decided: Mapping[int, int] | None = None,
    progress: Progress = no_progress,
) -> Rebuilt:
    """All projections anew from the log; nothing is sent. `until`: partition → the offset before which to stop; else up
    to the end. `decided`: partition → the offset up to which everything is known to have been decided, and published:
    where an event there has no record, it decided nothing, even beyond the last record of all.

    The store is bound to this log, whichever it was bound to before. `progress` is told how many records were handled.

    Raises:
        ReplayStopped: a rule raises on an event that has been decided; the store stays unfinished, and is refused until
        a rebuild ends. LogCorrupt: a record of the log is not what it must be. StoreFenced: another rebuild was begun
        meanwhile.

    """
    tally = _Tally()
    places: dict[int, int] = {}
    published: dict[int, int] = {}
    with without_collector(), Rebuild(store, STAGE, topics.events.name, now) as running:
        for partition in range(topics.partitions):
            decisions = Decisions(log, topics, partition)
            if decisions.last >= 0:
                published[partition] = decisions.last
            decisions.last = max(decisions.last, decided.get(partition, -1) if decided is not None else -1)
            stop = until.get(partition, 0) if until is not None else None
            places[partition] = 0
            for chunk in events_of(log, topics, partition, 0, stop, tally):
                _fold(running, partition, chunk, decisions, tally)
                places[partition] = chunk[-1][0] + 1 if chunk else places[partition]
                progress(len(chunk))
            places[partition] = stop if stop is not None else _end(log, topics, partition, places[partition])
        running.finish(places, published)
    with store.write() as connection:
        store.set_meta(connection, "log_incarnation", log.incarnation)
    return tally.rebuilt(places)


def _end(log: Log, topics: Topics, partition: int, known: int) -> int:
    """Past the last record, should the last ones not have been events."""
    for records in log.scan(topics.events.name, partition, known, batch=_CHUNK):
        known = records[-1].offset + 1
    return known


def _fold(
    running: Rebuild, partition: int, chunk: list[tuple[int, Event]], decisions: Decisions, tally: _Tally
) -> None:
    running.prepare([event for _, event in chunk])
    last, taken = decisions.last, decisions.take
    for offset, event in chunk:
        if running.known(event):
            tally.repeated += 1
            continue
        connection = event.connection
        if running.frozen(connection, offset):
            tally.set_aside += 1
            continue
        state = running.state(connection)
        if offset > last:
            try:
                made = routing.step(state, event)
                codec.encode_decision(made)  # raises on one that no record could hold
            except Exception as fault:  # noqa: BLE001 - as in the running program: a rule that raises sets its connection aside
                running.freeze(connection, partition, offset, event.id, f"{type(fault).__name__} at {event.type}")
                tally.set_aside += 1
                continue
            running.record(partition, offset, event, None if made.empty else made, recorded=False)
            tally.derived += 1
            continue
        value = taken(offset)
        decision = None if value is None else decision_of(value, event, offset)
        try:
            routing.restep(state, event, decision)
        except Exception as fault:
            raise _stopped(event, offset, fault) from fault
        running.record(partition, offset, event, decision)
        tally.recorded += 1


def _stopped(event: Event, offset: int, fault: Exception) -> ReplayStopped:
    return ReplayStopped(
        f"this version cannot repeat an event that was decided: {type(fault).__name__} at {event.type}",
        f"connection {event.connection}, event {event.id}, offset {offset}",
        "run the version that was in use before, and report this",
    )


# --- verify: the same rows again ---


class Verified(msgspec.Struct, frozen=True):
    """A rebuild beside the live store, compared with it: `tables` says how many rows of each table were compared."""

    rebuilt: Rebuilt
    tables: dict[str, int]
    differences: list[Difference]


def verify(
    log: Log,
    topics: Topics,
    live: Store,
    now: str,
    folder: Path,
    *,
    limit: int = 100,
    progress: Progress = no_progress,
    empty: bytes = b"",
) -> Verified:
    """Rebuild into a second store in `folder`, up to where the live one is, and compare row by row. The live store is
    not touched. `empty`: the file of a migrated store without rows, for who has one: making it takes a third of it all.

    A SQLite store may be in use meanwhile: its copy is compared. With PostgreSQL nothing may be processed meanwhile.
    """
    with TemporaryDirectory(dir=folder, prefix=".verify-") as beside:
        again = Path(beside) / "again.db"
        if empty:
            again.write_bytes(empty)
        if live.dialect == "sqlite":
            copy = Path(beside) / "live.db"
            live.backup(copy, now)
            with open_store(f"sqlite:///{copy}", now=now, adopt="restored") as left:
                return _verify(log, topics, left, now, again, limit, progress)
        return _verify(log, topics, live, now, again, limit, progress)


def _verify(log: Log, topics: Topics, left: Store, now: str, again: Path, limit: int, progress: Progress) -> Verified:
    with open_store(f"sqlite:///{again}", now=now) as right:
        with right.write() as connection:
            for row in Halts(left).set_aside():
                connection.exec_driver_sql(right.upsert(quarantine), msgspec.structs.astuple(row))
        until = positions_of(left, topics)
        unpublished = Outbox(left).backlog()
        decided = {partition: offset - 1 for partition, offset in until.items() if partition not in unpublished}
        done = rebuild(log, topics, right, now, until=until, decided=decided, progress=progress)
        differences = compare(left, right, limit)
        with right.read() as reader:
            counts = {
                table.name: reader.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for table in PROJECTIONS
            }
    return Verified(done, {name: int(count) for name, count in counts.items()}, differences)


def positions_of(store: Store, topics: Topics) -> dict[int, int]:
    """Where the core resumes, by partition of the topic events."""
    c = positions.c
    query = sa.select(c.partition, c.next_offset).where(c.stage == STAGE, c.topic == topics.events.name)
    with store.read() as reader:
        return {int(partition): int(offset) for partition, offset in reader.execute(query)}


# --- mend: what version 0.1.0 could leave behind ---


def mend_outbox(settings: Settings, log: Log, topics: Topics, store: Store, now: str) -> None:
    """Rebuild a store whose outbox holds a decision too large for the log: it was never published, so it is no fact
    yet, and what comes after what was published is decided again, by rules whose decisions have a bound.
    """
    if not Outbox(store).oversize(log.limits.record_bytes):
        return
    journal = structlog.get_logger("zoho_gocardless")
    journal.warning("store.rebuilding", why="a decision of an earlier version is too large for the log")
    with log.hold_group(group_of(settings)):
        done = rebuild(log, topics, store, now)
    journal.warning("store.rebuilt", events=done.events, derived=done.derived)
