"""An event loop whose time passes only when nothing is left to do: a simulated month takes a second.

Its order is asyncio's: what is called soon is called first in, first out, a round at a time; what is due is called at
the beginning of the next round, by its instant, and of one instant in the order in which it was asked for. So two runs
of the same program are the same. There are no files to wait for, no threads and no signals, which is why a round costs
a third of asyncio's own.
"""

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final, TypeVar, TypeVarTuple

from domain import times

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Microseconds are the finest that an instant can tell, so time goes by whole ones. Lower: two instants would be equal
#: that the loop holds for different. Higher: what is due at an instant would be late.
_TICKS: Final = 1_000_000
_TICK: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

#: Seconds by which what is due may be ahead of the time: asyncio's resolution of the clock. Lower: an instant that was
#: computed in two ways is two. Higher: something is called early.
_RESOLUTION_S: Final = 1e-9

#: Ended tasks that are remembered for their owner. Lower: they are looked through more often. Higher: memory.
_ENDED: Final = 1_000


class DeadlockError(Exception):
    """Nothing is scheduled and nothing is ready: the run can never end."""


class OverrunError(Exception):
    """The run has taken more real seconds than it may. How far it came depends on the machine."""


def _nothing() -> None:
    """What a cancelled handle calls."""


class _Handle(list[Any]):
    """Something that is called once, unless it is cancelled; as asyncio's. A list of what is called, its parameters,
    its context and the instant at which it is due: making an object of them takes twice as long, a million times.
    """

    __slots__ = ()

    def cancel(self) -> None:
        """Call nothing."""
        self[0], self[1] = _nothing, ()

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self[0] is _nothing

    def when(self) -> float:
        """The instant at which it is due, in seconds of the loop."""
        return float(self[3])


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at 0 and is seconds. Tasks can be asked for by the owner that they were begun for."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self.ticks = 0
        """Microseconds since the run began."""
        self._give_up_at_s = math.inf
        self._soon: deque[_Handle] = deque()
        self._later: list[tuple[float, int, _Handle]] = []
        self._asked = 0
        self._halted = False
        self._owned: dict[asyncio.Task[Any], object] = {}
        self._prune_at = _ENDED
        super().__init__()

    def time(self) -> float:
        """Seconds since the run began."""
        return self._now_s

    # --- what is called, and when ---

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Any:
        """As asyncio's."""
        handle = _Handle((callback, args, copy_context() if context is None else context, self._now_s))
        self._soon.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        """As `call_soon`: there are no threads."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        """As asyncio's."""
        when = self._now_s + delay
        handle = _Handle((callback, args, copy_context() if context is None else context, when))
        self._asked += 1
        heapq.heappush(self._later, (when, self._asked, handle))
        return handle

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Any:
        """As asyncio's."""
        handle = _Handle((callback, args, copy_context() if context is None else context, when))
        self._asked += 1
        heapq.heappush(self._later, (when, self._asked, handle))
        return handle

    def stop(self) -> None:
        """End at the end of this round."""
        super().stop()
        self._halted = True

    def _run_once(self) -> None:
        """Rounds until `stop`: asyncio's `run_forever` calls it for one, and stops then as well. There is no public
        name for it.
        """
        soon, later, pop = self._soon, self._later, heapq.heappop
        self._halted = False
        while not self._halted:
            if monotonic() > self._give_up_at_s:
                self._give_up_at_s = math.inf  # what is cancelled now still has to end
                raise OverrunError(f"given up on day {1 + int(self._now_s // 86_400)} of the run")
            if not soon:
                while later and later[0][2][0] is _nothing:
                    pop(later)
                if not later:
                    raise DeadlockError("nothing is left that could happen")
                self._pass(later[0][0])
            due_s = self._now_s + _RESOLUTION_S
            while later and later[0][0] < due_s:
                soon.append(pop(later)[2])
            for _ in range(len(soon)):
                callback, args, context, _ = soon.popleft()
                try:
                    context.run(callback, *args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - as asyncio's: whatever it is, the loop goes on
                    what = f"Exception in callback {callback!r}"
                    self.call_exception_handler({"message": what, "exception": error})

    def _pass(self, when: float) -> None:
        """Let time pass until an instant: by whole ticks, and by one at the least."""
        left_s = when - self._now_s
        if left_s > 0:
            self.ticks += max(1, math.ceil(left_s * _TICKS - 1e-3))
            self._now_s = self.ticks / _TICKS

    def give_up_after(self, real_s: float) -> None:
        """Raise `OverrunError` out of the run once it has taken so many real seconds."""
        self._give_up_at_s = monotonic() + real_s

    # --- tasks and their owners ---

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> "asyncio.Task[Any]":
        """As asyncio's; its owner is that of the task that makes it, or the one of `begin_for`."""
        task: asyncio.Task[Any] = asyncio.Task(
            coro, loop=self, name=None if name is None else str(name), context=context
        )
        owner = context.get(_owner) if context is not None else _owner.get()
        if owner is not None:
            self._owned[task] = owner
            if len(self._owned) > self._prune_at:
                self._owned = {one: whose for one, whose in self._owned.items() if not one.done()}
                self._prune_at = len(self._owned) + _ENDED
        return task

    def tasks_of(self, owner: object) -> "list[asyncio.Task[Any]]":
        """The tasks of an owner that have not ended, in the order in which they began."""
        return [task for task, whose in self._owned.items() if whose is owner and not task.done()]


#: For whom the present task runs; its tasks are theirs too.
_owner: Final[ContextVar[object | None]] = ContextVar("owner", default=None)


def begin_for(owner: object, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """A task of an owner's; what it begins in turn is the owner's as well."""
    token = _owner.set(owner)
    try:
        return asyncio.get_running_loop().create_task(coroutine)
    finally:
        _owner.reset(token)


def run(main: Coroutine[Any, Any, T], *, limit_s: float = math.inf) -> T:
    """Run a coroutine in virtual time, to its end. `limit_s`: real seconds after which it is given up.

    Raises:
        DeadlockError: nothing is left that could happen.
        OverrunError: it took longer than `limit_s`.

    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop), "it was asked for"
        loop.give_up_after(limit_s)
        return runner.run(main)


class VirtualClock:
    """The clock of a machine: the loop's time since `start`, plus the seconds by which somebody has set it wrong.

    The adapters' `Clock`; not `simulated`, since nobody holds its time: it passes as the machine's does.
    """

    simulated = False

    def __init__(self, start: datetime) -> None:
        self._start_ticks = (start - _EPOCH) // _TICK
        self.skew_s = 0.0
        self._second = (-1, "")

    def now(self) -> str:
        """The instant it is, as this machine has it."""
        seconds, ms = divmod(self.now_ms(), 1_000)
        held, text = self._second
        if seconds != held:
            text = times.instant(_EPOCH + timedelta(seconds=seconds))[: -len("000Z")]
            self._second = (seconds, text)
        return f"{text}{ms:03}Z"

    def now_ms(self) -> int:
        """The same in milliseconds since 1970, cut as it is there."""
        loop: Any = asyncio.get_running_loop()
        skew = round(self.skew_s * _TICKS) if self.skew_s else 0
        return (self._start_ticks + int(loop.ticks) + skew) // 1_000

    async def sleep_until(self, at: str) -> None:
        """Return at the instant `at`, also when the clock is set meanwhile."""
        target = (times.parse(at) - _EPOCH) // _TICK
        while (left := target - 1_000 * self.now_ms()) > 0:  # noqa: ASYNC110 - as the system's clock
            await asyncio.sleep(min(left / _TICKS, _LONGEST_SLEEP_S))
        await asyncio.sleep(0)

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` later."""
        await asyncio.sleep(seconds)

    def wake(self) -> None:
        """Time passes by itself."""


#: Longest single sleep, seconds. Lower: needless turns of the loop. Higher: a clock that was set is noticed later; the
#: system's clock looks every 30 s, which here would cost more than everything else.
_LONGEST_SLEEP_S: Final = 3_600.0
