"""Backup while in use, restore into nothing: the same rows, a new incarnation, and nothing is sent before a look."""

import json
import stat

import pytest
from msgspec.structs import replace

from projections.state.rebuild import compare
from projections.store.store import open_store
from projections.work.halts import Halts
from projections.work.queue import Queue
from streams.operate.backup import NoBackup, backup
from tests.support.company import events_of


@pytest.fixture
def lived(installation, company):
    company.confirmed()
    installation.feed(events_of(company))
    installation.put_secret("gocardless.token", b"token")
    return installation


def lose(installation):
    for name in ("log.db", "store.db"):
        for suffix in ("", "-wal", "-shm"):
            (installation.folder / f"{name}{suffix}").unlink(missing_ok=True)


def test_backup_and_restore(lived, tmp_path):
    folder = tmp_path / "backups" / "monday"
    folder.parent.mkdir()
    incarnation = lived.json("status")["log"]["incarnation"]
    data = lived.json("backup", str(folder))
    assert data["manifest"]["log_bytes"] > 0
    assert sorted(one.name for one in folder.iterdir()) == ["backup.json", "log.db", "store.db"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert json.loads((folder / "backup.json").read_text())["schema"] == 1
    before = lived.event_types()
    lose(lived)
    assert "Before anything is sent, both APIs are read to their heads." in lived.cli("restore", str(folder)).stdout
    assert lived.event_types() == before
    assert lived.json("status")["log"]["incarnation"] != incarnation
    with open_store(lived.settings.store) as store:
        assert {(one.connection, one.api, one.reason) for one in Halts(store).catch_ups()} == {
            ("c1", api, "restored") for api in ("gocardless", "zoho")
        }
        assert {state for _, _, state in Queue(store).counts()} <= {"done", "unknown"}
        assert Queue(store).claim("2999-01-01T00:00:00.000Z", "c1", "zoho", 10) == []
    lived.feed()
    assert lived.json("rebuild", "--verify")["differences"] == []


def test_a_store_that_is_older_than_its_log_takes_what_was_decided(lived, company, tmp_path):
    """The store is copied first, so the program may have gone on before the log was."""
    told = len(events_of(company))
    lived.json("backup", str(tmp_path / "early"))
    company.pay("PM-1-1", "charged_back", "2026-03-10T11:40:00.000Z", cause="authorisation_disputed")
    company.answer_all()
    lived.feed(events_of(company)[told:])
    lived.json("backup", str(tmp_path / "late"))
    (tmp_path / "late" / "store.db").unlink()
    (tmp_path / "early" / "store.db").rename(tmp_path / "late" / "store.db")
    with open_store(lived.settings.store) as live:
        live.backup(tmp_path / "live.db", "2026-03-11T00:00:00.000Z")
    lose(lived)
    lived.cli("restore", str(tmp_path / "late"))
    assert lived.json("status")["log"]["unhandled_events"] > 0
    lived.feed()
    live = open_store(f"sqlite:///{tmp_path / 'live.db'}", now="2026-03-11T00:00:00.000Z", adopt="restored")
    with live, open_store(lived.settings.store) as store:
        assert compare(live, store) == []


def test_nothing_is_overwritten(lived, tmp_path):
    folder = tmp_path / "monday"
    lived.cli("backup", str(folder))
    assert lived.json("backup", str(folder), code=73)["code"] == "log_read_only"
    assert lived.json("restore", str(folder), code=73)["what"] == "it exists already"
    assert lived.json("backup", str(tmp_path / "no" / "such" / "folder"), code=73)["where"].startswith(
        str(tmp_path / "no")
    )


def test_what_is_no_backup_is_not_restored(lived, tmp_path):
    lose(lived)
    assert lived.json("restore", str(tmp_path / "nothing"), code=5)["code"] == "no_backup"
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "backup.json").write_text("{}")
    assert lived.json("restore", str(tmp_path / "odd"), code=5)["code"] == "no_backup"


def test_a_restore_that_fails_leaves_nothing(lived, tmp_path):
    folder = tmp_path / "monday"
    lived.cli("backup", str(folder))
    (folder / "store.db").write_bytes(b"not a database, and long enough to be looked at" * 100)
    lose(lived)
    assert lived.json("restore", str(folder), code=69)["code"].startswith("store_")
    assert not (lived.folder / "log.db").exists()
    assert not (lived.folder / "store.db").exists()


def test_a_backup_is_not_used_as_it_stands(lived, tmp_path):
    folder = tmp_path / "monday"
    lived.cli("backup", str(folder))
    lived.config.write_text(lived.config.read_text().replace(f"{lived.folder}/log.db", f"{folder}/log.db"))
    assert lived.json("status", code=69)["code"] == "log_is_backup"


def test_a_log_of_kafka_is_not_copied_by_this(lived, tmp_path):
    with pytest.raises(NoBackup, match="Kafka"):
        backup(replace(lived.settings, log="kafka://127.0.0.1:9"), tmp_path / "monday", "2026-03-11T00:00:00.000Z")
