"""Takes a world along an event loop's time: one simulated second for each second of the loop.

For programs that run in the same loop as the simulators. Where the loop's time is virtual, so is the world's, and
nobody needs to say that he is quiet: the loop itself moves time when nothing can run. There is no barrier then; of the
two, one listens to the world.

A timer wakes up at the next thing that is due, on the world's heap or among the webhooks, and takes the world there.
Before each request, and at the end of each, of each webhook and of whatever else calls `World.changed`, the world goes
to the loop's present through everything that is due on the way, in order, and the timer is set anew.
"""

import asyncio
from datetime import datetime
from types import TracebackType
from typing import Self

from sandbox.flow import Flow
from sandbox.world import World


class LoopTime:
    """A world's time as the running loop's, from the present of both on. One per world; made inside the loop.

    What raises while the world moves raises where it was moved: in a request, in `catch_up`, or in the loop's handler
    of exceptions, and no timer is set after it.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at: datetime | None = None
        self._set_at_s = 0.0
        self._closed = False
        world.flow = Flow(self._loop.time)
        world.flow.start(world.now, 1.0)
        world.listeners.append(self.catch_up)
        self.catch_up()

    def now(self) -> datetime:
        """Give the moment to which the loop has come, in UTC."""
        return self._world.flow.reached()

    def catch_up(self) -> None:
        """Take the world to the loop's present, start the webhook that is due, and wake up again at what is next."""
        if self._closed:
            return
        if self._timer is not None and self._set_at_s != self._loop.time():
            self._no_timer()
        try:
            self._world.catch_up()
            self._world.webhooks.pump()
        except BaseException:
            self._no_timer()
            raise
        self._set_timer()

    def _wake(self) -> None:
        self._timer = None
        self.catch_up()

    def _no_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def close(self) -> None:
        """Let the world stand still where it is, and end the webhook that is under way. Nothing stays in the loop."""
        self._closed = True
        self._world.listeners.remove(self.catch_up)
        self._world.flow.pause()
        self._no_timer()
        await self._world.webhooks.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _set_timer(self) -> None:
        """The end of a webhook that is under way looks by itself: until then the next one is not waited for."""
        world = self._world
        due_at = None if world.webhooks.in_flight else world.webhooks.next_due_at()
        times = [time for time in (world.next_action_at(), due_at) if time is not None]
        wake_at = min(times, default=None)
        if self._timer is not None and wake_at == self._wake_at:
            return  # set at this same instant: a request looks at its beginning and at its end
        self._no_timer()
        if wake_at is not None:
            assert wake_at > world.now, "what was due has happened: a timer for now would wake up for ever"
            self._timer = self._loop.call_later(world.flow.real_s_until(wake_at), self._wake)
            self._wake_at, self._set_at_s = wake_at, self._loop.time()
