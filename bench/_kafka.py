"""What the benches on Kafka share: real servers, and topics and databases of their own.

The servers come from the ladder of the tests (`tests/support`): given ones, else a Docker engine, else brokers from
their jars and an installed PostgreSQL. Where there are none a bench says what was looked for, and is not run.
"""

import contextlib
import os
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).parents[1]))

from streams.log.engines import open_log
from streams.log.interface import Log
from streams.log.topics import Topics
from streams.settings import Kafka
from tests.support import kafka_brokers, postgres_servers
from tests.support.servers_found import Missing

#: One broker: one copy.
ONE_BROKER = Kafka(replication=1, min_insync=1, session_timeout_s=6)


def not_run(what: str, missing: Missing) -> NoReturn:
    """Say why, and end: a machine without the servers can run the other benches."""
    print(f"not run: no {what} here: {missing}; no figure beside its aim")
    sys.exit(0)


@contextlib.contextmanager
def brokers() -> Iterator[str]:
    """`kafka://…` of one real broker."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-kafka-"))
        try:
            found = stack.enter_context(kafka_brokers.brokers(Path(folder)))
        except Missing as missing:
            not_run("Kafka", missing)
        yield found.url


@contextlib.contextmanager
def databases() -> Iterator[postgres_servers.Databases]:
    """A PostgreSQL server in which databases can be made."""
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(postgres_servers.databases())
        except Missing as missing:
            not_run("PostgreSQL", missing)
        yield found


@contextlib.contextmanager
def database(server: postgres_servers.Databases) -> Iterator[str]:
    """The URL of an empty database, dropped afterwards."""
    url = server.create()
    try:
        yield url
    finally:
        server.drop(url)


@contextlib.contextmanager
def prefix(url: str) -> Iterator[str]:
    """How the bench's topics begin; they are removed afterwards."""
    made = f"bench-{secrets.token_hex(4)}."
    try:
        yield made
    finally:
        kafka_brokers.remove_topics(servers_of(url), made)


def servers_of(url: str) -> list[str]:
    """`host:port` of each broker."""
    return url.removeprefix("kafka://").split(",")


@contextlib.asynccontextmanager
async def opened(url: str, topics: Topics) -> AsyncIterator[Log]:
    """The log with its topics."""
    async with open_log(url, kafka=ONE_BROKER, prefix=topics.prefix) as log:
        await log.ensure_topics(topics)
        yield log


def load() -> str:
    """What else the machine does, to be told beside a figure."""
    return f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
