"""Whether this process is quiet, and how a stage wakes another.

A stage that may have work is woken by name; it counts as busy from that moment until its turn has ended with nothing
left to do. A partition that this process reads is busy until it is handled up to the last record known. So `quiet` is
true only when nothing is left to do at this instant, which is what lets simulated time move; in production the same
counters are what readiness and the metrics show.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from adapters.clock import Clock
from streams.log.interface import TopicPartition

#: Longest wait of a loop that nobody woke, seconds of the clock. Lower: idle wake-ups. Higher: work that another
#: process left in the store (a command released by hand) is noticed that much later.
IDLE_S: Final = 21_600.0


class Activity:
    """Counters of one process."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._busy: dict[str, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._awake: set[str] = set()

    def quiet(self) -> bool:
        """Whether nothing is left to do at this instant."""
        return not self._awake and not any(self._busy.values()) and not self._behind()

    def _behind(self) -> list[TopicPartition]:
        return [tp for tp, end in self._ends.items() if self._positions.get(tp, 0) < end]

    def why_not(self) -> str:
        """What is not quiet: for people."""
        busy = [name for name, count in self._busy.items() if count] + sorted(self._awake)
        return ", ".join(busy + [f"{tp.topic}/{tp.partition}" for tp in self._behind()])

    def woken(self, name: str) -> None:
        """The loop of this name has something to do, maybe, until `rested`."""
        self._awake.add(name)

    def rested(self, name: str) -> None:
        """The loop of this name has begun to look, and was not woken since."""
        self._awake.discard(name)

    def work(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Busy while inside."""
        return _Work(self, name)

    def _count(self, name: str, more: int) -> None:
        self._busy[name] = self._busy.get(name, 0) + more

    def reads(self, tp: TopicPartition, position: int, end: int) -> None:
        """Note that this process reads the partition from `position`; `end` is the offset of the next record."""
        self._positions[tp] = position
        self._ends[tp] = max(end, self._ends.get(tp, 0))

    def forgets(self, tp: TopicPartition) -> None:
        """The partition is not read by this process any more."""
        self._positions.pop(tp, None)
        self._ends.pop(tp, None)
        self._wake()

    def appended(self, tp: TopicPartition, end: int) -> None:
        """Records before `end` are in the partition."""
        if end > self._ends.get(tp, end):
            self._ends[tp] = end

    def handled(self, tp: TopicPartition, position: int) -> None:
        """Records before `position` are handled."""
        if tp in self._positions:
            self._positions[tp] = position
        self._wake()

    def _wake(self) -> None:
        self.clock.wake()


class _Work:
    """A class, not a generator: several are begun for each call of an API."""

    __slots__ = ("_activity", "_name")

    def __init__(self, activity: Activity, name: str) -> None:
        self._activity = activity
        self._name = name

    def __enter__(self) -> None:
        self._activity._count(self._name, 1)  # noqa: SLF001 - its own

    def __exit__(self, *exc: object) -> None:
        self._activity._count(self._name, -1)  # noqa: SLF001 - as above
        self._activity.clock.wake()


class Wakeups:
    """The loops of one process, by name, and how one wakes another."""

    def __init__(self, activity: Activity) -> None:
        self.activity = activity
        self._clock = activity.clock
        self._wakeups: dict[str, asyncio.Event] = {}

    def names(self) -> list[str]:
        """The loops of this process."""
        return list(self._wakeups)

    def wake(self, name: str) -> None:
        """Something to do for the loop of this name, maybe."""
        wakeup = self._wakeups.get(name)
        if wakeup is not None:
            self.activity.woken(name)
            wakeup.set()

    async def loop(self, name: str, turn: Callable[[], Awaitable[str | None]]) -> None:
        """Run `turn` now, whenever woken, and at the instant it returned (None: only when woken). Ends only by an error
        or cancellation.
        """
        wakeup = self._wakeups.setdefault(name, asyncio.Event())
        while True:
            self.activity.rested(name)
            wakeup.clear()
            with self.activity.work(name):
                due = await turn()
            if not wakeup.is_set():
                await self._sleep(wakeup, due)

    async def _sleep(self, wakeup: asyncio.Event, due: str | None) -> None:
        waits: set[asyncio.Future[object]] = {
            asyncio.ensure_future(wakeup.wait()),
            asyncio.ensure_future(self._clock.sleep(IDLE_S) if due is None else self._clock.sleep_until(due)),
        }
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            for one in waits:
                one.cancel()
