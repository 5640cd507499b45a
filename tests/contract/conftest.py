"""One contract, every engine: a `Harness` is all that an engine adds to be held to it."""

import asyncio
import random
import secrets
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from streams.log.batch_worker import BatchWorker, HandlerSpec
from streams.log.engines import open_log
from streams.log.interface import Log, TopicPartition
from streams.log.topics import TopicSpec
from streams.log.worker import Worker
from streams.simulation.log_disk import LogDisk
from streams.simulation.memory_log import MemoryLog, no_latency
from streams.simulation.memory_worker import MemoryWorker
from tests.support import kafka_brokers

PROCESSES = Path(__file__).with_name("processes.py")
#: How the names of this run's topics begin, so that they can be removed from a cluster that others use too.
TOPICS = f"t-{secrets.token_hex(4)}-"


class Harness(ABC):
    """How to reach a log of one engine. `atomic`: one append is all or nothing, positions included."""

    atomic: bool

    @property
    @abstractmethod
    def url(self) -> str: ...

    def open(self) -> Log:
        return open_log(self.url)

    def worker(self, log: Log, group: str, handlers: Sequence[HandlerSpec], **more: Any) -> BatchWorker:
        return Worker(log, group, handlers, **more)

    def spec(self, partitions: int = 1) -> TopicSpec:
        """A topic that no other test uses."""
        return TopicSpec(f"{TOPICS}{secrets.token_hex(6)}", "connection", partitions, None, "a test")

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


class KafkaHarness(Harness):
    # Documented difference: brokers take records one by one and keep positions elsewhere, so an append that is refused
    # half-way may have written some of it. Transactions would make it one, at the price of a coordinator round trip for
    # each; ids make it harmless instead.
    atomic = False

    def __init__(self, url: str) -> None:
        self._url = url

    @property
    def url(self) -> str:
        return self._url


class MemoryHarness(Harness):
    """`atomic`: as the embedded engine, with no wait at a seam; else as a cluster, whose answers take a while."""

    def __init__(self, *, atomic: bool) -> None:
        self.atomic = atomic
        self._disk = LogDisk(secrets.token_hex(16), atomic=atomic, keeps_positions=atomic)
        rng = random.Random(7)
        self._latency = no_latency if atomic else lambda _: rng.uniform(0, 0.001)

    @property
    def url(self) -> str:
        return "memory:"

    def open(self) -> Log:
        return MemoryLog(self._disk, now_ms=lambda: time.time_ns() // 1_000_000, latency=self._latency)

    def worker(self, log: Log, group: str, handlers: Sequence[HandlerSpec], **more: Any) -> BatchWorker:
        return MemoryWorker(log, group, handlers, **more)

    async def spawn(self, command: str, *arguments: str) -> asyncio.subprocess.Process:
        pytest.skip("a log in memory ends with its process: no other can use it")


@pytest.fixture(scope="session")
def tidy_kafka(kafka_cluster: kafka_brokers.Brokers) -> Iterator[kafka_brokers.Brokers]:
    """The cluster; this run's topics are removed from it at the end."""
    yield kafka_cluster
    kafka_brokers.remove_topics(kafka_cluster.servers, TOPICS)


@pytest.fixture(params=["sqlite", "kafka", "memory", "memory-not-atomic"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    if request.param == "kafka":
        return KafkaHarness(request.getfixturevalue("tidy_kafka").url)
    if request.param == "sqlite":
        return SqliteHarness(tmp_path)
    return MemoryHarness(atomic=request.param == "memory")


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
