"""The servers that tests need, and what a run without them says.

A test asks for `kafka_url`, `postgres_url` or one of their kin. Where no such server can be had it is skipped, and the
end of the run says so; `REQUIRE_KAFKA=1` and `REQUIRE_POSTGRES=1` make that a failure.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import pytest

from projections.store.store import open_store
from tests.support import kafka_brokers, postgres_servers
from tests.support.servers_found import Missing, required

_SKIPPED = "no {} here: "
_KINDS = {"Kafka": "KAFKA", "PostgreSQL": "POSTGRES"}  # what we call it, and what REQUIRE_ does


def _without(kind: str, missing: Missing) -> NoReturn:
    """Raises pytest's own skip or failure."""
    reason = f"{_SKIPPED.format(kind)}{missing}"
    if required(_KINDS[kind]):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store, made once: each test gets a copy."""
    path = tmp_path_factory.mktemp("empty") / "store.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka_brokers.Brokers]:
    """One cluster for all tests: `.url`, `.servers`. Use topics and groups that no other test has."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(kafka_brokers.brokers(tmp_path_factory.mktemp("kafka")))
        except Missing as missing:
            _without("Kafka", missing)
        yield found


@pytest.fixture(scope="session")
def kafka_url(kafka_cluster: kafka_brokers.Brokers) -> str:
    """`kafka://host:port,…` of the cluster for all tests."""
    return kafka_cluster.url


@pytest.fixture
def kafka_prefix(kafka_cluster: kafka_brokers.Brokers) -> Iterator[str]:
    """How the names of the test's own topics begin; they are removed afterwards."""
    prefix = f"t-{secrets.token_hex(6)}-"
    yield prefix
    kafka_brokers.remove_topics(kafka_cluster.servers, prefix)


@pytest.fixture(scope="session")
def start_cluster(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., kafka_brokers.Cluster]:
    """`Cluster.start` without its folder, for brokers to be killed or cut off: `with start_cluster(3, gates=True) as
    cluster`.
    """

    def start(brokers: int = 1, **how: Any) -> kafka_brokers.Cluster:
        try:
            return kafka_brokers.Cluster.start(tmp_path_factory.mktemp("kafka"), brokers, **how)
        except Missing as missing:
            _without("Kafka", missing)

    return start


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres_servers.Databases]:
    """One server for all tests: `.create()`, `.drop(url)`, `.copy(url)`."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(postgres_servers.databases())
        except Missing as missing:
            _without("PostgreSQL", missing)
        yield found


@pytest.fixture(scope="session")
def start_postgres() -> Callable[[], postgres_servers.Server]:
    """`Server.start`, for a server to be killed: `with start_postgres() as server`."""

    def start() -> postgres_servers.Server:
        try:
            return postgres_servers.Server.start()
        except Missing as missing:
            _without("PostgreSQL", missing)

    return start


@pytest.fixture
def postgres_url(postgres_server: postgres_servers.Databases) -> Iterator[str]:
    """An empty database of the test's own."""
    url = postgres_server.create()
    yield url
    postgres_server.drop(url)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not run for want of a server: a green run without them proves less."""
    for kind in _KINDS:
        begin = _SKIPPED.format(kind)
        reasons = [
            str(report.longrepr[2]).removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", ())
        ]
        missed = Counter(reason for reason in reasons if reason.startswith(begin))
        for reason, count in missed.items():
            terminalreporter.write_line(f"NOT RUN: {count} tests, {reason}", yellow=True)
