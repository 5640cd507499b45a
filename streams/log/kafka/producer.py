"""Appending: idempotent, acknowledged by all replicas in step, and given up whole when it fails.

Not aiokafka's producer, on purpose. It counts sequence numbers for batches that it fails itself (a partition without a
leader for longer than its timeout), after which the brokers refuse everything it sends; it never gives up a batch that
it may not have sent; and it cannot be ended at once. Here a partition has one batch on its way at a time, sent again,
byte for byte, until it is acknowledged or its time is up. A failed batch ends the session: the connections are closed,
and the next append gets a new identity, whose numbers begin at zero.

Order and duplicates. The brokers drop a batch they have seen (same identity and number), so a resend writes nothing
twice, and one batch at a time keeps the order. An append that failed may still have been written: the ids of its
records must tell when it is tried again.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from aiokafka import errors
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams.log.interface import (
    MEBIBYTE,
    Limits,
    LogClosed,
    LogError,
    LogOverloaded,
    LogUnavailable,
    NewRecord,
    Position,
    TopicPartition,
)
from streams.log.kafka.access import Access
from streams.log.kafka.brokers import RETRY_MAX_S, RETRY_S, Brokers, Identity
from streams.log.kafka.faults import FAULTS, again, is_final, told

#: From an append to its failure, all resends included. Lower than 30 s (Kafka's replica.lag.time.max.ms, the longest
#: that a dead replica holds up acknowledgements): a broker's death fails appends that would go through. Higher: callers
#: are told late, and memory is held.
DELIVERY_LIMIT_S: Final = 45.0
#: One request. Lower: a busy cluster gets everything twice, and drops it. Higher: a paused leader holds its partitions
#: up for that long.
REQUEST_S: Final = 15.0
#: How long a leader waits for its replicas before it says so; less than `REQUEST_S`, so that its own reason is heard.
_ACKS_MS: Final = 10_000
#: One batch. Lower: more of the cost of a batch for each record. Higher: a topic with Kafka's own max.message.bytes
#: (1,048,588) refuses it.
_BATCH_BYTES: Final = 960 * 1024
#: One request to one broker. Lower: more round trips for many partitions. Higher: nearer to socket.request.max.bytes
#: (100 MiB), where brokers close the connection.
_REQUEST_BYTES: Final = 32 * MEBIBYTE
#: What is overdue is looked for this often. Lower: turns of the loop for nothing. Higher: failures are told late.
_TICK_S: Final = 0.25
#: How long a stop goes on writing. Lower: what waits for a busy cluster is lost to its caller. Higher: a stop hangs on
#: a dead one.
_STOP_S: Final = 10.0
_APPENDING: Final = "appending"
_ALL: Final = -1
_MAGIC: Final = 2
_NO_COMPRESSION: Final = 0
_SEQUENCE_END: Final = 2**31

_log = logging.getLogger(__name__)


class _Append:
    """One call that waits."""

    __slots__ = ("deadline_s", "done", "left", "places", "size")

    def __init__(self, done: "asyncio.Future[list[Position]]", count: int, size: int, deadline_s: float) -> None:
        self.done = done
        self.places: list[Position | None] = [None] * count
        self.left = count
        self.size = size
        self.deadline_s = deadline_s

    def placed(self, index: int, place: Position) -> None:
        self.places[index] = place
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result([place for place in self.places if place is not None])

    def failed(self, error: LogError) -> None:
        if not self.done.done():
            self.done.set_exception(again(error))


class _Part:
    """The records of one call that go to one partition, in order; `next`: the first that is in no batch yet."""

    __slots__ = ("append", "next", "records")

    def __init__(self, append: _Append) -> None:
        self.append = append
        self.records: list[tuple[int, NewRecord]] = []
        self.next = 0


class _Batch:
    """What is on its way, as it is sent again and again: numbers of its identity inside."""

    __slots__ = ("count", "data", "records")

    def __init__(self, data: bytes, records: list[tuple[_Append, int]]) -> None:
        self.data = data
        self.records = records
        self.count = len(records)


class _Lane:
    """One partition: calls that wait for it, and one batch on its way."""

    __slots__ = ("batch", "fault", "identity", "pause_s", "queue", "retry_s", "sequence", "tp")

    def __init__(self, tp: TopicPartition) -> None:
        self.tp = tp
        self.queue: deque[_Part] = deque()
        self.batch: _Batch | None = None
        self.identity: Identity | None = None
        self.sequence = 0
        self.retry_s = 0.0  # not before
        self.pause_s = RETRY_S
        self.fault: BaseException | None = None

    def build(self, identity: Identity, now_ms: int) -> _Batch | None:
        """The next batch of what waits; None if all who waited have gone."""
        if self.identity is not identity:
            self.identity, self.sequence = identity, 0
        builder = DefaultRecordBatchBuilder(
            _MAGIC, _NO_COMPRESSION, 0, identity.producer_id, identity.epoch, self.sequence, _BATCH_BYTES
        )
        records: list[tuple[_Append, int]] = []
        while self.queue:
            part = self.queue[0]
            if not part.append.done.done() and not _fill(builder, part, records, now_ms):
                break
            self.queue.popleft()
        if not records:
            return None
        self.sequence = (self.sequence + len(records)) % _SEQUENCE_END
        return _Batch(bytes(builder.build()), records)


def _fill(builder: DefaultRecordBatchBuilder, part: _Part, records: list[tuple[_Append, int]], now_ms: int) -> bool:
    """Put what fits of a call into a batch; whether it was all of it."""
    while part.next < len(part.records):
        index, record = part.records[part.next]
        stamp = now_ms if record.timestamp_ms is None else record.timestamp_ms
        if builder.append(len(records), stamp, record.key, record.value, list(record.headers)) is None:
            return False
        records.append((part.append, index))
        part.next += 1
    return True


class _Session:
    """A client and an identity: what is replaced when a batch has failed."""

    def __init__(self, brokers: Brokers, identity: Identity) -> None:
        self.brokers = brokers
        self.identity = identity
        self.busy: set[int] = set()  # brokers with a request of ours under way
        self.idle = asyncio.Event()
        self.idle.set()

    def begin(self, node: int) -> None:
        self.busy.add(node)
        self.idle.clear()

    def end(self, node: int) -> None:
        self.busy.discard(node)
        if not self.busy:
            self.idle.set()


class Producer:
    """Takes calls on one event loop, resolves each with where its records are."""

    def __init__(self, access: Access, limits: Limits, *, delivery_limit_s: float = DELIVERY_LIMIT_S) -> None:
        self._access = access
        self._limits = limits
        self._delivery_limit_s = delivery_limit_s
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[TopicPartition, _Lane] = {}
        self._at_work: dict[TopicPartition, _Lane] = {}
        self._sending: set[TopicPartition] = set()
        self._waiting: dict[int, _Append] = {}
        self._pending_bytes = 0
        self._session: _Session | None = None
        self._opening_fault: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening: asyncio.Task[None] | None = None
        self._pump_handle: asyncio.Handle | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._stopped = False
        self.replaced = 0
        """How many sessions were given up after a batch that failed."""

    async def append(self, records: Sequence[tuple[TopicPartition, NewRecord]], size: int) -> list[Position]:
        """Write records, which are within the limits and whose topics exist, in order in each partition.

        Raises:
            LogUnavailable: they were not acknowledged; some may be there.
            RecordTooLarge, UnknownTopic, LogClosed: the brokers refuse them for good.

        """
        if self._stopped:
            raise self._closed()
        if self._pending_bytes + size > self._limits.pending_bytes:
            what = f"{self._pending_bytes} bytes are waiting to be written"
            raise LogOverloaded(what, self._access.where, "slow down and try again")
        append = _Append(self._loop.create_future(), len(records), size, self._loop.time() + self._delivery_limit_s)
        self._queue(append, records)
        self._waiting[id(append)] = append
        self._pending_bytes += size
        self._schedule()
        try:
            return await append.done
        finally:
            # However it ends, also by a caller who gave up: what is not in a batch yet is forgotten, and its room is
            # free.
            self._pending_bytes -= size
            del self._waiting[id(append)]
            if append.left:
                self._forget(append, {tp for tp, _ in records})

    def _forget(self, append: _Append, tps: Iterable[TopicPartition]) -> None:
        """Drop what waits of a call that nobody waits for: while the brokers are away nothing else would, and every
        call would leave it.
        """
        for tp in tps:
            lane = self._lanes[tp]
            lane.queue = deque(part for part in lane.queue if part.append is not append)
            if lane.batch is None and not lane.queue:
                self._at_work.pop(tp, None)

    def _closed(self) -> LogClosed:
        return LogClosed("the log is not started", self._access.where, "start it before use")

    def _queue(self, append: _Append, records: Sequence[tuple[TopicPartition, NewRecord]]) -> None:
        parts: dict[TopicPartition, _Part] = {}
        for index, (tp, record) in enumerate(records):
            part = parts.get(tp)
            if part is None:
                part = parts[tp] = _Part(append)
            part.records.append((index, record))
        for tp, part in parts.items():
            lane = self._lanes.get(tp)
            if lane is None:
                lane = self._lanes[tp] = _Lane(tp)
            lane.queue.append(part)
            self._at_work[tp] = lane

    # Sending

    def _schedule(self) -> None:
        if self._pump_handle is None:
            self._pump_handle = self._loop.call_soon(self._pump)
        if self._ticker is None:
            self._ticker = self._loop.call_later(_TICK_S, self._tick)

    def _pump(self) -> None:
        """Send what can be sent now: to each broker that has no request of ours, one with a batch of each partition
        that it leads.
        """
        self._pump_handle = None
        session = self._session
        if session is None:
            if (
                self._opening is None and self._waiting
            ):  # without anyone who waits, opening would end and begin for ever
                self._opening = self._spawn(self._open())
            return
        now_s = self._loop.time()
        now_ms = time.time_ns() // 1_000_000
        requests: dict[int, list[tuple[_Lane, _Batch]]] = {}
        sizes: dict[int, int] = {}
        unled = False
        for tp, lane in list(self._at_work.items()):
            if tp in self._sending or lane.retry_s > now_s:
                continue
            node = session.brokers.leader(tp)
            if node is None:
                unled = True
                self._hold(lane, errors.LeaderNotAvailableError())
                continue
            if node in session.busy or sizes.get(node, 0) >= _REQUEST_BYTES:
                continue
            if lane.batch is None:
                lane.batch = lane.build(session.identity, now_ms)
            if lane.batch is None:
                del self._at_work[tp]
                continue
            requests.setdefault(node, []).append((lane, lane.batch))
            sizes[node] = sizes.get(node, 0) + len(lane.batch.data)
        for node, batches in requests.items():
            session.begin(node)
            self._sending.update(lane.tp for lane, _ in batches)
            self._spawn(self._send(session, node, batches))
        if unled:
            self._renew(session)

    async def _send(self, session: _Session, node: int, batches: list[tuple[_Lane, _Batch]]) -> None:
        answers: dict[TopicPartition, tuple[BaseException | None, int]] = {}
        lost: BaseException = errors.KafkaConnectionError("no answer for this partition")
        try:
            response = await session.brokers.send(node, _request(batches))
            for topic, partitions in response.topics:
                for partition, code, offset, *_ in partitions:
                    answers[TopicPartition(topic, partition)] = (errors.for_code(code)() if code else None, offset)
        except FAULTS as fault:
            lost = fault
        except LogClosed:
            pass  # the session was ended before this was sent: over the next one, then
        finally:
            session.end(node)
            self._sending.difference_update(lane.tp for lane, _ in batches)
        for lane, batch in batches:
            if lane.batch is batch:  # else it was given up meanwhile
                self._answered(session, lane, batch, *answers.get(lane.tp, (lost, -1)))
        self._schedule()

    def _answered(self, session: _Session, lane: _Lane, batch: _Batch, fault: BaseException | None, base: int) -> None:
        if fault is None and base >= 0:
            lane.batch, lane.fault, lane.pause_s = None, None, RETRY_S
            if not lane.queue:
                self._at_work.pop(lane.tp, None)
            topic, partition = lane.tp
            for offset, (append, index) in enumerate(batch.records, base):
                append.placed(index, Position(topic, partition, offset))
        elif fault is None:
            # Seen before, but so long ago that the broker does not know where: written, yet without a place to tell.
            self._give_up(lane, errors.DuplicateSequenceNumber())
        elif getattr(fault, "retriable", isinstance(fault, OSError)):
            self._hold(lane, fault)
            self._renew(session)
        else:
            self._give_up(lane, fault)

    def _hold(self, lane: _Lane, fault: BaseException) -> None:
        """Try this lane again a little later."""
        lane.fault = fault
        lane.retry_s = self._loop.time() + lane.pause_s
        self._loop.call_later(lane.pause_s, self._schedule)
        lane.pause_s = min(2 * lane.pause_s, RETRY_MAX_S)

    def _renew(self, session: _Session) -> None:
        if self._session is session:
            self._spawn(self._look_at_leaders(session))

    async def _look_at_leaders(self, session: _Session) -> None:
        """Ask for the leaders anew, also of topics that nothing was sent to before."""
        with suppress(LogClosed, *FAULTS):
            await session.brokers.track(tp.topic for tp in self._lanes)
            await session.brokers.refresh()

    # Giving up

    def _tick(self) -> None:
        """Give up the lanes of calls whose time is up."""
        self._ticker = self._loop.call_later(_TICK_S, self._tick) if self._waiting else None
        now_s = self._loop.time()
        for tp, lane in list(self._at_work.items()):
            if any(append.deadline_s <= now_s for append in _first_of(lane)):
                self._give_up(lane, lane.fault or self._opening_fault or TimeoutError())
            elif tp not in self._sending:
                self._schedule()

    def _give_up(self, lane: _Lane, fault: BaseException) -> None:
        """Fail everyone who waits for this partition, and end the session: its numbers would not fit any more."""
        where = f"{lane.tp.topic}[{lane.tp.partition}] on {self._access.where}"
        error = told(fault, where, _APPENDING)
        behind = (
            error
            if error.retriable
            else LogUnavailable("an append before this one failed", where, "try again: nothing of it was sent")
        )
        _log.warning("an append failed, its producer is replaced: %s", error)
        batch, lane.batch, lane.identity, lane.fault = lane.batch, None, None, None
        lane.retry_s, lane.pause_s = 0.0, RETRY_S
        self._at_work.pop(lane.tp, None)
        for append, _ in batch.records if batch is not None else ():
            append.failed(error)
        while lane.queue:
            lane.queue.popleft().append.failed(behind)
        session, self._session = self._session, None
        if session is not None:
            self.replaced += 1
            # Batches of other partitions that were under way keep their numbers, and are sent again over the next
            # session.
            self._spawn(self._retire(session))
        self._schedule()

    async def _retire(self, session: _Session) -> None:
        """Close a session's connections, at once and again: a request that was just connecting has opened one more."""
        await session.brokers.close()
        await session.idle.wait()
        await session.brokers.close()

    def _fail_all(self, fault: BaseException) -> None:
        for lane in list(self._at_work.values()):
            self._give_up(lane, fault)

    # Sessions

    async def _open(self) -> None:
        """Get a client and an identity, for as long as anyone waits."""
        pause_s = RETRY_S
        try:
            while self._waiting:
                brokers = Brokers(self._access, request_s=REQUEST_S)
                try:
                    await brokers.open()
                    identity = await brokers.identity()
                    await brokers.track(tp.topic for tp in self._lanes)
                except FAULTS as fault:
                    await brokers.close()
                    self._opening_fault = fault
                    if is_final(fault):
                        self._fail_all(fault)
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, RETRY_MAX_S)
                except BaseException:
                    await brokers.close()
                    raise
                else:
                    self._session, self._opening_fault = _Session(brokers, identity), None
                    for lane in self._at_work.values():
                        lane.retry_s, lane.pause_s = 0.0, RETRY_S
                    return
        finally:
            self._opening = None
            self._schedule()

    async def stop(self) -> None:
        """Refuse new calls, write those that wait, then close."""
        self._stopped = True
        waiting = [append.done for append in self._waiting.values() if not append.done.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=_STOP_S)
        for append in self._waiting.values():
            append.failed(
                LogClosed(
                    "the log was stopped before the brokers acknowledged",
                    self._access.where,
                    "start it again, then try again",
                )
            )
        self._lanes.clear()
        self._at_work.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for handle in (self._pump_handle, self._ticker):
            if handle is not None:
                handle.cancel()
        session, self._session = self._session, None
        if session is not None:
            await session.brokers.close()

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # A fault of this program: nobody may wait for ever for it.
            _log.error("the producer failed", exc_info=task.exception())
            self._fail_all(LogUnavailable("the producer failed", self._access.where, "report this; it is replaced"))


def _request(batches: Iterable[tuple[_Lane, _Batch]]) -> ProduceRequest:
    topics: dict[str, list[tuple[int, bytes]]] = {}
    for lane, batch in batches:
        topics.setdefault(lane.tp.topic, []).append((lane.tp.partition, batch.data))
    return ProduceRequest(None, _ALL, _ACKS_MS, list(topics.items()))


def _first_of(lane: _Lane) -> Iterable[_Append]:
    """The calls that have waited longest for this partition, if they still wait."""
    if lane.batch is not None:
        yield lane.batch.records[0][0]
    for part in lane.queue:
        if not part.append.done.done():
            yield part.append
            return
