"""Faust's aiokafka transport under our delivery: `kafkalog://host:port`, found by the entry point `faust.transports`.

Faust's consumer lives in a thread of its own, so heartbeats go on while a handler holds the loop. What it fetches is
pumped into buffers on the app's loop, from which `BatchConsumer` delivers. Positions that the broker keeps are a second
belt: a commit that fails is told, tried again with the next one, and never stops the worker; where a stage resumes is
asked of the store.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Mapping
from time import monotonic
from typing import Any, ClassVar, Final

import aiokafka
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver

from streams.log.consumption import BATCH_BYTES, BATCH_RECORDS, Consumption
from streams.log.delivery import BatchConsumer, require_our_app
from streams.log.interface import Record, TopicPartition
from streams.log.kafka.engine import KafkaLog
from streams.log.producer import FaustProducer

#: Records of one partition that wait in memory. Lower: the next batch is not there when a handler ends. Higher: memory,
#: for each partition.
_BUFFER_RECORDS: Final = 2 * BATCH_RECORDS
#: Bytes of one partition's fetch. Lower: more round trips. Higher: memory, about three times this for each partition.
_FETCH_BYTES: Final = BATCH_BYTES // 2
#: One wait for records. Lower: needless turns. Higher: a stop, or a partition that has room again, waits longer.
_PUMP_S: Final = 0.5
_PUMP_BESIDE_FULL_S: Final = 0.02
#: Heartbeats within a session, and their longest distance: a member learns of a rebalance from an answer to one. Fewer:
#: a lost one ends the membership, and partitions stand still for that much longer when a worker comes or goes. More:
#: load on the coordinator.
_HEARTBEATS: Final = 4
_HEARTBEAT_MS: Final = 500
#: How long a member may hold up a rebalance. Lower: a worker with a long handler is left out, and its work is done
#: again. Higher: the group stands still for that long when a worker hangs.
_REBALANCE_TIMEOUT_MS: Final = 30_000
#: One commit of positions. Lower: a busy coordinator's are given up. Higher: aiokafka would try for as long as the
#: brokers are away, and a stop or a rebalance would wait for it.
_COMMIT_S: Final = 5.0
#: The stop of the consumer. Lower: a slow coordinator does not hear that it leaves, and the group waits for its session
#: to end. Higher: a stop hangs for that long on brokers that are away.
_STOP_S: Final = 5.0
#: The consumer leaves its group when nothing was fetched for that long. Lower: a long batch costs the membership.
#: Higher: a loop that hangs keeps its partitions; the watch ends such a process much earlier.
_POLL_LIMIT_MS: Final = 600_000

_log = logging.getLogger(__name__)


class _Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # Faust ships no types that mypy can follow
    """The thread with aiokafka's consumer, made with our access and limits."""

    heard_at_s: float | None = None

    async def on_start(self) -> None:
        await super().on_start()
        coordinator = self._consumer._coordinator  # noqa: SLF001 - aiokafka tells nobody else that its heartbeats are answered
        heartbeat = coordinator._do_heartbeat  # noqa: SLF001 - as above

        async def noted() -> bool:
            answered = bool(await heartbeat())
            if answered:
                self.heard_at_s = monotonic()
            return answered

        coordinator._do_heartbeat = noted  # noqa: SLF001 - as above
        delivery = self.consumer.app.delivery
        _log_of(delivery).joined(delivery.group, _Member(self.consumer))

    async def on_thread_stop(self) -> None:
        """As Faust's, but it ends. With the brokers away, aiokafka's consumer waits for their answers when it is
        stopped, or ends by cancelling itself (it awaits fetches that it has cancelled); the thread would then never say
        that it has stopped.
        """
        stopping = asyncio.ensure_future(super().on_thread_stop())
        await asyncio.wait({stopping}, timeout=_STOP_S)
        if stopping.done() and not stopping.cancelled() and stopping.exception() is None:
            await self._consumer._client.close()  # noqa: SLF001 - a connection that was being made when it stopped would stay
            return
        stopping.cancel()
        closing = asyncio.ensure_future(self._consumer._client.close())  # noqa: SLF001 - its stop has not come as far as that
        await asyncio.wait({stopping, closing}, timeout=_STOP_S)
        if stopping.done() and not stopping.cancelled() and (fault := stopping.exception()) is not None:
            _log.warning("the consumer did not stop cleanly: %s", type(fault).__name__)

    def _create_worker_consumer(self, transport: Any) -> Any:  # noqa: ARG002 - the log says where the cluster is
        log = _log_of(self.app.delivery)
        session_ms = int(log.kafka.session_timeout_s * 1_000)
        self._assignor = RoundRobinPartitionAssignor
        return aiokafka.AIOKafkaConsumer(
            **log.access.arguments(),
            group_id=self.app.delivery.group,
            group_instance_id=log.kafka.instance or None,
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # a gap or a step back that this makes is seen by the pump and the guard
            max_partition_fetch_bytes=_FETCH_BYTES,
            fetch_max_wait_ms=500,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=min(session_ms // _HEARTBEATS, _HEARTBEAT_MS),
            rebalance_timeout_ms=_REBALANCE_TIMEOUT_MS,
            max_poll_interval_ms=_POLL_LIMIT_MS,
            metadata_max_age_ms=60_000,
        )

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Faust's own look for stalls only logs, and is wrong under our delivery; `process.stall_watch` ends the
        process instead.
        """


class Consumer(BatchConsumer, driver.Consumer):  # type: ignore[misc]  # as above
    """Reads from the cluster as a member of the group."""

    _thread: _Thread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._buffers: dict[TopicPartition, deque[Record]] = {}
        self._sought: dict[TopicPartition, int] = {}

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def silent_s(self) -> float | None:
        heard_at_s = self._thread.heard_at_s
        return None if heard_at_s is None else monotonic() - heard_at_s

    async def on_stop(self) -> None:
        await super().on_stop()
        _log_of(self.delivery).left(self.delivery.group)

    # Fetching

    def _take(self, tp: TopicPartition, offset: int, limit: int, max_bytes: int) -> list[Record]:
        buffer = self._buffers.get(tp)
        while buffer and buffer[0].offset < offset:
            buffer.popleft()
        found: list[Record] = []
        size = 0
        while buffer and len(found) < limit:
            size += len(buffer[0].value or b"") + len(buffer[0].key or b"")
            if found and size > max_bytes:
                break
            found.append(buffer.popleft())
        return found

    async def _drain_messages(self, fetcher: Any) -> None:
        pump = asyncio.create_task(self._pump(fetcher))
        try:
            await super()._drain_messages(fetcher)
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)

    async def _pump(self, fetcher: Any) -> None:
        """Fetched records, from the thread into the buffers."""
        delivery = self.delivery
        try:
            while not (self.should_stop or fetcher.should_stop or delivery.halted):
                if not self.flow_active:
                    await self.can_resume_flow.wait()
                active = {TopicPartition(*tp) for tp in self._active_partitions}
                hungry = {tp for tp in active if len(self._buffers.get(tp, ())) < _BUFFER_RECORDS}
                if not hungry:
                    await asyncio.sleep(_PUMP_BESIDE_FULL_S if active else _PUMP_S)
                    continue
                found = await self._thread.getmany(
                    {self._new_topicpartition(*tp) for tp in hungry},
                    _PUMP_S if hungry == active else _PUMP_BESIDE_FULL_S,
                )
                for tp, records in found.items():
                    await self._keep(TopicPartition(*tp), records)
                if found:
                    delivery.wakeup.set()
                elif self.flow_active:
                    await self._go_back(active & {TopicPartition(*tp) for tp in self._active_partitions})
        except asyncio.CancelledError:
            raise
        except Exception as fault:  # noqa: BLE001 - a consumer that cannot fetch halts the worker, whatever the reason
            delivery.on_failure(_log_of(delivery).told(fault, "fetching records"))

    async def _keep(self, tp: TopicPartition, found: list[Any]) -> None:
        """Keep what follows on what is there. After a seek something of before it may still come, and the thread may be
        ahead of it.
        """
        handled = self.delivery.guard.position(tp)
        if handled is None:
            return  # not ours any more, or not yet
        buffer = self._buffers.setdefault(tp, deque())
        expected = self._expected(tp, handled)
        fresh = [one for one in found if one.offset >= expected]
        if not fresh:
            return
        if fresh[0].offset > expected and self._sought.get(tp) != expected:
            self._sought[tp] = expected
            await self._seek(tp, expected)
            return
        # A gap that is there on a second look goes on to the guard, which refuses it by name.
        self._sought.pop(tp, None)
        buffer.extend(_record(tp, one) for one in fresh)

    def _expected(self, tp: TopicPartition, handled: int) -> int:
        """The offset that the next record must have."""
        buffer = self._buffers.get(tp)
        batch = self.delivery.guard.in_flight(tp)
        return buffer[-1].offset + 1 if buffer else handled if batch is None else batch.next_offset

    async def _go_back(self, active: set[TopicPartition]) -> None:
        """See that the thread is not ahead of what was kept: nothing more may come that would show it."""
        subscription = self._thread._ensure_consumer()._subscription.subscription  # noqa: SLF001 - as for the seek
        assignment = None if subscription is None else subscription.assignment
        for tp in active:
            handled = self.delivery.guard.position(tp)
            state = None if assignment is None else assignment.state_value(self._new_topicpartition(*tp))
            if (
                handled is not None
                and state is not None
                and state.has_valid_position
                and state.position > self._expected(tp, handled)
            ):
                await self._seek(tp, self._expected(tp, handled))

    async def _seek(self, partition: Any, offset: int) -> None:
        tp = TopicPartition(*partition)
        self._buffers.pop(tp, None)
        consumer = self._thread._ensure_consumer()  # noqa: SLF001 - Faust's own classes reach for it as well
        try:
            await self._in_thread(_seek(consumer, self._new_topicpartition(*tp), offset))
        except IllegalStateError:
            _log.info("%s[%d] was taken away during a seek", tp.topic, tp.partition)

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._buffers.pop(TopicPartition(*tp), None)
            self._sought.pop(TopicPartition(*tp), None)

    # Positions

    async def _commit(self, offsets: Mapping[Any, int]) -> bool:
        wanted = {
            self._new_topicpartition(*tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in self.assignment()
        }
        if not wanted:
            return False
        consumer = self._thread._ensure_consumer()  # noqa: SLF001 - as above
        try:
            async with asyncio.timeout(_COMMIT_S):
                await self._in_thread(consumer.commit(wanted))
        except (KafkaError, IllegalStateError, TimeoutError) as fault:
            _log.warning(
                "positions were not stored at the broker, which costs work done twice at most: %s", type(fault).__name__
            )
            return False
        return True

    async def _in_thread(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._thread.thread_loop))


class _Member:
    """What the log is told to commit through while this process is a member of the group: the broker refuses anyone
    else.
    """

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def commit(self, positions: Mapping[TopicPartition, int]) -> bool:
        """Positions of this group; False when they could not be stored (a rebalance, the broker away)."""
        return await self._consumer._commit(positions)  # noqa: SLF001 - Faust's own `commit` takes no positions


def _record(tp: TopicPartition, one: Any) -> Record:
    return Record(tp.topic, tp.partition, one.offset, one.timestamp, one.key, one.value, tuple(one.headers))


async def _seek(consumer: Any, tp: Any, offset: int) -> None:
    consumer.seek(tp, offset)


class Transport(driver.Transport):  # type: ignore[misc]  # as above
    """A cluster as Faust's broker, under `streams.log.worker`."""

    Consumer: ClassVar[Any] = Consumer
    Producer: ClassVar[Any] = FaustProducer

    def __init__(self, url: Any, app: Any, loop: Any = None) -> None:
        require_our_app(app, "kafkalog")
        super().__init__(url, app, loop)


def _log_of(delivery: Consumption) -> KafkaLog:
    assert isinstance(delivery.log, KafkaLog)
    return delivery.log
