"""Stores of real files, and the events and decisions that tests put into them.

With `TEST_POSTGRES_URL` set, every test that takes `store` runs on PostgreSQL as well, each in a database of its own.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from domain.commands import Command, CreatePayment, ReadInvoice
from domain.decisions import Decision, Entry, Line
from domain.envelope import Event
from domain.events import Outcome, PaymentRead
from projections.store import Store, open_store

NOW = "2026-03-02T09:00:00.000Z"
POSTGRES = os.environ.get("TEST_POSTGRES_URL", "")


class Make:
    """Builders of what the batch is given."""

    now = NOW

    @staticmethod
    def event(number: int, connection: str = "acme") -> Event:
        data = PaymentRead(f"PM{number:06d}", "confirmed", 1000, "GBP", "MD1", NOW)
        return Event(f"EV{number:06d}", "gocardless.payment_read", connection, NOW, NOW, "test", data)

    @staticmethod
    def outcome(number: int, command: str, kind: str = "succeeded", connection: str = "acme") -> Event:
        return Event(f"OC{number:06d}", "command.outcome", connection, NOW, NOW, "test", Outcome(command, 1, kind, "PM1"))

    @staticmethod
    def command(name: str, priority: int = 2) -> Command:
        data = CreatePayment("inv-1", "INV-1", "MD1", 1000, "GBP") if priority == 0 else ReadInvoice("inv-1")
        return Command(name, "invoices:inv-1", f"purpose:{name}", data, priority)

    @staticmethod
    def entry(
        name: str, amount_minor: int = 1000, *, about: str = "payments:PM1", date: str = "2026-03-02", account: str = "receivables"
    ) -> Entry:
        lines = [Line("clearing", "GBP", amount_minor, "PM1", "payment"), Line(account, "GBP", -amount_minor)]
        return Entry(name, date, "Payment confirmed", about, lines)

    @staticmethod
    def decision(
        event: Event, *, commands: tuple[Command, ...] = (), entries: tuple[Entry, ...] = (), resends: tuple[str, ...] = (), at: str = NOW
    ) -> Decision:
        return Decision(event.id, event.connection, at, commands=list(commands), entries=list(entries), resends=list(resends))


@pytest.fixture
def make() -> type[Make]:
    return Make


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store, made once: each test gets a copy."""
    path = tmp_path_factory.mktemp("empty") / "store.db"
    open_store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, empty_store: Path) -> str:
    shutil.copy(empty_store, tmp_path / "store.db")
    return f"sqlite:///{tmp_path / 'store.db'}"


def _postgres_url(name: str) -> str:
    return sa.make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)


def _administer(*statements: str) -> None:
    admin = sa.create_engine(sa.make_url(POSTGRES).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    admin.dispose()


@pytest.fixture(scope="session")
def empty_database() -> Iterator[str]:
    """A new store on PostgreSQL, made once: each test gets a copy."""
    name = f"test_{secrets.token_hex(6)}"
    _administer(f"CREATE DATABASE {name}")
    open_store(_postgres_url(name)).close()
    yield name
    _administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"] if POSTGRES else ["sqlite"])
def url(request: pytest.FixtureRequest, sqlite_url: str) -> Iterator[str]:
    if request.param == "sqlite":
        yield sqlite_url
    else:
        name = f"test_{secrets.token_hex(6)}"
        _administer(f"CREATE DATABASE {name} TEMPLATE {request.getfixturevalue('empty_database')}")
        yield _postgres_url(name)
        _administer(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened


@pytest.fixture
def rows_in(store: Store) -> Callable[[str], int]:
    """How many rows a table has."""

    def count(table: str) -> int:
        with store.read() as reader:
            return int(reader.execute(sa.select(sa.func.count()).select_from(sa.table(table))).scalar_one())

    return count
