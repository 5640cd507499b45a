"""The file: its format and version, how a connection to it is set up, how it is made."""

import os
import secrets
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from streams.log.interface import LogCorrupt, LogIsBackup, LogMoved, LogReadOnly, LogVersion
from streams.log.sqlite.faults import telling

APPLICATION_ID: Final = 0x5A47434C  # "ZGCL"
FORMAT: Final = 1
# How long opening, reading and administering wait for another process. Appends wait on the loop instead, without
# blocking it.
BUSY_TIMEOUT_S: Final = 5.0
# 4 KiB pages. Lower: checkpoints steal time from appends. Higher: the log beside the file grows and a start replays
# more.
INLINE_CHECKPOINT_PAGES: Final = 16_384
_JOURNAL_LIMIT_BYTES: Final = 64 * 1024 * 1024

_TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE incarnations (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, made_at_ms INTEGER NOT NULL,
    reason TEXT NOT NULL);
CREATE TABLE topics (name TEXT PRIMARY KEY, partitions INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE partitions (number INTEGER PRIMARY KEY, topic TEXT NOT NULL REFERENCES topics, partition INTEGER NOT NULL,
    UNIQUE (topic, partition));
CREATE TABLE records (id INTEGER PRIMARY KEY, timestamp_ms INTEGER NOT NULL, behind_ms INTEGER NOT NULL, key BLOB,
    value BLOB, headers BLOB, codec INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE positions (consumers TEXT NOT NULL, partition_number INTEGER NOT NULL REFERENCES partitions,
    offset INTEGER NOT NULL, PRIMARY KEY (consumers, partition_number)) WITHOUT ROWID;
"""


def connect(path: Path, *, readable_only: bool = False) -> sqlite3.Connection:
    """A connection to an existing log, with the settings that durability rests on.

    Raises:
        LogReadOnly, LogCorrupt, LogVersion, LogIsBackup: it cannot be used as it is.

    """
    with telling(path, "opening"):
        db = sqlite3.connect(
            f"{path.as_uri()}?mode={'ro' if readable_only else 'rw'}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
    try:
        with telling(path, "opening"):
            check_format(db, path)
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA fullfsync=1")  # macOS: fsync alone leaves the data in the disk's own cache
            db.execute("PRAGMA checkpoint_fullfsync=1")
            db.execute(f"PRAGMA wal_autocheckpoint={INLINE_CHECKPOINT_PAGES}")
            db.execute(f"PRAGMA journal_size_limit={_JOURNAL_LIMIT_BYTES}")
            db.execute("PRAGMA cache_size=-16000")
    except BaseException:
        db.close()
        raise
    return db


def check_format(db: sqlite3.Connection, path: Path, *, backup_allowed: bool = False) -> None:
    """Refuse a file that is not a log, is newer than this program, or is a backup that was not restored.

    Raises:
        LogVersion, LogIsBackup: as said.

    """
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise LogVersion("the file is not a log of this program", str(path), "check the path")
    if version > FORMAT:
        raise LogVersion(
            f"the log has format {version}, this program knows up to {FORMAT}",
            str(path),
            "run the newer version that wrote it",
        )
    if not backup_allowed and read_meta(db, "backup_of") is not None:
        raise LogIsBackup(
            "the file is a backup", str(path), "restore it: it then gets an incarnation of its own, and stores notice"
        )


def read_meta(db: sqlite3.Connection, name: str) -> str | None:
    row = db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def set_meta(db: sqlite3.Connection, name: str, value: str) -> None:
    db.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def new_incarnation(db: sqlite3.Connection, reason: str) -> str:
    """Give the log a new incarnation; the one before becomes its parent."""
    name = secrets.token_hex(16)
    db.execute(
        "INSERT INTO incarnations (id, made_at_ms, reason) VALUES (?, ?, ?)",
        (name, time.time_ns() // 1_000_000, reason),
    )
    return name


def make_if_missing(path: Path) -> None:
    """Make an empty log, private to this user, durably named in its folder; several processes may do so at once.

    Raises:
        LogReadOnly, LogFull: it cannot be made.
        LogMoved: there was one here, and it was moved.

    """
    if path.exists():
        return
    refuse_successor(path)
    # Under a name of its own first: no other process may ever open a file that is half made.
    draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.new")
    with telling(path, "making the file"):
        try:
            os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            _fill(draft)
            with suppress(FileExistsError):
                os.link(draft, path)
            sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)


def _fill(path: Path) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA fullfsync=1")
        db.execute("BEGIN IMMEDIATE")
        for statement in _TABLES.split(";"):
            db.execute(statement)
        new_incarnation(db, "made")
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={FORMAT}")
        db.execute("COMMIT")
    finally:
        db.close()  # the last connection: moves everything into the file itself


def note_of_move(path: Path) -> Path:
    """The file beside a log that outlives it, and says that it was moved."""
    return path.with_name(f"{path.name}.moved")


def refuse_successor(path: Path) -> None:
    """Refuse to make a log where one was that has been moved: two installations would own the same accounts.

    Raises:
        LogMoved: there was one.

    """
    note = note_of_move(path)
    try:
        destination = note.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return
    except OSError as error:
        raise LogReadOnly(
            f"the note of a move cannot be read ({error.strerror})", str(note), "let this user read it"
        ) from None
    remedy = f"use {destination}; only when that has been given up for good, and nothing of it runs, remove this file"
    raise LogMoved("the log that was here was moved", str(note), remedy)


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_structure(db: sqlite3.Connection, path: Path) -> None:
    """Check SQLite's own structures.

    Raises:
        LogCorrupt: they are damaged.

    """
    with telling(path, "checking"):
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise LogCorrupt(f"the file is damaged ({verdict})", str(path), "stop, keep the file, restore the last backup")
