"""The versions of the schema add up to the tables, on both engines; what is newer or foreign is refused."""

import re
import sqlite3
from io import StringIO
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from domain.state import KINDS
from projections import migrate
from projections.errors import StoreVersion
from projections.store import Store, open_store
from projections.tables import PROJECTIONS, STATE, metadata


def _statements(text: str) -> set[str]:
    found = {re.sub(r"\s+", " ", part).strip() for part in re.sub(r"--.*", "", text).split(";")}
    return {part for part in found if part.startswith(("CREATE TABLE", "CREATE INDEX")) and "alembic_version" not in part}


def _from_tables(dialect: str) -> set[str]:
    made: list[str] = []
    engine = sa.create_mock_engine(
        f"{dialect}://", lambda statement, *_a, **_k: made.append(str(statement.compile(dialect=engine.dialect)))
    )
    migrate.schema().create_all(engine, checkfirst=False)
    return _statements(";".join(made))


def _from_versions(dialect: str) -> set[str]:
    config = migrate.config_for_migrations()
    config.attributes["dialect"] = dialect
    config.output_buffer = StringIO()
    command.upgrade(config, "head", sql=True)
    return _statements(config.output_buffer.getvalue())


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_versions_add_up_to_the_tables(dialect: str) -> None:
    wanted = _from_tables("postgresql+psycopg" if dialect == "postgresql" else dialect)
    assert len(wanted) > len(metadata.tables)
    assert _from_versions(dialect) == wanted


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
