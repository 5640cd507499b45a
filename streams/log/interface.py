# ruff: noqa: N818 - the names say what state the log is in; that all are errors is said by the tree.
"""The log: what every engine gives, its values, its limits and its errors.

Nothing here knows SQLite, Kafka or Faust. Stages append, read and ask through `Log`; `streams.log.worker` runs handlers
over it.

Errors (every one says what happened, where, and what to do; `retriable` tells whether the same call may succeed later):

    LogError
    ├── LogUnavailable          the log cannot be used just now
    │   ├── LogFull             no room on the disk
    │   ├── LogReadOnly         the file or its folder cannot be written
    │   ├── LogOverloaded       too much is waiting to be written
    │   ├── LogDenied           the brokers do not let this user in, or not do this
    │   └── LogClosed           not started, stopped, or failed until a restart
    ├── LogCorrupt              bytes are not what was written
    ├── LogLocked               another worker holds this group
    ├── LogOnNetworkFileSystem  the file lies where its locks do not hold
    ├── LogVersion              made by a newer version, or not a log
    ├── LogIsBackup             a backup: to be restored before use
    ├── LogMoved                the records live in another log now
    ├── LogNotReady             nothing says whose log it is, or it is being moved here
    ├── UnknownTopic            no such topic or partition
    ├── TopicMismatch           the topic exists with another partition count
    ├── RecordTooLarge          one record, or one append, above the limit
    └── ReadOutOfRange          before the first or after the last record
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import ClassVar, Final, NamedTuple, Self

import msgspec

from streams.log.topics import TopicSpec

MEBIBYTE: Final = 1024 * 1024


class LogError(Exception):
    """A failure of the log. `what` happened, `where` (file, topic, position), `remedy` for the person who reads it."""

    retriable: ClassVar[bool] = False

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"{what}; at {where}; {remedy}")
        self.what = what
        self.where = where
        self.remedy = remedy


class LogUnavailable(LogError):
    """The log cannot be used just now; nothing was acknowledged."""

    retriable = True


class LogFull(LogUnavailable):
    """No room on the disk. Usable again, without a restart, as soon as there is room."""


class LogReadOnly(LogUnavailable):
    """The file or its folder cannot be written."""

    retriable = False


class LogOverloaded(LogUnavailable):
    """More is waiting to be written than the limit allows; the caller should slow down."""


class LogDenied(LogUnavailable):
    """The brokers do not let this user in or not do this, or are not the ones that the settings trust."""

    retriable = False


class LogClosed(LogUnavailable):
    """Not started, stopped, or failed in a way that only a restart can clear."""

    retriable = False


class LogCorrupt(LogError):
    """What was read is not what was written."""


class LogLocked(LogError):
    """Another worker holds this group."""


class LogOnNetworkFileSystem(LogError):
    """The file lies on a network file system, whose locks and shared memory cannot be trusted."""


class LogVersion(LogError):
    """The file was made by a newer version of this program, or is not a log at all."""


class LogIsBackup(LogError):
    """The file is a backup; used as it stands, positions of stores would mean other records."""


class LogMoved(LogError):
    """The records were moved to another log; this one can be read, not appended to."""


class LogNotReady(LogError):
    """Nothing says whose log this is, or one is being moved here and has not arrived."""


class UnknownTopic(LogError):
    """No such topic, or no such partition in it."""


class TopicMismatch(LogError):
    """The topic exists with another partition count; keys would change their partition."""


class RecordTooLarge(LogError):
    """One record, or the records of one append, above the limit."""


class ReadOutOfRange(LogError):
    """Before the first kept record, or beyond the end."""


class TopicPartition(NamedTuple):
    """One ordered sequence of records."""

    topic: str
    partition: int


class Position(NamedTuple):
    """Where a record lies in one incarnation of a log. A place, never an identity."""

    topic: str
    partition: int
    offset: int

    @property
    def tp(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


Headers = tuple[tuple[str, bytes], ...]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as the log holds it. `timestamp_ms`: the wall clock at append, milliseconds since 1970 UTC."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def tp(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset)


class NewRecord(msgspec.Struct, frozen=True, gc=False):
    """One record to append. Without `partition` the key chooses it; without `timestamp_ms` the clock at append
    holds.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    timestamp_ms: int | None = None


class RecordBatch(msgspec.Struct, frozen=True, gc=False):
    """Consecutive records of one partition, at least one, handed to a handler as a whole and acknowledged as a
    whole.
    """

    tp: TopicPartition
    records: list[Record]

    @property
    def first_offset(self) -> int:
        return self.records[0].offset

    @property
    def next_offset(self) -> int:
        """The offset after the batch: where to resume once it is handled."""
        return self.records[-1].offset + 1


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """A bound on everything. The defaults fit both engines, so that a log can move."""

    # Lower: a large page of a poll is refused. Higher: one record holds up the loop, and with what Kafka adds to it, it
    # is above the 8 MiB that managed clusters take.
    record_bytes: int = 8 * MEBIBYTE - 64 * 1024
    # One append is one transaction. Lower: bulk copies pay more commits. Higher: others wait longer behind it.
    append_records: int = 10_000
    append_bytes: int = 32 * MEBIBYTE
    # What may wait to be written. Lower: bursts are refused. Higher: memory, and acknowledgements that come too late.
    pending_bytes: int = 128 * MEBIBYTE
    # One read. Lower: more round trips. Higher: memory, and a loop held up while decoding.
    read_records: int = 10_000
    read_bytes: int = 32 * MEBIBYTE
    # One wait. Lower: needless wake-ups. Higher: a forgotten waiter lingers.
    wait_s: float = 3_600.0


class Log(ABC):
    """Topics of partitions of records, durable and ordered, with the positions of consumer groups.

    One object belongs to one event loop, from `start` to `stop`; `scan` alone may be used from any thread.
    Every method raises `LogError`s; those named below are the ones a caller should expect.
    """

    limits: Limits

    @property
    @abstractmethod
    def broker_url(self) -> str:
        """What Faust is given as its broker: the engine's transport and where it finds the log."""

    @property
    @abstractmethod
    def incarnation(self) -> str:
        """A random id made with the log. Positions mean nothing across incarnations."""

    @property
    @abstractmethod
    def ancestors(self) -> tuple[str, ...]:
        """The incarnations this one was restored from, newest first."""

    @abstractmethod
    async def start(self) -> None:
        """Open the log; make it if it is not there."""

    @abstractmethod
    async def stop(self) -> None:
        """Write what is waiting, then close. Safe to call twice."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    @abstractmethod
    async def ensure_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Make the topics that are missing.

        Raises:
            TopicMismatch: one exists with another partition count.

        """

    async def require_topics(self, specs: Iterable[TopicSpec]) -> None:
        """See that the topics are as an installation needs them. The embedded log makes those that are missing; a
        cluster's are made by `topics apply`, since who runs the program may not be allowed to.

        Raises:
            UnknownTopic, TopicMismatch: they are not, with the command that repairs it.

        """
        await self.ensure_topics(specs)

    @property
    def keeps_positions(self) -> bool:
        """Whether positions of groups are kept for ever. A cluster forgets those of a group that nobody has been in for
        some days.
        """
        return True

    @property
    def producers_replaced(self) -> int:
        """How many producers were given up since the start, each after an append that failed. The embedded log has none
        to give up.
        """
        return 0

    @abstractmethod
    def partitions(self, topic: str) -> int:
        """How many partitions a topic has.

        Raises:
            UnknownTopic: it does not exist.

        """

    def partition_for(self, topic: str, key: bytes) -> int:
        """The partition of a key: the same as that of Kafka's default partitioner.

        Raises:
            UnknownTopic: the topic does not exist.

        """
        return partition_of(key, self.partitions(topic))

    @abstractmethod
    async def append(
        self,
        records: Sequence[NewRecord],
        *,
        positions: Mapping[str, Mapping[TopicPartition, int]] | None = None,
    ) -> list[Position]:
        """Append records, in order, and set consumer positions (by group); return where the records are, in order.

        Resolves only when all of it is durable. On the embedded engine one call is one transaction: all or nothing, the
        positions with the records. On Kafka each record is atomic by itself, and positions follow once all are
        acknowledged. A cancelled call may or may not have been written; the records' own ids must tell.

        Raises:
            LogUnavailable: nothing was acknowledged; `retriable` says whether to try again.
            RecordTooLarge, UnknownTopic, LogMoved: nothing was written.
            ValueError: a record has neither key nor partition.

        """

    @abstractmethod
    async def read(
        self, tp: TopicPartition, offset: int, limit: int = 1_000, max_bytes: int = 4 * MEBIBYTE
    ) -> list[Record]:
        """Records from `offset` on, in order: at most `limit`, and about `max_bytes` of keys and values (never none for
        that).

        Empty at the end of the partition.

        Raises:
            ReadOutOfRange: before the first kept record, or beyond the end.
            LogCorrupt: a record is not what was written.

        """

    @abstractmethod
    def scan(
        self, topic: str, partition: int, start: int = 0, stop: int | None = None, *, batch: int = 500
    ) -> Iterator[list[Record]]:
        """All records of [start, stop) in lists of up to `batch`, without event loop or Faust: for replay in bulk.

        `stop` None: the end as it is at the call.

        Raises:
            ReadOutOfRange, LogCorrupt: as `read`.

        """

    @abstractmethod
    async def start_offset(self, tp: TopicPartition) -> int:
        """The offset of the first kept record; of the next one if there is none."""

    @abstractmethod
    async def end_offset(self, tp: TopicPartition) -> int:
        """The offset that the next record will have."""

    async def end_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The end offsets of many partitions, each as of a moment since the call."""
        return {tp: await self.end_offset(tp) for tp in tps}

    @abstractmethod
    async def offset_at_time(self, tp: TopicPartition, timestamp_ms: int) -> int:
        """The offset of the first record with that timestamp or a later one; the end offset if there is none."""

    @abstractmethod
    async def committed(self, group: str, tp: TopicPartition) -> int | None:
        """The position of a group: the offset it will handle next; None if it has never committed."""

    @abstractmethod
    async def commit(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        """Set positions of a group, durably, all or none."""

    @abstractmethod
    async def wait(self, offsets: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait until a record lies at or after one of the offsets, whoever appends it: True; False after
        `timeout_s`.
        """

    @abstractmethod
    def hold_group(self, group: str) -> AbstractContextManager[None]:
        """Be the one worker of a group until the context ends or the process dies.

        On Kafka the broker shares partitions out among workers, and this holds nothing.

        Raises:
            LogLocked: another worker holds it.

        """


def partition_of(key: bytes, partitions: int) -> int:
    """Kafka's default partitioner: murmur2 of the key, its sign bit cleared, modulo the partition count."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


# As many connections as one installation plausibly has; beyond, hashes are only computed again.
@lru_cache(maxsize=4096)
def murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bit, with the seed of Kafka's Java client."""
    length = len(data)
    multiplier = 0x5BD1E995
    mask = 0xFFFFFFFF
    value = 0x9747B28C ^ length
    tail = length & ~3
    for start in range(0, tail, 4):
        word = int.from_bytes(data[start : start + 4], "little") * multiplier & mask
        word = (word ^ word >> 24) * multiplier & mask
        value = (value * multiplier & mask) ^ word
    if tail < length:
        value = (value ^ int.from_bytes(data[tail:], "little")) * multiplier & mask
    value = (value ^ value >> 13) * multiplier & mask
    return value ^ value >> 15
