"""One contract, every engine: a `Harness` is all that an engine adds to be held to it."""

import asyncio
import secrets
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streams.engines import open_log
from streams.log import Log, TopicPartition
from streams.topics import TopicSpec

PROCESSES = Path(__file__).with_name("processes.py")


class Harness(ABC):
    """How to reach a log of one engine. `atomic`: one append is all or nothing, positions included."""

    atomic: bool

    @property
    @abstractmethod
    def url(self) -> str: ...

    def open(self) -> Log:
        return open_log(self.url)

    def spec(self, partitions: int = 1) -> TopicSpec:
        """A topic that no other test uses."""
        return TopicSpec(f"t-{secrets.token_hex(6)}", "connection", partitions, None, "a test")

    async def spawn(self, command: str, *arguments: str) -> asyncio.subprocess.Process:
        """Run a command of processes.py against this log, in a process of its own."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROCESSES),
            command,
            self.url,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )


class SqliteHarness(Harness):
    atomic = True

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log.db"

    @property
    def url(self) -> str:
        return f"sqlite://{self._path}"


@pytest.fixture(params=["sqlite"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    return {"sqlite": SqliteHarness}[request.param](tmp_path)


@pytest.fixture
async def log(engine: Harness) -> AsyncIterator[Log]:
    async with engine.open() as opened:
        yield opened


@pytest.fixture
async def tp(engine: Harness, log: Log) -> TopicPartition:
    """The only partition of a fresh topic."""
    spec = engine.spec()
    await log.ensure_topics([spec])
    return TopicPartition(spec.name, 0)
