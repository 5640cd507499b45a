"""Statements compiled once: their texts for one engine, for execution with tuples."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from projections.store.direct import SqlConnection

#: Rows that one statement carries to PostgreSQL. Lower: more round trips. Higher: memory for their values, at both
#: ends.
_ROWS: Final = 10_000


#: By dialect and name: a store that is opened again in this process has them already.
_COMPILED: Final[dict[str, dict[str, str]]] = {}


class Statements:
    """The statements of a store, and those of its tables that everybody needs. `dialect`: which engine, "sqlite" or
    "postgresql".
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.dialect: str = engine.dialect.name
        self._compiled = _COMPILED.setdefault(self.dialect, {})

    def sql(self, name: str, build: Callable[[], Any], order: Sequence[str] | None = None) -> str:
        """The text of a statement for this engine, compiled once per name (nothing else may change it), for execution
        with tuples in `order` (parameter names).

        Raises `AssertionError` when the statement wants its parameters in another order: a defect in `build`.
        """
        text = self._compiled.get(name)
        if text is None:
            compiled: Any = build().compile(dialect=self.engine.dialect)
            assert order is None or list(compiled.positiontup or ()) == list(order), (
                f"{name}: parameters in another order"
            )
            text = self._compiled[name] = str(compiled)
        return text

    def upsert(self, table: sa.Table) -> str:
        """`INSERT … ON CONFLICT DO UPDATE` of whole rows of a table, for tuples in the order of its columns."""
        name = f"upsert {table.name}"
        if name in self._compiled:
            return self._compiled[name]
        names = [column.name for column in table.columns]

        def build() -> Any:
            insert = self.insert_of(table)
            keys = [column.name for column in table.primary_key.columns]
            changed = {name: insert.excluded[name] for name in names if name not in keys}
            return (
                insert.on_conflict_do_update(index_elements=keys, set_=changed)
                if changed
                else insert.on_conflict_do_nothing()
            )

        return self.sql(name, build, names)

    def insert_of(self, table: sa.Table) -> Any:
        """An insert with every column bound; the two dialects' constructs share their methods, but no base class."""
        from sqlalchemy.dialects import postgresql, sqlite  # noqa: PLC0415 - one of them is needed; both cost start-up time

        made = postgresql.insert(table) if self.dialect == "postgresql" else sqlite.insert(table)
        return made.values({column.name: sa.bindparam(column.name) for column in table.columns})

    def insert(self, table: sa.Table) -> str:
        """A plain `INSERT`, for tuples in the order of the table's columns; a duplicate is `StoreCorrupt`."""
        name = f"insert {table.name}"
        if name in self._compiled:
            return self._compiled[name]
        return self.sql(name, lambda: self.insert_of(table), [column.name for column in table.columns])

    def add(self, connection: SqlConnection, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, tuples in the order of the table's columns; a duplicate is `StoreCorrupt`."""
        self._many(connection, table, rows, self.insert)

    def put(self, connection: SqlConnection, table: sa.Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows or overwrite those that are there; no two of one key."""
        self._many(connection, table, rows, self.upsert)

    def _many(
        self,
        connection: SqlConnection,
        table: sa.Table,
        rows: Sequence[tuple[Any, ...]],
        statement: Callable[[sa.Table], str],
    ) -> None:
        if self.dialect == "sqlite" or len(rows) == 1:
            connection.exec_driver_sql(statement(table), list(rows))
            return
        name = f"arrays: {statement(table)}"
        sql = self._compiled.get(name)
        if sql is None:
            sql = self._compiled[name] = self._of_arrays(table, statement(table))
        for start in range(0, len(rows), _ROWS):
            columns = zip(*rows[start : start + _ROWS], strict=True)
            connection.exec_driver_sql(sql, tuple(list(column) for column in columns))

    def _of_arrays(self, table: sa.Table, statement: str) -> str:
        """The same insert with one array per column: PostgreSQL takes a thousand rows so in a quarter of the time of a
        thousand inserts.
        """
        into, _, rest = statement.partition(" VALUES ")
        types = [str(column.type.compile(self.engine.dialect)).split()[0] for column in table.columns]
        conflict = rest[rest.index(" ON CONFLICT") :] if " ON CONFLICT" in rest else ""
        arrays = ", ".join(f"%b::{name}[]" for name in types)
        return f"{into} SELECT * FROM unnest({arrays}){conflict}"  # noqa: S608 - of our own tables' names and types
