"""Reading: pages from any offset, a long poll for what comes next, and bulk scans in a thread of their own.

Each read is one fetch of its own, from exactly the offset asked for: nothing is fetched ahead that nobody asked for,
and no consumer has to be put somewhere first.
"""

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Hashable, Iterator, Mapping
from contextlib import aclosing, suppress
from typing import Any, Final, NamedTuple

from aiokafka import errors
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords

from streams.gc_pause import without_collector
from streams.log.interface import (
    MEBIBYTE,
    LogCorrupt,
    LogUnavailable,
    ReadOutOfRange,
    Record,
    TopicPartition,
    UnknownTopic,
)
from streams.log.kafka.access import Access
from streams.log.kafka.brokers import EARLIEST, LATEST, Brokers, raise_for
from streams.log.kafka.faults import FAULTS, told

#: Fetched for one record of a bounded read, when few are asked for. Lower: more round trips. Higher: bytes are sent for
#: nothing.
_RECORD_GUESS_BYTES: Final = 4 * 1024
_FETCH_LEAST_BYTES: Final = 64 * 1024
#: One fetch of a scan. Lower: more round trips. Higher: memory, about `_AHEAD` times this.
_SCAN_BYTES: Final = 2 * MEBIBYTE
#: Fetches of a scan that wait to be decoded. Lower: the network stands still meanwhile. Higher: memory.
_AHEAD: Final = 2
#: How long a scan waits for records that must be there, after an election. Lower: that fails it. Higher: it hangs on a
#: dead cluster.
_SCAN_STALL_S: Final = 20.0
#: One long poll. Lower: needless requests while nothing comes. Higher: a waiter that is gone holds its connection for
#: that long.
_POLL_MS: Final = 1_000
#: Connections for long polls, to each broker. Lower: more waiters than this take turns. Higher: connections at the
#: brokers.
_WAITERS: Final = 16
_READING: Final = "reading"
_READ_LINE: Final = "read"


class _Fetched(NamedTuple):
    """One answer: the batches as they were sent, and the end of the partition as its leader sees it."""

    data: bytes
    end: int


def decode(tp: TopicPartition, data: bytes, start: int, stop: int | None = None) -> list[Record]:
    """The records of [start, stop) in one answer.

    Raises:
        LogCorrupt: a checksum does not fit, or a record in between is missing.

    """
    topic, partition = tp
    found: list[Record] = []
    expected = start
    batches = MemoryRecords(data)
    while batches.has_next():
        batch: Any = batches.next_batch()
        if not batch.validate_crc():
            raise _corrupt(f"the checksum of a batch at or after offset {expected} does not fit", tp)
        if batch.is_control_batch:  # a mark of a transaction takes an offset, and is no record
            expected = max(expected, batch.next_offset)
            continue
        for one in batch:
            offset = one.offset
            if offset < expected:
                continue
            if stop is not None and offset >= stop:
                return found
            if offset != expected:
                raise _corrupt(f"records {expected} to {offset - 1} are missing", tp)
            headers = one.headers
            found.append(
                Record(topic, partition, offset, one.timestamp, one.key, one.value, tuple(headers) if headers else ())
            )
            expected += 1
    return found


def _after(data: bytes, start: int) -> int:
    """The offset after the last whole batch of an answer: from the batches' heads, without their records."""
    batches = MemoryRecords(data)
    while batches.has_next():
        batch: Any = batches.next_batch()
        start = max(start, batch.next_offset)
    return start


def _corrupt(what: str, tp: TopicPartition) -> LogCorrupt:
    remedy = (
        "the topic must keep everything (cleanup.policy=delete); look at the brokers' disks, or move to a new cluster"
    )
    return LogCorrupt(what, f"{tp.topic}[{tp.partition}]", remedy)


def out_of_range(tp: TopicPartition, offset: int, start: int, end: int) -> ReadOutOfRange:
    """What to say of an offset that is not there."""
    remedy = "see how old the store is against the log; never skip by hand"
    return ReadOutOfRange(f"offset {offset} is not within {start} to {end}", f"{tp.topic}[{tp.partition}]", remedy)


class Reader:
    """Reads over one client."""

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._polls: set[asyncio.Task[dict[TopicPartition, int]]] = set()
        self._lines = list(range(_WAITERS, 0, -1))
        self._line_free = asyncio.Event()

    async def close(self) -> None:
        """End the polls that nobody waits for any more."""
        for poll in self._polls:
            poll.cancel()
        await asyncio.gather(*self._polls, return_exceptions=True)

    async def read(self, tp: TopicPartition, offset: int, limit: int, max_bytes: int) -> list[Record]:
        """As `Log.read`."""
        found: list[Record] = []
        left_bytes = max_bytes
        while True:
            at = offset + len(found)
            size = min(left_bytes, max(_FETCH_LEAST_BYTES, (limit - len(found)) * _RECORD_GUESS_BYTES))
            fetched = await self.fetch(tp, at, size)
            page = decode(tp, fetched.data, at)
            for record in page:
                found.append(record)
                left_bytes -= len(record.key or b"") + len(record.value or b"")
                if len(found) >= limit or left_bytes <= 0:
                    return found
            if not page or at + len(page) >= fetched.end:
                return found

    async def fetch(
        self, tp: TopicPartition, offset: int, size: int, *, wait_ms: int = 0, line: Hashable = _READ_LINE
    ) -> _Fetched:
        """What is there from an offset on, or after `wait_ms` at the latest; at least one batch, however large, if
        there is one.
        """

        def answer(response: Any) -> _Fetched:
            ((_, ((_, code, end, *_, data),)),) = response.topics
            raise_for(code)
            return _Fetched(data or b"", end)

        request = FetchRequest(wait_ms, 1, size, 0, [(tp.topic, [(tp.partition, offset, size)])])
        try:
            return await self._brokers.ask_leader(tp, _READING, request, answer, line=line)
        except LogUnavailable as fault:
            if isinstance(fault.__cause__, errors.OffsetOutOfRangeError):
                start, end = await self.bounds(tp)
                raise out_of_range(tp, offset, start, end) from None
            raise

    async def bounds(self, tp: TopicPartition) -> tuple[int, int]:
        """The offset of the first kept record, and the one that the next will have."""
        start = (await self._brokers.offsets({tp: EARLIEST}))[tp]
        return start, (await self._brokers.offsets({tp: LATEST}))[tp]

    # Waiting

    async def wait(self, offsets: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """As `Log.wait`."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        ends = await self._brokers.offsets(dict.fromkeys(offsets, LATEST))
        while not any(ends[tp] > offset for tp, offset in offsets.items()):
            left_ms = int((deadline_s - loop.time()) * 1_000)
            if left_ms <= 0:
                return False
            ends |= await self._next_ends(ends, min(left_ms, _POLL_MS))
        return True

    async def _next_ends(self, ends: Mapping[TopicPartition, int], wait_ms: int) -> dict[TopicPartition, int]:
        """Wait until something lies beyond one of the ends; return those that moved."""
        by_node: dict[int | None, dict[TopicPartition, int]] = {}
        for tp, end in ends.items():
            by_node.setdefault(self._brokers.leader(tp), {})[tp] = end
        if None in by_node:  # no leader: the question for the ends waits for it, or fails
            return await self._brokers.offsets(dict.fromkeys(ends, LATEST))
        line = await self._take_line()
        polls = [
            asyncio.create_task(self._poll(node, at, wait_ms, line)) for node, at in by_node.items() if node is not None
        ]
        # A poll cannot be taken back: whoever asks next over its connection waits behind it. So it ends by itself, and
        # its line with it.
        self._polls.update(polls)
        everyone = asyncio.gather(*polls, return_exceptions=True)
        everyone.add_done_callback(lambda _: self._give_line(line, polls))
        done, _ = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
        found: dict[TopicPartition, int] = {}
        for poll in done:
            if poll.exception() is not None:
                return await self._brokers.offsets(dict.fromkeys(ends, LATEST))
            found |= poll.result()
        return found

    async def _poll(
        self, node: int, ends: Mapping[TopicPartition, int], wait_ms: int, line: int
    ) -> dict[TopicPartition, int]:
        topics: dict[str, list[tuple[int, int, int]]] = {}
        for tp, end in ends.items():
            topics.setdefault(tp.topic, []).append((tp.partition, end, 1))
        response = await self._brokers.send(
            node, FetchRequest(wait_ms, 1, 1, 0, list(topics.items())), line=("wait", line)
        )
        moved: dict[TopicPartition, int] = {}
        for topic, partitions in response.topics:
            for partition, code, end, *_ in partitions:
                raise_for(code)
                moved[TopicPartition(topic, partition)] = end
        return moved

    async def _take_line(self) -> int:
        while not self._lines:
            self._line_free.clear()
            await self._line_free.wait()
        return self._lines.pop()

    def _give_line(self, line: int, polls: list[asyncio.Task[dict[TopicPartition, int]]]) -> None:
        self._polls.difference_update(polls)
        self._lines.append(line)
        self._line_free.set()


class Scan:
    """A bulk read for any thread: another one fetches, over a client of its own; whoever iterates decodes."""

    def __init__(self, access: Access, tp: TopicPartition, start: int, stop: int | None) -> None:
        self._access = access
        self._tp = tp
        self._start = start
        self._stop = stop
        self._items: queue.SimpleQueue[tuple[bytes, int, int] | Exception | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room: asyncio.Semaphore | None = None
        self._task: asyncio.Task[None] | None = None
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"scan of {tp.topic}", daemon=True)

    def pages(self, batch: int) -> Iterator[list[Record]]:
        """Lists of up to `batch` records, in order."""
        self._thread.start()
        self._up.wait()
        rest: list[Record] = []
        try:
            while (item := self._items.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                data, at, stop = item
                with without_collector():
                    found = rest + decode(self._tp, data, at, stop)
                self._call(self._room.release if self._room else None)
                whole = len(found) - len(found) % batch
                for first in range(0, whole, batch):
                    yield found[first : first + batch]
                rest = found[whole:]
            if rest:
                yield rest
        finally:
            self._call(self._task.cancel if self._task else None)
            self._thread.join()

    def _call(self, what: Any) -> None:
        if what is not None and self._loop is not None:
            with suppress(RuntimeError):  # its loop has ended: nothing is left to tell
                self._loop.call_soon_threadsafe(what)

    # In the thread

    def _run(self) -> None:
        try:
            asyncio.run(self._feed())
        finally:
            self._up.set()
            self._items.put(None)

    async def _feed(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(_AHEAD)
        brokers = Brokers(self._access)
        # A task of its own, so that whoever has had enough can end it, and never the closing after it.
        self._task = asyncio.create_task(self._fetch_all(brokers, self._room))
        self._up.set()
        try:
            await self._task
        except asyncio.CancelledError:
            pass
        except FAULTS as fault:
            self._items.put(told(fault, brokers.place(self._tp), "scanning"))
        except Exception as fault:  # noqa: BLE001 - whoever iterates is told, in the other thread
            self._items.put(fault)
        finally:
            await brokers.close()

    async def _fetch_all(self, brokers: Brokers, room: asyncio.Semaphore) -> None:
        tp = self._tp
        await brokers.open()
        if not 0 <= tp.partition < (await brokers.topics()).get(tp.topic, 0):
            raise UnknownTopic(
                "no such topic or partition",
                brokers.place(tp),
                "run `zoho-gocardless topics apply`; check topic_prefix",
            )
        reader = Reader(brokers)
        await brokers.track([tp.topic])
        first, end = await reader.bounds(tp)
        stop = end if self._stop is None else self._stop
        if stop > end:
            raise ReadOutOfRange(
                f"offset {stop} is beyond the end {end}", f"{tp.topic}[{tp.partition}]", "scan up to the end"
            )
        if self._start > end or (self._start < first and self._start < stop):
            raise out_of_range(tp, self._start, first, end)
        async with aclosing(self._fetches(reader, stop)) as fetches:
            async for data, at in fetches:
                await room.acquire()
                self._items.put((data, at, stop))

    async def _fetches(self, reader: Reader, stop: int) -> AsyncGenerator[tuple[bytes, int], None]:
        """The answers one after the other, the next one asked for while the last is being used."""
        at = self._start
        loop = asyncio.get_running_loop()
        moved_s = loop.time()
        following: asyncio.Task[_Fetched] | None = None
        try:
            while at < stop:
                fetched = await (following or self._fetch(reader, at))
                following = None
                after = _after(fetched.data, at)
                if after == at:
                    if loop.time() - moved_s > _SCAN_STALL_S:
                        raise LogUnavailable(
                            "the records do not come", f"{self._tp.topic}[{self._tp.partition}]@{at}", "try again"
                        )
                    continue
                moved_s = loop.time()
                if after < stop:
                    following = asyncio.ensure_future(self._fetch(reader, after))
                yield fetched.data, at
                at = after
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _fetch(self, reader: Reader, at: int) -> _Fetched:
        return await reader.fetch(self._tp, at, _SCAN_BYTES, wait_ms=_POLL_MS)
