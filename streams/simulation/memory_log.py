"""`MemoryLog`: one incarnation's handle over a `LogDisk`, which is what both engines promise and no more.

An append passes these seams, at each of which it waits for a drawn time and other tasks run:

| seam | afterwards |
|---|---|
| `append` (`commit` for positions alone) | it is on its way to the disk; a crash keeps, tears or loses it |
| `sync` | the disk has it and it can be read; no crash takes it away, though its caller does not know yet |
| `acknowledge` | its caller knows |

Appends of one handle are written and settled in the order of their calls, as both engines do. A crash makes every use
of the handle raise `PowerCut`, and whoever waits in it as well.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal, TypeVar, TypeVarTuple

import msgspec

from streams.log.interface import (
    MEBIBYTE,
    Limits,
    Log,
    LogClosed,
    LogOverloaded,
    LogUnavailable,
    NewRecord,
    Position,
    ReadOutOfRange,
    Record,
    RecordTooLarge,
    TopicPartition,
    partition_of,
)
from streams.log.topics import TopicSpec
from streams.simulation.log_disk import WHERE, DiskAppend, LogDisk
from streams.simulation.power import Power, PowerCut

#: Where a call waits. `look`: the end, the start, a time, a position. `wake`: until a waiter hears of an append.
Seam = Literal["append", "commit", "sync", "acknowledge", "read", "look", "wake"]
#: Seconds to wait at a seam; 0: none.
Latency = Callable[[Seam], float]

_Given = TypeVarTuple("_Given")

_encode: Final = msgspec.msgpack.Encoder().encode
_log = logging.getLogger(__name__)


def no_latency(seam: Seam) -> float:  # noqa: ARG001 - the shape of a latency
    """No seam waits; an append still lets the loop turn once."""
    return 0.0


class _Waiting(msgspec.Struct, eq=False):
    """A call on its way: `may_write` after its first seam, `written`, `has_synced` after its second."""

    append: DiskAppend
    done: "asyncio.Future[list[Position]]"
    may_write: bool = False
    written: bool = False
    has_synced: bool = False


class MemoryLog(Log):
    """A log whose disk is a `LogDisk`. `now_ms` is the wall clock, `latency` the seconds to wait at each seam.

    All handles of one incarnation share its `power`.
    """

    def __init__(
        self,
        disk: LogDisk,
        *,
        now_ms: Callable[[], int],
        latency: Latency = no_latency,
        power: Power | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.disk = disk
        self.power = power or Power()
        self.limits = limits or Limits()
        self._now_ms = now_ms
        self._latency = latency
        self._started = False
        self._queue: deque[_Waiting] = deque()  # in the order of the calls, until the disk has them
        self._pending_bytes = 0
        self._unanswered: list[asyncio.Future[list[Position]]] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._watchers: list[Callable[[], None]] = []
        self._unwatch: Callable[[], None] = lambda: None
        self.power.when_cut(self._die)

    @property
    def broker_url(self) -> str:
        return WHERE

    @property
    def incarnation(self) -> str:
        return self._disk().incarnation

    @property
    def ancestors(self) -> tuple[str, ...]:
        return self._disk().ancestors

    @property
    def keeps_positions(self) -> bool:
        return self.disk.keeps_positions

    # Life

    async def start(self) -> None:
        self.power.check()
        if self._started:
            raise LogClosed("the log is started already", WHERE, "start each object once")
        assert not self.disk.awaits_end_of_power, "what the crash did is drawn before the next incarnation starts"
        self._unwatch = self.disk.watch(self._appended)
        self._started = True

    async def stop(self) -> None:
        self.power.check()
        if not self._started:
            return
        self._started = False
        if self._unanswered:
            await asyncio.wait(self._unanswered)
            self.power.check()
        self._unwatch()
        self._wake()

    def power_cut(self) -> None:
        """Crash: this handle, and all that share its power, are dead."""
        self.power.cut()

    def _die(self) -> None:
        self._unwatch()
        for done in self._unanswered:
            _tell(done)
        for waiter in self._waiters:
            _tell(waiter)

    def _disk(self) -> LogDisk:
        """The disk, for a handle that may use it."""
        self.power.check()
        if not self._started:
            raise LogClosed("the log is not started", WHERE, "start it before use")
        return self.disk

    # Seams

    async def _seam(self, seam: Seam) -> LogDisk:
        self._disk()
        delay_s = self._latency(seam)
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        return self._disk()

    def _after(self, seam: Seam, then: Callable[[*_Given], None], *given: *_Given) -> None:
        """Run `then` once the seam is passed, at once where it does not wait; not at all without power."""
        delay_s = self._latency(seam)
        if delay_s > 0:
            asyncio.get_running_loop().call_later(delay_s, self._with_power, then, *given)
        else:
            self._with_power(then, *given)

    def _with_power(self, then: Callable[[*_Given], None], *given: *_Given) -> None:
        if self.power.on:
            then(*given)

    # Topics

    async def ensure_topics(self, specs: Iterable[TopicSpec]) -> None:
        disk = await self._seam("look")
        disk.ensure_topics(specs)

    def partitions(self, topic: str) -> int:
        return self._disk().partitions(topic)

    # Appending

    async def append(
        self,
        records: Sequence[NewRecord],
        *,
        positions: Mapping[str, Mapping[TopicPartition, int]] | None = None,
    ) -> list[Position]:
        disk = self._disk()
        if len(records) > self.limits.append_records:
            raise _too_large(f"{len(records)} records in one append, above {self.limits.append_records}", WHERE)
        ready = [(self._tp(record), record, self._size(record)) for record in records]
        places = disk.positions_of(positions or {})
        size = sum(size for _, _, size in ready)
        if size > self.limits.append_bytes:
            raise _too_large(f"{size} bytes in one append, above {self.limits.append_bytes}", WHERE)
        if not ready:
            return await self._submit("commit", DiskAppend(self.power, [], places)) if places else []
        if disk.atomic or not places:
            return await self._submit("append", DiskAppend(self.power, ready, places))
        found = await self._submit("append", DiskAppend(self.power, ready, {}))
        try:
            await self._submit("commit", DiskAppend(self.power, [], places))
        except LogUnavailable as fault:
            # As on a cluster: told otherwise, the caller would append the records again.
            _log.warning("records were appended, their positions were not stored: %s", fault)
        return found

    async def commit(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        await self.append((), positions={group: positions})

    def _tp(self, record: NewRecord) -> TopicPartition:
        count = self.disk.partitions(record.topic)
        partition = record.partition
        if partition is None:
            if record.key is None:
                raise ValueError(f"a record for {record.topic} has neither key nor partition")
            partition = partition_of(record.key, count)
        tp = TopicPartition(record.topic, partition)
        self.disk.end(tp)  # there is such a partition
        return tp

    def _size(self, record: NewRecord) -> int:
        headers = len(_encode(record.headers)) if record.headers else 0
        size = len(record.key or b"") + len(record.value or b"") + headers
        if size > self.limits.record_bytes:
            raise _too_large(f"a record of {size} bytes, above {self.limits.record_bytes}", record.topic)
        return size

    async def _submit(self, seam: Seam, append: DiskAppend) -> list[Position]:
        self._disk()
        if self._pending_bytes + append.size > self.limits.pending_bytes:
            what = f"{self._pending_bytes} bytes are waiting to be written"
            raise LogOverloaded(what, WHERE, "slow down and try again")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(append, loop.create_future())
        self._queue.append(waiting)
        self._unanswered.append(waiting.done)
        self._pending_bytes += append.size
        loop.call_soon(self._after, seam, self._write, waiting)
        return await waiting.done

    def _write(self, waiting: _Waiting) -> None:
        """The first seam of a call is passed: it is written with those behind it that only waited for it."""
        waiting.may_write = True
        for each in list(self._queue):
            if not each.may_write:
                break
            if each.written:
                continue
            if each.done.done():  # its caller has gone
                self._forget(each)
                continue
            each.written = True
            size = each.append.size
            self.disk.write(each.append, self._now_ms())
            self._pending_bytes -= size
            self._after("sync", self._settle, each)

    def _forget(self, waiting: _Waiting) -> None:
        self._queue.remove(waiting)
        self._unanswered.remove(waiting.done)
        self._pending_bytes -= waiting.append.size

    def _settle(self, waiting: _Waiting) -> None:
        """The second seam of a call is passed: the disk has it, and those behind it that only waited for it."""
        waiting.has_synced = True
        while self._queue and self._queue[0].has_synced:
            first = self._queue.popleft()
            places = self.disk.settle(first.append)
            self._after("acknowledge", self._acknowledge, first, places)

    def _acknowledge(self, waiting: _Waiting, places: list[Position]) -> None:
        self._unanswered.remove(waiting.done)
        if waiting.done.done():
            return
        if waiting.append.fault is not None:
            waiting.done.set_exception(waiting.append.fault)
        else:
            waiting.done.set_result(places)

    # Reading

    async def read(
        self, tp: TopicPartition, offset: int, limit: int = 1_000, max_bytes: int = 4 * MEBIBYTE
    ) -> list[Record]:
        disk = await self._seam("read")
        return disk.read(tp, offset, min(limit, self.limits.read_records), min(max_bytes, self.limits.read_bytes))

    def scan(
        self, topic: str, partition: int, start: int = 0, stop: int | None = None, *, batch: int = 500
    ) -> Iterator[list[Record]]:
        self.power.check()
        tp = TopicPartition(topic, partition)
        end = self.disk.end(tp)
        if stop is not None and stop > end:
            raise ReadOutOfRange(
                f"offset {stop} is beyond the end {end}", f"{topic}[{partition}]", "scan up to the end"
            )
        return self._pages(tp, start, end if stop is None else stop, batch)

    def _pages(self, tp: TopicPartition, start: int, stop: int, batch: int) -> Iterator[list[Record]]:
        offset = start
        while offset < stop or offset == start:
            self.power.check()
            page = self.disk.read(tp, offset, max(min(batch, stop - offset), 0))
            offset += len(page)
            if not page:
                return
            yield page

    async def start_offset(self, tp: TopicPartition) -> int:
        disk = await self._seam("look")
        disk.end(tp)  # there is such a partition
        return 0

    async def end_offset(self, tp: TopicPartition) -> int:
        disk = await self._seam("look")
        return disk.end(tp)

    async def end_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        disk = await self._seam("look")
        return {tp: disk.end(tp) for tp in tps}

    def next_beyond(
        self, tps: Sequence[TopicPartition], place: int, position: Callable[[TopicPartition], int | None]
    ) -> int:
        """The place of the first of these partitions, from `place` on, that has records beyond its position; how many
        there are where none has. Without a seam.
        """
        end = self._disk().end
        for tp in tps[place:]:
            at = position(tp)
            assert at is not None
            if end(tp) > at:
                break
            place += 1
        return place

    async def offset_at_time(self, tp: TopicPartition, timestamp_ms: int) -> int:
        disk = await self._seam("look")
        return disk.offset_at_time(tp, timestamp_ms)

    async def committed(self, group: str, tp: TopicPartition) -> int | None:
        disk = await self._seam("look")
        return disk.committed(group, tp)

    # Waiting

    async def wait(self, offsets: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + min(timeout_s, self.limits.wait_s)
        while not self._any_at(offsets):
            left_s = deadline_s - loop.time()
            if left_s <= 0 or not await self._changed(left_s):
                return self._any_at(offsets)
        return True

    def _any_at(self, offsets: Mapping[TopicPartition, int]) -> bool:
        disk = self._disk()
        return any([disk.end(tp) > offset for tp, offset in offsets.items()])  # noqa: C419 - each of them must exist

    async def _changed(self, timeout_s: float) -> bool:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            done, _ = await asyncio.wait([waiter], timeout=timeout_s)
        finally:
            self._waiters.remove(waiter)
        if done:
            waiter.result()
        return bool(done)

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called whenever something was appended; return what ends that."""
        self._disk()
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback)

    def _appended(self) -> None:
        self._after("wake", self._wake)

    def _wake(self) -> None:
        for callback in list(self._watchers):
            callback()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    # Groups

    @contextmanager
    def hold_group(self, group: str) -> Iterator[None]:
        release = self._disk().hold_group(group, self.power)
        try:
            yield
        finally:
            release()


_Result = TypeVar("_Result")


def _tell(done: "asyncio.Future[_Result]") -> None:
    """Tell who waits that the power is off. It may be cancelled before it hears: then nobody else need hear."""
    if not done.done():
        done.set_exception(PowerCut())
        done.exception()


def _too_large(what: str, where: str) -> RecordTooLarge:
    return RecordTooLarge(what, where, "send less at once")
