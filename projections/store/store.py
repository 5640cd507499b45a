"""The store: one database, opened, checked and brought up to date; one write transaction at a time; every failure
named.

SQLite beside the embedded log, PostgreSQL with Kafka; the same code over both. Nothing here knows what is stored.
"""

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec
import sqlalchemy as sa

from projections.store import migrate
from projections.store.databases import BUSY_TIMEOUT_MS, Database, engine_of
from projections.store.direct import (
    ErrorTranslation,
    SqlConnection,
    SqliteConnection,
    SqliteConnections,
    SqliteTransaction,
    WriteLock,
)
from projections.store.errors import (
    StoreError,
    StoreFenced,
    StoreForeignLog,
    StoreIsBackup,
    StoreMoved,
    StoreVersion,
)
from projections.store.statements import Statements
from projections.store.tables import STATE, catch_ups, command_queue, meta, positions
from projections.store.wakeups import CHANNEL

#: Pages copied per step of a backup. Lower: a backup takes longer. Higher: writers wait longer behind one step.
_BACKUP_PAGES: Final = 1_000


def _nothing() -> None:
    """A store is usable at any time."""


class Store(Statements):
    """An open store. Made by `open_store`; may be used from several threads, one write transaction at a time."""

    def __init__(self, database: Database, token_hex: Callable[[int], str] = secrets.token_hex) -> None:
        super().__init__(database.engine)
        self.where = database.where
        self.generation = ""
        self.replaced = False
        """Whether this opening found another copy of the data than the last one: a failover, or a database that was put
        back.
        """
        self.on_use: Callable[[], None] = _nothing
        """Called before each transaction; what it raises comes out of there. For whoever decides when it is usable."""
        self._sqlite = SqliteConnections(self.engine) if self.dialect == "sqlite" else None
        self._copy = database.copy
        self._token_hex = token_hex
        self._write_lock = WriteLock(self.where)
        driver: Any = self.engine.dialect.dbapi
        self._translation = ErrorTranslation(driver.Error, self.where)

    def close(self) -> None:
        """Give all connections back. Safe to call twice."""
        if self._sqlite is not None:
            self._sqlite.close()
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- transactions ---

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One write transaction, for SQLAlchemy's constructs: committed at the end, rolled back by any error.

        Raises:
            StoreUnavailable: not just now; after an error in the commit itself the caller cannot know, and a
            compare-and-set must tell. StoreCorrupt: a constraint was broken. RuntimeError: this thread is inside a
            write already.

        """
        self.on_use()
        with self._write_lock, self._translation, self.engine.begin() as own:
            yield own

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One read-only transaction over one consistent snapshot, for SQLAlchemy's constructs; it never waits for a
        writer. Keep it short: a long one holds back the WAL (SQLite) or vacuum (PostgreSQL).
        """
        self.on_use()
        options: dict[str, Any] = {"reads": True}
        if self.dialect == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._translation, self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    # --- transactions of statements compiled once ---

    @contextlib.contextmanager
    def connection(self) -> Iterator[SqlConnection]:
        """A connection for one thread, to read from, and to be given to `direct_write` in the end."""
        self.on_use()
        with self._translation:
            if self._sqlite is None:
                with self.engine.connect() as connection:
                    yield connection
            else:
                own = self._sqlite.take()
                try:
                    yield own
                finally:
                    self._sqlite.give(own)

    def direct_write(self, connection: SqlConnection | None = None) -> AbstractContextManager[SqlConnection]:
        """As `write`, for statements compiled once: on a connection of its own, or on the one given."""
        self.on_use()
        if self._sqlite is None:
            return self._server_write(connection)
        assert connection is None or isinstance(connection, SqliteConnection), "each engine has its own connections"
        return SqliteTransaction(self._sqlite, self._translation, self._write_lock, connection)

    @contextlib.contextmanager
    def _server_write(self, connection: SqlConnection | None) -> Iterator[SqlConnection]:
        with self._write_lock, self._translation:
            if connection is None:
                with self.engine.begin() as own:
                    yield own
            else:
                assert isinstance(connection, sa.Connection), "each engine has its own connections"
                with connection.begin():
                    yield connection

    def direct_read(self) -> AbstractContextManager[SqlConnection]:
        """As `read`, for statements compiled once."""
        if self._sqlite is None:
            return self.read()
        self.on_use()
        return SqliteTransaction(self._sqlite, self._translation)

    def rows(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """All rows of one SELECT that was compiled once; a single statement is a snapshot by itself."""
        if self._sqlite is None:
            with self.read() as reader:
                return list(reader.exec_driver_sql(statement, parameters))
        self.on_use()
        with self._translation:
            return self._sqlite.run(statement, parameters)[0]

    def rows_of(self, statements: Sequence[tuple[str, tuple[Any, ...]]]) -> list[Any]:
        """All rows of several SELECTs that were compiled once, over one snapshot."""
        if len(statements) == 1:
            return self.rows(*statements[0])
        found: list[Any] = []
        if statements:
            with self.direct_read() as reader:
                for statement, parameters in statements:
                    found.extend(reader.exec_driver_sql(statement, parameters))
        return found

    def write_one(self, statement: str, parameters: tuple[Any, ...]) -> int:
        """A write transaction of one statement that was compiled once; how many rows it changed. Raises as `write`."""
        if self._sqlite is None:
            with self._server_write(None) as connection:
                return int(connection.exec_driver_sql(statement, parameters).rowcount)
        self.on_use()
        with self._write_lock, self._translation:
            return self._sqlite.run(statement, parameters)[1]

    def translated(self) -> AbstractContextManager[None]:
        """Errors of the driver and of SQLAlchemy come out as `StoreError`s, without any value of a row."""
        return self._translation

    # --- wakeups ---

    def wake(self, connection: SqlConnection, name: str) -> None:
        """Wake the loops of this name (of `wakeups.NAMES`) in every process, when this transaction is committed.
        Nothing on SQLite, where there is one process.
        """
        if self.dialect == "postgresql":
            connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (CHANNEL, name))

    # --- facts about the store itself ---

    def get_meta(self, key: str, connection: SqlConnection | None = None) -> str:
        """A fact about the store, "" when it was never set."""
        sql = self.sql("meta", _meta, ("key",))
        rows = self.rows(sql, (key,)) if connection is None else connection.exec_driver_sql(sql, (key,)).all()
        return str(rows[0][0]) if rows else ""

    def set_meta(self, connection: SqlConnection, key: str, value: str) -> None:
        """Set a fact about the store, in a write transaction."""
        connection.exec_driver_sql(self.upsert(meta), (key, value))

    def new_generation(self, connection: sa.Connection) -> str:
        """Fence every present owner off: whoever wrote under the old generation loses its next compare-and-set."""
        self.generation = self._token_hex(8)
        self.set_meta(connection, "generation", self.generation)
        connection.execute(
            sa.update(positions).values(generation=self.generation, owner_epoch=positions.c.owner_epoch + 1)
        )
        return self.generation

    def bind_log(self, incarnation: str) -> None:
        """State which log the positions belong to: the first call says it, every later one must agree.

        Raises:
            StoreForeignLog: the store's positions mean records of another log; it must be rebuilt from this one.

        """
        with self.write() as connection:
            migrate.lock(connection)
            held = self.get_meta("log_incarnation", connection)
            if held not in ("", incarnation):
                raise StoreForeignLog(
                    "the positions belong to another log", self.where, "rebuild the store from this log"
                )
            if not held:
                self.set_meta(connection, "log_incarnation", incarnation)

    def require_generation(self, connection: SqlConnection, *, alone: bool = False) -> None:
        """Refuse to go on when another process has begun a new generation; until this transaction ends, none can.
        `alone`: until then nobody else requires it either, which whoever means to begin a new one must ask for.

        Raises:
            StoreFenced: the store was rebuilt, restored or upgraded meanwhile.

        """
        sql = self.sql(f"generation {alone}", lambda: _meta().with_for_update(read=not alone), ("key",))
        if connection.exec_driver_sql(sql, ("generation",)).scalar() != self.generation:
            raise StoreFenced(
                "the store was rebuilt, restored or upgraded by another process", self.where, "restart this process"
            )

    # --- backup ---

    def backup(self, path: Path, now: str) -> None:
        """Copy a SQLite store while it is in use. The copy says that it is one (`now`: when), and must be adopted
        before use.

        Raises:
            StoreError: the target exists, or the store is PostgreSQL (use its own tools: `pg_dump`, or base backups).

        """
        if self.dialect != "sqlite":
            raise StoreError(
                "a PostgreSQL store is not backed up by copying a file", self.where, "use pg_dump or a base backup"
            )
        if path.exists():
            raise StoreError(
                "the target of the backup exists", str(path), "choose another path; nothing is overwritten"
            )
        part = path.with_name(path.name + ".part")
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with self.translated(), contextlib.closing(sqlite3.connect(part, isolation_level=None)) as target:
            source = self.engine.raw_connection()
            try:
                source.driver_connection.backup(target, pages=_BACKUP_PAGES)  # type: ignore[union-attr] # SQLite's own connection, as checked above
            finally:
                source.close()
            target.execute(
                "INSERT INTO meta (key, value) VALUES ('backup', ?) ON CONFLICT (key) DO UPDATE SET value = "
                "excluded.value",
                (now,),
            )
            # A single file: without this the copy would need its -wal beside it.
            target.execute("PRAGMA journal_mode = DELETE")
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.rename(path)

    def accept(self, connection: sa.Connection, now: str, adopt: str, *, rebuilding: bool, moving: bool) -> None:
        """Accept the store as it was found, or refuse it; see `open_store`."""
        # One process at a time: the first of several makes the generation that all of them work under.
        migrate.lock(connection)
        if not moving:
            self._refuse_moved(connection)
        if self.get_meta("rebuild", connection) and not rebuilding:
            raise StoreIsBackup("a rebuild of this store was not finished", self.where, "run the rebuild again")
        if self.get_meta("backup", connection):
            if not adopt:
                raise StoreIsBackup(
                    "this is a backup", self.where, "restore it with the restore command; do not use it as it stands"
                )
            self.set_back(connection, adopt, now)
            self.set_meta(connection, "backup", "")
        self._accept_copy(connection, now)
        self.generation = self.get_meta("generation", connection) or self.new_generation(connection)

    def _refuse_moved(self, connection: sa.Connection) -> None:
        if self.get_meta("filling", connection):
            remedy = "run `zoho-gocardless move` again with the settings of the old side"
            raise StoreIsBackup(
                "an installation is being moved into this store and has not arrived", self.where, remedy
            )
        if moved := self.get_meta("moved", connection):
            raise StoreMoved("the store was moved", self.where, f"use {moved}")

    def _accept_copy(self, connection: sa.Connection, now: str) -> None:
        """Another copy of the data than at the last opening may be an older one: what was sent since then is not in
        it.
        """
        held = self.get_meta("copy", connection)
        if held == self._copy.name:
            return
        if held:
            self.replaced = True
            if not now:
                return  # without the time nothing can be required of the executors: the next opening that knows it does
            self.set_back(connection, "restored", now)
        self.set_meta(connection, "copy", self._copy.name)

    def set_back(self, connection: sa.Connection, reason: str, now: str, also: Iterable[str] = ()) -> None:
        """What is here may be older than what was done: a new generation, in which everything is looked up first. Where
        each position stands is kept, so that a partition which finds later that its log has got further knows that it
        was dealt with.
        """
        self.new_generation(connection)
        c = positions.c
        rows = connection.execute(sa.select(c.stage, c.topic, c.partition, c.next_offset))
        stood = {position_name(stage, topic, partition): int(offset) for stage, topic, partition, offset in rows}
        self.set_meta(connection, "stood", msgspec.json.encode(stood).decode())
        self.require_catch_up(connection, reason, now, also)

    def stood(self, connection: sa.Connection) -> dict[str, int] | None:
        """Where each position (by `position_name`) stood when the store was last found set back; None when it never
        was.
        """
        return msgspec.json.decode(self.get_meta("stood", connection) or "null", type=dict[str, int] | None)

    def require_catch_up(self, connection: sa.Connection, reason: str, now: str, also: Iterable[str] = ()) -> None:
        """After a rebuild, restore or move: no executor runs before both APIs were polled to their heads, and whatever
        may have been sent counts as unknown. `now` is an instant; `also`: connections that the store may not know yet.
        """
        known = connection.execute(sa.select(STATE["connections"].c.id)).scalars().all()
        queued = connection.execute(sa.select(command_queue.c.connection).distinct()).scalars().all()
        rows = [(name, api, reason, now) for name in sorted({*known, *queued, *also}) for api in ("gocardless", "zoho")]
        if rows:
            self.put(connection, catch_ups, rows)
        doubtful = command_queue.c.state.in_(("ready", "sent", "unknown", "answered"))
        connection.execute(sa.update(command_queue).where(doubtful).values(state="unknown", due_at=now))
        # What waits for publication may have been published and sent by the store that was lost: counted as called, it
        # is looked up.
        waiting = sa.and_(command_queue.c.state == "waiting_publication", command_queue.c.calls == 0)
        connection.execute(sa.update(command_queue).where(waiting).values(calls=1))


def _meta() -> sa.Select[str]:
    return sa.select(meta.c.value).where(meta.c.key == sa.bindparam("key"))


def position_name(stage: str, topic: str, partition: int) -> str:
    """The name of a position among the facts about the store."""
    return f"{stage} {topic} {partition}"


def open_store(
    url: str,
    *,
    now: str = "",
    adopt: str = "",
    rebuilding: bool = False,
    moving: bool = False,
    token_hex: Callable[[int], str] = secrets.token_hex,
) -> Store:
    """Open a store (`sqlite:///path` or `postgresql://…`), and make it if it is not there. An older SQLite file is
    brought up to date.

    `adopt` "restored" or "moved" accepts a backup: it becomes a new generation, at `now`, and must catch up before
    executors run; so does a PostgreSQL database that has failed over or was replaced since it was last opened.
    `rebuilding` accepts a store whose rebuild was not finished, to begin it again. `moving`, for the move alone,
    accepts one that was moved away, and one that a move is filling. `token_hex`: where the names of generations come
    from.

    Raises:
        StoreOutdated: an older schema on PostgreSQL; see `upgrade_store`.
        StoreVersion: made by a newer version, or no store.
        StoreIsBackup: a backup, or an unfinished rebuild or move, that was not accepted.
        StoreMoved: what was in it was moved to another store.
        StoreUnavailable: the file or the server cannot be used just now.
        StoreError: the address, the user, the password or the database is wrong.

    """
    store = Store(engine_of(url), token_hex)
    try:
        with store.translated():
            migrate.open_at_head(store.engine, store.where)
        with store.write() as connection:
            store.accept(connection, now, adopt, rebuilding=rebuilding, moving=moving)
    except BaseException:
        store.close()
        raise
    return store


class Upgrade(NamedTuple):
    """What an upgrade did: the version of the schema before ("" for an empty database) and after. `fenced`: whoever was
    at work with the store must be started again.
    """

    dialect: str
    before: str
    after: str
    fenced: bool


def upgrade_store(url: str) -> Upgrade:
    """Bring the schema of a store to this program's version, in one transaction, and fence off whoever is at work with
    the older one.

    Raises:
        StoreVersion: made by a newer version, or no store.
        StoreUnavailable: it cannot be used just now, or somebody is in the midst of a long transaction. Nothing was
        changed.

    """
    with Store(engine_of(url)) as store, store.write() as connection:
        migrate.lock(connection)
        held = migrate.version(connection, store.where)
        outdated = migrate.EMPTY < held < migrate.HEAD
        if outdated:
            # First: whoever has written waits here with its next write, and no table is changed under it.
            store.new_generation(connection)
        migrate.upgrade(connection, store.where)
        return Upgrade(store.dialect, held, migrate.HEAD, outdated)


__all__ = ["BUSY_TIMEOUT_MS", "Store", "StoreVersion", "Upgrade", "open_store", "position_name", "upgrade_store"]
