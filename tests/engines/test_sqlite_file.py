# ruff: noqa: ASYNC220 - the processes of these tests have the machine to themselves, the loop waits
"""The file of the embedded log: who may open it, where it may lie, its version, its damage, its copies."""

import os
import re
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from streams.log.engines import open_log
from streams.log.interface import (
    LogClosed,
    LogCorrupt,
    LogError,
    LogIsBackup,
    LogLocked,
    LogMoved,
    LogOnNetworkFileSystem,
    LogReadOnly,
    LogVersion,
    NewRecord,
    TopicPartition,
    UnknownTopic,
)
from streams.log.sqlite import SqliteLog, backup, mark_moved, mark_restored, place, restore, schema

RECORD = NewRecord("t", b"k", b"v")


def pragma(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA {statement}")


# Opening


async def test_the_file_is_private_and_named_durably_in_its_folder(log, path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not list(path.parent.glob(".*"))
    for beside in path.parent.glob("log.db-*"):
        assert not stat.S_IMODE(beside.stat().st_mode) & 0o077, beside


async def test_commits_are_durable_ones(log):
    for db in (log._storage.writer, log._storage.reader):
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert db.execute("PRAGMA fullfsync").fetchone() == (1,)


@pytest.mark.parametrize(
    "url", ["sqlite://relative.db", "sqlite:///", "sqlite:///x.db?sync=off", "rabbit://localhost", "/x.db"]
)
def test_a_url_that_is_not_understood_is_refused(url):
    with pytest.raises(ValueError, match=r"sqlite:////absolute|only option"):
        open_log(url)


async def test_a_path_with_odd_characters_is_the_same_file_by_url(tmp_path):
    odd = tmp_path / "a b%20ü?#.db"
    async with SqliteLog(odd) as log:
        incarnation, url = log.incarnation, log.broker_url
    assert odd.exists()
    async with open_log(url) as again:
        assert again.incarnation == incarnation


async def test_several_processes_may_make_the_file_at_once(path):
    code = (
        "import asyncio, sys\nfrom streams.log.sqlite import SqliteLog\n"
        "async def main():\n async with SqliteLog(sys.argv[1]) as log: print(log.incarnation)\nasyncio.run(main())"
    )
    makers = [subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) for _ in range(4)]
    said = {maker.communicate()[0] for maker in makers}
    assert [maker.returncode for maker in makers] == [0, 0, 0, 0]
    assert len(said) == 1


async def test_a_newer_format_is_refused(filled):
    pragma(filled, f"user_version={schema.FORMAT + 1}")
    with pytest.raises(LogVersion, match=f"format {schema.FORMAT + 1}, this program knows up to {schema.FORMAT}"):
        await SqliteLog(filled).start()


async def test_a_file_that_is_not_a_log_is_refused_and_left_alone(path):
    pragma(path, "user_version=7")
    before = path.read_bytes()
    with pytest.raises(LogVersion, match="not a log of this program"):
        await SqliteLog(path).start()
    assert path.read_bytes() == before
    path.write_bytes(b"date,amount\n" * 1_000)
    with pytest.raises(LogCorrupt):
        await SqliteLog(path).start()


def as_nobody(code: str, *arguments: object) -> str:
    """Run code as a user who owns nothing; root could write anything."""
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
    )
    return run.stdout + run.stderr


TRY_APPEND = """
import asyncio, os, sys
from streams.log.sqlite import SqliteLog
from streams.log.interface import NewRecord, LogError
path = sys.argv[1]
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
async def main():
    try:
        async with SqliteLog(path) as log:
            await log.append([NewRecord("t", b"k", b"v")])
            print("acknowledged")
    except LogError as error:
        print(type(error).__name__, error.retriable, error)
asyncio.run(main())
"""


async def test_a_folder_that_cannot_be_written_is_told(filled, tmp_path):
    tmp_path.chmod(0o555)
    for folder in tmp_path.parents[:3]:
        folder.chmod(folder.stat().st_mode | 0o055)
    filled.chmod(0o444)
    said = as_nobody(TRY_APPEND, filled)
    assert said.startswith("LogReadOnly False cannot open or write"), said
    assert str(filled) in said
    said = as_nobody(TRY_APPEND, tmp_path / "new.db")
    assert said.startswith("LogReadOnly False cannot open or write (making the file"), said
    tmp_path.chmod(0o755)


async def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(LogReadOnly, match="check that the folder exists"):
        await SqliteLog(tmp_path / "no" / "log.db").start()


async def test_a_log_replaced_while_in_use_takes_nothing_more(log, path, tp):
    await log.append([RECORD])
    path.rename(path.with_name("moved.db"))
    with pytest.raises(LogClosed, match="removed or replaced while in use"):
        await log.append([RECORD])


# Where it may lie

MOUNTINFO = """\
21 1 254:1 / / rw,relatime shared:1 - ext4 /dev/root rw
40 21 0:35 / /mnt/a\\040share rw,relatime shared:2 - nfs4 server:/x rw,vers=4.2
41 40 254:2 / /mnt/a\\040share/local rw - xfs /dev/vdb rw
42 21 0:40 / /srv/files rw - fuse.sshfs someone@host:/ rw
"""
BSD_MOUNT = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
//user@server/share on /Volumes/share (smbfs, nodev, nosuid, mounted by user)
"""


def test_a_file_system_is_told_by_its_longest_mount_point():
    table = place.parse_mountinfo(MOUNTINFO)
    assert place.file_system_of(Path("/var/lib"), table) == "ext4"
    assert place.file_system_of(Path("/mnt/a share/deep"), table) == "nfs4"
    assert place.file_system_of(Path("/mnt/a share/local"), table) == "xfs"
    assert place.file_system_of(Path("/srv/files/x"), table) == "fuse.sshfs"
    assert place.file_system_of(Path("/srv/filesystem"), table) == "ext4"
    table = place.parse_bsd_mount(BSD_MOUNT)
    assert place.file_system_of(Path("/Volumes/share/x"), table) == "smbfs"
    assert place.file_system_of(Path("/Users"), table) == "apfs"
    assert place.file_system_of(Path("/"), []) is None


async def test_a_network_file_system_is_refused(path, monkeypatch):
    monkeypatch.setattr(place, "mounts", lambda: [("/", "ext4"), (str(path.parent), "nfs4")])
    with pytest.raises(LogOnNetworkFileSystem, match=r"network file system \(nfs4\).*for several machines use Kafka"):
        await SqliteLog(path).start()
    assert not path.exists()


def test_this_machines_own_mounts_can_be_read(tmp_path):
    assert place.file_system_of(tmp_path, place.mounts()) not in place.NETWORK


# One worker a group


async def test_a_group_has_one_worker_and_is_free_when_its_process_dies(log):
    code = (
        "import sys\nfrom pathlib import Path\nfrom streams.log.sqlite.place import hold_group\n"
        "hold = hold_group(Path(sys.argv[1]), 'g')\nhold.__enter__()\nprint('held', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, log.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(LogLocked, match="group g has a worker already") as caught, log.hold_group("g"):
            pytest.fail("held twice")
        assert f": process {other.pid}, `-c {log.path}`" in caught.value.what
        assert f"`kill {other.pid}`" in caught.value.remedy
        with log.hold_group("another"):
            pass
        other.kill()
    with log.hold_group("g"), pytest.raises(LogLocked), log.hold_group("g"):
        pytest.fail("held twice in one process")
    with log.hold_group("g"):
        pass
    with pytest.raises(ValueError, match="group: use"), log.hold_group("../g"):
        pytest.fail("a path is not a group")


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("", "", "fuser"),
        ("1", "", "fuser"),
        ("x\n\nrun", "", "fuser"),
        ("\xff" * 9_000, "", "fuser"),
        ("1\npid:[7]\nzoho-gocardless run", ": `zoho-gocardless run`, in another container", "stop that container"),
        ("77\n{own}\nrun \x1b[31m\x9b\u202e" + "x" * 500, ": process 77, `run [31mxxx", "`kill 77`"),
    ],
)
async def test_who_holds_a_group_is_told_where_it_is_known_and_nothing_follows_where_it_is_not(log, text, what, remedy):
    with log.hold_group("g"):
        lock = log.path.with_name(f"{log.path.name}-g.lock")
        lock.write_text(text.replace("{own}", place._space()))
        with pytest.raises(LogLocked) as caught, log.hold_group("g"):
            pytest.fail("held twice")
    assert caught.value.what.startswith(f"group g has a worker already{what}")
    assert remedy in caught.value.remedy
    assert caught.value.what.isprintable()
    assert len(caught.value.what) < 300
    assert lock.read_text() == "", "whoever lets go is named no longer"


# Damage


def flip(path: Path, where: int) -> None:
    data = bytearray(path.read_bytes())
    data[where] ^= 0x01
    path.write_bytes(data)


async def test_a_changed_byte_in_a_value_is_found_at_its_record(filled, tp):
    flip(filled, filled.read_bytes().index(b"value-042"))
    async with SqliteLog(filled) as log:
        assert len(await log.read(tp, 0, limit=42)) == 42
        with pytest.raises(LogCorrupt, match=re.escape("a record is not what was written; at t[0]@42")):
            await log.read(tp, 42)
        with pytest.raises(LogCorrupt, match=re.escape("t[0]@42")):
            list(log.scan("t", 0))
        with pytest.raises(LogCorrupt):
            log.verify()


async def test_a_missing_record_is_found(filled, tp):
    with closing(sqlite3.connect(filled, isolation_level=None)) as db:
        db.execute("DELETE FROM records WHERE id & 0xffff = 50")
    async with SqliteLog(filled) as log:
        for first in (0, 50):
            with pytest.raises(LogCorrupt):
                await log.read(tp, first)
        assert (await log.read(tp, 51))[0].offset == 51
        with pytest.raises(LogCorrupt):
            log.verify()


async def test_exchanged_rows_are_found(filled, tp):
    with closing(sqlite3.connect(filled, isolation_level=None)) as db:
        for there, here in ((-1, "id & 0xffff = 7"), (7, "id & 0xffff = 8"), (8, "id = -1")):
            db.execute(
                f"UPDATE records SET id = CASE WHEN ? < 0 THEN -1 ELSE (id & ~0xffff) + ? END WHERE {here}",
                (there, there),
            )
    async with SqliteLog(filled) as log:
        with pytest.raises(LogCorrupt):
            await log.read(tp, 0)


@pytest.mark.parametrize("page", [0, 1, 2, 5, 9])
async def test_damaged_pages_are_told_as_damage_and_never_as_other_records(filled, tp, page):
    async with SqliteLog(filled) as log:
        sound = await log.read(tp, 0)
    data = bytearray(filled.read_bytes())
    data[page * 4_096 : page * 4_096 + 400] = bytes(400)
    filled.write_bytes(data)

    async def read_all():
        async with SqliteLog(filled) as log:
            found = await log.read(tp, 0)
            log.verify()
            return found

    if await told(read_all()) is None:
        assert await read_all() == sound, "damage was read as a record"


async def told(reading) -> LogError | None:
    """The damage that a reading told of, if it did."""
    try:
        await reading
    except (LogCorrupt, UnknownTopic, LogVersion) as error:
        return error
    return None


async def test_a_sound_log_verifies(filled):
    async with SqliteLog(filled) as log:
        assert log.verify() == 100


# Copies


async def test_a_backup_is_taken_while_appends_go_on_and_is_restored_with_a_new_incarnation(log, path, tp, tmp_path):
    await log.append([RECORD] * 50, positions={"g": {tp: 20}})
    taken, restored = tmp_path / "taken.db", tmp_path / "restored.db"
    backup(path, taken)
    await log.append([RECORD] * 5)
    with pytest.raises(LogIsBackup, match="restore it"):
        await SqliteLog(taken).start()
    incarnation = restore(taken, restored)
    async with SqliteLog(restored) as again:
        assert again.incarnation == incarnation != log.incarnation
        assert again.ancestors == (log.incarnation,)
        assert await again.read(tp, 0) == (await log.read(tp, 0))[:50]
        assert await again.committed("g", tp) == 20
        (place_,) = await again.append([RECORD])
        assert place_.offset == 50
        assert again.verify() == 51
    assert not list(tmp_path.glob(".*"))
    for target in (taken, restored):
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        with pytest.raises(LogReadOnly, match="exists already"):
            backup(path, target)
    with pytest.raises(LogReadOnly, match="exists already"):
        restore(taken, restored)


async def test_a_backup_under_load_is_one_moment(log, path, tp, tmp_path):
    writer = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).parents[1] / "contract" / "processes.py"),
            "flood",
            log.broker_url,
            "t",
            "w",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        for _ in range(30):
            writer.stdout.readline()
        backup(path, tmp_path / "taken.db")
    finally:
        writer.kill()
        writer.communicate()
    restore(tmp_path / "taken.db", tmp_path / "restored.db")
    async with SqliteLog(tmp_path / "restored.db") as again:
        assert again.verify() == await again.end_offset(tp) >= 30


async def test_a_copy_made_by_other_means_can_be_marked_as_restored(filled, tp):
    async with SqliteLog(filled) as log:
        before = log.incarnation
    assert mark_restored(filled) != before
    async with SqliteLog(filled) as log:
        assert log.ancestors == (before,)
        assert len(await log.read(tp, 0)) == 100


async def test_a_damaged_backup_is_not_restored(filled, tmp_path):
    backup(filled, tmp_path / "taken.db")
    data = bytearray((tmp_path / "taken.db").read_bytes())
    data[4_096 * 9 : 4_096 * 9 + 200] = bytes(200)
    (tmp_path / "taken.db").write_bytes(data)
    with pytest.raises(LogError):
        restore(tmp_path / "taken.db", tmp_path / "restored.db")
    assert not (tmp_path / "restored.db").exists()


async def test_a_moved_log_can_be_read_but_takes_nothing_more_in_any_process(log, path, tp):
    await log.append([RECORD])
    mark_moved(path, "kafka://new")
    for opened in (log, SqliteLog(path)):
        if opened is not log:
            await opened.start()
        with pytest.raises(LogMoved, match="use kafka://new"):
            await opened.append([RECORD])
        with pytest.raises(LogMoved):
            await opened.commit("g", {tp: 1})
        assert len(await opened.read(TopicPartition("t", 0), 0)) == 1
        await opened.stop()
