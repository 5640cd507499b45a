"""A disk of either kind, and a handle over it that waits nowhere; in virtual time, so that every run is alike."""

import pytest

from streams.simulation.log_disk import LogDisk
from streams.simulation.memory_log import MemoryLog
from streams.simulation.virtual_time import VirtualLoop
from tests.simulation.log.disks import made_disk, started


def pytest_asyncio_loop_factories():
    """The tests of this folder."""
    return {"virtual": VirtualLoop}


@pytest.fixture(params=[True, False], ids=["atomic", "not-atomic"])
def disk(request) -> LogDisk:
    return made_disk(atomic=request.param)


@pytest.fixture
async def log(disk) -> MemoryLog:
    return await started(disk)
