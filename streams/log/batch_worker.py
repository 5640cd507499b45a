"""What a worker is to the rest of the program, whichever runs the handlers: Faust's in production, one in memory for
the simulation.

A handler gets batches of consecutive records of one partition, one batch at a time. It returns: the batch is handled.
It raises, is cancelled, or the process dies: the batch was not handled, comes again after a restart, and nothing after
it was delivered meanwhile. The first failure of any handler halts the whole worker.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol, Self

from streams.log.interface import RecordBatch, TopicPartition

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


class BatchWorker(Protocol):
    """Handlers over a log, as one member of a consumer group. May be started again after a stop."""

    @property
    def group(self) -> str:
        """The consumer group, under which positions are kept."""

    @property
    def handlers(self) -> tuple[HandlerSpec, ...]:
        """What it runs, each over one topic."""

    async def start(self) -> None:
        """Start; returns once every partition is where it resumes and records flow.

        Raises:
            UnknownTopic, LogLocked, ReadOutOfRange: it cannot run like this.
            WorkerFailed: it failed while starting.

        """

    async def stop(self) -> None:
        """Deliver nothing more, let running handlers end, commit, stop. What was not handled comes again. Safe to call
        twice.
        """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def run_until_failed(self) -> None:
        """Run until `stop` is called elsewhere, or until the worker fails: then stop it.

        Raises:
            WorkerFailed: with the error as its cause.

        """

    @property
    def failure(self) -> WorkerFailed | None:
        """Why the worker halted; None while it is well."""

    def assigned(self) -> set[TopicPartition]:
        """The partitions that are this worker's now, also those that have no position yet."""

    def silent_s(self) -> float | None:
        """For how many real seconds the group's coordinator has not answered; None where there is none, or before the
        first answer.
        """

    def handling(self, tp: TopicPartition) -> RecordBatch | None:
        """The batch of a partition that is being handled, if one is."""

    def position(self, tp: TopicPartition) -> int | None:
        """The offset up to which a partition is handled; None if it is not this worker's."""

    async def lag(self) -> dict[str, dict[TopicPartition, int]]:
        """By handler: how many records of each of its partitions are not handled yet."""

    async def idle(self, tp: TopicPartition | None = None) -> bool:
        """Whether every record up to the end, of all partitions or of one, is handled. False before the start and after
        a failure.
        """

    async def until_idle(self) -> None:
        """Wait until every record up to the end is handled.

        Raises:
            WorkerFailed: that will not come to be: the worker failed, or is not started.

        """
