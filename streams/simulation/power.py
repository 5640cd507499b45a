"""Power: whether an incarnation of the program still runs. All its handles (log, store, sender, clock) share one."""

from collections.abc import Callable


class PowerCut(BaseException):
    """The incarnation that uses this handle is dead. No `Exception`: the program may not recover from it."""


class Power:
    """The power of one incarnation, on until `cut`. It does not come back: the next incarnation has its own."""

    def __init__(self) -> None:
        self.on = True
        self._callbacks: list[Callable[[], None]] = []

    def check(self) -> None:
        """Raise `PowerCut` once the power is off: at each use of a handle, and again after each wait within it."""
        if not self.on:
            raise PowerCut

    def cut(self) -> None:
        """Crash. Whoever waits in a handle that has a `when_cut` is told at once. Again changes nothing."""
        if self.on:
            self.on = False
            callbacks, self._callbacks = self._callbacks, []
            for callback in callbacks:
                callback()

    def when_cut(self, callback: Callable[[], None]) -> None:
        """Have `callback` called at the cut, in the order of these calls."""
        self._callbacks.append(callback)
