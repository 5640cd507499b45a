"""Transactions, errors with a name, backup, and what a restored store must do first."""

import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from projections.state.batch import take
from projections.store.errors import (
    StoreCorrupt,
    StoreError,
    StoreFenced,
    StoreForeignLog,
    StoreIsBackup,
    StoreUnavailable,
)
from projections.store.store import Store, open_store
from projections.store.tables import meta
from projections.work.halts import Halts
from projections.work.outbox import Outbox
from projections.work.queue import Queue
from tests.support import batch_records as make


def test_a_write_that_raises_leaves_nothing(store: Store) -> None:
    with contextlib.suppress(ZeroDivisionError), store.write() as connection:
        store.set_meta(connection, "fact", "x")
        raise ZeroDivisionError
    assert store.get_meta("fact") == ""


def test_a_write_inside_a_write_is_a_defect(store: Store) -> None:
    with store.write(), pytest.raises(RuntimeError, match="wait for itself"), store.write():
        pass


def test_writers_of_two_threads_take_turns(store: Store) -> None:
    def add() -> None:
        for _ in range(20):
            with store.write() as connection:
                store.set_meta(connection, "count", str(int(store.get_meta("count", connection) or 0) + 1))

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get_meta("count") == "60"


def test_a_reader_keeps_its_snapshot_while_a_writer_commits(store: Store) -> None:
    with store.read() as reader:
        assert store.get_meta("fact", reader) == ""
        with store.write() as connection:
            store.set_meta(connection, "fact", "new")
        assert store.get_meta("fact", reader) == ""
    assert store.get_meta("fact") == "new"


def test_a_reader_cannot_block_a_writer_nor_see_half_of_it(store: Store) -> None:
    with store.write() as connection:
        store.set_meta(connection, "one", "1")
        assert store.get_meta("one") == ""
        store.set_meta(connection, "two", "2")
    with store.read() as reader:
        assert (store.get_meta("one", reader), store.get_meta("two", reader)) == ("1", "2")


def test_sqlite_is_durable_and_private(sqlite_url: str, tmp_path: Path) -> None:
    with open_store(sqlite_url) as opened, opened.read() as reader:
        pragmas = {
            name: reader.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "fullfsync")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "fullfsync": 1}
    assert (tmp_path / "store.db").stat().st_mode & 0o777 == 0o600


def _pragma(store: Store, text: str) -> None:
    """On the connection that the next write takes, whichever way it takes."""
    with store.connection() as own, store.engine.connect() as connection:
        own.exec_driver_sql(f"PRAGMA {text}")
        connection.connection.cursor().execute(f"PRAGMA {text}")


@pytest.mark.parametrize("write", [Store.write, Store.direct_write])
def test_a_locked_database_is_unavailable_for_now(sqlite_url: str, tmp_path: Path, write: Any) -> None:
    with (
        open_store(sqlite_url) as opened,
        contextlib.closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        _pragma(opened, "busy_timeout = 10")
        with pytest.raises(StoreUnavailable, match="SQLITE_BUSY") as caught, write(opened):
            pass
        assert caught.value.retriable
        other.execute("ROLLBACK")


@pytest.mark.parametrize("write", [Store.write, Store.direct_write])
def test_a_full_disk_is_unavailable_and_passes(sqlite_url: str, write: Any) -> None:
    with open_store(sqlite_url) as opened:
        (pages,) = opened.rows("PRAGMA page_count")[0]
        _pragma(opened, f"max_page_count = {pages}")
        with pytest.raises(StoreUnavailable, match="SQLITE_FULL"), write(opened) as writer:
            opened.set_meta(writer, "big", "x" * 1_000_000)
        _pragma(opened, "max_page_count = 1000000")
        with write(opened) as writer:
            opened.set_meta(writer, "big", "fits")
        assert opened.get_meta("big") == "fits"


@pytest.mark.parametrize("write", [Store.write, Store.direct_write])
def test_what_raises_in_a_write_leaves_nothing_and_the_next_one_goes_on(store: Store, write: Any) -> None:
    def half() -> None:
        with write(store) as writer:
            store.set_meta(writer, "a", "1")
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert store.get_meta("a") == ""
    with write(store) as writer:
        store.set_meta(writer, "a", "2")
    assert store.get_meta("a") == "2"


def test_a_direct_read_is_one_snapshot_and_waits_for_no_writer(store: Store) -> None:
    asked = store.sql("meta", lambda: None)
    with store.direct_read() as reader:
        assert reader.exec_driver_sql(asked, ("a",)).scalar() is None
        with store.direct_write() as writer:
            store.set_meta(writer, "a", "1")
        assert reader.exec_driver_sql(asked, ("a",)).first() is None
    assert store.rows(asked, ("a",)) == [("1",)]


def test_a_store_that_was_closed_opens_its_connections_again(store: Store) -> None:
    store.close()
    store.close()
    assert store.get_meta("generation") == store.generation


def test_who_decides_when_a_store_is_usable_is_asked_before_each_use(store: Store) -> None:
    def refuse() -> None:
        raise InterruptedError

    store.on_use = refuse
    for use in (store.read, store.write, store.direct_read, store.direct_write, store.connection):
        with pytest.raises(InterruptedError), use():
            pass
    with pytest.raises(InterruptedError):
        store.get_meta("generation")


def test_bytes_that_are_no_database_are_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreCorrupt, match="rebuild the store"):
        open_store(f"sqlite:///{path}")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="SQLITE_CANTOPEN"):
        open_store(f"sqlite:///{tmp_path}/nowhere/store.db")


def test_an_error_holds_no_value_of_a_row(store: Store) -> None:
    row = ("secret-key", "secret-value")
    with pytest.raises(StoreCorrupt) as caught, store.write() as connection:
        connection.exec_driver_sql(store.insert(meta), [row, row])
    assert "secret" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/db", "nonsense"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(StoreError, match="sqlite:///path"):
        open_store(url)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(StoreUnavailable) as caught:
        open_store("postgresql://finance:hunter2@127.0.0.1:1/store")
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_positions_belong_to_one_log(store: Store) -> None:
    store.bind_log("log-a")
    store.bind_log("log-a")
    with pytest.raises(StoreForeignLog, match="rebuild"):
        store.bind_log("log-b")


def test_a_backup_must_be_adopted_and_then_catches_up_first(sqlite_url: str, tmp_path: Path) -> None:
    copy = tmp_path / "backup.db"
    with open_store(sqlite_url) as opened:
        own = take(opened, "core", "events", 0)
        events = [make.event(number) for number in range(3)]
        with own.batch(0) as batch:
            batch.state("acme").connections["acme"] = batch.state("acme").own
            for offset, event in enumerate(events):
                batch.record(offset, event, make.decision(event, commands=(make.command(f"cm-{offset}"),)))
            batch.commit(3)
        outbox = Outbox(opened)
        outbox.mark_published(outbox.unpublished(0, 2))
        opened.backup(copy, make.NOW)
        generation = opened.generation
        with pytest.raises(StoreError, match="nothing is overwritten"):
            opened.backup(copy, make.NOW)
    with pytest.raises(StoreIsBackup, match="restore"):
        open_store(f"sqlite:///{copy}")
    with open_store(f"sqlite:///{copy}", now=make.NOW, adopt="restored") as restored:
        assert restored.generation != generation
        queue = Queue(restored)
        assert queue.counts() == {("acme", "zoho", "unknown"): 2, ("acme", "zoho", "waiting_publication"): 1}
        assert queue.claim(make.NOW, "acme", "zoho", 10) == []
        assert [(one.api, one.reason) for one in Halts(restored).catch_ups()] == [
            ("gocardless", "restored"),
            ("zoho", "restored"),
        ]
        Halts(restored).caught_up("acme", "zoho")
        assert {one.command.id for one in queue.claim(make.NOW, "acme", "zoho", 10)} == {"cm-0", "cm-1"}
        outbox = Outbox(restored)
        outbox.mark_published(outbox.unpublished(0, 10))
        assert {one.state for one in queue.claim(make.NOW, "acme", "zoho", 10)} == {"unknown"}
    with open_store(f"sqlite:///{copy}") as again:
        assert again.get_meta("backup") == ""


def test_a_new_generation_fences_whoever_opened_the_old_one(store: Store, url: str) -> None:
    with open_store(url) as other:
        with store.write() as connection:
            store.new_generation(connection)
        with pytest.raises(StoreFenced, match="restart"):
            take(other, "core", "events", 0)


def test_an_unfinished_rebuild_is_refused(store: Store, url: str) -> None:
    with store.write() as connection:
        store.set_meta(connection, "rebuild", "running")
    with pytest.raises(StoreIsBackup, match="run the rebuild again"):
        open_store(url)
    with open_store(url, rebuilding=True) as accepted:
        assert accepted.get_meta("rebuild") == "running"
