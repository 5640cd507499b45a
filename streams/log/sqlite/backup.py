"""Copies of the file: a backup while it is in use, and a restore with an incarnation of its own."""

import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from streams.log.interface import LogReadOnly
from streams.log.sqlite import schema
from streams.log.sqlite.faults import telling


def backup(log: Path, target: Path) -> None:
    """Copy a log that may be in use to `target`, as it stands at one moment; appends go on meanwhile.

    The copy is marked: it opens as a log only once `restore` gave it an incarnation of its own.

    Raises:
        LogReadOnly: `target` exists, or cannot be written.
        LogFull, LogCorrupt, LogVersion: as said.

    """
    with closing(schema.connect(log.absolute())) as source, _drafted(target) as draft:
        _copy(source, draft)
        with closing(sqlite3.connect(draft, isolation_level=None)) as copy:
            copy.execute("PRAGMA journal_mode=DELETE")
            schema.check_structure(copy, draft)
            (incarnation,) = copy.execute("SELECT id FROM incarnations ORDER BY number DESC LIMIT 1").fetchone()
            copy.execute("BEGIN IMMEDIATE")
            schema.set_meta(copy, "backup_of", incarnation)
            schema.set_meta(copy, "backup_at_ms", str(time.time_ns() // 1_000_000))
            copy.execute("COMMIT")


def restore(source: Path, target: Path) -> str:
    """Make the log `target` from a backup; return its new incarnation, whose parent is the one backed up. A backup of a
    log that was moved stays one.

    Raises:
        LogReadOnly: `target` exists (move it away first), or cannot be written.
        LogMoved: the log that was at `target` was moved.
        LogFull, LogCorrupt, LogVersion: as said.

    """
    schema.refuse_successor(target.absolute())
    with closing(_open_copy(source)) as copy, _drafted(target) as draft:
        _copy(copy, draft)
        return mark_restored(draft)


def mark_restored(path: Path) -> str:
    """Give a log that was copied by other means, and is not in use, a new incarnation; return it. The old one is its
    parent.

    Raises:
        LogReadOnly, LogCorrupt, LogVersion: as said.

    """
    with closing(_open_copy(path)) as db, telling(path, "marking as restored"):
        schema.check_structure(db, path)
        db.execute("BEGIN IMMEDIATE")
        incarnation = schema.new_incarnation(db, "restored")
        db.execute("DELETE FROM meta WHERE name IN ('backup_of', 'backup_at_ms')")
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode=WAL")
    return incarnation


def _open_copy(path: Path) -> sqlite3.Connection:
    with telling(path, "opening the copy"):
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
        try:
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA fullfsync=1")
            schema.check_format(db, path, backup_allowed=True)
        except BaseException:
            db.close()
            raise
    return db


def _copy(source: sqlite3.Connection, target: Path) -> None:
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        source.backup(copy)  # all pages in one step: one snapshot, which other processes' appends cannot restart


@contextmanager
def _drafted(target: Path) -> Iterator[Path]:
    """A private file beside `target` that takes its name when the block succeeds, durably, and never replaces one."""
    target = target.absolute()
    if target.exists():
        raise LogReadOnly("the file exists already", str(target), "move it away, or choose another name")
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    with telling(target, "copying"):
        try:
            os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            yield draft
            _sync(draft)
            os.link(draft, target)
            schema.sync_folder(target.parent)
        finally:
            draft.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
