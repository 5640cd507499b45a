"""Installations of real files for each test; a new store is made once and copied."""

from contextlib import AsyncExitStack
from itertools import count

import pytest

from projections.store.store import open_store
from streams.settings import Calls
from tests.support import installation
from tests.support.kafka_secured import Secured


@pytest.fixture
async def company(tmp_path, empty_store):
    """Log, store and context; no Faust, no ports."""
    async with installation.Installation(tmp_path, empty_store) as made:
        yield made


@pytest.fixture
def make_company(tmp_path, empty_store):
    """Makes a company as `company` is, each with files of its own."""
    numbers = count()

    def make():
        folder = tmp_path / f"company-{next(numbers)}"
        folder.mkdir()
        return installation.Installation(folder, empty_store)

    return make


@pytest.fixture
async def gateway_program(tmp_path, empty_store):
    """The same with a gateway on a real port."""
    async with installation.GatewayProgram(tmp_path, empty_store) as made:
        yield made


@pytest.fixture
def again(tmp_path, empty_store):
    """Makes a process that starts anew on the same files."""
    return lambda: installation.Installation(tmp_path, empty_store)


@pytest.fixture
async def beside(company, again):
    """Makes another process over the files of `company`, on the same clock."""
    async with AsyncExitStack() as stack:

        async def make():
            other = again()
            other.clock = company.clock
            return await stack.enter_async_context(other)

        yield make


@pytest.fixture
def office(company):
    """Makes an executor of one API whose answers are scripted: a pair (status, body) is an answer."""
    calls = Calls(deadline_s=5.0, settle_s=30, park_after=3, lookup_again_s=60)

    def make(api, *answers, over=None):
        scripted = installation.Script(
            *(installation.answer(*one) if isinstance(one, tuple) else one for one in answers)
        )
        return installation.ExecutorOfOne(over or company, api, scripted, calls)

    return make


@pytest.fixture(scope="session")
def server_store(postgres_server):
    """A store on PostgreSQL that nobody has written to, for whoever does not get far enough to."""
    url = postgres_server.create()
    open_store(url).close()
    yield url
    postgres_server.drop(url)


@pytest.fixture(scope="session")
def secured_cluster(start_cluster):
    """A broker that wants TLS and a login."""
    with start_cluster(1, secured=Secured(users={"app": "right-one"})) as cluster:
        yield cluster
