"""Stores of real files and on a real server.

Every test that takes `url` or `store` runs on both databases; without PostgreSQL its half is skipped (or fails:
`REQUIRE_POSTGRES=1`).
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from projections.store import migrate
from projections.store.store import Store, open_store
from projections.store.tables import metadata


@pytest.fixture
def sqlite_url(tmp_path: Path, empty_store: Path) -> str:
    shutil.copy(empty_store, tmp_path / "store.db")
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(scope="session")
def one_database(postgres_server: Any) -> Iterator[str]:
    """A store on PostgreSQL for test after test: making a database takes longer than most of them."""
    url = postgres_server.create()
    open_store(url).close()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def stored_url(one_database: str) -> Iterator[str]:
    """A new store on PostgreSQL, as good as the test's own; one that changes the schema takes `postgres_url`."""
    yield one_database
    with psycopg.connect(one_database, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        connection.execute(";".join(f"DELETE FROM {name}" for name in metadata.tables))
        connection.execute("UPDATE alembic_version SET version_num = %s", (migrate.HEAD,))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A new store, on each of the two databases in turn."""
    found: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "stored_url")
    return found


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
