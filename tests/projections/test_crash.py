"""A process that is killed at any statement of a commit leaves all of the batch or nothing of it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.state import Payment
from projections.state.batch import OwnedPartition, take
from projections.store.store import open_store
from projections.work.queue import Queue
from tests.support import batch_records as make
from tests.support.statements import noted


@pytest.fixture
def fold() -> Callable[[OwnedPartition], None]:
    """One batch of ten events, each with a row, an entry and a command."""

    def ten(own: OwnedPartition) -> None:
        with own.batch(own.position) as batch:
            for offset in range(own.position, own.position + 10):
                event = make.event(offset)
                batch.state("acme").payments[event.data.id] = Payment(event.data.id)
                batch.record(
                    offset,
                    event,
                    make.decision(
                        event, commands=(make.command(f"cm-{offset}"),), entries=(make.entry(f"le-{offset}"),)
                    ),
                )
            batch.commit(own.position + 10)

    return ten


def _killed(url: str, fatal: int, fold: Callable[[OwnedPartition], None]) -> int:
    """In a process of its own: commit a batch, then a second one that is killed before its statement number `fatal` (0:
    after all).

    Returns how many statements the second commit had begun.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        store = open_store(url)
        own = take(store, "core", "events", 0)
        fold(own)
        begun = 0

        def count(*_: object) -> None:
            nonlocal begun
            begun += 1
            if begun == fatal:
                os.kill(os.getpid(), signal.SIGKILL)

        with noted(store, count):
            fold(own)
            os.write(writer, b"%d" % begun)
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    with os.fdopen(reader, "rb") as pipe:
        return int(pipe.read() or 0)


def _position_and_counts(url: str) -> tuple[int, set[int]]:
    tables = ("payments", "event_ids", "ledger_entries", "outbox", "command_queue")
    with open_store(url) as store:
        position = take(store, "core", "events", 0).position
        assert Queue(store).counts() == {("acme", "zoho", "waiting_publication"): position}
        with store.read() as reader:
            return position, {
                int(reader.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() or 0) for table in tables
            }


@pytest.mark.parametrize("fatal", range(10))
def test_a_killed_commit_leaves_all_or_nothing(sqlite_url: str, fatal: int, fold) -> None:
    begun = _killed(sqlite_url, fatal, fold)
    if begun:
        # BEGIN, the position, six tables: no statement is left out of this test.
        assert (fatal in (0, 9), begun) == (True, 8)
        assert _position_and_counts(sqlite_url) == (20, {20})
    else:
        assert _position_and_counts(sqlite_url) == (10, {10})


def test_a_transaction_that_was_torn_in_the_wal_is_not_there(sqlite_url: str, tmp_path: Path, fold) -> None:
    """Power loss: the last frames of the WAL did not reach the disk whole."""
    assert _killed(sqlite_url, 0, fold)
    wal = tmp_path / "store.db-wal"
    with wal.open("r+b") as file:
        file.truncate(wal.stat().st_size - 100)
    assert _position_and_counts(sqlite_url) == (10, {10})
