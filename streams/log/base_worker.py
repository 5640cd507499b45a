"""What workers do alike, whatever brings them their batches: start and stop, run a handler so that no position passes
an unhandled record, and say where they are. Nothing here knows Faust.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import Final, Self

from streams.log.batch_worker import HandlerSpec, WorkerFailed
from streams.log.consumption import Consumption
from streams.log.interface import Log, LogError, ReadOutOfRange, RecordBatch, TopicPartition

# How often positions go to the log. Lower: more commits. Higher: more comes again where no store says where to resume.
COMMIT_INTERVAL_S: Final = 0.25
# How long a stop waits for running handlers. Lower: work is cut off and done again. Higher: a stuck handler delays the
# stop.
STOP_GRACE_S: Final = 10.0
# Lower: a start on a slow machine is given up. Higher: a start that cannot succeed is noticed late.
START_LIMIT_S: Final = 60.0


class BaseWorker(ABC):
    """A `BatchWorker` but for what brings the batches: that opens, closes, and runs `_run` for each.

    Raises:
        ValueError: two handlers read one topic, or have one name (give them a worker each).

    """

    def __init__(
        self,
        log: Log,
        group: str,
        handlers: Sequence[HandlerSpec],
        *,
        commit_interval_s: float = COMMIT_INTERVAL_S,
        stop_grace_s: float = STOP_GRACE_S,
    ) -> None:
        if len({spec.topic for spec in handlers}) < len(handlers) or len({spec.name for spec in handlers}) < len(
            handlers
        ):
            raise ValueError("two handlers of one worker have the same topic or name: give them a worker each")
        self.log = log
        self.group = group
        self.handlers = tuple(handlers)
        self._commit_interval_s = commit_interval_s
        self._stop_grace_s = stop_grace_s
        self._failure: WorkerFailed | None = None
        self._failed = asyncio.Event()
        self._stopped = asyncio.Event()
        self._started = False
        self._stopping = False
        self._delivery: Consumption | None = None
        self._hold: AbstractContextManager[None] | None = None

    # To be given by what brings the batches

    @abstractmethod
    async def _open(self, delivery: Consumption) -> None:
        """Begin to consume: `delivery.resume` for each partition, then `delivery.ready`, then `_run` for each batch.
        What fails later goes to `delivery.on_failure`.
        """

    @abstractmethod
    async def _close(self) -> None:
        """Store the last positions and end, also when `_open` failed half-way."""

    @abstractmethod
    def _held(self) -> set[TopicPartition]:
        """The partitions that the group has given to this worker."""

    # Life

    async def start(self) -> None:
        if self._started:
            raise RuntimeError("the worker is started already")
        for spec in self.handlers:
            self.log.partitions(spec.topic)
        hold = self.log.hold_group(self.group)
        hold.__enter__()
        self._hold = hold
        self._failure, self._started, self._stopping = None, True, False
        self._failed.clear()
        self._stopped.clear()
        self._delivery = Consumption(self.log, self.group, self._resume, self._fail, self._revoked)
        try:
            await self._open(self._delivery)
            await self._until_ready(self._delivery)
        except BaseException:
            await self.stop()
            raise

    async def _until_ready(self, delivery: Consumption) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (delivery.ready, self._failed)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=START_LIMIT_S)
        finally:
            for wait in waits:
                wait.cancel()
        if delivery.ready.is_set():
            return  # a handler may have failed since: that is for `run_until_failed` to tell
        if self._failure is not None:
            cause = self._failure.__cause__
            raise cause if isinstance(cause, LogError) else self._failure
        raise WorkerFailed(f"the worker was not ready after {START_LIMIT_S:g} s")

    async def stop(self) -> None:
        if not self._started or self._delivery is None or self._stopping:
            return
        self._delivery.halt()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._stop_grace_s):
                await self._delivery.quiet.wait()
        self._stopping = True
        try:
            await self._close()
        finally:
            self._started = False
            if self._hold is not None:
                self._hold.__exit__(None, None, None)
                self._hold = None
            self._stopped.set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def run_until_failed(self) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self._failed, self._stopped)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._failure is not None:
            await self.stop()
            raise self._failure

    @property
    def failure(self) -> WorkerFailed | None:
        return self._failure

    # Where it is

    def assigned(self) -> set[TopicPartition]:
        if self._delivery is None or not self._started:
            return set()
        held = self._held() if self._delivery.ready.is_set() else set()
        return held | set(self._delivery.guard.positions())

    def silent_s(self) -> float | None:
        return None

    def handling(self, tp: TopicPartition) -> RecordBatch | None:
        return None if self._delivery is None else self._delivery.guard.in_flight(tp)

    def position(self, tp: TopicPartition) -> int | None:
        return None if self._delivery is None else self._delivery.guard.position(tp)

    async def lag(self) -> dict[str, dict[TopicPartition, int]]:
        positions = {} if self._delivery is None else self._delivery.guard.positions()
        behind: dict[str, dict[TopicPartition, int]] = {spec.name: {} for spec in self.handlers}
        names = {spec.topic: spec.name for spec in self.handlers}
        for tp, end in (await self.log.end_offsets(positions)).items():
            behind[names[tp.topic]][tp] = end - positions[tp]
        return behind

    async def idle(self, tp: TopicPartition | None = None) -> bool:
        if (
            self._delivery is None
            or not self._started
            or self._failure is not None
            or not self._delivery.ready.is_set()
        ):
            return False
        positions = self._delivery.guard.positions()
        # One without a position yet has everything before it. Sorted, so that the log is asked in one order in any run.
        asked = sorted(self.assigned()) if tp is None else [tp]
        ends = await self.log.end_offsets(asked)
        return all(positions.get(each) == end for each, end in ends.items())

    async def until_idle(self) -> None:
        while True:
            # Taken before the look: a handler may end while the log is asked for its end.
            ended = None if self._delivery is None else self._delivery.next_end()
            if await self.idle():
                return
            if self._failure is not None:
                raise self._failure
            if ended is None or self._delivery is None or self._delivery.halted:
                raise WorkerFailed("the worker is not running")
            await asyncio.shield(ended)

    # Inside

    async def _run(self, spec: HandlerSpec, delivery: Consumption, batch: RecordBatch) -> None:
        if delivery.halted:
            await asyncio.Event().wait()  # until the stop cancels it: no record may be skipped
        if delivery.handing_over or not delivery.guard.is_in_flight(batch):
            return  # overtaken by a new start of its partition, which brings it again
        delivery.begin()
        try:
            await spec.handle(batch)
        except asyncio.CancelledError:
            if not self._stopping:
                self._fail_at(spec, batch, "was cancelled", None)
            raise
        except Exception as fault:  # noqa: BLE001 - whatever it is, it halts the worker and is told as its failure
            self._fail_at(spec, batch, f"raised {type(fault).__name__}", fault)
        else:
            delivery.guard.handled(batch)
        finally:
            delivery.end()

    def _fail_at(self, spec: HandlerSpec, batch: RecordBatch, what: str, fault: Exception | None) -> None:
        failure = WorkerFailed(f"handler {spec.name} {what}", spec.name, batch.tp, batch.first_offset)
        failure.__cause__ = fault
        self._halt(failure)

    def _fail(self, fault: BaseException) -> None:
        failure = WorkerFailed(
            f"the worker failed: {type(fault).__name__}: {fault}"
            if isinstance(fault, LogError)
            else "the worker failed"
        )
        failure.__cause__ = fault
        self._halt(failure)

    def _halt(self, failure: WorkerFailed) -> None:
        if self._delivery is not None:
            self._delivery.halt()
        if self._failure is None and not self._stopping:
            self._failure = failure
            self._failed.set()

    def _revoked(self, tp: TopicPartition) -> None:
        for spec in self.handlers:
            if spec.topic == tp.topic and spec.revoked is not None:
                spec.revoked(tp)

    async def _resume(self, tp: TopicPartition) -> int:
        spec = next(spec for spec in self.handlers if spec.topic == tp.topic)
        stored = await spec.resume_at(tp) if spec.resume_at is not None else None
        start, end = await self.log.start_offset(tp), await self.log.end_offset(tp)
        offset = stored if stored is not None else await self.log.committed(self.group, tp)
        if offset is None:
            return start
        if not start <= offset <= end:
            raise ReadOutOfRange(
                f"handler {spec.name} would resume at {offset}, the log has {start} to {end}",
                f"{tp.topic}[{tp.partition}]",
                "the log or the store is older than the other: restore both, or rebuild the store",
            )
        return offset
