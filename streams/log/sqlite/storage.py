"""The file as the engine uses it, synchronous and without a loop: topics, appends in one transaction, reads, positions.

Not safe for two threads at once, but for `write`, which may run in a thread while the loop reads: it uses a connection
of its own and hands back what changed instead of changing it.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from streams.log.interface import (
    LogClosed,
    LogMoved,
    NewRecord,
    Position,
    ReadOutOfRange,
    Record,
    TopicMismatch,
    TopicPartition,
    UnknownTopic,
    partition_of,
)
from streams.log.sqlite import rows, schema
from streams.log.sqlite.faults import telling
from streams.log.sqlite.moved import read_moved
from streams.log.topics import TopicSpec

_APPEND: Final = (
    "INSERT INTO records (id, timestamp_ms, behind_ms, key, value, headers, codec, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_COMMIT: Final = (
    "INSERT INTO positions (consumers, partition_number, offset) VALUES (?, ?, ?)"
    " ON CONFLICT (consumers, partition_number) DO UPDATE SET offset = excluded.offset"
)
_READ: Final = (
    "SELECT id, timestamp_ms, key, value, headers, codec, crc FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
)
_ENDS: Final = (
    "SELECT number, coalesce((SELECT max(id) FROM records WHERE id >= number << 40 AND id < (number + 1) << 40) + 1,"
    " number << 40) FROM partitions"
)
# Rows fetched at a time when the bytes of a read are bounded. Lower: more steps. Higher: more is read in vain.
_STEP: Final = 200


class Append(NamedTuple):
    """One call of `append` or `commit`, ready to be written: (topic, partition, row) each, and (group, number, offset)
    each.
    """

    records: list[tuple[str, int, rows.Prepared]]
    positions: list[tuple[str, int, int]]
    size: int


class Written(NamedTuple):
    """What a transaction did: where the records of each call are, the ends it knows of, how long the disk took."""

    positions: list[list[Position]]
    ends: dict[int, int]
    commit_s: float


class Storage:
    """One open log file. `ends`: by partition number, the row id that its next record will have."""

    def __init__(self, path: Path, *, compress_above_bytes: int = rows.COMPRESS_ABOVE_BYTES) -> None:
        self.path = path
        self.compress_above_bytes = compress_above_bytes
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._inode = 0
        self._seen_version = -1
        self._written_version = -1
        self._numbers: dict[tuple[str, int], int] = {}
        self._counts: dict[str, int] = {}
        self._latest_ms: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        self.incarnations: tuple[str, ...] = ()

    def open(self) -> None:
        """Open the file, making it first if it is missing."""
        schema.make_if_missing(self.path)
        self._reader = schema.connect(self.path)
        try:
            self._writer = schema.connect(self.path)
            with telling(self.path, "opening"):
                self._writer.execute("PRAGMA busy_timeout=0")
                self._inode = self.path.stat().st_ino
                self._load()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for db in (self._writer, self._reader):
            if db is not None:
                db.close()
        self._writer = self._reader = None

    @property
    def reader(self) -> sqlite3.Connection:
        if self._reader is None:
            raise LogClosed("the log is not open", str(self.path), "start it before use")
        return self._reader

    @property
    def writer(self) -> sqlite3.Connection:
        if self._writer is None:
            raise LogClosed("the log is not open", str(self.path), "start it before use")
        return self._writer

    def _load(self) -> None:
        db = self.reader
        self._counts = dict(db.execute("SELECT name, partitions FROM topics"))
        self._numbers = {
            (topic, partition): number
            for number, topic, partition in db.execute("SELECT number, topic, partition FROM partitions")
        }
        self.incarnations = tuple(name for (name,) in db.execute("SELECT id FROM incarnations ORDER BY number DESC"))
        self._seen_version = _version(db)
        self.ends = dict(db.execute(_ENDS))

    # Topics

    def ensure_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Make the topics that are missing, in one transaction."""
        db = self.reader  # the connection that waits when another process is writing
        with telling(self.path, "making topics"):
            db.execute("BEGIN IMMEDIATE")
            try:
                for spec in specs:
                    self._ensure(db, spec)
                db.execute("COMMIT")
            except BaseException:
                _roll_back(db)
                raise
            self._load()

    def _ensure(self, db: sqlite3.Connection, spec: TopicSpec) -> None:
        known = db.execute("SELECT partitions FROM topics WHERE name = ?", (spec.name,)).fetchone()
        if known is None:
            db.execute("INSERT INTO topics (name, partitions) VALUES (?, ?)", (spec.name, spec.partitions))
            for partition in range(spec.partitions):
                db.execute("INSERT INTO partitions (topic, partition) VALUES (?, ?)", (spec.name, partition))
        elif known[0] != spec.partitions:
            raise TopicMismatch(
                f"topic {spec.name} has {known[0]} partitions, {spec.partitions} were asked for",
                str(self.path),
                "the count is fixed when the log is made: ask for the same one, or move to a new log",
            )

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        if topic not in self._counts:
            with telling(self.path, "looking for a topic"):
                self._load()  # another process may have made it
        try:
            return self._counts[topic]
        except KeyError:
            raise self._unknown(topic) from None

    def topic_partitions(self) -> list[TopicPartition]:
        """Every partition there is."""
        return [TopicPartition(topic, partition) for topic, partition in self._numbers]

    def _unknown(self, what: str) -> UnknownTopic:
        return UnknownTopic(
            f"no topic {what}", str(self.path), "make the topics first (ensure_topics), or check the prefix"
        )

    def number(self, tp: tuple[str, int]) -> int:
        """The number of a partition in this file."""
        number = self._numbers.get(tp)
        if number is None:
            count = self.partitions(tp[0])
            number = self._numbers.get(tp)
            if number is None:
                raise self._unknown(f"{tp[0]} with a partition {tp[1]}: it has {count}")
        return number

    # Appending

    def prepare(
        self,
        records: Sequence[NewRecord],
        positions: Mapping[str, Mapping[TopicPartition, int]] | None,
        record_bytes: int,
    ) -> Append:
        """Check and encode one call, before any transaction."""
        ready = []
        size = 0
        for record in records:
            partition = self._partition(record)
            number = self.number((record.topic, partition))
            row = rows.prepare(record, number, compress_above_bytes=self.compress_above_bytes, limit_bytes=record_bytes)
            ready.append((record.topic, partition, row))
            size += row.size
        places = [
            (group, self.number(tp), _not_negative(offset))
            for group, by in (positions or {}).items()
            for tp, offset in by.items()
        ]
        return Append(ready, places, size)

    def _partition(self, record: NewRecord) -> int:
        if record.partition is not None:
            return record.partition
        if record.key is None:
            raise ValueError(f"a record for {record.topic} has neither key nor partition")
        return partition_of(record.key, self.partitions(record.topic))

    def write(self, appends: Sequence[Append]) -> Written:
        """Write calls in one transaction, durably.

        Raises:
            sqlite3.Error: nothing of it is in the log.
            LogMoved, LogClosed: nothing was tried.

        """
        db = self.writer
        self._check_same_file()
        db.execute("BEGIN IMMEDIATE")
        try:
            version = _version(db)
            foreign = version != self._written_version
            if foreign:
                self._check_not_moved(db)
                self._latest_ms.clear()
            ends = dict(db.execute(_ENDS)) if foreign else dict(self.ends)
            new: list[tuple[int, int, int, bytes | None, bytes | None, bytes | None, int, int]] = []
            before = sum(ends.values())
            positions = [self._place(db, append, ends, new) for append in appends]
            assert sum(ends.values()) == before + len(new), "an end that is no record's neighbour would leave a hole"
            if new:
                db.executemany(_APPEND, new)
            places = [place for append in appends for place in append.positions]
            if places:
                db.executemany(_COMMIT, places)
            before_s = time.perf_counter()
            db.execute("COMMIT")
            commit_s = time.perf_counter() - before_s
        except BaseException:
            self._written_version = -1  # whatever is remembered of the file may be wrong now
            _roll_back(db)
            raise
        self._written_version = version
        return Written(positions, ends, commit_s)

    def _place(
        self,
        db: sqlite3.Connection,
        append: Append,
        ends: dict[int, int],
        new: list[tuple[int, int, int, bytes | None, bytes | None, bytes | None, int, int]],
    ) -> list[Position]:
        now_ms = time.time_ns() // 1_000_000
        placed = []
        for topic, partition, row in append.records:
            number = row.partition_number
            row_id = ends[number]
            timestamp_ms = now_ms if row.timestamp_ms is None else row.timestamp_ms
            latest_ms = self._latest_ms.get(number)
            if latest_ms is None:
                latest_ms = _latest_ms(db, row_id - 1)
            latest_ms = max(latest_ms, timestamp_ms)
            self._latest_ms[number] = latest_ms
            ends[number] = row_id + 1
            crc = rows.folded(row.crc, row_id, timestamp_ms)
            new.append(
                (row_id, timestamp_ms, latest_ms - timestamp_ms, row.key, row.value, row.headers, row.codec, crc)
            )
            placed.append(Position(topic, partition, row_id & rows.OFFSET_MASK))
        return placed

    def trim(self, tp: tuple[str, int], before: int, limit: int) -> int:
        """Delete up to `limit` records below an offset, oldest first; return how many. The last record always stays."""
        number = self.number(tp)
        low, high = rows.first_id(number), rows.first_id(number, max(0, min(before, self.end(tp) - 1)))
        # By the connection that waits when another process is writing.
        return self.reader.execute(
            "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?)",
            (low, high, limit),
        ).rowcount

    def _check_same_file(self) -> None:
        try:
            same = os.stat(self.path).st_ino == self._inode  # noqa: PTH116 - once a transaction; Path.stat costs four times that
        except OSError:
            same = False
        if not same:
            raise LogClosed(
                "the file was removed or replaced while in use", str(self.path), "restart; never replace a log in use"
            )

    def _check_not_moved(self, db: sqlite3.Connection) -> None:
        moved = read_moved(db)
        if moved is not None:
            raise LogMoved("the records of this log were moved", str(self.path), f"use {moved.destination}")

    def refuse_moved(self) -> None:
        """Refuse a log that was moved, to whoever would work on it. Raises `LogMoved`."""
        with telling(self.path, "looking whether it was moved"):
            self._check_not_moved(self.reader)

    def learn(self, ends: Mapping[int, int]) -> None:
        """Take over ends that a write found. They only ever grow: a look at the file may have been later than the
        write.
        """
        known = self.ends
        for number, end in ends.items():
            if end > known.get(number, -1):
                known[number] = end

    def refresh(self) -> bool:
        """Look whether others wrote; True if the ends may have changed."""
        db = self.reader
        version = _version(db)
        if version == self._seen_version:
            return False
        self._seen_version = version
        ends = dict(db.execute(_ENDS))
        changed = ends != self.ends
        self.ends = ends
        return changed

    # Reading

    def end(self, tp: tuple[str, int]) -> int:
        """The offset that the next record will have, as last seen."""
        number = self.number(tp)
        return self.ends.get(number, rows.first_id(number)) & rows.OFFSET_MASK

    def start(self, tp: tuple[str, int]) -> int:
        """The offset of the first kept record."""
        number = self.number(tp)
        low, high = rows.first_id(number), rows.first_id(number + 1)
        (first,) = self.reader.execute("SELECT min(id) FROM records WHERE id >= ? AND id < ?", (low, high)).fetchone()
        return self.end(tp) if first is None else int(first) & rows.OFFSET_MASK

    def read(self, tp: tuple[str, int], offset: int, limit: int, max_bytes: int) -> list[Record]:
        """Records from an offset on."""
        number = self.number(tp)
        found: list[rows.Row] = []
        size = 0
        # Closed before decoding: an open cursor would keep the log beside the file from being emptied.
        with contextlib.closing(
            self.reader.execute(_READ, (rows.first_id(number, offset), rows.first_id(number + 1), limit))
        ) as cursor:
            while size < max_bytes:
                step = cursor.fetchmany(_STEP)
                if not step:
                    break
                for row in step:
                    size += len(row[2] or b"") + len(row[3] or b"")
                    found.append(row)
                    if size >= max_bytes:
                        break
        self.check_consecutive(tp, offset, found)
        return rows.records(tp[0], tp[1], found)

    def check_consecutive(self, tp: tuple[str, int], offset: int, found: Sequence[rows.Row]) -> None:
        """Refuse a read that does not begin where it was asked to, or has a hole."""
        if found and found[0][0] & rows.OFFSET_MASK == offset:
            if found[-1][0] - found[0][0] != len(found) - 1:
                raise rows.damaged(tp[0], tp[1], offset)
            return
        start, end = self.start(tp), self.end(tp)
        if not found and offset == end:
            return
        if start <= offset < end:
            raise rows.damaged(tp[0], tp[1], offset)
        raise ReadOutOfRange(
            f"offset {offset} is not within {start} to {end}",
            f"{tp[0]}[{tp[1]}]",
            "the log or the store is older than the other: see restoring a backup",
        )

    def offset_at_time(self, tp: tuple[str, int], timestamp_ms: int) -> int:
        """The first offset with that timestamp or a later one, by halves over the highest timestamp so far."""
        number = self.number(tp)
        low, high = self.start(tp), self.end(tp)
        while low < high:
            middle = (low + high) // 2
            if _latest_ms(self.reader, rows.first_id(number, middle)) < timestamp_ms:
                low = middle + 1
            else:
                high = middle
        return low

    def committed(self, group: str, tp: tuple[str, int]) -> int | None:
        """The position of a group."""
        row = self.reader.execute(
            "SELECT offset FROM positions WHERE consumers = ? AND partition_number = ?", (group, self.number(tp))
        ).fetchone()
        return None if row is None else int(row[0])

    def all_positions(self) -> dict[str, dict[TopicPartition, int]]:
        """The positions of every group."""
        found: dict[str, dict[TopicPartition, int]] = {}
        query = (
            "SELECT consumers, topic, partition, offset FROM positions JOIN partitions ON number = partition_number"
            " ORDER BY consumers, topic, partition"
        )
        for group, topic, partition, offset in self.reader.execute(query).fetchall():
            found.setdefault(group, {})[TopicPartition(topic, partition)] = int(offset)
        return found


def _not_negative(offset: int) -> int:
    if offset < 0:
        raise ValueError(f"position {offset}: offsets begin at 0")
    return offset


def _version(db: sqlite3.Connection) -> int:
    # Differs between two calls if another connection has committed in between
    # (sqlite.org/pragma.html#pragma_data_version).
    return int(db.execute("PRAGMA data_version").fetchone()[0])


def _latest_ms(db: sqlite3.Connection, row_id: int) -> int:
    row = db.execute("SELECT timestamp_ms + behind_ms FROM records WHERE id = ?", (row_id,)).fetchone()
    return 0 if row is None else int(row[0])


def _roll_back(db: sqlite3.Connection) -> None:
    if db.in_transaction:
        with contextlib.suppress(sqlite3.Error):  # the fault that brought us here is the one to tell
            db.execute("ROLLBACK")
