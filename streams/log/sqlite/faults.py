"""SQLite's errors and the operating system's, told as errors of the log: what, where, and what to do."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.log.interface import LogClosed, LogCorrupt, LogError, LogFull, LogReadOnly, LogUnavailable

# SQLite keeps the general code in the low byte, the particular one above it (sqlite.org/rescode.html).
_GENERAL = 0xFF
_FSYNC_FAILED = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})


def told(fault: sqlite3.Error | OSError, path: Path, doing: str) -> LogError:
    """The error of the log that says what this fault means."""
    where = str(path)
    if isinstance(fault, OSError):
        return _of_system(fault, where, doing)
    code = getattr(fault, "sqlite_errorcode", None)
    general = None if code is None else code & _GENERAL
    if general == sqlite3.SQLITE_FULL:
        return _full(where, doing)
    if general in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}:
        return LogCorrupt(
            f"the file is damaged ({doing}: {fault})", where, "stop, keep the file, restore the last backup"
        )
    if general in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return LogReadOnly(
            f"cannot open or write ({doing}: {fault})",
            where,
            "check that the folder exists and that this user may write the file and its folder",
        )
    if general in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return LogUnavailable(
            f"another process held the file too long ({doing})", where, "try again; look for a long transaction on it"
        )
    if isinstance(fault, sqlite3.ProgrammingError):
        return LogClosed(f"the log is closed ({doing})", where, "start it before use")
    return LogUnavailable(f"the disk refused ({doing}: {fault})", where, "check the disk; try again when it is well")


def is_fatal(fault: sqlite3.Error) -> bool:
    """Whether nothing more may be written until a restart.

    After a failed fsync the kernel may have dropped the pages and report success the next time; only a recovery from
    the file tells what is durable.
    """
    return getattr(fault, "sqlite_errorcode", None) in _FSYNC_FAILED


def is_busy(fault: sqlite3.Error) -> bool:
    """Whether another process is writing just now."""
    code = getattr(fault, "sqlite_errorcode", None)
    return code is not None and code & _GENERAL == sqlite3.SQLITE_BUSY


@contextmanager
def telling(path: Path, doing: str) -> Iterator[None]:
    """Turn faults of the block into errors of the log."""
    try:
        yield
    except (sqlite3.Error, OSError) as fault:
        raise told(fault, path, doing) from fault


def _full(where: str, doing: str) -> LogFull:
    return LogFull(
        f"no room on the disk ({doing})", where, "free some space; nothing was acknowledged, senders will try again"
    )


def _of_system(fault: OSError, where: str, doing: str) -> LogError:
    if fault.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return _full(where, doing)
    if fault.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR}:
        return LogReadOnly(
            f"cannot open or write ({doing}: {fault.strerror})",
            where,
            "check that the folder exists and that this user may write the file and its folder",
        )
    return LogUnavailable(
        f"the system refused ({doing}: {fault.strerror})", where, "check the disk; try again when it is well"
    )
