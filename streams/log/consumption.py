"""What a worker and the consumer of its engine know together, whichever runs the handlers. Nothing here knows Faust."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from streams.log.guard import CommitGuard
from streams.log.interface import MEBIBYTE, Log, LogError, TopicPartition

# One batch. Lower: Faust's and the store's cost for each batch weighs more. Higher: memory, and a longer wait for the
# others.
BATCH_RECORDS: Final = 1_000
BATCH_BYTES: Final = 4 * MEBIBYTE

_log = logging.getLogger(__name__)


class Consumption:
    """What the worker and the engine's consumer know together. `resume` gives the offset at which a partition begins;
    `revoked` is told of each partition that is this worker's no longer.
    """

    def __init__(
        self,
        log: Log,
        group: str,
        resume: Callable[[TopicPartition], Awaitable[int]],
        on_failure: Callable[[BaseException], None],
        revoked: Callable[[TopicPartition], None] = lambda _: None,
    ) -> None:
        self.log = log
        self.group = group
        self.resume = resume
        self.revoked = revoked
        self.on_failure = on_failure
        self.guard = CommitGuard()
        # Set when there may be something to deliver: new records, a free partition, a halt.
        self.wakeup = asyncio.Event()
        self.ready = asyncio.Event()  # set when every partition has its place and records flow
        self.quiet = asyncio.Event()  # set while no handler runs
        self.quiet.set()
        self._running = 0
        self._ends: asyncio.Future[None] | None = None
        self.halted = False
        self.handing_over = False  # partitions are being taken away: what has not begun is left for whoever gets them

    def halt(self) -> None:
        """Deliver nothing more."""
        self.halted = True
        self.wakeup.set()
        self._tell_end()

    def next_end(self) -> asyncio.Future[None]:
        """Done when the next handler has ended, or the delivery halts. Not to be cancelled: others wait for the
        same.
        """
        if self._ends is None:
            self._ends = asyncio.get_running_loop().create_future()
        return self._ends

    def _tell_end(self) -> None:
        ends, self._ends = self._ends, None
        if ends is not None and not ends.done():
            ends.set_result(None)

    def begin(self) -> None:
        """A handler begins."""
        self._running += 1
        self.quiet.clear()

    def end(self) -> None:
        """A handler has ended, however it ended."""
        self._running -= 1
        if not self._running:
            self.quiet.set()
        self.wakeup.set()
        self._tell_end()

    def not_stored(self, fault: LogError) -> None:
        """Positions could not be stored: after a halt their records come again, before it the fault is raised."""
        if not self.halted:
            raise fault
        _log.warning("the last positions could not be stored, their records come again: %s", fault)
