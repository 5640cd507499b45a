"""The two databases a store can be in: how each is connected to, and what its errors mean.

```
engine_of("sqlite:///path" | "postgresql://…") → Database        connects with nothing yet
error_of(error, where)          → StoreError      what, where, remedy; no value of a row, no password
```
"""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from projections.store.errors import StoreCorrupt, StoreError, StoreFenced, StoreUnavailable

#: How long a write waits for another writer, milliseconds. Lower: a backup or a report under way makes writes fail.
#: Higher: a stuck process is noticed later.
BUSY_TIMEOUT_MS: Final = 10_000
#: SQLite's page cache per connection, KiB. Lower: with a million event ids each batch reads pages from disk again.
#: Higher: memory.
_CACHE_KIB: Final = 65_536
#: Pages of WAL before SQLite copies them back. Lower: the same hot pages are copied (and synced) more often. Higher: a
#: longer WAL to read after a crash, and more disk.
_CHECKPOINT_PAGES: Final = 16_000
#: The WAL is cut to this after a checkpoint, bytes. Lower: it is grown again all the time. Higher: disk held for
#: nothing.
_WAL_BYTES: Final = 64 * 1024 * 1024
#: Connections kept. Lower: pages of the web wait for each other. Higher: PostgreSQL's `max_connections` is used up by
#: many roles.
_POOL: Final = 5

#: Seconds that a connection to PostgreSQL may take. Lower: a busy server is taken for one that is down. Higher: a
#: command hangs.
CONNECT_S: Final = 10
#: How long a transaction may lie idle before PostgreSQL ends it, milliseconds. Lower: a report whose reader pauses is
#: cut off. Higher: a process that was stopped in the middle of a write keeps its successor from taking over for that
#: long.
_IDLE_MS: Final = 20_000
#: How long the kernel waits for an answer of a server that vanished, milliseconds. Lower: a short cut of the network
#: ends connections. Higher: a process hangs that much longer on a host that is gone.
_VANISHED_MS: Final = 20_000

#: Low byte of SQLite's error codes for "not just now": BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN,
#: PERM.
_SQLITE_UNAVAILABLE: Final = {3, 5, 6, 7, 8, 9, 10, 13, 14}
#: CORRUPT, CONSTRAINT, NOTADB: what is there cannot be what this program wrote.
_SQLITE_CORRUPT: Final = {11, 19, 26}
#: PostgreSQL's classes of SQLSTATE for "not just now": connection, transaction rolled back, resources, object in use,
#: operator, system; and two single states: the server ended an idle transaction, the server takes no writes (a
#: standby).
_PG_UNAVAILABLE: Final = {"08", "40", "53", "55", "57", "58", "25P03", "25006"}
#: Integrity violation, internal error.
_PG_CORRUPT: Final = {"23", "XX"}

#: Errors of the driver that mean, without an SQLSTATE, that there is no connection.
_LOST: Final = {"OperationalError", "InterfaceError", "ConnectionTimeout"}

#: What a server says before there is a connection, and so before there is an SQLSTATE → what to tell, and what to do.
_REFUSALS: Final = (
    (
        "password authentication failed",
        "the server refused the user or the password",
        "check the user and password in the setting store",
    ),
    ("no password supplied", "the server wants a password", "add it to the address in the setting store"),
    ("no pg_hba.conf entry", "the server admits no connection of this user from here", "add a line to its pg_hba.conf"),
    ('role "', "the server does not know the user", "create it, or correct the setting store"),
    (
        'database "',
        "the server has no database of this name",
        "create it (CREATE DATABASE …), or correct the setting store",
    ),
)
#: The same, for what may pass by itself.
_PASSING: Final = (
    ("refused", "nothing listens at this address", "start the server, or correct the setting store"),
    ("resolve", "the name of the server is not known", "check the name in the setting store, and DNS"),
    ("starting up", "the server is starting", "try again in a moment"),
    ("shutting down", "the server is shutting down", "start it again"),
    ("too many clients", "the server has no connection left", "raise its max_connections, or run fewer processes"),
    (
        "remaining connection slots",
        "the server has no connection left",
        "raise its max_connections, or run fewer processes",
    ),
    (
        "not writable",
        "no server at this address takes writes",
        "wait for the failover to end, or correct the setting store",
    ),
    (
        "read-only",
        "no server at this address takes writes",
        "wait for the failover to end, or correct the setting store",
    ),
)

#: Which copy of the data this is: the cluster, its timeline (a standby that takes over begins a new one), the database
#: in it. Parts that a managed server does not tell are left out.
_COPY: Final = (
    "SELECT system_identifier::text FROM pg_control_system()",
    "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)",
    "SELECT oid::text FROM pg_database WHERE datname = current_database()",
)
#: Insufficient privilege, feature not supported, undefined function.
_NOT_TOLD: Final = {"42501", "0A000", "42883"}


class Copy:
    """Which copy of the data the connections of this process are with; "" before the first, and always for SQLite.

    A failover breaks every connection, so each new one is asked. One that leads to another copy is refused: what this
    process knows (that it owns a partition, that a call was noted) may not be true there.
    """

    def __init__(self, where: str) -> None:
        self.name = ""
        self._where = where

    def met(self, name: str) -> None:
        """A new connection is with this copy. Raises `StoreFenced` when the ones before were with another."""
        if self.name and name != self.name:
            raise StoreFenced(
                "the server has failed over, or the database was replaced", self._where, "restart this process"
            )
        self.name = name


class Database(NamedTuple):
    """Where a store is: `where` for messages."""

    engine: sa.Engine
    where: str
    copy: Copy


def engine_of(url: str) -> Database:
    """The database at an address. Raises `StoreError` when it is no address of one."""
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise StoreError("not a database URL", "the store's URL", "use sqlite:///path or postgresql://…") from None
    if parsed.drivername == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise StoreError("a store needs a file", "the store's URL", "use sqlite:///path")
        where = str(parsed.database)
        return Database(_sqlite(Path(where)), where, Copy(where))
    if parsed.drivername in ("postgresql", "postgresql+psycopg"):
        return _postgresql(parsed)
    raise StoreError("unknown kind of database", "the store's URL", "use sqlite:///path or postgresql://…")


# --- PostgreSQL ---


def postgresql_arguments() -> dict[str, Any]:
    """How every connection to PostgreSQL is made."""
    return {
        "connect_timeout": CONNECT_S,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": _VANISHED_MS,
        "target_session_attrs": "read-write",
    }


def _postgresql(parsed: sa.URL) -> Database:
    shown = {name: value for name, value in parsed.query.items() if name in ("host", "port")}
    where = parsed.set(query=shown).render_as_string(hide_password=True)
    # Every hot statement has an index; a plan that was made while a table was small, and is kept, must not walk over it
    # for ever.
    options = (
        f"-c lock_timeout={BUSY_TIMEOUT_MS} -c idle_in_transaction_session_timeout={_IDLE_MS} -c enable_seqscan=off -c"
        " jit=off"
    )
    engine = sa.create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        paramstyle="format",
        hide_parameters=True,
        pool_size=_POOL,
        pool_use_lifo=True,
        pool_pre_ping=True,
        connect_args={
            **{name: value for name, value in postgresql_arguments().items() if name not in parsed.query},
            "options": " ".join((options, *_given(parsed, "options"))),
        },
    )
    copy = Copy(where)

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.autocommit = True
        # A server that answers before a commit is on its disk would forget what we acted upon.
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
        )
        copy.met(_copy(connection))
        connection.autocommit = False

    return Database(engine, where, copy)


def _given(parsed: sa.URL, name: str) -> tuple[str, ...]:
    """What an address says of an option, none, one or several times."""
    value = parsed.query.get(name, ())
    return (value,) if isinstance(value, str) else tuple(value)


def _copy(connection: Any) -> str:
    parts: list[str] = []
    for query in _COPY:
        try:
            parts.append(str(connection.execute(query).fetchone()[0]))
        except Exception as error:
            if getattr(error, "sqlstate", None) not in _NOT_TOLD:
                raise
    return "/".join(parts)


# --- SQLite ---


def _sqlite(path: Path) -> sa.Engine:
    if not path.exists() and path.parent.is_dir():
        with contextlib.suppress(OSError):  # opening it says what is wrong, with SQLite's own code
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    engine = sa.create_engine(
        f"sqlite:///{path}",
        hide_parameters=True,
        pool_size=_POOL,
        pool_use_lifo=True,
        connect_args={
            "check_same_thread": False,
            "timeout": BUSY_TIMEOUT_MS / 1000,
            "isolation_level": None,
            "cached_statements": 512,
        },
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


# --- errors ---


def error_of(error: Exception, where: str) -> StoreError:
    """What an error of the driver or of SQLAlchemy means, without any value of a row."""
    cause: Any = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, PoolTimeoutError):
        return StoreUnavailable("no database connection became free", where, "try again")
    if isinstance(cause, sqlite3.Error):
        name, code = (
            getattr(cause, "sqlite_errorname", type(cause).__name__),
            getattr(cause, "sqlite_errorcode", 0) & 0xFF,
        )
        unavailable, corrupt = code in _SQLITE_UNAVAILABLE, code in _SQLITE_CORRUPT
    else:
        state = getattr(cause, "sqlstate", None)
        name = f"{type(cause).__name__} {state or ''}".strip()
        if state is None and type(cause).__name__ in _LOST:
            return _no_connection(str(cause), name, where)
        unavailable = (state or "")[:2] in _PG_UNAVAILABLE or state in _PG_UNAVAILABLE
        corrupt = (state or "")[:2] in _PG_CORRUPT
    if unavailable:
        return StoreUnavailable(
            f"the database answered {name}", where, "check disk space, permissions and the server; then try again"
        )
    if corrupt:
        return StoreCorrupt(
            f"the database answered {name}", where, "stop, keep the file, and rebuild the store from the log"
        )
    return StoreError(
        f"the database answered {name}", where, "this is a defect or a foreign schema; rebuild the store from the log"
    )


def _no_connection(said: str, name: str, where: str) -> StoreError:
    """No connection, or one that was lost. What the server said is only searched, never shown."""
    for fragment, what, remedy in _REFUSALS:
        if fragment in said:
            return StoreError(what, where, remedy)
    for fragment, what, remedy in _PASSING:
        if fragment in said:
            return StoreUnavailable(what, where, remedy)
    return StoreUnavailable(
        f"the connection failed or was lost ({name})", where, "check the server and the network; then try again"
    )
