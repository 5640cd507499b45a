"""A receiver and a shop of its own for each test."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web

from sandbox.gocardless import gocardless_app
from sandbox.world import World
from tests.support.gocardless_shop import Shop
from tests.support.served import Receiver, served


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    box = Receiver()
    app = web.Application()
    app.router.add_post("/hook", box.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    box.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield box
    await runner.cleanup()


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    world = World(seed=5, start=datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
    async with served(world, "gocardless", gocardless_app(world)) as server:
        yield Shop(server)
