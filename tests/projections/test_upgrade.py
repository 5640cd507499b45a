"""The schema on a shared server: made once by whoever comes first, upgraded when a person says so, and never under
somebody's hands.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from projections.state.batch import take
from projections.store import migrate
from projections.store.errors import StoreError, StoreFenced, StoreOutdated, StoreVersion
from projections.store.store import open_store, upgrade_store
from tests.support import batch_records as make

#: This program's version of the schema, and the one after it.
PRESENT = migrate.HEAD
NEWER = f"{int(PRESENT) + 1:04d}"

NEXT = '''"""A column more."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{head}"


def upgrade() -> None:
    op.add_column("meta", sa.Column("remark", sa.Text(), server_default="", nullable=False))
    {then}
'''


@pytest.fixture
def newer_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """This program, one version of the schema later; `then`: what else its migration does."""

    head, revision = migrate.HEAD, NEWER

    def begin(then: str = "") -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(migrate.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "versions" / f"{revision}_a_column_more.py").write_text(
            NEXT.format(then=then, head=head, revision=revision)
        )
        monkeypatch.setattr(migrate, "FOLDER", folder)
        monkeypatch.setattr(migrate, "HEAD", revision)

    return begin


def _columns(url: str) -> set[str]:
    with open_store(url) as store, store.read() as reader:
        return {column["name"] for column in sa.inspect(reader).get_columns("meta")}


def _in_processes(count: int, work: Callable[[], str]) -> list[str]:
    """What each of several processes, begun at once, says of `work`."""
    go, said = os.pipe(), os.pipe()
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            try:
                os.close(go[1])
                os.read(go[0], 1)  # ends for all at once when the parent closes its end
                os.write(said[1], (work() + "\n").encode())
            finally:
                os._exit(0)
        children.append(child)
    os.close(go[1])
    for child in children:
        os.waitpid(child, 0)
    os.close(said[1])
    os.close(go[0])
    with os.fdopen(said[0]) as answers:
        return answers.read().split()


def test_four_processes_that_find_an_empty_database_make_one_store(postgres_url: str) -> None:
    def opened() -> str:
        try:
            with open_store(postgres_url) as store:
                return store.generation
        except StoreError as error:
            return type(error).__name__

    answers = _in_processes(4, opened)
    assert len(answers) == 4
    with open_store(postgres_url) as store:
        assert set(answers) == {store.generation}


def test_an_older_schema_on_a_server_is_upgraded_by_a_person(postgres_url: str, newer_program) -> None:
    with open_store(postgres_url) as at_work:
        own = take(at_work, "core", "events", 0)
        newer_program()
        with pytest.raises(StoreOutdated, match="`zoho-gocardless store upgrade`") as caught:
            open_store(postgres_url)
        assert (PRESENT in caught.value.what, NEWER in caught.value.what) == (True, True)
        with own.batch(0) as batch:
            batch.record(0, make.event(0))
            batch.commit(1)
        done = upgrade_store(postgres_url)
        assert done == ("postgresql", PRESENT, NEWER, True)
        with own.batch(1) as batch:
            batch.record(1, make.event(1))
            with pytest.raises(StoreFenced):
                batch.commit(2)
        with pytest.raises(StoreFenced, match="upgraded"):
            take(at_work, "core", "events", 0)
    assert "remark" in _columns(postgres_url)
    with open_store(postgres_url) as store:
        assert take(store, "core", "events", 0).position == 1
        generation = store.generation
    assert upgrade_store(postgres_url) == ("postgresql", NEWER, NEWER, False)
    with open_store(postgres_url) as store:
        assert store.generation == generation


def test_an_upgrade_that_fails_changes_nothing(postgres_url: str, newer_program) -> None:
    with open_store(postgres_url) as store:
        generation = store.generation
        newer_program('op.execute("SELECT 1/0")')
        with pytest.raises(StoreError):
            upgrade_store(postgres_url)
        assert store.get_meta("generation") == generation
        with store.read() as reader:
            assert migrate.version(reader, "here") == PRESENT
            assert "remark" not in {column["name"] for column in sa.inspect(reader).get_columns("meta")}


def test_an_upgrade_of_an_empty_database_makes_the_schema(postgres_url: str) -> None:
    assert upgrade_store(postgres_url) == ("postgresql", "", migrate.HEAD, False)
    with open_store(postgres_url) as store:
        assert store.generation


def test_a_newer_schema_is_not_upgraded(url: str) -> None:
    with open_store(url) as store, store.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreVersion, match="newer version"):
        upgrade_store(url)


def test_an_older_sqlite_store_is_upgraded_when_it_is_opened(sqlite_url: str, newer_program) -> None:
    newer_program()
    assert "remark" in _columns(sqlite_url)
    assert upgrade_store(sqlite_url) == ("sqlite", NEWER, NEWER, False)
