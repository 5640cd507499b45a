"""An event loop whose time moves when nothing can run: a sleep of a day takes no time."""

import asyncio
import selectors


class VirtualLoop(asyncio.SelectorEventLoop):
    """`looks`: how often the loop asked what is ready, which a busy wait would drive up."""

    def __init__(self):
        self.now_s = 0.0
        self.looks = 0
        selector = selectors.SelectSelector()
        really = selector.select

        def select(timeout=None):
            self.looks += 1
            if timeout is None:
                raise RuntimeError("nothing is scheduled, and everybody waits")
            self.now_s += max(0.0, timeout)
            return really(0)

        selector.select = select
        super().__init__(selector)

    def time(self):
        return self.now_s

    @property
    def timers(self):
        return [timer for timer in self._scheduled if not timer.cancelled()]


def in_virtual_time(work):
    """Run the coroutine that `work(loop)` makes."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work(loop))
    finally:
        loop.close()
