"""`KafkaLog`: the log on an Apache Kafka cluster."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, NamedTuple, Self

from streams.log.interface import (
    MEBIBYTE,
    Limits,
    Log,
    LogClosed,
    LogError,
    LogNotReady,
    LogUnavailable,
    NewRecord,
    Position,
    Record,
    RecordTooLarge,
    TopicMismatch,
    TopicPartition,
    UnknownTopic,
    partition_of,
)
from streams.log.kafka import control, provision
from streams.log.kafka.access import Access
from streams.log.kafka.brokers import EARLIEST, LATEST, REACH_S, Brokers, reach
from streams.log.kafka.control import Control
from streams.log.kafka.faults import FAULTS, told
from streams.log.kafka.positions import Member, Positions
from streams.log.kafka.producer import DELIVERY_LIMIT_S, Producer
from streams.log.kafka.reader import Reader, Scan
from streams.log.topics import TopicSpec
from streams.settings import Kafka

#: How long topics that were just made may take to have their leaders. Lower: a busy cluster fails `topics apply`.
#: Higher: it hangs.
_MADE_S: Final = 15.0
_MADE_PAUSE_S: Final = 0.05
_APPLY: Final = "run `zoho-gocardless topics apply`; check topic_prefix"


_log = logging.getLogger(__name__)


class _Running(NamedTuple):
    """What there is between `start` and `stop`."""

    brokers: Brokers
    reader: Reader
    positions: Positions
    producer: Producer


class KafkaLog(Log):
    """A log in the topics under a prefix of a cluster. Each record is atomic by itself; topics are made by `topics
    apply`.

    `start` raises `LogUnavailable`, `LogDenied` or `LogVersion`, and `SettingsError` for what [kafka] names.
    """

    def __init__(
        self,
        access: Access,
        *,
        limits: Limits | None = None,
        prefix: str = "",
        reach_limit_s: float = REACH_S,
        delivery_limit_s: float = DELIVERY_LIMIT_S,
    ) -> None:
        self.access = access
        self.limits = limits or Limits()
        self.prefix = prefix
        self.control: Control | None = None
        self._reach_limit_s = reach_limit_s
        self._delivery_limit_s = delivery_limit_s
        self._cluster = ""
        self._counts: dict[str, int] = {}
        self._running: _Running | None = None

    @classmethod
    def from_url(cls, url: str, *, limits: Limits | None = None, kafka: Kafka | None = None, prefix: str = "") -> Self:
        """The log at `kafka://host:port,host:port`, reached as `kafka` says.

        Raises:
            ValueError: not such a URL.

        """
        return cls(Access.from_url(url, kafka or Kafka()), limits=limits, prefix=prefix)

    @property
    def kafka(self) -> Kafka:
        """How the cluster is reached, and how topics are kept there."""
        return self.access.kafka

    @property
    def broker_url(self) -> str:
        return ";".join(f"kafkalog://{server}" for server in self.access.servers)

    @property
    def incarnation(self) -> str:
        if not self._cluster:
            raise self._closed()
        return f"cluster-{self._cluster}" if self.control is None else self.control.incarnation

    @property
    def ancestors(self) -> tuple[str, ...]:
        return () if self.control is None else self.control.ancestors

    @property
    def keeps_positions(self) -> bool:
        return False

    @property
    def producers_replaced(self) -> int:
        return 0 if self._running is None else self._running.producer.replaced

    def _closed(self) -> LogClosed:
        return LogClosed("the log is not started", self.access.where, "start it before use")

    @property
    def _now(self) -> _Running:
        if self._running is None:
            raise self._closed()
        return self._running

    def told(self, fault: BaseException, doing: str) -> LogError:
        """The error of the log that says what a fault of a Kafka client means."""
        return told(fault, self.access.where, doing)

    # Life

    async def start(self) -> None:
        if self._running is not None:
            raise LogClosed("the log is started already", self.access.where, "start each object once")
        self._cluster = await reach(self.access, self._reach_limit_s)
        brokers = Brokers(self.access)
        producer = Producer(self.access, self.limits, delivery_limit_s=self._delivery_limit_s)
        self._running = _Running(brokers, Reader(brokers), Positions(brokers), producer)
        try:
            await brokers.open()
            await self._look_at_topics()
            self.control = await self.read_control()
        except FAULTS as fault:
            await self.stop()
            raise told(fault, self.access.where, "starting") from fault
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await running.producer.stop()
            await running.reader.close()
            await running.brokers.close()

    # Topics

    async def ensure_topics(self, specs: Iterable[TopicSpec]) -> None:
        wanted = list(specs)
        await self._look_at_topics()
        for spec in wanted:
            count = self._counts.get(spec.name, spec.partitions)
            if count != spec.partitions:
                what = f"topic {spec.name} has {count} partitions, {spec.partitions} were asked for"
                remedy = "the count is fixed when the topic is made: ask for the same one, or use a new topic_prefix"
                raise TopicMismatch(what, self.access.where, remedy)
        await provision.ensure(self.access, wanted, self.kafka)
        await self._see({spec.name for spec in wanted})

    async def require_topics(self, specs: Iterable[TopicSpec]) -> None:
        wanted = list(specs)
        await provision.require(self.access, wanted, self.kafka)
        await self._see({spec.name for spec in wanted})
        self.control = await self.read_control()
        where = f"{control.topic(self.prefix).name} on {self.access.where}"
        if self.control is None:
            raise LogNotReady("nothing says whose log this is", where, _APPLY)
        if self.control.state == "moving":
            what = f"a log is being moved here since {self.control.at} and has not arrived"
            raise LogNotReady(
                what, where, "run `zoho-gocardless move` again with the same target, or move to a new topic_prefix"
            )

    async def _see(self, topics: set[str]) -> None:
        """Wait until topics that were just made have their leaders, so that they can be used at once."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + _MADE_S
        brokers = self._now.brokers
        while True:
            await self._look_at_topics()
            known = topics & self._counts.keys()
            await brokers.track(known)
            unled = [tp for name in known for tp in self._all_of(name) if brokers.leader(tp) is None]
            if len(known) == len(topics) and not unled:
                return
            if loop.time() > deadline_s:
                missing = ", ".join(sorted({*(topics - known), *(tp.topic for tp in unled)}))
                raise LogUnavailable(
                    f"no leader after {_MADE_S:g} s: {missing}",
                    self.access.where,
                    "look at the brokers, then try again",
                )
            await brokers.refresh()
            await asyncio.sleep(_MADE_PAUSE_S)

    def _all_of(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, partition) for partition in range(self._counts[topic])]

    async def _look_at_topics(self) -> None:
        """Learn which topics there are now. Asking for one by name could make it, on brokers that are set to."""
        brokers = self._now.brokers
        self._counts = await brokers.persist("asking for topics", self.access.where, brokers.topics)

    def partitions(self, topic: str) -> int:
        count = self._counts.get(topic)
        if count is None:
            raise self._unknown(topic)
        return count

    def _unknown(self, topic: str, partition: int | None = None) -> UnknownTopic:
        what = f"no topic {topic}" if partition is None else f"no partition {partition} of {topic}"
        return UnknownTopic(what, self.access.where, _APPLY)

    async def _know(self, wanted: Iterable[tuple[str, int | None]]) -> None:
        """See that topics and partitions exist; look again where one does not, as another process may have made it."""
        unknown = [one for one in wanted if not self._has(*one)]
        if unknown:
            await self._look_at_topics()
        for topic, partition in unknown:
            if not self._has(topic, partition):
                raise self._unknown(topic, partition if topic in self._counts else None)

    def _has(self, topic: str, partition: int | None) -> bool:
        count = self._counts.get(topic)
        return count is not None and (partition is None or 0 <= partition < count)

    # Whose log it is

    async def read_control(self) -> Control | None:
        """What the control topic says last; None where there is no such topic or record."""
        tp = TopicPartition(control.topic(self.prefix).name, 0)
        if not self._has(*tp):
            return None
        end = await self.end_offset(tp)
        if not end:
            return None
        (record,) = await self.read(tp, end - 1, 1)
        return control.decode(record.value, f"{tp.topic}[0]@{record.offset} on {self.access.where}")

    async def write_control(self, said: Control) -> None:
        """Say whose log this is, durably. The control topic must exist."""
        await self.append(
            [NewRecord(control.topic(self.prefix).name, control.key(), control.encode(said), partition=0)]
        )
        self.control = await self.read_control()

    # Appending

    async def append(
        self,
        records: Sequence[NewRecord],
        *,
        positions: Mapping[str, Mapping[TopicPartition, int]] | None = None,
    ) -> list[Position]:
        running = self._now
        if len(records) > self.limits.append_records:
            raise self._too_large(f"{len(records)} records in one append, above {self.limits.append_records}")
        size = self._size(records)
        await self._know([(record.topic, record.partition) for record in records])
        for by_partition in (positions or {}).values():
            await self._check_positions(by_partition)
        places: list[Position] = []
        if records:
            places = await running.producer.append([(self._tp(record), record) for record in records], size)
        for group, by_partition in (positions or {}).items():
            try:
                await running.positions.commit(group, by_partition)
            except LogUnavailable as fault:
                # The records are there: told otherwise, the caller would append them again. Positions come again with
                # the next ones.
                _log.warning("records were appended, their positions were not stored: %s", fault)
        return places

    def _size(self, records: Sequence[NewRecord]) -> int:
        total = 0
        for record in records:
            if record.partition is None and record.key is None:
                raise ValueError(f"a record for {record.topic} has neither key nor partition")
            size = len(record.key or b"") + len(record.value or b"")
            for name, value in record.headers:
                size += len(name) + len(value)
            if size > self.limits.record_bytes:
                raise self._too_large(f"a record of {size} bytes for {record.topic}, above {self.limits.record_bytes}")
            total += size
        if total > self.limits.append_bytes:
            raise self._too_large(f"{total} bytes in one append, above {self.limits.append_bytes}")
        return total

    def _too_large(self, what: str) -> RecordTooLarge:
        return RecordTooLarge(what, self.access.where, "send less at once")

    def _tp(self, record: NewRecord) -> TopicPartition:
        if record.partition is not None:
            return TopicPartition(record.topic, record.partition)
        assert record.key is not None  # checked with the sizes
        return TopicPartition(record.topic, partition_of(record.key, self._counts[record.topic]))

    # Reading

    async def read(
        self, tp: TopicPartition, offset: int, limit: int = 1_000, max_bytes: int = 4 * MEBIBYTE
    ) -> list[Record]:
        reader = self._now.reader
        await self._know([tp])
        return await reader.read(
            tp, offset, min(limit, self.limits.read_records), min(max_bytes, self.limits.read_bytes)
        )

    def scan(
        self, topic: str, partition: int, start: int = 0, stop: int | None = None, *, batch: int = 500
    ) -> Iterator[list[Record]]:
        return Scan(self.access, TopicPartition(topic, partition), start, stop).pages(batch)

    async def start_offset(self, tp: TopicPartition) -> int:
        return (await self._offsets({tp: EARLIEST}))[tp]

    async def end_offset(self, tp: TopicPartition) -> int:
        return (await self._offsets({tp: LATEST}))[tp]

    async def end_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._offsets(dict.fromkeys(tps, LATEST))

    async def offset_at_time(self, tp: TopicPartition, timestamp_ms: int) -> int:
        # Kafka reads negative times as names for places.
        found = (await self._offsets({tp: max(timestamp_ms, 0)}))[tp]
        return found if found >= 0 else await self.end_offset(tp)

    async def _offsets(self, asked: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        brokers = self._now.brokers
        await self._know(asked)
        return await brokers.offsets(asked) if asked else {}

    async def trim(self, tp: TopicPartition, before: int) -> None:
        """Have the brokers delete the records below an offset, which must not be beyond the end."""
        brokers = self._now.brokers
        await self._know([tp])
        await brokers.delete_before(tp, before)

    async def wait(self, offsets: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        reader = self._now.reader
        await self._know(offsets)
        return await reader.wait(offsets, min(timeout_s, self.limits.wait_s))

    # Groups

    async def committed(self, group: str, tp: TopicPartition) -> int | None:
        positions = self._now.positions
        await self._know([tp])
        return await positions.committed(group, tp)

    async def commit(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        kept = self._now.positions
        await self._check_positions(positions)
        await kept.commit(group, positions)

    async def _check_positions(self, positions: Mapping[TopicPartition, int]) -> None:
        for tp, offset in positions.items():
            if offset < 0:
                raise ValueError(f"position {offset} of {tp.topic}[{tp.partition}]: offsets begin at 0")
        await self._know(positions)

    def joined(self, group: str, member: Member) -> None:
        """From now on positions of the group go through this member, as the broker takes them from no one else."""
        self._now.positions.joined(group, member)

    def left(self, group: str) -> None:
        """The process is no member of the group any more."""
        if self._running is not None:
            self._running.positions.left(group)

    def hold_group(self, group: str) -> AbstractContextManager[None]:  # noqa: ARG002 - the broker shares a group's partitions out
        return nullcontext()
