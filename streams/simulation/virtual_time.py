"""An event loop whose time passes only when nothing is left to do: a simulated month takes a second.

The loop is asyncio's own, over a selector that does not wait: it moves the time forward by what it was to wait. So the
order of tasks is asyncio's, and two runs of the same program are the same.
"""

import asyncio
import math
import selectors
from collections.abc import Coroutine, Mapping
from contextvars import Context, ContextVar
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from domain import times

T = TypeVar("T")

#: Microseconds are the finest that an instant can tell, so time goes by whole ones. Lower: two instants would be equal
#: that the loop holds for different. Higher: what is due at an instant would be late.
_TICKS: Final = 1_000_000


class DeadlockError(Exception):
    """Nothing is scheduled and nothing is ready: the run can never end."""


class _VirtualSelector(selectors.BaseSelector):
    """Waits for nothing: it adds the time that it was to wait to `elapsed`, in ticks."""

    def __init__(self) -> None:
        self.elapsed = 0
        self._files = selectors.SelectSelector()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._files.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._files.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._files.get_map()

    def close(self) -> None:
        self._files.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise DeadlockError("nothing is left that could happen")
        if timeout > 0:
            self.elapsed += max(1, math.ceil(timeout * _TICKS - 1e-3))
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at 0 and is seconds. Tasks can be asked for by the owner that they were begun for."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        self._owned: dict[asyncio.Task[Any], object] = {}
        super().__init__(self._virtual)
        begin: Any = self._begin  # the type of a factory is not asyncio's to say in public
        self.set_task_factory(begin)

    def time(self) -> float:
        """Seconds since the run began."""
        return self._virtual.elapsed / _TICKS

    def _begin(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any],
        /,
        *,
        context: Context | None = None,
        **options: Any,
    ) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, context=context, **options)
        owner = context.get(_owner) if context is not None else _owner.get()
        if owner is not None:
            self._owned[task] = owner
            task.add_done_callback(self._forget)
        return task

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self._owned.pop(task, None)

    def tasks_of(self, owner: object) -> "list[asyncio.Task[Any]]":
        """The tasks of an owner that have not ended, in the order in which they began."""
        return [task for task, whose in self._owned.items() if whose is owner]


#: For whom the present task runs; its tasks are theirs too.
_owner: Final[ContextVar[object | None]] = ContextVar("owner", default=None)


def begin_for(owner: object, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """A task of an owner's; what it begins in turn is the owner's as well."""
    token = _owner.set(owner)
    try:
        return asyncio.get_running_loop().create_task(coroutine)
    finally:
        _owner.reset(token)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time, to its end."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class VirtualClock:
    """The clock of a machine: the loop's time since `start`, plus the seconds by which somebody has set it wrong.

    The adapters' `Clock`; not `simulated`, since nobody holds its time: it passes as the machine's does.
    """

    simulated = False

    def __init__(self, start: datetime) -> None:
        self._start = start
        self.skew_s = 0.0

    def now(self) -> str:
        """The instant it is, as this machine has it."""
        return times.instant(self._start + timedelta(seconds=asyncio.get_running_loop().time() + self.skew_s))

    async def sleep_until(self, at: str) -> None:
        """Return at the instant `at`, also when the clock is set meanwhile."""
        target = times.parse(at)
        while (left_s := (target - times.parse(self.now())).total_seconds()) > 0:  # noqa: ASYNC110 - as the system's clock
            await asyncio.sleep(min(left_s, _LONGEST_SLEEP_S))
        await asyncio.sleep(0)

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` later."""
        await asyncio.sleep(seconds)

    def wake(self) -> None:
        """Time passes by itself."""


#: Longest single sleep, seconds. Lower: needless turns of the loop. Higher: a clock that was set is noticed later; the
#: system's clock looks every 30 s, which here would cost more than everything else.
_LONGEST_SLEEP_S: Final = 3_600.0
