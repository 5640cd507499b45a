"""The store: one database, opened, checked and brought up to date; one write transaction at a time; every failure named.

SQLite beside the embedded log, PostgreSQL with Kafka; the same code over both. Nothing here knows what is stored.
"""

import contextlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from projections import migrate
from projections.errors import StoreCorrupt, StoreError, StoreFenced, StoreForeignLog, StoreIsBackup, StoreUnavailable, StoreVersion
from projections.tables import STATE, catch_ups, command_queue, meta, positions

#: How long a write waits for another writer, milliseconds. Lower: a backup or a report under way makes writes fail. Higher: a stuck
#: process is noticed later.
BUSY_TIMEOUT_MS: Final = 10_000
#: SQLite's page cache per connection, KiB. Lower: with a million event ids each batch reads pages from disk again. Higher: memory.
_CACHE_KIB: Final = 65_536
#: Pages of WAL before SQLite copies them back. Lower: the same hot pages are copied (and synced) more often. Higher: a longer WAL to
#: read after a crash, and more disk.
_CHECKPOINT_PAGES: Final = 16_000
#: The WAL is cut to this after a checkpoint, bytes. Lower: it is grown again all the time. Higher: disk held for nothing.
_WAL_BYTES: Final = 64 * 1024 * 1024
#: Connections kept. Lower: pages of the web wait for each other. Higher: PostgreSQL's `max_connections` is used up by many roles.
_POOL: Final = 5
#: Pages copied per step of a backup. Lower: a backup takes longer. Higher: writers wait longer behind one step.
_BACKUP_PAGES: Final = 1_000

#: Low byte of SQLite's error codes for "not just now": BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PERM.
_SQLITE_UNAVAILABLE: Final = {3, 5, 6, 7, 8, 9, 10, 13, 14}
#: CORRUPT, CONSTRAINT, NOTADB: what is there cannot be what this program wrote.
_SQLITE_CORRUPT: Final = {11, 19, 26}
#: PostgreSQL's classes of SQLSTATE for "not just now": connection, transaction rolled back, resources, object in use, operator, system.
_PG_UNAVAILABLE: Final = {"08", "40", "53", "55", "57", "58"}
#: Integrity violation, internal error.
_PG_CORRUPT: Final = {"23", "XX"}


class Store:
    """An open store. Made by `open_store`; may be used from several threads, one write transaction at a time."""

    def __init__(self, engine: sa.Engine, where: str) -> None:
        self.engine = engine
        self.where = where
        self.generation = ""
        self._lock = threading.Lock()
        self._writer = 0
        self._compiled: dict[str, str] = {}
        driver: Any = engine.dialect.dbapi
        self._driver_error: type[Exception] = driver.Error

    @property
    def dialect(self) -> str:
        """Which engine: "sqlite" or "postgresql"."""
        return self.engine.dialect.name

    def close(self) -> None:
        """Give all connections back. Safe to call twice."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- transactions ---

    @contextlib.contextmanager
    def write(self, connection: sa.Connection | None = None) -> Iterator[sa.Connection]:
        """One write transaction, on a connection of its own or on the one given: committed at the end, rolled back by any error.

        Raises:
            StoreUnavailable: not just now; after an error in the commit itself the caller cannot know, and a compare-and-set must tell.
            StoreCorrupt: a constraint was broken.
            RuntimeError: this thread is inside a write already.

        """
        if self._writer == threading.get_ident():
            raise RuntimeError("a write transaction inside a write transaction of the same thread would wait for itself")
        if not self._lock.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise StoreUnavailable("another thread has been writing for too long", self.where, "try again")
        self._writer = threading.get_ident()
        try:
            with self.translated():
                if connection is None:
                    with self.engine.begin() as own:
                        yield own
                else:
                    with connection.begin():
                        yield connection
        finally:
            self._writer = 0
            self._lock.release()

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One read-only transaction over one consistent snapshot; it never waits for a writer. Keep it short: a long one holds back
        the WAL (SQLite) or vacuum (PostgreSQL).
        """
        options: dict[str, Any] = {"reads": True}
        if self.dialect == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self.translated(), self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Errors of the driver and of SQLAlchemy come out as `StoreError`s, without any value of a row."""
        try:
            yield
        except (SQLAlchemyError, self._driver_error) as error:
            raise self._translate(error) from None

    def _translate(self, error: Exception) -> StoreError:
        cause: Any = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(error, PoolTimeoutError):
            return StoreUnavailable("no database connection became free", self.where, "try again")
        if isinstance(cause, sqlite3.Error):
            name, code = getattr(cause, "sqlite_errorname", type(cause).__name__), getattr(cause, "sqlite_errorcode", 0) & 0xFF
            unavailable, corrupt = code in _SQLITE_UNAVAILABLE, code in _SQLITE_CORRUPT
        else:
            state = getattr(cause, "sqlstate", None)
            name = f"{type(cause).__name__} {state or ''}".strip()
            unavailable = (state or "08")[:2] in _PG_UNAVAILABLE and isinstance(cause, self._driver_error)
            corrupt = (state or "")[:2] in _PG_CORRUPT
        if unavailable:
            return StoreUnavailable(
                f"the database answered {name}", self.where, "check disk space, permissions and the server; then try again"
            )
        if corrupt:
            return StoreCorrupt(f"the database answered {name}", self.where, "stop, keep the file, and rebuild the store from the log")
        return StoreError(
            f"the database answered {name}", self.where, "this is a defect or a foreign schema; rebuild the store from the log"
        )

    # --- statements compiled once ---

    def sql(self, name: str, build: Callable[[], Any], order: Sequence[str] | None = None) -> str:
        """The text of a statement for this engine, compiled once per name, for execution with tuples in `order` (parameter names).

        Raises `AssertionError` when the statement wants its parameters in another order: a defect in `build`.
        """
        text = self._compiled.get(name)
        if text is None:
            compiled: Any = build().compile(dialect=self.engine.dialect)
            assert order is None or list(compiled.positiontup or ()) == list(order), f"{name}: parameters in another order"
            text = self._compiled[name] = str(compiled)
        return text

    def upsert(self, table: sa.Table) -> str:
        """`INSERT … ON CONFLICT DO UPDATE` of whole rows of a table, for tuples in the order of its columns."""
        names = [column.name for column in table.columns]

        def build() -> Any:
            insert = self._insert(table)
            keys = [column.name for column in table.primary_key.columns]
            changed = {name: insert.excluded[name] for name in names if name not in keys}
            return insert.on_conflict_do_update(index_elements=keys, set_=changed) if changed else insert.on_conflict_do_nothing()

        return self.sql(f"upsert {table.name}", build, names)

    def _insert(self, table: sa.Table) -> Any:
        """An insert with every column bound; the two dialects' constructs share their methods, but no base class."""
        from sqlalchemy.dialects import postgresql, sqlite  # noqa: PLC0415 - one of them is needed; both cost start-up time

        made = postgresql.insert(table) if self.dialect == "postgresql" else sqlite.insert(table)
        return made.values({column.name: sa.bindparam(column.name) for column in table.columns})

    def insert(self, table: sa.Table) -> str:
        """A plain `INSERT`, for tuples in the order of the table's columns; a duplicate is `StoreCorrupt`."""
        return self.sql(f"insert {table.name}", lambda: self._insert(table), [column.name for column in table.columns])

    # --- facts about the store itself ---

    def get_meta(self, key: str, connection: sa.Connection | None = None) -> str:
        """A fact about the store, "" when it was never set."""
        query = sa.select(meta.c.value).where(meta.c.key == key)
        if connection is not None:
            return str(connection.execute(query).scalar() or "")
        with self.read() as reader:
            return str(reader.execute(query).scalar() or "")

    def set_meta(self, connection: sa.Connection, key: str, value: str) -> None:
        """Set a fact about the store, in a write transaction."""
        connection.exec_driver_sql(self.upsert(meta), (key, value))

    def new_generation(self, connection: sa.Connection) -> str:
        """Fence every present owner off: whoever wrote under the old generation loses its next compare-and-set."""
        self.generation = secrets.token_hex(8)
        self.set_meta(connection, "generation", self.generation)
        connection.execute(sa.update(positions).values(generation=self.generation, owner_epoch=positions.c.owner_epoch + 1))
        return self.generation

    def bind_log(self, incarnation: str) -> None:
        """State which log the positions belong to: the first call says it, every later one must agree.

        Raises:
            StoreForeignLog: the store's positions mean records of another log; it must be rebuilt from this one.

        """
        with self.write() as connection:
            held = self.get_meta("log_incarnation", connection)
            if held not in ("", incarnation):
                raise StoreForeignLog("the positions belong to another log", self.where, "rebuild the store from this log")
            if not held:
                self.set_meta(connection, "log_incarnation", incarnation)

    def require_generation(self, connection: sa.Connection) -> None:
        """Refuse to go on when another process has begun a new generation."""
        if self.get_meta("generation", connection) != self.generation:
            raise StoreFenced("the store was rebuilt or restored by another process", self.where, "restart this process")

    # --- backup ---

    def backup(self, path: Path, now: str) -> None:
        """Copy a SQLite store while it is in use. The copy says that it is one (`now`: when), and must be adopted before use.

        Raises:
            StoreError: the target exists, or the store is PostgreSQL (use its own tools: `pg_dump`, or base backups).

        """
        if self.dialect != "sqlite":
            raise StoreError("a PostgreSQL store is not backed up by copying a file", self.where, "use pg_dump or a base backup")
        if path.exists():
            raise StoreError("the target of the backup exists", str(path), "choose another path; nothing is overwritten")
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
                "INSERT INTO meta (key, value) VALUES ('backup', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (now,)
            )
            # A single file: without this the copy would need its -wal beside it.
            target.execute("PRAGMA journal_mode = DELETE")
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.rename(path)

    def accept(self, connection: sa.Connection, now: str, adopt: str, *, rebuilding: bool) -> None:
        """Accept the store as it was found, or refuse it; see `open_store`."""
        if self.get_meta("rebuild", connection) and not rebuilding:
            raise StoreIsBackup("a rebuild of this store was not finished", self.where, "run the rebuild again")
        if self.get_meta("backup", connection):
            if not adopt:
                raise StoreIsBackup("this is a backup", self.where, "restore it with the restore command; do not use it as it stands")
            self.new_generation(connection)
            self.require_catch_up(connection, adopt, now)
            self.set_meta(connection, "backup", "")
        self.generation = self.get_meta("generation", connection) or self.new_generation(connection)

    def require_catch_up(self, connection: sa.Connection, reason: str, now: str) -> None:
        """After a rebuild, restore or move: no executor runs before both APIs were polled to their heads, and whatever may have been
        sent counts as unknown. `now` is an instant.
        """
        known = connection.execute(sa.select(STATE["connections"].c.id)).scalars().all()
        queued = connection.execute(sa.select(command_queue.c.connection).distinct()).scalars().all()
        rows = [(name, api, reason, now) for name in sorted({*known, *queued}) for api in ("gocardless", "zoho")]
        if rows:
            connection.exec_driver_sql(self.upsert(catch_ups), rows)
        doubtful = command_queue.c.state.in_(("ready", "sent", "unknown", "answered"))
        connection.execute(sa.update(command_queue).where(doubtful).values(state="unknown", due_at=now))
        # What waits for publication may have been published and sent by the store that was lost: counted as called, it is looked up.
        waiting = sa.and_(command_queue.c.state == "waiting_publication", command_queue.c.calls == 0)
        connection.execute(sa.update(command_queue).where(waiting).values(calls=1))


def open_store(url: str, *, now: str = "", adopt: str = "", rebuilding: bool = False) -> Store:
    """Open a store (`sqlite:///path` or `postgresql://…`), make it if it is not there, and bring its schema up to date.

    `adopt` "restored" or "moved" accepts a backup: it becomes a new generation, at `now`, and must catch up before executors run.
    `rebuilding` accepts a store whose rebuild was not finished, to begin it again.

    Raises:
        StoreVersion: made by a newer version, or no store.
        StoreIsBackup: a backup, or an unfinished rebuild, that was not accepted.
        StoreUnavailable: the file or the server cannot be used.

    """
    engine, where = _engine(url)
    store = Store(engine, where)
    try:
        with store.translated():
            migrate.upgrade(engine, where)
        with store.write() as connection:
            store.accept(connection, now, adopt, rebuilding=rebuilding)
    except BaseException:
        store.close()
        raise
    return store


def _engine(url: str) -> tuple[sa.Engine, str]:
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise StoreError("not a database URL", "the store's URL", "use sqlite:///path or postgresql://…") from None
    if parsed.drivername == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise StoreError("a store needs a file", "the store's URL", "use sqlite:///path")
        return _sqlite(Path(str(parsed.database))), str(parsed.database)
    if parsed.drivername in ("postgresql", "postgresql+psycopg"):
        where = parsed.render_as_string(hide_password=True)
        engine = sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            paramstyle="format",
            hide_parameters=True,
            pool_size=_POOL,
            pool_use_lifo=True,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": 10,
                "options": f"-c lock_timeout={BUSY_TIMEOUT_MS} -c idle_in_transaction_session_timeout=300000",
            },
        )
        return engine, where
    raise StoreError("unknown kind of database", "the store's URL", "use sqlite:///path or postgresql://…")


def _sqlite(path: Path) -> sa.Engine:
    if not path.exists() and path.parent.is_dir():
        with contextlib.suppress(OSError):  # opening it says what is wrong, with SQLite's own code
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    engine = sa.create_engine(
        f"sqlite:///{path}",
        hide_parameters=True,
        pool_size=_POOL,
        pool_use_lifo=True,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000, "isolation_level": None, "cached_statements": 512},
    )

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "fullfsync = 1",
            "checkpoint_fullfsync = 1",
            f"cache_size = -{_CACHE_KIB}",
            f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
            f"journal_size_limit = {_WAL_BYTES}",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # IMMEDIATE: a write that began as a read cannot wait its turn in WAL mode, it fails at once.
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reads") else "BEGIN IMMEDIATE")

    return engine


__all__ = ["BUSY_TIMEOUT_MS", "Store", "StoreVersion", "open_store"]
