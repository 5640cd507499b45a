"""Faust's transport over the embedded log: `sqlite:///absolute/path.db`, found by the entry point `faust.transports`.

It runs under `streams.log.worker` only: a stock Faust app would acknowledge what it lost. One worker a group, all
partitions, no rebalancing; exactly-once flags are refused, because the store's own transaction is what makes effects
happen once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from faust.transport import base
from faust.types.tuples import TP

from streams.log.consumption import Consumption
from streams.log.delivery import BatchConsumer, require_our_app
from streams.log.interface import Record, TopicPartition
from streams.log.producer import FaustProducer
from streams.log.sqlite.engine import SqliteLog


def _log_of(delivery: Consumption) -> SqliteLog:
    assert isinstance(delivery.log, SqliteLog)
    return delivery.log


class Consumer(BatchConsumer, base.Consumer):  # type: ignore[misc]  # Faust ships no types that mypy can follow
    """Reads the log on the app's own loop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._assigned: set[Any] = set()
        self._unwatch: Callable[[], None] | None = None

    @property
    def _log(self) -> SqliteLog:
        return _log_of(self.delivery)

    async def on_start(self) -> None:
        self._unwatch = self._log.watch(self.delivery.wakeup.set)

    async def on_stop(self) -> None:
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        await super().on_stop()

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 - the shape Faust declares
        raise NotImplementedError("the drain of BatchConsumer reads by _take")

    def _to_message(self, tp: Any, record: Any) -> Any:
        raise NotImplementedError("the drain of BatchConsumer makes messages of batches")

    async def create_topic(self, topic: str, partitions: int, replication: int, **options: Any) -> None:
        await self.app.producer.create_topic(topic, partitions, replication, **options)

    async def subscribe(self, topics: Iterable[str]) -> None:
        self._assigned = {TP(topic, partition) for topic in topics for partition in range(self._log.partitions(topic))}
        # Not in line: Faust waits for this call to return before it takes an assignment.
        self.add_future(self._assign())

    async def _assign(self) -> None:
        self.app.on_rebalance_start()
        self.app.consumer_generation_id += 1
        await self.on_partitions_revoked(set())
        await self.on_partitions_assigned(set(self._assigned), self.app.consumer_generation_id)

    def _take(self, tp: TopicPartition, offset: int, limit: int, max_bytes: int) -> list[Record]:
        return self._log.read_now(tp, offset, limit, max_bytes) if self._log.end_now(tp) > offset else []

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        await self._log.commit(self.delivery.group, {TopicPartition(*tp): offset for tp, offset in offsets.items()})
        return True

    async def _seek(self, partition: Any, offset: int) -> None:
        """Nothing to do: each read says where it begins."""

    async def seek_to_committed(self) -> Mapping[Any, int]:
        return {tp: await self.delivery.resume(TopicPartition(*tp)) for tp in self._assigned}

    async def seek_wait(self, partitions: Mapping[Any, int]) -> None:
        self._read_offset.update(partitions)

    async def position(self, tp: Any) -> int | None:
        return self.delivery.guard.position(tp)

    async def earliest_offsets(self, *partitions: Any) -> Mapping[Any, int]:
        return {tp: await self._log.start_offset(tp) for tp in partitions}

    async def highwaters(self, *partitions: Any) -> Mapping[Any, int]:
        return {tp: self._log.end_now(tp) for tp in partitions}

    def highwater(self, tp: Any) -> int:
        return self._log.end_now(tp)

    def assignment(self) -> set[Any]:
        return self._assigned

    def topic_partitions(self, topic: str) -> int | None:
        return self._log.partitions(topic)

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        return partition if partition is not None or key is None else self._log.partition_for(topic, key)

    def _new_topicpartition(self, topic: str, partition: int) -> Any:
        return TP(topic, partition)


class Transport(base.Transport):  # type: ignore[misc]  # as above
    """The embedded log as Faust's broker."""

    Consumer: ClassVar[Any] = Consumer
    Producer: ClassVar[Any] = FaustProducer
    default_port = 0
    driver_version = "embedded"

    def __init__(self, url: Any, app: Any, loop: Any = None) -> None:
        require_our_app(app, "sqlite")
        super().__init__(url, app, loop)
