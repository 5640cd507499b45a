"""Watch: notices a consumer that has partitions and makes no progress with them, and ends the process so that it is
started again.

Faust on Kafka is known to be assigned a partition and to fetch nothing from it, for ever, without an error. So the log
itself is asked, over another connection than the consumer's, whether records wait beyond the handled position; real
time is measured, since a stall takes no notice of a simulated clock.

| what is seen | for how long | what follows |
|---|---|---|
| records wait, no handler is at work, the position stands | `stalled_after_s` | `Stalled` |
| one batch is with its handler | `HANDLER_LIMIT_S` | `Stalled`, with another text |
| the group's coordinator does not answer, the log does | `stalled_after_s`, at least `GROUP_LIMIT_S` | `Stalled` |
| the log answers nothing | `stalled_after_s` times `SILENT_FACTOR` | `Stalled`: a new start helps a lost client |

A log that is away is no stall of the consumer: meanwhile nothing counts against it, and afterwards it has the whole
time again. Nor does time count in which the loop itself was held up, by a slow database or a paused machine: `/health`
does not answer then either.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from streams.log.batch_worker import BatchWorker
from streams.log.interface import Log, LogError, RecordBatch, TopicPartition
from streams.stages.metrics import Metrics

#: Real seconds for one batch in its handler. Lower: a batch that waits out a long failover of the brokers is cut off,
#: and done again. Higher: a handler that hangs is noticed later.
HANDLER_LIMIT_S: Final = 600.0
#: Least silence of the group's coordinator that counts. Lower than a rebalance may take (30 s) and a coordinator's
#: move: a healthy member would be ended. Higher: a member that the group has forgotten is noticed later.
GROUP_LIMIT_S: Final = 60.0
#: How many times `stalled_after_s` the log may answer nothing. Lower: an outage of the brokers restarts every worker.
#: Higher: a client that does not find back to healthy brokers is noticed later.
SILENT_FACTOR: Final = 5.0
#: Looks within `stalled_after_s`. Lower: a stall is noticed late, by up to a look. Higher: more questions to the
#: brokers.
_LOOKS: Final = 20
#: Bounds of one look and of one answer, real seconds. Lower: more questions; slow brokers count as away. Higher: lag is
#: shown older.
_LONGEST_LOOK_S: Final = 5.0
_ANSWER_S: Final = 5.0
#: Real seconds for a failed process to stop by itself: longer than the stages' own graces together. Lower: calls under
#: way are cut off. Higher: a process whose client hangs is started again later.
END_S: Final = 60.0


class Stalled(LogError):  # noqa: N818 - named by the condition, as the log's own errors are
    """The process consumes no longer, though it should. Started again, it goes on from its stored positions."""


@dataclass(slots=True)
class _Seen:
    """What was seen of one partition since its position last moved: `idle_s` with records waiting and no handler at
    work, `busy_s` with the same batch at its handler.
    """

    position: int | None
    batch: RecordBatch | None = None
    idle_s: float = 0.0
    busy_s: float = 0.0

    def look(self, position: int | None, batch: RecordBatch | None, elapsed_s: float, *, waiting: bool) -> None:
        if position != self.position or not waiting:
            self.idle_s = self.busy_s = 0.0
        elif batch is None:
            self.idle_s += elapsed_s
            self.busy_s = 0.0
        else:
            # The time without a handler stays counted: a partition that is taken and given back without progress stands
            # still as well.
            self.busy_s = self.busy_s + elapsed_s if batch is self.batch else 0.0
        self.position, self.batch = position, batch

    @property
    def still_s(self) -> float:
        return self.idle_s + self.busy_s


class Watch:
    """Watches one worker. `silent_s` tells for how many real seconds the group's coordinator has not answered, None
    where a group has none; `now` is a monotonic clock.
    """

    def __init__(
        self,
        log: Log,
        worker: BatchWorker,
        metrics: Metrics,
        stalled_after_s: float,
        *,
        silent_s: Callable[[], float | None] = lambda: None,
        handler_limit_s: float = HANDLER_LIMIT_S,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.stalled: Stalled | None = None
        self._log = log
        self._worker = worker
        self._metrics = metrics
        self._stalled_after_s = stalled_after_s
        self._silent_s = silent_s
        self._handler_limit_s = max(handler_limit_s, stalled_after_s)
        self._now = now
        self._every_s = min(stalled_after_s / _LOOKS, _LONGEST_LOOK_S)
        self._answer_s = min(stalled_after_s / 4, _ANSWER_S)
        self._looked_at = now()
        self._seen: dict[TopicPartition, _Seen] = {}
        self._shown: set[TopicPartition] = set()
        self._log_silent_s = 0.0
        self._group_silent_s = 0.0

    async def run(self) -> None:
        """Look again and again, until the worker stalls.

        Raises:
            Stalled: end the process; its next start goes on from the stored positions.

        """
        while True:
            await self.look()
            await asyncio.sleep(self._every_s)

    def troubles(self) -> list[str]:
        """What is on its way to be a stall: for people."""
        found = [
            f"{tp.topic}[{tp.partition}] has records waiting and has stood still for {seen.still_s:.0f} s"
            for tp, seen in sorted(self._seen.items())
            if tp in self._shown and seen.still_s >= self._stalled_after_s / 2
        ]
        if self._group_silent_s >= self._stalled_after_s / 2:
            found.append(f"the group's coordinator has not answered for {self._group_silent_s:.0f} s")
        return found

    async def look(self) -> None:
        """Look once, and keep the gauges of consumption. Raises `Stalled`."""
        if self._worker.failure is not None:
            return  # its own error ends the process
        now = self._now()
        since_s, self._looked_at = now - self._looked_at, now
        # A loop that was held up looks late; its consumer could do nothing either.
        elapsed_s = min(since_s, 2 * self._every_s + self._answer_s)
        assigned = self._worker.assigned()
        ends = await self._ends(assigned or {TopicPartition(self._worker.handlers[0].topic, 0)})
        self._heard(ends, since_s, elapsed_s)
        for tp in sorted(assigned):
            self._partition(tp, ends[tp], elapsed_s)
        self._show(assigned)

    async def _ends(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int | None]:
        asked = sorted(tps)  # the same order in any run
        return dict(zip(asked, await asyncio.gather(*(self._end(tp) for tp in asked)), strict=True))

    async def _end(self, tp: TopicPartition) -> int | None:
        """The end of a partition now; None when the log does not say."""
        try:
            async with asyncio.timeout(self._answer_s):
                return await self._log.end_offset(tp)
        except (LogError, TimeoutError):
            return None

    def _heard(self, ends: dict[TopicPartition, int | None], since_s: float, elapsed_s: float) -> None:
        """Whether log and group answer."""
        answers = any(end is not None for end in ends.values())
        self._log_silent_s = 0.0 if answers else self._log_silent_s + elapsed_s
        silent_s = self._silent_s()
        met = silent_s is None or silent_s <= since_s
        self._group_silent_s = 0.0 if met or not answers else self._group_silent_s + elapsed_s
        self._metrics.log_silent.set(self._log_silent_s)
        self._metrics.group_silent.set(silent_s or 0.0)
        if self._log_silent_s >= self._stalled_after_s * SILENT_FACTOR:
            self._stall(
                f"the log has answered nothing for {self._log_silent_s:.0f} s",
                "the log",
                "see whether it runs and can be reached",
            )
        if self._group_silent_s >= max(self._stalled_after_s, GROUP_LIMIT_S):
            what = f"the group's coordinator has not answered for {self._group_silent_s:.0f} s, while the log does"
            self._stall(what, f"group {self._worker.group}", "see the brokers' log if this comes back")

    def _partition(self, tp: TopicPartition, end: int | None, elapsed_s: float) -> None:
        position, batch = self._worker.position(tp), self._worker.handling(tp)
        seen = self._seen.setdefault(tp, _Seen(position))
        seen.look(position, batch, elapsed_s, waiting=end is not None and (position is None or position < end))
        if end is not None and position is not None:
            self._metrics.lag.labels(tp.topic, tp.partition).set(max(end - position, 0))
        self._metrics.still.labels(tp.topic, tp.partition).set(seen.still_s)
        where = f"{tp.topic}[{tp.partition}]"
        waiting = f"records wait at {position}, the end is {end}"
        if seen.idle_s >= self._stalled_after_s:
            self._stall(
                f"{waiting}, and nothing was fetched for {seen.idle_s:.0f} s",
                where,
                "see the brokers' log if this comes back",
            )
        if seen.busy_s >= self._handler_limit_s:
            self._stall(
                f"{waiting}, and one batch has been handled for {seen.busy_s:.0f} s",
                where,
                "see whether the database answers",
            )

    def _show(self, assigned: set[TopicPartition]) -> None:
        self._metrics.partitions.set(len(assigned))
        for tp in self._shown - assigned:
            for gauge in (self._metrics.lag, self._metrics.still):
                gauge.remove(tp.topic, tp.partition)
        self._shown = set(assigned)

    def _stall(self, what: str, where: str, remedy: str) -> None:
        self.stalled = Stalled(what, where, remedy)
        raise self.stalled


class LastResort:
    """Ends the process for certain: a client that hung while it ran may hang as well when it is stopped."""

    def __init__(self, exit_code: int, grace_s: float = END_S) -> None:
        self._timer = threading.Timer(grace_s, self._end, (exit_code,))
        self._timer.daemon = True

    def start(self) -> None:
        """A stage has failed, or the process was asked to end: from now on it has `grace_s` real seconds to stop. Again
        changes nothing.
        """
        if self._timer.ident is None:
            self._timer.start()

    def cancel(self) -> None:
        """It has stopped. Safe to call when it was never started."""
        self._timer.cancel()

    @staticmethod
    def _end(exit_code: int) -> None:
        sys.stderr.write("the stages did not stop in time; the process ends all the same\n")
        sys.stderr.flush()
        os._exit(exit_code)
