"""What of a log in memory survives a crash: records, positions, who holds which group, and how much room is left.

An append is on its way (`write`) until the disk has it (`settle`). On its way nobody can read it, as on both engines;
what a crash makes of it is drawn by `end_of_power`. What the disk has stays, but for a bit that `flip` damages: every
record has a checksum, so that a damaged one is found when it is read and never handed out.
"""

import random
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from streams.log.interface import (
    LogError,
    LogFull,
    LogLocked,
    NewRecord,
    Position,
    ReadOutOfRange,
    Record,
    TopicMismatch,
    TopicPartition,
    UnknownTopic,
)
from streams.log.sqlite.rows import damaged
from streams.log.topics import TopicSpec
from streams.simulation.power import Power

WHERE: Final = "memory:"

#: What a crash makes of an append on its way: all of it is there, some of its first records are, or nothing is.
Outcome = Literal["kept", "torn", "lost"]

_encode = msgspec.msgpack.Encoder().encode


class DiskAppend(msgspec.Struct, eq=False):
    """One append. `records`: each with its partition and its size in bytes. `fault`: why not all of it was written."""

    power: Power
    records: list[tuple[TopicPartition, NewRecord, int]]
    positions: dict[tuple[str, TopicPartition], int]
    fault: LogError | None = None
    size: int = 0
    """Bytes of keys, values and headers."""

    def __post_init__(self) -> None:
        self.keep(len(self.records))

    def keep(self, count: int) -> None:
        """Of its records, keep the first so many."""
        self.records = self.records[:count]
        self.size = sum([size for _, _, size in self.records])


@dataclass(eq=False, slots=True)
class _Partition:
    """Records by offset; for each its checksum, and the highest timestamp so far."""

    records: list[Record] = field(default_factory=list)
    checksums: list[int] = field(default_factory=list)
    latest_ms: list[int] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class _Hold:
    group: str
    power: Power


class LogDisk:
    """The disk of one log, shared by the incarnations of the program.

    `atomic`: an append is all or nothing, its positions included, and appends are written in one order (the embedded
    engine); else records are atomic one by one (a cluster). `keeps_positions`: positions are never forgotten.
    `capacity_bytes` may be set at any time; None: there is room for everything.
    """

    def __init__(
        self,
        incarnation: str,
        *,
        ancestors: tuple[str, ...] = (),
        atomic: bool = True,
        keeps_positions: bool = True,
        capacity_bytes: int | None = None,
    ) -> None:
        self.incarnation = incarnation
        self.ancestors = ancestors
        self.atomic = atomic
        self.keeps_positions = keeps_positions
        self.capacity_bytes = capacity_bytes
        self.bytes_used = 0
        self.topics: dict[str, int] = {}
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._positions: dict[tuple[str, TopicPartition], int] = {}
        self._on_the_way: list[DiskAppend] = []
        self._holds: dict[str, _Hold] = {}
        self._watchers: list[Callable[[], None]] = []
        self._flipped: dict[Position, Record] = {}  # as they were

    # Topics

    def ensure_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Make the topics that are missing, all or none. Raises `TopicMismatch`."""
        wanted = list(specs)
        for spec in wanted:
            count = self.topics.get(spec.name, spec.partitions)
            if count != spec.partitions:
                raise TopicMismatch(
                    f"topic {spec.name} has {count} partitions, {spec.partitions} were asked for",
                    WHERE,
                    "the count is fixed when the log is made: ask for the same one, or use a new log",
                )
        for spec in wanted:
            self.topics[spec.name] = spec.partitions
            for number in range(spec.partitions):
                self._partitions.setdefault(TopicPartition(spec.name, number), _Partition())

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises `UnknownTopic`."""
        if topic not in self.topics:
            raise UnknownTopic(f"no topic {topic}", WHERE, "make the topics first (ensure_topics), or check the prefix")
        return self.topics[topic]

    def _of(self, tp: TopicPartition) -> _Partition:
        found = self._partitions.get(tp)
        if found is None:
            count = self.partitions(tp.topic)
            what = f"no topic {tp.topic} with a partition {tp.partition}: it has {count}"
            raise UnknownTopic(what, WHERE, "make the topics first (ensure_topics), or check the prefix")
        return found

    # Writing

    def write(self, append: DiskAppend, now_ms: int) -> None:
        """Begin to write. Where there is no room for all of it, `fault` is a `LogFull`, and what is written is nothing,
        or the first records where records are atomic one by one.
        """
        fitting = self._fitting(append)
        if fitting is not None:
            append.keep(fitting)
            append.positions = {}
            append.fault = LogFull(
                "no room on the disk (appending)",
                WHERE,
                "free some space; nothing was acknowledged, senders will try again",
            )
        append.records = [
            (tp, record if record.timestamp_ms is not None else _stamped(record, now_ms), size)
            for tp, record, size in append.records
        ]
        self.bytes_used += append.size
        self._on_the_way.append(append)

    def _fitting(self, append: DiskAppend) -> int | None:
        """How many records find room; None: there is room for all of it."""
        if self.capacity_bytes is None:
            return None
        room = self.capacity_bytes - self.bytes_used
        if 0 < room >= append.size:
            return None
        count = 0
        for _, _, size in () if self.atomic else append.records:
            room -= size
            if room < 0:
                break
            count += 1
        return count

    def settle(self, append: DiskAppend) -> list[Position]:
        """The disk has it: from now on it can be read, and no crash takes it away. Returns where its records are."""
        self._on_the_way.remove(append)
        places = [self._add(tp, record) for tp, record, _ in append.records]
        self._positions.update(append.positions)
        if places:
            for callback in self._watchers:
                callback()
        return places

    def _add(self, tp: TopicPartition, new: NewRecord) -> Position:
        partition = self._of(tp)
        offset, timestamp_ms = len(partition.records), new.timestamp_ms or 0
        record = Record(*tp, offset, timestamp_ms, new.key, new.value, new.headers)
        partition.records.append(record)
        partition.checksums.append(_checksum(record))
        partition.latest_ms.append(max(partition.latest_ms[-1] if offset else 0, timestamp_ms))
        return record.position

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called whenever records were appended; return what ends that."""
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback) if callback in self._watchers else None

    # Reading

    def end(self, tp: TopicPartition) -> int:
        """The offset that the next record will have."""
        return len(self._of(tp).records)

    def read(self, tp: TopicPartition, start: int, limit: int, max_bytes: int | None = None) -> list[Record]:
        """Up to `limit` records from `start` on, fewer when they reach `max_bytes`, never none for that.

        Raises:
            LogCorrupt: one of them is not what was written.
            ReadOutOfRange: `start` is not within 0 to the end.

        """
        partition = self._of(tp)
        end = len(partition.records)
        if not 0 <= start <= end:
            raise ReadOutOfRange(
                f"offset {start} is not within 0 to {end}",
                f"{tp.topic}[{tp.partition}]",
                "the log or the store is older than the other: see restoring a backup",
            )
        found: list[Record] = []
        size = 0
        for offset in range(start, min(start + limit, end)):
            record = partition.records[offset]
            if _checksum(record) != partition.checksums[offset]:
                raise damaged(tp.topic, tp.partition, offset)
            found.append(record)
            size += len(record.key or b"") + len(record.value or b"")
            if max_bytes is not None and size >= max_bytes:
                break
        return found

    def offset_at_time(self, tp: TopicPartition, timestamp_ms: int) -> int:
        """The first offset with that timestamp or a later one; the end if there is none."""
        return bisect_left(self._of(tp).latest_ms, timestamp_ms)

    # Groups

    def committed(self, group: str, tp: TopicPartition) -> int | None:
        """The position of a group; None if it has none."""
        self._of(tp)
        return self._positions.get((group, tp))

    def positions_of(
        self, positions: Mapping[str, Mapping[TopicPartition, int]]
    ) -> dict[tuple[str, TopicPartition], int]:
        """Positions to be set, checked. Raises `UnknownTopic`; `ValueError`: one is negative."""
        found = {(group, tp): offset for group, by in positions.items() for tp, offset in by.items()}
        for (_, tp), offset in found.items():
            self._of(tp)
            if offset < 0:
                raise ValueError(f"position {offset}: offsets begin at 0")
        return found

    def forget_positions(self, group: str) -> None:
        """What a cluster does to a group that nobody has been in for some days."""
        assert not self.keeps_positions, "this engine keeps positions for ever"
        self._positions = {place: offset for place, offset in self._positions.items() if place[0] != group}

    def hold_group(self, group: str, power: Power) -> Callable[[], None]:
        """Give a group to an incarnation that runs; return what ends that. Raises `LogLocked`."""
        other = self._holds.get(group)
        if other is not None and other.power.on:
            raise LogLocked(f"group {group} has a worker already", WHERE, "stop it, then try again")
        hold = self._holds[group] = _Hold(group, power)

        def release() -> None:
            if self._holds.get(group) is hold:
                del self._holds[group]

        return release

    # What happens to disks

    def flip(self, rng: random.Random) -> Position | None:
        """Damage one bit of a record's key, value or of one of its headers, of each record once; return where, None if
        there is nothing to damage.
        """
        candidates = [
            record
            for partition in self._partitions.values()
            for record in partition.records
            if (record.key or record.value or any(value for _, value in record.headers))
            and record.position not in self._flipped  # the same bit again would repair it
        ]
        if not candidates:
            return None
        record = rng.choice(candidates)
        parts = [(name, value) for name, value in (("key", record.key), ("value", record.value)) if value]
        names = [index for index, (_, value) in enumerate(record.headers) if value]
        chosen = rng.randrange(len(parts) + len(names))
        if chosen < len(parts):
            name, value = parts[chosen]
            damage = msgspec.structs.replace(record, **{name: _flipped(value, rng)})
        else:
            headers = list(record.headers)
            index = names[chosen - len(parts)]
            headers[index] = (headers[index][0], _flipped(headers[index][1], rng))
            damage = msgspec.structs.replace(record, headers=tuple(headers))
        self._partitions[record.tp].records[record.offset] = damage
        self._flipped[record.position] = record
        return record.position

    def repair(self) -> None:
        """Put back every record that was damaged, as a person does from a copy of the disk."""
        for position, record in self._flipped.items():
            self._partitions[record.tp].records[position.offset] = record
        self._flipped.clear()

    @property
    def awaits_end_of_power(self) -> bool:
        """Whether a crash left appends on their way, of which `end_of_power` has not said what became."""
        return any(not append.power.on for append in self._on_the_way)

    def end_of_power(self, rng: random.Random) -> list[Outcome]:
        """Draw what a crash made of each append on the way whose incarnation is off, in the order in which they were
        written.

        After a lost record nothing of the same append is kept, nor anything that the same incarnation wrote later to
        the same partition; where appends are atomic, nothing that it wrote later at all.
        """
        broken: set[tuple[Power, TopicPartition | None]] = set()
        outcomes: list[Outcome] = []
        for append in [append for append in self._on_the_way if not append.power.on]:
            # One place for each record; one for positions alone. Atomic appends have a single order, so a single place.
            places = [None if self.atomic else tp for tp, _, _ in append.records] or [None]
            kept = _kept(len(places), rng, torn=not self.atomic)
            kept = min([kept, *(index for index, place in enumerate(places) if (append.power, place) in broken)])
            broken.update((append.power, place) for place in places[kept:])
            self.bytes_used -= sum(size for _, _, size in append.records[kept:])
            append.keep(kept)
            if kept < len(places):
                append.positions = {}
            self.settle(append)
            outcomes.append("kept" if kept == len(places) else "torn" if kept else "lost")
        return outcomes


def _kept(count: int, rng: random.Random, *, torn: bool) -> int:
    """How many of `count` consecutive records a crash leaves: all, none or, `torn`, something between."""
    drawn = rng.choice((0, count, rng.randrange(1, count)) if torn and count > 1 else (0, count))
    assert 0 <= drawn <= count
    return drawn


def _stamped(record: NewRecord, now_ms: int) -> NewRecord:
    return msgspec.structs.replace(record, timestamp_ms=now_ms)


def _checksum(record: Record) -> int:
    """Over all of a record, so that neither its bytes nor its place and time can change unseen."""
    return zlib.crc32(_encode(record))


def _flipped(value: bytes, rng: random.Random) -> bytes:
    bit = rng.randrange(8 * len(value))
    damage = bytearray(value)
    damage[bit // 8] ^= 1 << bit % 8
    return bytes(damage)
