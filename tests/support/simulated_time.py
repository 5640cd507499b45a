"""A world behind the real barrier, and a program's clock that looks at it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from adapters.sandbox_clock import SandboxClock
from domain.times import instant
from sandbox.barrier import Barrier
from sandbox.control import serving
from sandbox.world import World

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


def at(seconds: float) -> str:
    return instant(START + timedelta(seconds=seconds))


class Simulated:
    """A world behind the real barrier, and a program that is busy or not as told."""

    def __init__(self, world: World, barrier: Barrier, url: str) -> None:
        self.world, self.barrier, self.url = world, barrier, url
        self.busy = 0
        self.asked = 0
        self.clock = SandboxClock(url)

    def quiet(self) -> bool:
        self.asked += 1
        return self.busy == 0

    def run_until(self, seconds: float) -> None:
        self.barrier.run_until(START + timedelta(seconds=seconds), ("program",))

    async def idle(self) -> dict[str, Any]:
        return await self.barrier.wait_idle(10)


@asynccontextmanager
async def simulated(*, start: bool = True) -> AsyncIterator[Simulated]:
    world = World(seed=1, start=START)
    barrier = Barrier(world)
    async with serving(
        world, barrier, {"gocardless": web.Application()}, host="127.0.0.1", ports={"gocardless": 0}
    ) as urls:
        program = Simulated(world, barrier, urls["gocardless"])
        if start:
            await program.clock.start(program.quiet)
        try:
            yield program
        finally:
            await program.clock.close()
