"""The state over rows: the mappings the core works on, loaded lazily and written back as a whole.

A row is looked for among the changes of the batch, then in the cache, then in the database. The cache outlives a batch
for as long as this process owns the partition, since nobody else writes these rows then; a lost compare-and-set clears
it.
"""

import contextlib
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from typing import Any, Final, TypeVar, overload

import msgspec
import sqlalchemy as sa

from domain.state import KINDS, Row, State
from projections.store.direct import SqlConnection, SqliteConnection
from projections.store.errors import StoreCorrupt
from projections.store.rows import CODECS
from projections.store.select_in import among, chunks, literals
from projections.store.store import Store
from projections.store.tables import STATE

_UNREAD: Final[Any] = object()

#: Kinds that are asked for with nearly every event and seldom there: all their keys are read once, so that the database
#: is not asked for what it does not have. On a server each such question is a round trip.
_SPARSE: Final = {"discrepancies"}

#: Keys of a sparse kind that are kept for a connection. Lower: a connection with some trouble is slow. Higher: memory,
#: and one long read.
KEPT_KEYS: Final = 1_000
_Default = TypeVar("_Default")


class RowSource:
    """Reads rows for mappings, on the connection of the batch under way."""

    __slots__ = ("_cursor", "_driver", "_selects", "_store", "undo")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cursor: Any = None
        self._driver: Any = None
        self._selects: dict[str, str] = {}
        self.undo: list[Undo] = []

    def begin(self, connection: SqlConnection) -> None:
        """Read on this connection from now on."""
        # The driver's own cursor: SQLAlchemy's machinery would cost five times what SQLite needs to find a row.
        if isinstance(connection, SqliteConnection):
            self._cursor = connection.driver.cursor()
            if not connection.driver.in_transaction:
                # One snapshot for all reads: without it, SQLite takes and gives back a lock on the file for each row.
                with self._store.translated():
                    self._cursor.execute("BEGIN")
                self._driver = connection.driver
        else:
            assert isinstance(connection, sa.Connection), "each engine has its own kind of connection"
            self._cursor = connection.connection.cursor()

    def end(self) -> None:
        """No more reads: the batch is over."""
        if self._cursor is not None:
            self._cursor.close()
        if self._driver is not None:
            self._driver.rollback()
        self._cursor = self._driver = None

    def run(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        """All rows of a query. Raises `StoreError`s; `RuntimeError` outside of a batch."""
        if self._cursor is None:
            raise RuntimeError("state over rows was used outside of its batch")
        try:
            self._cursor.execute(sql, parameters)
            found: list[Any] = self._cursor.fetchall()
        except Exception:
            with self._store.translated():  # only now: entering it costs as much as finding a row
                raise
        return found

    def one(self, kind: str, connection: str, key: str) -> Row | None:
        """One row, None when there is none."""
        sql = self._selects.get(kind)
        if sql is None:
            sql = self._selects[kind] = self._select(kind, 1)
        rows = self.run(sql, [connection, key])
        return self._row(kind, rows[0]) if rows else None

    def many(self, kind: str, connection: str, keys: Iterable[str]) -> dict[str, Row]:
        """The rows there are of these keys."""
        found: dict[str, Row] = {}
        for size, parameters in chunks(self._store, list(dict.fromkeys(keys))):
            for values in self.run(self._select(kind, size), [connection, *parameters]):
                found[values[0]] = self._row(kind, values)
        return found

    def all(self, kind: str, connection: str) -> dict[str, Row]:
        """Every row of a kind of one connection."""
        table = STATE[kind]
        sql = self._store.sql(
            f"all {kind}",
            lambda: (
                sa.select(*list(table.columns)[1:])
                .where(table.c.connection == sa.bindparam("connection"))
                .order_by(table.c.id)
            ),
        )
        return {values[0]: self._row(kind, values) for values in self.run(sql, [connection])}

    def keys(self, kind: str, connection: str) -> set[str] | None:
        """The keys of every row of a kind of one connection; None when there are more than `KEPT_KEYS`."""
        c = STATE[kind].c
        limit, first = literals(KEPT_KEYS + 1, 0)
        query = sa.select(c.id).where(c.connection == sa.bindparam("connection")).limit(limit).offset(first)
        sql = self._store.sql(f"keys {kind} {KEPT_KEYS}", lambda: query)
        found = self.run(sql, [connection])
        return {values[0] for values in found} if len(found) <= KEPT_KEYS else None

    def _select(self, kind: str, size: int) -> str:
        def build() -> sa.ClauseElement:
            table = STATE[kind]
            own = table.c.connection == sa.bindparam("connection")
            return sa.select(*list(table.columns)[1:]).where(own, among(self._store, table.c.id, size))

        return self._store.sql(f"select {kind} {size}", build)

    def _row(self, kind: str, values: Any) -> Row:
        try:
            return CODECS[kind].from_values(values)
        except (msgspec.MsgspecError, TypeError):
            raise StoreCorrupt(
                f"a row of {kind} cannot be decoded", self._store.where, "rebuild the store from the log"
            ) from None


class RowMapping(MutableMapping[str, Any]):
    """The rows of one kind of one connection, as the core sees them. Iterating reads all of them: for reports, not for
    each event.

    `_recent`: rows as they are now, read or written lately (None: there is none); `_old`: the generation before, as the
    database has them; `changed`: of each key that was written in this batch, the row that the database has (unread:
    nobody has looked); `_keys`: of a sparse kind, every key that has a row (and some that had), unread, or None when
    they are too many.
    """

    __slots__ = ("_connection", "_keys", "_kind", "_old", "_recent", "_source", "changed")

    def __init__(self, kind: str, connection: str, source: RowSource) -> None:
        self._kind = kind
        self._connection = connection
        self._source = source
        self._recent: dict[str, Row | None] = {}
        self._old: dict[str, Row | None] = {}
        self.changed: dict[str, Row | None] = {}
        self._keys: set[str] | None = _UNREAD if kind in _SPARSE else None

    def _read(self, key: str) -> Row | None:
        row: Row | None = self._old.get(key, _UNREAD)
        if row is _UNREAD:
            if self._keys is _UNREAD:
                self._keys = self._source.keys(self._kind, self._connection)
            row = None
            if self._keys is None or key in self._keys:
                row = self._source.one(self._kind, self._connection, key)
        self._recent[key] = row
        return row

    def __getitem__(self, key: str) -> Any:
        row = self.get(key)
        if row is None:
            raise KeyError(key)
        return row

    @overload
    def get(self, key: str) -> Any | None: ...
    @overload
    def get(self, key: str, default: _Default) -> Any | _Default: ...
    def get(self, key: str, default: Any = None) -> Any:
        row = self._recent.get(key, _UNREAD)
        if row is _UNREAD:
            row = self._read(key)
        return default if row is None else row

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.get(key) is not None

    def __setitem__(self, key: str, row: Any) -> None:
        before = self._recent.get(key, _UNREAD)
        first = key not in self.changed
        if first:
            self.changed[key] = self._old.get(key, _UNREAD) if before is _UNREAD else before
        self._source.undo.append((self, key, before, first))
        self._recent[key] = row
        if self._keys is not None and self._keys is not _UNREAD:
            self._keys.add(key)

    def __delitem__(self, key: str) -> None:
        if self.get(key) is None:
            raise KeyError(key)
        self[key] = None

    def __iter__(self) -> Iterator[str]:
        rows: dict[str, Row | None] = dict(self._source.all(self._kind, self._connection))
        rows.update((key, self._recent[key]) for key in self.changed)
        self._recent.update(rows)
        return iter(sorted(key for key, row in rows.items() if row is not None))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def preload(self, keys: Iterable[str]) -> None:
        """Read the rows of these keys that are not in memory, at once; keys without a row are remembered as such."""
        missing = [key for key in keys if key not in self._recent and key not in self._old]
        if missing:
            found = self._source.many(self._kind, self._connection, missing)
            self._recent.update((key, found.get(key)) for key in missing)

    def holds(self, key: str) -> bool:
        """Whether it is in memory what this key's row is."""
        return key in self._recent or key in self._old

    def peek(self, key: str) -> Row | None:
        """The row, where it is in memory; None where it is not, or where there is none."""
        row: Row | None = self._recent.get(key, _UNREAD)
        return self._old.get(key) if row is _UNREAD else row

    def differences(self) -> tuple[list[Row], list[str]]:
        """What differs from the database: rows to write, keys to delete."""
        write: list[Row] = []
        delete: list[str] = []
        for key, before in self.changed.items():
            row = self._recent[key]
            if row == before:
                continue
            if row is None:
                delete.append(key)
            else:
                write.append(row)
        return write, delete

    def keep(self) -> None:
        """The changes are in the database now."""
        self.changed.clear()

    def forget(self) -> None:
        """Drop the changes; the database has them not."""
        for key, before in self.changed.items():
            self._restore(key, before)
        self.changed.clear()

    def take_back(self, key: str, before: Any, *, first: bool) -> None:
        """Take the newest change of a key back: `before` stood there, `first`: as the database has it."""
        self._restore(key, before)
        if first:
            del self.changed[key]

    def _restore(self, key: str, before: Any) -> None:
        if before is _UNREAD:
            self._recent.pop(key, None)
        else:
            self._recent[key] = before

    @property
    def cached(self) -> int:
        """Rows read or written since the cache last aged."""
        return len(self._recent)

    def age(self) -> bool:
        """What was not used since the last call is dropped; between batches. Returns whether anything is left."""
        assert not self.changed, "a change of a batch under way would count as what the database has"
        self._old, self._recent = self._recent, {}
        return bool(self._old)


#: How to take one change back: which mapping and key, what stood there before, and whether it was the first change of
#: the key.
Undo = tuple[RowMapping, str, Any, bool]


def take_back(entries: list[Undo]) -> None:
    """Take changes back, newest first."""
    for mapping, key, before, first in reversed(entries):
        mapping.take_back(key, before, first=first)
    entries.clear()


class StateOverRows:
    """One connection's state over the rows of the store: `state` is what the core is given."""

    __slots__ = ("connection", "mappings", "state")

    def __init__(self, connection: str, source: RowSource) -> None:
        self.connection = connection
        self.mappings = {kind: RowMapping(kind, connection, source) for kind in KINDS}
        self.state = State(connection, dict(self.mappings))

    def preload(self, kind: str, keys: Iterable[str]) -> None:
        """Read rows that events name, in one go per kind."""
        self.mappings[kind].preload(keys)

    def peek(self, kind: str, key: str) -> Row | None:
        """A row, where it is in memory."""
        return self.mappings[kind].peek(key)

    def holds(self, kind: str, key: str) -> bool:
        """Whether it is in memory what a row is."""
        return self.mappings[kind].holds(key)

    @property
    def cached(self) -> int:
        """Rows read or written since the cache last aged."""
        return sum(mapping.cached for mapping in self.mappings.values())

    def age(self) -> bool:
        """Drop what was not used since the last call. Returns whether anything is left."""
        left = [mapping.age() for mapping in self.mappings.values()]
        return any(left)


@contextlib.contextmanager
def read_state(store: Store, connection: str) -> Iterator[State]:
    """The state of one connection as it is committed, to read from; changes made to it are lost."""
    source = RowSource(store)
    with store.direct_read() as reader:
        source.begin(reader)
        try:
            yield StateOverRows(connection, source).state
        finally:
            source.end()
