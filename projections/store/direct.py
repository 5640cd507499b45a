"""Statements on the driver's own connections: what the loops ask and write all day.

SQLAlchemy's connection takes ten times what SQLite needs for a statement, and its transaction again as much. So what is
hot is compiled once (`Store.sql`) and run here; whatever is asked seldom is written with SQLAlchemy's constructs, as
before. On PostgreSQL the round trip is what counts, and SQLAlchemy's connection is the `SqlConnection`.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import sqlalchemy as sa


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

    @contextlib.contextmanager
    def transaction(self, begin: str) -> Iterator["SqliteConnection"]:
        """One transaction, committed at the end, rolled back by whatever is raised."""
        self.driver.execute(begin)
        try:
            yield self
        except BaseException:
            self.driver.rollback()
            raise
        try:
            self.driver.commit()
        except BaseException:
            # A commit that failed for want of room leaves the transaction open.
            self.driver.rollback()
            raise


class SqliteConnections:
    """Connections to a store's file that are kept open between uses. Each is one thread's at a time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._idle: list[SqliteConnection] = []
        self._closed = False

    @contextlib.contextmanager
    def one(self) -> Iterator[SqliteConnection]:
        """One that nobody else uses meanwhile."""
        connection = self.take()
        try:
            yield connection
        finally:
            self.give(connection)

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

    def rows(self, statement: str, parameters: Sequence[Any]) -> list[Any]:
        """All rows of one SELECT, which is a snapshot by itself."""
        connection = self.take()
        try:
            return connection.driver.execute(statement, parameters).fetchall()
        finally:
            self.give(connection)

    def close(self) -> None:
        """Close what is free, and what is in use once it is given back."""
        self._closed = True
        while self._idle:
            self._idle.pop().driver.close()
