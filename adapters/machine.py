"""What the machine gives a process beside its log, its store and the network: clocks that nobody sets, and chance.

One value, so that a simulated machine can give others: there each instant and each draw follows from a seed.
"""

import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: A clock that nobody sets, and that counts the time a machine sleeps where the system has one that does.
_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def uptime_s() -> float:
    """Seconds on a clock for deadlines: it goes on while this process is stopped, and (on Linux) while the machine
    sleeps.
    """
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True, slots=True)
class Machine:
    """`uptime_s`: seconds for deadlines (see the function). `monotonic_s`: seconds for waits, which the time that a
    machine sleeps is no part of. `draw`: uniform in [0, 1). `token_hex`: that many random bytes, as hexadecimal text.
    """

    uptime_s: Callable[[], float]
    monotonic_s: Callable[[], float]
    draw: Callable[[], float]
    token_hex: Callable[[int], str]


#: The machine that we run on.
MACHINE: Final = Machine(uptime_s, time.monotonic, random.random, secrets.token_hex)
