"""Group commit: all calls that wait are written in one transaction, and resolved once it is durable.

On the loop's own thread while the disk is quick: a thread has to fight the loop for the interpreter, which costs more
than the fsync itself (0.5 ms inline, 40 ms from a thread beside a busy loop). On a slow disk it moves to a thread, so
that the loop stays free.
"""

import asyncio
import logging
import random
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from streams.log.interface import MEBIBYTE, Limits, LogClosed, LogError, LogOverloaded, Position
from streams.log.sqlite import schema
from streams.log.sqlite.faults import is_busy, is_fatal, told
from streams.log.sqlite.storage import Append, Storage, Written

# One transaction. Lower: more fsyncs under load. Higher: the first call of it waits longer, and so does the loop.
GROUP_RECORDS: Final = 5_000
GROUP_BYTES: Final = 16 * MEBIBYTE
# While several calls arrive together, the next transaction waits as long as the last one took, up to this: the loop
# then spends at most half its time in commits. Lower: less grouping. Higher: latency under load. A lone call never
# waits.
MAX_LINGER_S: Final = 0.005
# Mean time of a commit above which it moves to a thread. Lower: the fight for the interpreter. Higher: a loop held up.
SLOW_COMMIT_S: Final = 0.003
_MEAN_WEIGHT: Final = 0.1
# One transaction above this goes to the thread on any disk, and says nothing about the disk. Lower: as above. Higher:
# as above.
LARGE_BYTES: Final = MEBIBYTE
# In a thread the time says little, so every so often one commit is done and measured on the loop.
_PROBE_EVERY: Final = 64
# How long to try while other processes write. Lower: needless failures under load. Higher: senders give up first (10
# s).
BUSY_LIMIT_S: Final = 8.0
_BUSY_RETRY_S: Final = 0.002
# Written since the last checkpoint. Lower: more fsyncs beside the commits. Higher: a longer start after a crash.
CHECKPOINT_EVERY_BYTES: Final = 4 * MEBIBYTE
_PAGE_COST_BYTES: Final = 8_192

_log = logging.getLogger(__name__)


class _Waiting(NamedTuple):
    append: Append
    done: "asyncio.Future[list[Position]]"


class GroupCommit:
    """Takes calls, writes them together, resolves each with where its records are. `on_written` runs after each
    commit.
    """

    def __init__(
        self, storage: Storage, loop: asyncio.AbstractEventLoop, limits: Limits, on_written: Callable[[], None]
    ) -> None:
        self._storage = storage
        self._loop = loop
        self._limits = limits
        self._on_written = on_written
        self._queue: deque[_Waiting] = deque()
        self._pending_bytes = 0
        self._timer: asyncio.Handle | None = None
        self._writing: asyncio.Future[Written] | None = None
        self._taken: list[_Waiting] = []
        self._busy_since_s: float | None = None
        self._ended_s = 0.0
        self._linger_s = 0.0
        self._mean_commit_s = 0.0
        self._count = 0
        self._since_checkpoint = 0
        self._checkpoint: asyncio.Future[None] | None = None
        self._broken: LogError | None = None

    def submit(self, append: Append) -> "asyncio.Future[list[Position]]":
        """Queue a call; the future resolves once it is durable.

        Raises:
            LogOverloaded, LogClosed: it was not queued.

        """
        if self._broken is not None:
            raise _again(self._broken)
        if self._pending_bytes + append.size > self._limits.pending_bytes:
            raise LogOverloaded(
                f"{self._pending_bytes} bytes are waiting to be written",
                str(self._storage.path),
                "slow down and try again",
            )
        done: asyncio.Future[list[Position]] = self._loop.create_future()
        self._queue.append(_Waiting(append, done))
        self._pending_bytes += append.size
        self._schedule()
        return done

    def _schedule(self) -> None:
        if self._timer is not None or self._writing is not None:
            return
        wait_s = self._ended_s + self._linger_s - self._loop.time()
        self._timer = self._loop.call_later(wait_s, self._flush) if wait_s > 0 else self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._take()
        if not self._taken:
            return
        self._count += 1
        appends = [waiting.append for waiting in self._taken]
        size = sum(append.size for append in appends)
        if size > LARGE_BYTES or (self._mean_commit_s > SLOW_COMMIT_S and self._count % _PROBE_EVERY):
            self._writing = self._loop.run_in_executor(None, self._storage.write, appends)
            self._writing.add_done_callback(self._written_in_thread)
            return
        try:
            written = self._storage.write(appends)
        except Exception as fault:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            self._not_written(fault)
        else:
            self._mean_commit_s += (written.commit_s - self._mean_commit_s) * (
                _MEAN_WEIGHT if self._count % _PROBE_EVERY else 1
            )
            self._written(written)

    def _take(self) -> None:
        """Move what fits in one transaction from the queue; calls whose caller has gone are left out."""
        count = sum(len(waiting.append.records) for waiting in self._taken)
        size = sum(waiting.append.size for waiting in self._taken)
        while self._queue:
            append, done = self._queue[0]
            if self._taken and (count + len(append.records) > GROUP_RECORDS or size + append.size > GROUP_BYTES):
                return
            waiting = self._queue.popleft()
            if done.done():
                self._pending_bytes -= append.size
                continue
            count += len(append.records)
            size += append.size
            self._taken.append(waiting)

    def _written_in_thread(self, writing: "asyncio.Future[Written]") -> None:
        self._writing = None
        fault = writing.exception()
        if fault is None:
            self._written(writing.result())
        else:
            self._not_written(fault)

    def _not_written(self, fault: BaseException) -> None:
        """Tell those who wait. A fault of ours ends the writer: what it remembers of the file may be wrong."""
        if isinstance(fault, sqlite3.Error | LogError):
            self._failed(fault)
        else:
            self._broken = LogClosed(f"the writer failed ({fault!r})", str(self._storage.path), "restart")
            self._reject(self._broken)

    def _written(self, written: Written) -> None:
        taken, self._taken = self._taken, []
        self._busy_since_s = None
        self._storage.learn(written.ends)
        size = 0
        for waiting, positions in zip(taken, written.positions, strict=True):
            size += waiting.append.size
            if not waiting.done.done():
                waiting.done.set_result(positions)
        self._pending_bytes -= size
        self._ended_s = self._loop.time()
        self._linger_s = min(written.commit_s, MAX_LINGER_S) if len(taken) > 1 else 0.0
        self._on_written()
        self._since_checkpoint += size + _PAGE_COST_BYTES
        if self._since_checkpoint > CHECKPOINT_EVERY_BYTES and self._checkpoint is None:
            self._since_checkpoint = 0
            self._checkpoint = self._loop.run_in_executor(None, checkpoint, self._storage)
            self._checkpoint.add_done_callback(self._checkpointed)
        if self._queue:
            self._schedule()

    def _failed(self, fault: sqlite3.Error | LogError) -> None:
        if isinstance(fault, sqlite3.Error) and is_busy(fault):
            now_s = self._loop.time()
            if self._busy_since_s is None:
                self._busy_since_s = now_s
            if now_s - self._busy_since_s < BUSY_LIMIT_S:
                # Waits on the loop, not in SQLite, which would hold the loop up; by chance, so that two do not step
                # together.
                self._timer = self._loop.call_later(random.random() * _BUSY_RETRY_S, self._flush)
                return
        self._busy_since_s = None
        error = fault if isinstance(fault, LogError) else told(fault, self._storage.path, "appending")
        if isinstance(fault, sqlite3.Error) and is_fatal(fault):
            self._broken = error = LogClosed(
                f"the disk did not confirm a write ({fault})", str(self._storage.path), "check the disk, then restart"
            )
        self._reject(error)
        if self._queue:
            self._schedule()

    def _reject(self, error: LogError) -> None:
        taken, self._taken = self._taken, []
        if self._broken is not None:
            taken += self._queue
            self._queue.clear()
        for waiting in taken:
            self._pending_bytes -= waiting.append.size
            if not waiting.done.done():
                waiting.done.set_exception(_again(error))

    def _checkpointed(self, done: "asyncio.Future[None]") -> None:
        self._checkpoint = None
        fault = done.exception()
        if fault is not None:
            # Nothing is lost: the log beside the file keeps what was not moved, and the next checkpoint tries again.
            _log.warning("checkpoint of %s failed: %s", self._storage.path, fault)

    async def drain(self) -> None:
        """Refuse new calls, write those that wait, and let a running checkpoint end."""
        waiting = [item.done for item in (*self._taken, *self._queue) if not item.done.done()]
        if self._broken is None:
            self._broken = LogClosed("the log is stopped", str(self._storage.path), "start it before use")
        if waiting:
            await asyncio.wait(waiting)
        while self._checkpoint is not None:
            await asyncio.wait([self._checkpoint])
            await asyncio.sleep(0)


def _again(error: LogError) -> LogError:
    """The same error, of its own for each caller: a shared one would gather all their tracebacks."""
    return type(error)(error.what, error.where, error.remedy)


def checkpoint(storage: Storage) -> None:
    """Move what is durable in the log beside the file into the file, as far as no reader or writer is in the way."""
    before_s = time.perf_counter()
    db = schema.connect(storage.path)
    try:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    finally:
        db.close()
    _log.debug("checkpoint of %s took %.1f ms", storage.path, (time.perf_counter() - before_s) * 1_000)
