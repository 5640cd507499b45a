"""Faust agents, nothing else: runs handlers over a log, each over one topic, and never lets a position pass an
unhandled record.

A handler gets batches of consecutive records of one partition, one batch at a time. It returns: the batch is handled.
It raises, is cancelled, or the process dies: the batch was not handled, comes again after a restart, and nothing after
it was delivered meanwhile. The first failure of any handler halts the whole worker.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, NamedTuple, Self

import faust
from faust.tables import TableManager

from streams.log.delivery import BatchSchema, Consumption
from streams.log.interface import Log, LogError, ReadOutOfRange, RecordBatch, TopicPartition

# How often positions go to the log. Lower: more commits. Higher: more comes again where no store says where to resume.
COMMIT_INTERVAL_S: Final = 0.25
# How long a stop waits for running handlers. Lower: work is cut off and done again. Higher: a stuck handler delays the
# stop.
STOP_GRACE_S: Final = 10.0
# Lower: a start on a slow machine is given up. Higher: a start that cannot succeed is noticed late.
START_LIMIT_S: Final = 60.0

# A supervisor that was reviving an agent when the loop ended is back at its wait by then.
_REVIVAL_S: Final = 0.05

Handle = Callable[[RecordBatch], Awaitable[None]]
ResumeAt = Callable[[TopicPartition], Awaitable[int | None]]
Revoked = Callable[[TopicPartition], None]


class HandlerSpec(NamedTuple):
    """One handler: `resume_at` asks the store where a partition goes on; None, or its None: the log's own position.
    `revoked` is told when a partition went to another worker.
    """

    name: str
    topic: str
    handle: Handle
    resume_at: ResumeAt | None = None
    revoked: Revoked | None = None


class WorkerFailed(Exception):  # noqa: N818 - it tells of a worker's state
    """A worker halted. `handler` and `tp`, `offset` say at which batch, if at one; `__cause__` is the error itself."""

    def __init__(
        self, what: str, handler: str | None = None, tp: TopicPartition | None = None, offset: int | None = None
    ) -> None:
        at = "" if tp is None else f" at {tp.topic}[{tp.partition}]@{offset}"
        super().__init__(f"{what}{at}; nothing beyond it was handled: repair the cause and start again")
        self.handler = handler
        self.tp = tp
        self.offset = offset


class _Tables(TableManager):  # type: ignore[misc]  # Faust ships no types that mypy can follow
    """Without tables there is nothing to wait for; Faust sleeps a second for late ones."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class _App(faust.App):  # type: ignore[misc]  # as above
    """A Faust app that knows what it shares with the engine's consumer."""

    delivery: Consumption

    def _create_directories(self) -> None:
        """Nothing of ours lies in Faust's folders, which would be made where the program happens to run."""


class Worker:
    """Handlers over a log, as one member of a consumer group. May be started again after a stop.

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
        self._stopping = False
        self._delivery: Consumption | None = None
        self._app: Any = None
        self._watch: asyncio.Task[None] | None = None
        self._hold: AbstractContextManager[None] | None = None

    # Life

    async def start(self) -> None:
        """Start; returns once every partition is where it resumes and records flow.

        Raises:
            UnknownTopic, LogLocked, ReadOutOfRange: it cannot run like this.
            WorkerFailed: it failed while starting.

        """
        if self._app is not None:
            raise RuntimeError("the worker is started already")
        for spec in self.handlers:
            self.log.partitions(spec.topic)
        hold = self.log.hold_group(self.group)
        hold.__enter__()
        self._hold = hold
        self._failure, self._stopping = None, False
        self._failed.clear()
        self._stopped.clear()
        self._delivery = Consumption(self.log, self.group, self._resume, self._fail, self._revoked)
        self._app = self._build(self._delivery)
        try:
            await self._app.start()
            self._watch = asyncio.create_task(self._watch_app())
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
        """Deliver nothing more, let running handlers end, commit, stop. What was not handled comes again. Safe to call
        twice.
        """
        if self._app is None or self._delivery is None or self._stopping:
            return
        self._delivery.halt()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._stop_grace_s):
                await self._delivery.quiet.wait()
        self._stopping = True
        try:
            await self._app.stop()
            if self._watch is not None:
                await self._watch  # ends with the app; cancelled, it would leave Faust's own waits behind
        finally:
            self._app = self._watch = None
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
        """Run until `stop` is called elsewhere, or until the worker fails: then stop it.

        Raises:
            WorkerFailed: with the error as its cause.

        """
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
        """Why the worker halted; None while it is well."""
        return self._failure

    # Where it is

    def assigned(self) -> set[TopicPartition]:
        """The partitions that are this worker's now, also those that have no position yet."""
        if self._delivery is None or self._app is None:
            return set()
        held = (
            {TopicPartition(*tp) for tp in self._app.consumer.assignment()} if self._delivery.ready.is_set() else set()
        )
        return held | set(self._delivery.guard.positions())

    def silent_s(self) -> float | None:
        """For how many real seconds the group's coordinator has not answered; None where there is none, or before the
        first answer.
        """
        silent_s: float | None = None if self._app is None else self._app.consumer.silent_s()
        return silent_s

    def handling(self, tp: TopicPartition) -> RecordBatch | None:
        """The batch of a partition that is being handled, if one is."""
        return None if self._delivery is None else self._delivery.guard.in_flight(tp)

    def position(self, tp: TopicPartition) -> int | None:
        """The offset up to which a partition is handled; None if it is not this worker's."""
        return None if self._delivery is None else self._delivery.guard.position(tp)

    async def lag(self) -> dict[str, dict[TopicPartition, int]]:
        """By handler: how many records of each of its partitions are not handled yet."""
        positions = {} if self._delivery is None else self._delivery.guard.positions()
        behind: dict[str, dict[TopicPartition, int]] = {spec.name: {} for spec in self.handlers}
        names = {spec.topic: spec.name for spec in self.handlers}
        for tp, end in (await self.log.end_offsets(positions)).items():
            behind[names[tp.topic]][tp] = end - positions[tp]
        return behind

    async def idle(self, tp: TopicPartition | None = None) -> bool:
        """Whether every record up to the end, of all partitions or of one, is handled. False before the start and after
        a failure.
        """
        if (
            self._delivery is None
            or self._app is None
            or self._failure is not None
            or not self._delivery.ready.is_set()
        ):
            return False
        positions = self._delivery.guard.positions()
        asked = self.assigned() if tp is None else [tp]  # one without a position yet has everything before it
        ends = await self.log.end_offsets(asked)
        return all(positions.get(each) == end for each, end in ends.items())

    async def until_idle(self) -> None:
        """Wait until every record up to the end is handled.

        Raises:
            WorkerFailed: that will not come to be: the worker failed, or is not started.

        """
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

    def _build(self, delivery: Consumption) -> Any:
        app = _App(
            self.group,
            broker=self.log.broker_url,
            autodiscover=False,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=False,
            broker_commit_interval=self._commit_interval_s,
            store="memory://",
            TableManager=_Tables,
        )
        app.delivery = delivery
        for spec in self.handlers:
            app.agent(app.topic(spec.topic, schema=BatchSchema()), name=spec.name)(self._agent(spec, delivery))
        app.finalize()
        return app

    def _agent(self, spec: HandlerSpec, delivery: Consumption) -> Callable[[Any], Awaitable[None]]:
        async def agent(stream: Any) -> None:
            async for batch in stream:
                await self._run(spec, delivery, batch)

        return agent

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

    async def _watch_app(self) -> None:
        """Faust notes a crash of its own services and does no more; this tells it."""
        try:
            await self._app.wait_until_stopped()
        except asyncio.CancelledError:
            # The loop is ending without a stop: Faust's supervisors would revive what it cancels, and it would never
            # end.
            for agent in self._app.agents.values():
                agent._stopped.set()  # noqa: SLF001 - Faust has no public way to say so without awaiting
                agent.supervisor._stopped.set()  # noqa: SLF001 - as above
            await asyncio.sleep(_REVIVAL_S)
            for agent in self._app.agents.values():
                agent.supervisor.wakeup()
                for actor in agent._actors:  # noqa: SLF001 - as above
                    actor.actor_task.cancel()
            raise
        if not self._stopping:
            self._fail(self._app.crash_reason or RuntimeError("Faust stopped by itself"))

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
