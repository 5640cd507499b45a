"""A broker that can be killed and cut off, and a GoCardless that answers."""

import os

import pytest
from aiohttp import web

from tests.support import kafka_site


@pytest.fixture
async def api():
    made = kafka_site.Api()
    app = web.Application()
    app.router.add_route("*", "/{who}/{resource}", made.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    made.may_answer.set()
    await runner.cleanup()


@pytest.fixture(scope="session")
def own_cluster(start_cluster):
    """One broker of these tests' own, behind a gate. Whoever kills it starts it again."""
    with start_cluster(1, gates=True) as cluster:
        yield cluster


@pytest.fixture
def settle_at(own_cluster, postgres_url, tmp_path):
    """Makes an installation on that broker, or at another address: `async with settle_at() as site`."""

    def make(log="", prefix="", **more):
        return kafka_site.Site(
            tmp_path, log or own_cluster.url, postgres_url, prefix or f"t{os.urandom(4).hex()}.", **more
        )

    return make
