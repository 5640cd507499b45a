"""The versions of the schema add up to the tables, on both engines; what is newer or foreign is refused."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from domain.state import KINDS
from projections.store import migrate
from projections.store.errors import StoreVersion
from projections.store.store import Store, open_store
from projections.store.tables import PROJECTIONS, STATE, metadata


def _condition(index: Any) -> str:
    options = index.get("dialect_options") or {}
    return str(options.get("sqlite_where", options.get("postgresql_where", "")))


def _shape(engine: sa.Engine | sa.Connection) -> dict[str, object]:
    """Each table's columns, key and indexes, as the database itself tells them; the order of columns is nobody's
    business.
    """
    inspector = sa.inspect(engine)
    return {
        name: (
            sorted(
                (one["name"], str(one["type"]), getattr(one["type"], "collation", None), one["nullable"])
                for one in inspector.get_columns(name)
            ),
            inspector.get_pk_constraint(name)["constrained_columns"],
            sorted((one["name"], one["column_names"], _condition(one)) for one in inspector.get_indexes(name)),
        )
        for name in inspector.get_table_names()
        if name != "alembic_version"
    }


def test_the_versions_add_up_to_the_tables(store: Store) -> None:
    from_versions = _shape(store.engine)
    with store.engine.connect() as connection, connection.begin() as wanted:
        inspector = sa.inspect(connection)
        for name in inspector.get_table_names():
            connection.execute(sa.text(f'DROP TABLE "{name}"'))
        migrate.schema().create_all(connection)
        from_tables = _shape(connection)
        wanted.rollback()
    assert len(from_tables) == len(metadata.tables)
    assert from_versions == from_tables


def test_a_table_without_row_ids_stays_one_through_the_versions(store: Store) -> None:
    if store.dialect == "postgresql":
        return
    with store.read() as reader:
        made = dict(reader.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'table'")).all())
    assert [name for name in metadata.tables if "WITHOUT ROWID" not in made[name]] == []


def test_head_is_the_newest_version() -> None:
    assert ScriptDirectory.from_config(migrate.config_for_migrations()).get_current_head() == migrate.HEAD


def test_every_kind_of_row_has_a_table() -> None:
    assert set(STATE) == set(KINDS)
    assert all(table.primary_key.columns.keys() == ["connection", "id"] for table in STATE.values())
    assert set(STATE.values()) < set(PROJECTIONS)


def test_every_table_says_what_it_is() -> None:
    assert [name for name, table in metadata.tables.items() if not table.comment] == []


def test_the_page_about_the_tables_names_each_of_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "projections.md").read_text()
    assert [name for name in metadata.tables if f"`{name}`" not in page] == []


def test_opening_twice_changes_nothing(url: str) -> None:
    with open_store(url) as first:
        generation = first.generation
    with open_store(url) as second:
        assert second.generation == generation != ""


def test_a_newer_schema_is_refused(url: str) -> None:
    with open_store(url) as opened, opened.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreVersion, match="upgrade the program"):
        open_store(url)


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE customers (id)")
    other.close()
    with pytest.raises(StoreVersion, match="database of its own"):
        open_store(f"sqlite:///{path}")
    other = sqlite3.connect(path)
    assert [row[0] for row in other.execute("SELECT name FROM sqlite_master")] == ["customers"]
    other.close()


def test_comments_reach_postgresql(store: Store) -> None:
    if store.dialect == "sqlite":
        assert not store.engine.dialect.supports_comments
        return
    with store.read() as reader:
        inspector = sa.inspect(reader)
        for table in metadata.tables.values():
            assert inspector.get_table_comment(table.name)["text"] == table.comment
