"""The sandbox as a whole: one world, one barrier, both simulators, two HTTP servers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec

from sandbox.barrier import Barrier
from sandbox.control import serving
from sandbox.gocardless import gocardless_app
from sandbox.world import DEFAULT_START, World
from sandbox.zoho import zoho_app


class SandboxConfig(msgspec.Struct, kw_only=True, frozen=True):
    """How to start a sandbox. Port 0: any free port. `speed`: simulated seconds per real second at which time flows by
    itself from the start; None: it stands still and is moved by the barrier.
    """

    seed: int = 0
    start: datetime = DEFAULT_START
    host: str = "127.0.0.1"
    gocardless_port: int = 0
    zoho_port: int = 0
    speed: float | None = None


class Sandbox(msgspec.Struct, kw_only=True, frozen=True):
    """A running sandbox. The control endpoints answer on both addresses."""

    gocardless_url: str
    zoho_url: str
    world: World
    barrier: Barrier


@asynccontextmanager
async def running_sandbox(config: SandboxConfig) -> AsyncIterator[Sandbox]:
    """Run both simulators in this process until the block ends. ValueError: `speed` is out of bounds."""
    world = World(seed=config.seed, start=config.start)
    barrier = Barrier(world)
    apps = {"gocardless": gocardless_app(world), "zoho": zoho_app(world)}
    ports = {"gocardless": config.gocardless_port, "zoho": config.zoho_port}
    async with serving(world, barrier, apps, host=config.host, ports=ports) as urls:
        if config.speed is not None:
            barrier.flow(config.speed)
        yield Sandbox(gocardless_url=urls["gocardless"], zoho_url=urls["zoho"], world=world, barrier=barrier)
