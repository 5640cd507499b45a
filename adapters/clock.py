"""The one seam through which the program learns the time and waits for it.

`SystemClock` is the machine's; the simulators' is `adapters.sandbox_clock`. HTTP deadlines are not simulated; they stay
on real time.
"""

import asyncio
from datetime import UTC, datetime
from typing import Final, Protocol

from adapters.errors import ClockError
from domain.times import instant, parse

#: Longest single sleep of the system clock, seconds, before it looks at the wall clock again. Lower: needless wake-ups.
#: Higher: after the machine slept, or its clock was set, a due time is noticed that much later.
_LONGEST_SLEEP_S: Final = 30.0


class Clock(Protocol):
    """The time, as instants of `domain.times`, and two ways to wait for it. `simulated`: it is the simulators', which
    moves only while every program is quiet, or flows at a speed of its own.
    """

    simulated: bool

    def now(self) -> str:
        """The instant it is."""

    async def sleep_until(self, at: str) -> None:
        """Return at the instant `at`, or at once when it is past."""

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` later on this clock."""

    def wake(self) -> None:
        """Something began or ended: a simulated clock looks again at once whether the program is quiet."""


class SystemClock:
    """The machine's clock."""

    simulated = False

    def now(self) -> str:
        """The instant it is, UTC."""
        return instant(datetime.now(UTC))

    async def sleep_until(self, at: str) -> None:
        """Return at the instant `at` of the wall clock, also when that clock is set or the machine sleeps meanwhile."""
        target = parse(at)
        while (left_s := (target - datetime.now(UTC)).total_seconds()) > 0:  # noqa: ASYNC110 - time passes by itself; no event tells of it
            await asyncio.sleep(min(left_s, _LONGEST_SLEEP_S))
        await asyncio.sleep(0)

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` later, by the monotonic clock."""
        await asyncio.sleep(seconds)

    def wake(self) -> None:
        """Time passes by itself."""


class StoppedClock:
    """A clock that stands still, for looking at an installation whose sandbox is gone: nobody can wait by it."""

    simulated = True

    def __init__(self, at: str) -> None:
        self._at = at

    def now(self) -> str:
        """The instant at which it stands."""
        return self._at

    async def sleep_until(self, at: str) -> None:
        """Return at once when `at` is past; raise `ClockError` otherwise."""
        if at > self._at:
            raise ClockError(f"the clock stands still at {self._at}")

    async def sleep(self, seconds: float) -> None:
        """Raise `ClockError`: no time passes."""
        raise ClockError(f"the clock stands still at {self._at}; {seconds:g} s never pass")

    def wake(self) -> None:
        """It does not look."""
