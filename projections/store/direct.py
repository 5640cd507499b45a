"""Statements on the driver's own connections: what the loops ask and write all day.

SQLAlchemy's connection takes ten times what SQLite needs for a statement, and its transaction again as much. So what is
hot is compiled once (`Store.sql`) and run here; whatever is asked seldom is written with SQLAlchemy's constructs, as
before. On PostgreSQL the round trip is what counts, and SQLAlchemy's connection is the `SqlConnection`.
"""

import sqlite3
import threading
from collections.abc import Iterator
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from projections.store.databases import BUSY_TIMEOUT_MS, error_of
from projections.store.errors import StoreUnavailable


class SqlConnection(Protocol):
    """Runs texts of statements: SQLAlchemy's connection does, and `SqliteConnection`."""

    def exec_driver_sql(self, statement: str, parameters: Any = None) -> Any:
        """Run it with a tuple of parameters, or once for each of a list of tuples. The result has `all`, `first`,
        `scalar` and `rowcount`, and can be walked over.
        """


class SqliteResult:
    """What a statement gave; as SQLAlchemy's, of which rows are plain tuples."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        return self._cursor.rowcount

    def all(self) -> list[Any]:
        """All rows."""
        return self._cursor.fetchall()

    def first(self) -> Any | None:
        """The first row, None when there is none."""
        row = self._cursor.fetchone()
        self._cursor.close()
        return row

    def scalar(self) -> Any | None:
        """The first value of the first row, None when there is none."""
        row = self.first()
        return None if row is None else row[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor.fetchall())


class SqliteConnection:
    """The driver's connection to a store's file."""

    __slots__ = ("driver",)

    def __init__(self, driver: sqlite3.Connection) -> None:
        self.driver = driver

    def exec_driver_sql(self, statement: str, parameters: Any = None) -> SqliteResult:
        """As `SqlConnection`."""
        if type(parameters) is list:
            return SqliteResult(self.driver.executemany(statement, parameters))
        return SqliteResult(self.driver.execute(statement, parameters or ()))


class SqliteConnections:
    """Connections to a store's file that are kept open between uses. Each is one thread's at a time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._idle: list[SqliteConnection] = []
        self._closed = False

    def take(self) -> SqliteConnection:
        """One that nobody else uses until it is given back."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._new()

    def _new(self) -> SqliteConnection:
        # By the engine, which sets the pragmas; then it is ours, and no place of the pool's.
        fairy = self._engine.raw_connection()
        driver: Any = fairy.driver_connection
        fairy.detach()
        self._closed = False
        return SqliteConnection(driver)

    def give(self, connection: SqliteConnection) -> None:
        """It is free again."""
        if self._closed:
            connection.driver.close()
        else:
            self._idle.append(connection)

    def run(self, statement: str, parameters: tuple[Any, ...]) -> tuple[list[Any], int]:
        """The rows of one statement and how many it changed. By itself it is a transaction, and durable when it
        returns.
        """
        connection = self.take()
        try:
            cursor = connection.driver.execute(statement, parameters)
            return cursor.fetchall(), cursor.rowcount
        finally:
            self.give(connection)

    def close(self) -> None:
        """Close what is free, and what is in use once it is given back."""
        self._closed = True
        while self._idle:
            self._idle.pop().driver.close()


class ErrorTranslation:
    """Errors of the driver and of SQLAlchemy come out of it as `StoreError`s, without any value of a row."""

    __slots__ = ("_errors", "_where")

    def __init__(self, driver_error: type[Exception], where: str) -> None:
        self._errors = (SQLAlchemyError, driver_error)
        self._where = where

    def __enter__(self) -> None:
        """Nothing is held: it may be entered from anywhere, any number of times."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, self._errors):
            raise error_of(error, self._where) from None


class WriteLock:
    """One write transaction at a time, among the threads of this process."""

    __slots__ = ("_lock", "_where", "_writer")

    def __init__(self, where: str) -> None:
        self._where = where
        self._lock = threading.Lock()
        self._writer = 0

    def __enter__(self) -> None:
        """Raises `StoreUnavailable` when another thread does not end; `RuntimeError` when it is this one's already."""
        if self._writer == threading.get_ident():
            raise RuntimeError(
                "a write transaction inside a write transaction of the same thread would wait for itself"
            )
        if not self._lock.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise StoreUnavailable("another thread has been writing for too long", self._where, "try again")
        self._writer = threading.get_ident()

    def __exit__(self, *exc: object) -> None:
        self._writer = 0
        self._lock.release()


class SqliteTransaction:
    """One transaction, committed at the end, rolled back by whatever is raised: on a connection of its own, or on the
    one given. It writes when it is given the lock of the writers.
    """

    # A class, not a generator: of these there are several for each call of an API.
    __slots__ = ("_connections", "_given", "_lock", "_own", "_translation")

    def __init__(
        self,
        connections: SqliteConnections,
        translation: ErrorTranslation,
        lock: WriteLock | None = None,
        given: SqliteConnection | None = None,
    ) -> None:
        self._connections = connections
        self._translation = translation
        self._lock = lock
        self._given = given

    def __enter__(self) -> SqliteConnection:
        lock = self._lock
        if lock is not None:
            lock.__enter__()
        try:
            with self._translation:
                own = self._own = self._given or self._connections.take()
                try:
                    # IMMEDIATE: a write that began as a read cannot wait its turn in WAL mode, it fails at once.
                    own.driver.execute("BEGIN" if lock is None else "BEGIN IMMEDIATE")
                except BaseException:
                    self._give_back()
                    raise
        except BaseException:
            if lock is not None:
                lock.__exit__()
            raise
        return own

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        driver = self._own.driver
        try:
            with self._translation:
                if error is None:
                    try:
                        driver.commit()
                    except BaseException:
                        driver.rollback()  # a commit that failed for want of room leaves the transaction open
                        raise
                else:
                    driver.rollback()
        finally:
            self._give_back()
            if self._lock is not None:
                self._lock.__exit__()
        self._translation.__exit__(kind, error, trace)

    def _give_back(self) -> None:
        if self._given is None:
            self._connections.give(self._own)
