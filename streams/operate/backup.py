"""Backup of an installation of one machine while it runs, and its restore: the log and the store together, in one
folder.

The store is copied first, so its positions always lie within the log. A restored pair gets a new incarnation and a new
generation, the running program takes over what the log has recorded beyond the store, and no executor runs before both
APIs were polled to their heads (design rule 5). With PostgreSQL only the log is copied: the log is the truth, and
credentials are the database's own backup's affair.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa

from projections.store.store import open_store
from projections.store.tables import catch_ups
from streams.log.interface import LogError, LogReadOnly
from streams.log.sqlite import SqliteLog
from streams.log.sqlite import backup as copy_log
from streams.log.sqlite import restore as restore_log
from streams.log.sqlite.schema import sync_folder
from streams.settings import Settings

LOG_FILE: Final = "log.db"
STORE_FILE: Final = "store.db"
MANIFEST: Final = "backup.json"


class NoBackup(LogError):  # noqa: N818 - named as the log's errors are: by the condition
    """The folder holds no backup of ours, or this kind of log is backed up by its own tools."""


class Manifest(msgspec.Struct, frozen=True):
    """What lies in a backup's folder: when it was made, and which parts. Instants are texts of the clock."""

    made_at: str
    log_bytes: int
    store_bytes: int
    schema: int = 1


class Restored(msgspec.Struct, frozen=True):
    """What a restore made: the log's new incarnation. `store` False: the backup has none, and the store is to be
    rebuilt.
    """

    incarnation: str
    made_at: str
    store: bool


def backup(settings: Settings, folder: Path, now: str) -> Manifest:
    """Copy log and store into a new folder, private to this user. It takes its name when it is whole.

    Raises:
        LogReadOnly: the folder exists already, or cannot be made.
        NoBackup: the log is not the embedded one.
        LogError, StoreError: a copy failed; nothing is left behind.

    """
    source = _log_path(settings.log)
    target = folder.absolute()
    if target.exists():
        raise LogReadOnly(
            "the target of the backup exists", str(target), "choose another folder; nothing is overwritten"
        )
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        with _making(draft):
            draft.mkdir(mode=0o700)
        store_bytes = 0
        if _store_path(settings.store) is not None:
            with open_store(settings.store, now=now) as store:
                store.backup(draft / STORE_FILE, now)
            store_bytes = (draft / STORE_FILE).stat().st_size
        copy_log(source, draft / LOG_FILE)
        manifest = Manifest(now, (draft / LOG_FILE).stat().st_size, store_bytes)
        with _making(draft):
            (draft / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
            sync_folder(draft)
            draft.rename(target)
            sync_folder(target.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def restore(settings: Settings, folder: Path, now: str) -> Restored:
    """Make log and store, where the settings say, from a backup. Never overwrites one; what was made is removed when it
    fails.

    Raises:
        LogReadOnly: log or store exists already, or cannot be made.
        NoBackup: the folder holds no backup.
        LogError, StoreError: a copy failed.

    """
    manifest = read_manifest(folder)
    log_path, store_path = _log_path(settings.log), _store_path(settings.store)
    for path in (log_path, store_path):
        if path is not None and path.exists():
            raise LogReadOnly("it exists already", str(path), "move it away first; a restore never overwrites")
    with_store = manifest.store_bytes > 0 and store_path is not None
    made: list[Path] = [log_path]
    try:
        incarnation = restore_log(folder / LOG_FILE, log_path)
        if with_store and store_path is not None:
            made.append(store_path)
            _copy(folder / STORE_FILE, store_path)
            _adopt(settings, incarnation, now)
    except BaseException:
        for path in made:
            for part in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
                part.unlink(missing_ok=True)
        raise
    return Restored(incarnation, manifest.made_at, with_store)


def read_manifest(folder: Path) -> Manifest:
    """What a backup's folder says of itself. Raises `NoBackup`."""
    if not folder.exists():
        raise NoBackup("nothing is there", str(folder.absolute()), "give the folder that `zoho-gocardless backup` made")
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError):
        raise NoBackup(
            "not the folder of a backup", str(folder), "give the folder that `zoho-gocardless backup` made"
        ) from None


def _adopt(settings: Settings, incarnation: str, now: str) -> None:
    """The store becomes a new generation, belongs to the restored log, and owes a look at both APIs, for connections it
    never saw too.
    """
    owed = [(name, api, "restored", now) for name in sorted(settings.connections) for api in ("gocardless", "zoho")]
    with open_store(settings.store, now=now, adopt="restored") as store, store.write() as connection:
        store.set_meta(connection, "log_incarnation", incarnation)
        if owed:
            connection.exec_driver_sql(store.upsert(catch_ups), owed)


def _copy(source: Path, target: Path) -> None:
    with _making(target):
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        shutil.copyfile(source, target)
        with target.open("rb+") as file:
            os.fsync(file.fileno())
        sync_folder(target.parent)


@contextlib.contextmanager
def _making(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not path.parent.is_dir():
            remedy = f"make it (mkdir -p {path.parent}), or choose another folder"
            raise LogReadOnly("the folder is not there", str(path.parent), remedy) from None
        remedy = "check that the folder above it has room, and may be written"
        raise LogReadOnly(f"cannot be made ({error.strerror})", str(path), remedy) from None


def _log_path(url: str) -> Path:
    if not url.startswith("sqlite:"):
        raise NoBackup(
            "only the embedded log is copied by this command", "the setting log", "use the tools of the Kafka cluster"
        )
    return SqliteLog.from_url(url).path


def _store_path(url: str) -> Path | None:
    parsed = sa.make_url(url)
    return Path(str(parsed.database)).absolute() if parsed.drivername == "sqlite" else None
