# ruff: noqa: ASYNC221 - the processes of these tests have the machine to themselves, the loop waits
"""Appending to the embedded log when things go wrong, get slow or get many."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from streams.log.interface import (
    Limits,
    LogClosed,
    LogCorrupt,
    LogFull,
    LogOverloaded,
    LogUnavailable,
    NewRecord,
    ReadOutOfRange,
)
from streams.log.sqlite import SqliteLog, engine, group_commit
from streams.log.sqlite.storage import Storage
from streams.log.topics import TopicSpec
from streams.log.worker import HandlerSpec, Worker, WorkerFailed

SPEC = TopicSpec("t", "connection", 1, None, "a test")
RECORD = NewRecord("t", b"k", b"v")


async def test_calls_made_together_share_one_transaction(log, monkeypatch):
    transactions = []
    write = Storage.write

    def counted(self, appends):
        transactions.append(len(appends))
        return write(self, appends)

    monkeypatch.setattr(Storage, "write", counted)
    await asyncio.gather(*(log.append([RECORD]) for _ in range(100)))
    assert transactions == [100]
    await log.append([RECORD])
    assert transactions == [100, 1]


async def test_one_transaction_is_bounded_and_the_rest_follows(log, tp, monkeypatch):
    monkeypatch.setattr(group_commit, "GROUP_RECORDS", 10)
    await asyncio.gather(*(log.append([RECORD] * 4) for _ in range(25)))
    assert await log.end_offset(tp) == 100


async def test_on_a_slow_disk_commits_leave_the_loop(log, tp, monkeypatch):
    monkeypatch.setattr(group_commit, "SLOW_COMMIT_S", -1.0)
    places = await asyncio.gather(*(log.append([NewRecord("t", b"k", b"%d" % number)]) for number in range(50)))
    for number in range(50, 200):
        places.append(await log.append([NewRecord("t", b"k", b"%d" % number)]))
        assert await log.end_offset(tp) == number + 1
    assert [record.value for record in await log.read(tp, 0)] == [b"%d" % number for number in range(200)]
    assert [place.offset for (place,) in places] == list(range(200))


async def test_an_append_waits_for_another_processs_transaction_without_holding_the_loop(log, path, tp):
    turns = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        append = asyncio.create_task(log.append([RECORD]))
        for _ in range(50):
            await asyncio.sleep(0.001)
            turns += 1
        assert not append.done()
        other.execute("ROLLBACK")
    await append
    assert turns == 50
    assert await log.end_offset(tp) == 1


async def test_another_process_that_holds_the_file_too_long_is_told(log, path, tp, monkeypatch):
    monkeypatch.setattr(group_commit, "BUSY_LIMIT_S", 0.02)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogUnavailable, match="another process held the file too long") as error:
            await log.append([RECORD])
        assert error.value.retriable
        other.execute("ROLLBACK")
    await log.append([RECORD])
    assert await log.end_offset(tp) == 1


async def test_a_full_disk_acknowledges_nothing_and_works_again_with_room(log, path, tp):
    await log.append([RECORD])
    (pages,) = log._storage.writer.execute("PRAGMA page_count").fetchone()
    log._storage.writer.execute(f"PRAGMA max_page_count={pages + 4}")
    written = 1

    async def fill_it() -> None:
        nonlocal written
        for _ in range(100):
            await log.append([NewRecord("t", b"k", os.urandom(1_000)) for _ in range(3)])
            written += 3

    with pytest.raises(LogFull, match="no room on the disk") as error:
        await fill_it()
    assert error.value.retriable
    assert 1 < written < 100
    assert await log.end_offset(tp) == written
    log._storage.writer.execute("PRAGMA max_page_count=1000000")
    (place,) = await log.append([RECORD])
    assert place.offset == written
    async with SqliteLog(path) as again:
        assert again.verify() == written + 1


FILL = """
import asyncio, os, resource, sys
from streams.log.sqlite import SqliteLog
from streams.log.interface import LogError, NewRecord
from streams.log.topics import TopicSpec
async def main(path, limit):
    async with SqliteLog(path) as log:
        await log.ensure_topics([TopicSpec("t", "connection", 1, None, "a test")])
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        count = 0
        try:
            while count < 10_000:
                await log.append([NewRecord("t", b"k", os.urandom(2_000))])
                count += 1
        except LogError as error:
            print(count, type(error).__name__, error.retriable, error, flush=True)
            os._exit(0)
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def fill(path: Path, limit: int = 0) -> tuple[int, str]:
    run = subprocess.run(
        [sys.executable, "-c", FILL, path, str(limit)], capture_output=True, text=True, check=True, timeout=60
    )
    count, _, said = run.stdout.partition(" ")
    return int(count), said


async def test_a_file_at_the_systems_size_limit_acknowledges_nothing_more(path, tp):
    count, said = fill(path, 1_000_000)
    assert count > 100
    assert "True" in said, said
    async with SqliteLog(path) as log:
        assert log.verify() == await log.end_offset(tp) == count


async def test_a_disk_that_is_really_full_acknowledges_nothing_more(tmp_path, tp):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        count, said = fill(disk / "log.db")
        assert count > 50
        assert said.startswith("LogFull True no room on the disk"), said
        for part in disk.glob("log.db*"):
            if part.is_file():
                shutil.copy(part, tmp_path / part.name)
    finally:
        subprocess.run(["umount", disk], check=True)
    async with SqliteLog(tmp_path / "log.db") as log:
        assert log.verify() == await log.end_offset(tp) == count


async def test_a_failed_fsync_ends_all_writing_until_a_restart(log, path, tp, monkeypatch):
    await log.append([RECORD])

    def broken(self, appends):
        fault = sqlite3.OperationalError("disk I/O error")
        fault.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "write", broken)
        with pytest.raises(LogClosed, match="did not confirm a write"):
            await log.append([RECORD])
    with pytest.raises(LogClosed, match="check the disk, then restart"):
        await log.append([RECORD])
    async with SqliteLog(path) as again:
        await again.append([RECORD])
        assert await again.end_offset(tp) == 2


async def test_more_than_may_wait_is_refused_not_gathered(path, tp):
    async with SqliteLog(path, limits=Limits(pending_bytes=1_000)) as log:
        await log.ensure_topics([SPEC])
        calls = [asyncio.ensure_future(log.append([NewRecord("t", b"k", bytes(400))])) for _ in range(5)]
        done = await asyncio.gather(*calls, return_exceptions=True)
        refused = [each for each in done if isinstance(each, LogOverloaded)]
        assert len(refused) == 3
        assert all(error.retriable for error in refused)
        await log.append([NewRecord("t", b"k", bytes(400))])
        assert await log.end_offset(tp) == 3


async def test_a_caller_who_left_before_the_commit_leaves_nothing_behind(log, tp):
    gone = asyncio.create_task(log.append([RECORD]))
    await asyncio.sleep(0)
    gone.cancel()
    await log.append([NewRecord("t", b"k", b"stays")])
    assert gone.cancelled()
    assert [record.value for record in await log.read(tp, 0)] == [b"stays"]


async def test_a_stop_writes_what_waits(path, tp):
    log = SqliteLog(path)
    await log.start()
    await log.ensure_topics([SPEC])
    waiting = [asyncio.ensure_future(log.append([RECORD])) for _ in range(10)]
    await asyncio.sleep(0)
    await log.stop()
    assert [place.offset for (place,) in await asyncio.gather(*waiting)] == list(range(10))
    async with SqliteLog(path) as again:
        assert await again.end_offset(tp) == 10


async def test_the_log_beside_the_file_is_emptied_while_appends_go_on(log, path, tp, monkeypatch):
    monkeypatch.setattr(group_commit, "CHECKPOINT_EVERY_BYTES", 200_000)
    for _ in range(60):
        await log.append([NewRecord("t", b"k", os.urandom(20_000)) for _ in range(5)])
        await asyncio.sleep(0.001)
    assert path.with_name("log.db-wal").stat().st_size < 5_000_000
    assert log.verify() == 300


async def test_large_values_are_compressed_and_small_ones_are_not(log, path, tp):
    page = b'{"invoice_id": "460000000000001", "balance": 10.00},' * 2_000
    await log.append([NewRecord("t", b"k", page), NewRecord("t", b"k", b"{}"), NewRecord("t", b"k", os.urandom(5_000))])
    stored = log._storage.reader.execute("SELECT codec, length(value) FROM records ORDER BY id").fetchall()
    assert stored[0][0] == 1
    assert stored[0][1] < len(page) / 20
    assert stored[1:] == [(0, 2), (0, 5_000)]
    assert (await log.read(tp, 0))[0].value == page


async def test_a_worker_over_damage_halts_and_says_where(filled):
    data = bytearray(filled.read_bytes())
    data[data.index(b"value-042")] ^= 1
    filled.write_bytes(data)
    seen = []

    async def handle(batch) -> None:
        seen.append(batch)

    async with SqliteLog(filled) as log:
        worker = Worker(log, "g", [HandlerSpec("damaged", "t", handle)])
        await worker.start()
        with pytest.raises(WorkerFailed, match="a record is not what was written") as failed:
            async with asyncio.timeout(20):
                await worker.run_until_failed()
        assert isinstance(failed.value.__cause__, LogCorrupt)
    assert seen == []


async def test_a_worker_whose_positions_cannot_be_stored_halts(log, monkeypatch):
    async def handle(batch) -> None:
        monkeypatch.setattr(Storage, "write", full)

    def full(self, appends):
        fault = sqlite3.OperationalError("database or disk is full")
        fault.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise fault

    await log.append([RECORD])
    worker = Worker(log, "g", [HandlerSpec("full", "t", handle)], commit_interval_s=0.02)
    await worker.start()
    with pytest.raises(WorkerFailed, match="no room on the disk") as failed:
        async with asyncio.timeout(20):
            await worker.run_until_failed()
    assert isinstance(failed.value.__cause__, LogFull)


async def test_a_trimmed_log_begins_later_and_never_forgets_where_it_ends(log, path, tp, monkeypatch):
    monkeypatch.setattr(engine, "TRIM_STEP", 7)
    await log.append([NewRecord("t", b"k", b"%d" % number, timestamp_ms=1_000 + number) for number in range(30)])
    assert await log.trim(tp, 20) == 20
    assert await log.trim(tp, 20) == 0
    assert (await log.start_offset(tp), await log.end_offset(tp)) == (20, 30)
    with pytest.raises(ReadOutOfRange, match="offset 19 is not within 20 to 30"):
        await log.read(tp, 19)
    assert (await log.read(tp, 20))[0].value == b"20"
    assert await log.offset_at_time(tp, 0) == 20
    assert log.verify() == 10
    assert await log.trim(tp, 1_000) == 9
    async with SqliteLog(path) as again:
        assert (await again.start_offset(tp), await again.end_offset(tp)) == (29, 30)
        (place,) = await again.append([RECORD])
        assert place.offset == 30
