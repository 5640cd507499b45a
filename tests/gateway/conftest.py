"""The installations of `tests/stages`."""

import pytest

from projections.store.store import open_store
from tests.support import installation


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A new store, made once: each test gets a copy."""
    path = tmp_path_factory.mktemp("empty") / "store.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
async def gateway_program(tmp_path, empty_store):
    """The gateway on a real port over a real log; `worker()` makes the stages behind it."""
    async with installation.GatewayProgram(tmp_path, empty_store) as made:
        yield made
