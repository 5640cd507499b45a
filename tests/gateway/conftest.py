"""The installations of `tests/stages`."""

import pytest

from tests.support import installation


@pytest.fixture
async def gateway_program(tmp_path, empty_store):
    """The gateway on a real port over a real log; `worker()` makes the stages behind it."""
    async with installation.GatewayProgram(tmp_path, empty_store) as made:
        yield made
