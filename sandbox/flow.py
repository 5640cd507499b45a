"""Time that flows by itself: so many simulated seconds for each real second.

Without it time stands still and is moved by the barrier. The world asks `reached` where time has come, and goes there
through everything that is due on the way.
"""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

DAY_S: Final = 86_400.0

# Fastest flow, simulated seconds per real second: a day each second. Higher: the work of a day takes longer than the
# day, and time falls behind its own speed.
SPEED_MAX: Final = 86_400.0


class Flow:
    """Whether time flows, and how fast. `speed` stays known while time is paused; None: none was ever set."""

    def __init__(self, real_s: Callable[[], float] = time.monotonic) -> None:
        self.speed: float | None = None
        self.flowing = False
        self._real_s = real_s
        self._since: tuple[datetime, float] = (datetime.min.replace(tzinfo=UTC), 0.0)

    def start(self, now: datetime, speed: float | None = None) -> None:
        """Let time flow from `now` on, at `speed` or at the one it had. ValueError: it had none, or `checked`."""
        wanted = self.speed if speed is None else checked(speed)
        if wanted is None:
            raise ValueError("no speed was set yet: name one")
        self.speed, self.flowing, self._since = wanted, True, (now, self._real_s())

    def pause(self) -> None:
        """Let time stand still."""
        self.flowing = False

    def reached(self) -> datetime:
        """Give the moment to which time has come by now, in UTC. Only while it flows."""
        assert self.speed is not None, "time flows at a speed"
        now, real_s = self._since
        return now + timedelta(seconds=(self._real_s() - real_s) * self.speed)

    def real_s_until(self, when: datetime) -> float:
        """Give the real seconds in which time comes to `when`, 0 when it is past. Only while it flows."""
        assert self.speed is not None, "time flows at a speed"
        return max(0.0, (when - self.reached()).total_seconds() / self.speed)


def checked(speed: float) -> float:
    """Give `speed` back. ValueError: time would not move, or faster than the sandbox works."""
    if not 0 < speed <= SPEED_MAX:
        raise ValueError(f"a speed is above 0 and at most {SPEED_MAX:g} simulated seconds per real second")
    return speed


def speed_of_day(day_s: float) -> float:
    """Give the speed at which a simulated day takes `day_s` real seconds. ValueError: no such speed is possible."""
    if not DAY_S / SPEED_MAX <= day_s < math.inf:
        raise ValueError(f"a simulated day takes {DAY_S / SPEED_MAX:g} real seconds or more")
    return DAY_S / day_s


def speed_in(document: dict[str, Any]) -> float:
    """Read `{"speed": N}` or `{"day_s": S}`. TypeError, ValueError: neither, both, or no number."""
    if set(document) == {"day_s"}:
        return speed_of_day(_number(document["day_s"]))
    if set(document) != {"speed"}:
        raise ValueError('name either "speed" or "day_s"')
    return _number(document["speed"])


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number is wanted")
    return float(value)
