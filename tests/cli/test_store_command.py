"""`store upgrade`: says what it did; every command names it where the schema on a server is too old."""

import shutil
from pathlib import Path

import pytest

from projections.store import migrate
from projections.store.store import open_store

#: This program's version of the schema, and the one after it.
PRESENT = migrate.HEAD
NEWER = f"{int(PRESENT) + 1:04d}"

NEXT = '''"""Nothing but a number."""

revision = "{newer}"
down_revision = "{head}"


def upgrade() -> None:
    pass
'''


@pytest.fixture
def newer_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def begin() -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(migrate.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "versions" / f"{NEWER}_nothing_but_a_number.py").write_text(NEXT.format(newer=NEWER, head=PRESENT))
        monkeypatch.setattr(migrate, "FOLDER", folder)
        monkeypatch.setattr(migrate, "HEAD", NEWER)

    return begin


@pytest.fixture
def on_postgresql(installation, postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    """The installation's store in PostgreSQL."""
    monkeypatch.setenv("ZOHO_GOCARDLESS__STORE", postgres_url)
    settings = installation.config.read_text()
    lines = [f'store = "{postgres_url}"' if line.startswith("store") else line for line in settings.splitlines()]
    installation.config.write_text("\n".join(lines) + "\n")
    return installation


def test_an_empty_database_gets_the_schema(on_postgresql, postgres_url: str) -> None:
    assert on_postgresql.json("store", "upgrade") == {"before": "", "after": migrate.HEAD, "fenced": False}
    with open_store(postgres_url) as store:
        assert store.generation


def test_an_older_schema_is_refused_by_every_command_and_upgraded_by_this_one(
    on_postgresql, postgres_url: str, newer_program
) -> None:
    open_store(postgres_url).close()
    on_postgresql.append([])
    newer_program()
    for words in (("status",), ("run",), ("keys", "rotate")):
        refused = on_postgresql.json(*words, code=69)
        assert refused["code"] == "store_outdated"
        assert "`zoho-gocardless store upgrade`" in refused["remedy"]
        assert refused["retriable"] is False
    told = on_postgresql.cli("store", "upgrade").stdout
    assert f"from version {PRESENT} to {NEWER}" in told
    assert "start it again" in told
    assert "nothing was changed" in on_postgresql.cli("store", "upgrade").stdout
    with open_store(postgres_url) as store:
        assert store.generation


def test_a_sqlite_store_is_upgraded_by_itself(installation, newer_program) -> None:
    open_store(installation.settings.store).close()
    newer_program()
    installation.put_secret("gocardless.token", b"value")
    told = installation.cli("store", "upgrade").stdout
    assert f"version {NEWER}" in told
    assert "upgraded by itself" in told


def test_a_server_that_is_down_is_told_in_one_line(installation, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = installation.config.read_text().splitlines()
    address = "postgresql://finance:hunter2@127.0.0.1:1/books"
    installation.config.write_text(
        "\n".join(f'store = "{address}"' if line.startswith("store") else line for line in settings) + "\n"
    )
    found = installation.cli("store", "upgrade", code=75)
    assert found.stderr.startswith(
        "error[store_unavailable]: nothing listens at this address; at postgresql://finance:***@127.0.0.1:1/books;"
    )
    assert "hunter2" not in found.output
