"""`SqliteLog`: the log in one SQLite file, on one event loop, beside other processes that have it open too."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from adapters.headers import MAX_COUNT, whole
from streams.gc_pause import without_collector
from streams.log.interface import (
    MEBIBYTE,
    Limits,
    Log,
    LogClosed,
    NewRecord,
    Position,
    ReadOutOfRange,
    Record,
    RecordTooLarge,
    TopicPartition,
)
from streams.log.sqlite import place, rows, schema
from streams.log.sqlite.faults import telling
from streams.log.sqlite.group_commit import GroupCommit
from streams.log.sqlite.moved import Moved, read_moved
from streams.log.sqlite.storage import Storage
from streams.log.sqlite.wakeups import LogWakeups
from streams.log.topics import TopicSpec

# With wakeups the poll is for records whose writer died before it woke anybody. Lower: idle CPU. Higher: those wait
# longer.
POLL_S: Final = 0.1
# Without them the poll is all there is: 5 ms keeps the wake-up below 10 ms, for 3 % of a core.
POLL_ALONE_S: Final = 0.005
# Records deleted in one transaction. Lower: more fsyncs. Higher: appends and the loop wait longer.
TRIM_STEP: Final = 2_000
_SCAN: Final = (
    "SELECT id, timestamp_ms, key, value, headers, codec, crc FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
)


class SqliteLog(Log):
    """A log in one SQLite file on a local disk. One call of `append` is one transaction.

    `start` raises `LogOnNetworkFileSystem`, `LogReadOnly`, `LogVersion`, `LogIsBackup`, `LogCorrupt` or `LogFull`.
    """

    def __init__(
        self, path: Path | str, *, limits: Limits | None = None, compress_above_bytes: int = rows.COMPRESS_ABOVE_BYTES
    ) -> None:
        self.path = Path(path).absolute()
        self.limits = limits or Limits()
        self._storage = Storage(self.path, compress_above_bytes=compress_above_bytes)
        self._wakeups = LogWakeups(self.path)
        self._commits: GroupCommit | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._watchers: set[Callable[[], None]] = set()
        self._poll: asyncio.TimerHandle | None = None
        self._poll_s = POLL_S

    @classmethod
    def from_url(cls, url: str, *, limits: Limits | None = None) -> Self:
        """The log at `sqlite:////absolute/path.db`, optionally with `?compress_above_bytes=1024`. Three slashes lead to
        the same file: the settings refuse them (`streams.setting_paths`), where they look like a relative path.

        Raises:
            ValueError: the path is not absolute, or an option is unknown.

        """
        parts = urlsplit(url)
        path = unquote(parts.path)
        if parts.scheme != "sqlite" or parts.netloc or not path.startswith("/") or path == "/":
            raise ValueError("log URL: use sqlite:////absolute/path.db")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        compress = whole(options.pop("compress_above_bytes", str(rows.COMPRESS_ABOVE_BYTES)), MAX_COUNT)
        if options or compress is None:
            raise ValueError("log URL: not all of it is understood; the only option is compress_above_bytes, a number")
        return cls(Path("/" + path.lstrip("/")), limits=limits, compress_above_bytes=compress)

    @property
    def broker_url(self) -> str:
        return f"sqlite://{quote(str(self.path))}"

    @property
    def incarnation(self) -> str:
        return self._incarnations[0]

    @property
    def ancestors(self) -> tuple[str, ...]:
        return self._incarnations[1:]

    @property
    def _incarnations(self) -> tuple[str, ...]:
        if not self._storage.incarnations:
            raise self._closed()
        return self._storage.incarnations

    def _closed(self) -> LogClosed:
        return LogClosed("the log is not started", str(self.path), "start it before use")

    async def start(self) -> None:
        if self._commits is not None:
            raise LogClosed("the log is started already", str(self.path), "start each object once")
        place.refuse_network(self.path)
        self._storage.open()
        loop = asyncio.get_running_loop()
        self._commits = GroupCommit(self._storage, loop, self.limits, self._on_written)
        self._poll_s = POLL_S if self._wakeups.listen(loop, self._look) else POLL_ALONE_S
        self._poll = loop.call_later(self._poll_s, self._on_poll)

    async def stop(self) -> None:
        commits = self._commits
        if commits is None:
            return
        await commits.drain()
        if self._poll is not None:
            self._poll.cancel()
        self._wakeups.close()
        self._storage.close()
        self._commits = None
        self._wake()

    # Topics

    async def ensure_topics(self, specs: Iterable[TopicSpec]) -> None:
        self._storage.ensure_topics(specs)
        self._wakeups.wake()

    def partitions(self, topic: str) -> int:
        return self._storage.partitions(topic)

    # Appending

    async def append(
        self,
        records: Sequence[NewRecord],
        *,
        positions: Mapping[str, Mapping[TopicPartition, int]] | None = None,
    ) -> list[Position]:
        if self._commits is None:
            raise self._closed()
        if len(records) > self.limits.append_records:
            raise self._too_large(f"{len(records)} records in one append, above {self.limits.append_records}")
        append = self._storage.prepare(records, positions, self.limits.record_bytes)
        if append.size > self.limits.append_bytes:
            raise self._too_large(f"{append.size} bytes in one append, above {self.limits.append_bytes}")
        if not append.records and not append.positions:
            return []
        return await self._commits.submit(append)

    def _too_large(self, what: str) -> RecordTooLarge:
        return RecordTooLarge(what, str(self.path), "send less at once")

    async def commit(self, group: str, positions: Mapping[TopicPartition, int]) -> None:
        await self.append((), positions={group: positions})

    def _on_written(self) -> None:
        self._wake()
        self._wakeups.wake()

    # Reading

    async def read(
        self, tp: TopicPartition, offset: int, limit: int = 1_000, max_bytes: int = 4 * MEBIBYTE
    ) -> list[Record]:
        return self.read_now(tp, offset, limit, max_bytes)

    def read_now(self, tp: TopicPartition, offset: int, limit: int, max_bytes: int) -> list[Record]:
        """`read`, without a turn of the loop."""
        limit = min(limit, self.limits.read_records)
        with telling(self.path, "reading"):
            return self._storage.read(tp, offset, limit, min(max_bytes, self.limits.read_bytes))

    def scan(
        self, topic: str, partition: int, start: int = 0, stop: int | None = None, *, batch: int = 500
    ) -> Iterator[list[Record]]:
        storage = Storage(self.path)
        # Its own connection, so that it may run in any thread; pages and no long cursor, so that the file can be
        # tidied.
        with closing(storage), telling(self.path, "scanning"):
            storage.open()
            tp = TopicPartition(topic, partition)
            end = storage.end(tp)
            if stop is not None and stop > end:
                raise ReadOutOfRange(
                    f"offset {stop} is beyond the end {end}", f"{topic}[{partition}]", "scan up to the end"
                )
            last = end if stop is None else stop
            limit = rows.first_id(storage.number(tp), last)
            while start < last:
                with without_collector():
                    page = storage.reader.execute(
                        _SCAN, (rows.first_id(storage.number(tp), start), limit, batch)
                    ).fetchall()
                    storage.check_consecutive(tp, start, page)
                    found = rows.records(topic, partition, page)
                    del page
                start += len(found)
                yield found
            if start > end:
                storage.check_consecutive(tp, start, [])

    async def start_offset(self, tp: TopicPartition) -> int:
        with telling(self.path, "reading"):
            return self._storage.start(tp)

    async def end_offset(self, tp: TopicPartition) -> int:
        self._look()
        return self._storage.end(tp)

    def end_now(self, tp: TopicPartition) -> int:
        """The end as last seen; `wait` and the wakeups keep it fresh."""
        return self._storage.end(tp)

    async def offset_at_time(self, tp: TopicPartition, timestamp_ms: int) -> int:
        self._look()
        with telling(self.path, "reading"):
            return self._storage.offset_at_time(tp, timestamp_ms)

    async def committed(self, group: str, tp: TopicPartition) -> int | None:
        with telling(self.path, "reading"):
            return self._storage.committed(group, tp)

    # Waiting

    async def wait(self, offsets: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + min(timeout_s, self.limits.wait_s)
        self._look()
        while not self._any_at(offsets):
            left_s = deadline_s - loop.time()
            if left_s <= 0 or not await self.changed(left_s):
                self._look()
                return self._any_at(offsets)
        return True

    def _any_at(self, offsets: Mapping[TopicPartition, int]) -> bool:
        return any(self._storage.end(tp) > offset for tp, offset in offsets.items())

    async def changed(self, timeout_s: float) -> bool:
        """Wait until something may have been appended, here or elsewhere; False after `timeout_s`."""
        if self._commits is None:
            raise self._closed()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            done, _ = await asyncio.wait([waiter], timeout=timeout_s)
        finally:
            self._waiters.discard(waiter)
        return bool(done)

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called whenever something may have been appended; return what ends that."""
        self._watchers.add(callback)
        return lambda: self._watchers.discard(callback)

    def _wake(self) -> None:
        for callback in self._watchers:
            callback()
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _look(self) -> None:
        with telling(self.path, "looking for records"):
            if self._storage.refresh():
                self._wake()

    def _on_poll(self) -> None:
        self._poll = asyncio.get_running_loop().call_later(self._poll_s, self._on_poll)
        with suppress(Exception):  # told to whoever reads or appends next; a timer has no one to tell
            self._look()

    # Groups

    @contextmanager
    def hold_group(self, group: str) -> Iterator[None]:
        with place.hold_group(self.path, group):
            # Under the lock: who moves a log holds it, so it was moved before or is not moved meanwhile.
            self._storage.refuse_moved()
            yield

    # Administration

    def moved(self) -> Moved | None:
        """Where the records were moved; None if they were not."""
        with telling(self.path, "looking whether it was moved"):
            return read_moved(self._storage.reader)

    def topic_partitions(self) -> list[TopicPartition]:
        """Every partition of every topic in the file."""
        return self._storage.topic_partitions()

    def all_positions(self) -> dict[str, dict[TopicPartition, int]]:
        """The positions of every group."""
        with telling(self.path, "reading"):
            return self._storage.all_positions()

    async def trim(self, tp: TopicPartition, before: int) -> int:
        """Delete the records below an offset, for a retention that has ended; return how many. The last one always
        stays.

        The file keeps its size; the room is used again.
        """
        deleted = 0
        while True:
            with telling(self.path, "trimming"):
                step = self._storage.trim(tp, before, TRIM_STEP)
            deleted += step
            if step < TRIM_STEP:
                return deleted
            await asyncio.sleep(0)

    def verify(self) -> int:
        """Read every record and check it, and SQLite's own structures; return how many records there are.

        Takes seconds for a million records and needs no event loop: run it in a thread beside one.

        Raises:
            LogCorrupt: something is not what was written.

        """
        storage = Storage(self.path)
        with closing(storage):
            storage.open()
            schema.check_structure(storage.reader, self.path)
            tps = storage.topic_partitions()
            starts = {tp: storage.start(tp) for tp in tps}
        return sum(len(page) for tp in tps for page in self.scan(*tp, start=starts[tp]))
