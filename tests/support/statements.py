"""What a store is asked, statement by statement, whichever way it takes: SQLAlchemy's connections or the driver's."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from projections.store.direct import SqliteConnection
from projections.store.store import Store

#: Told of each statement before it runs, with the parameters of its first execution; what it raises comes out there.
Note = Callable[[str, Any], None]


class NotedConnection:
    """A driver's connection that tells what it is asked; in all else it is that connection."""

    def __init__(self, driver: Any, note: Note) -> None:
        self._driver = driver
        self._note = note

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)

    def execute(self, text: str, parameters: Any = ()) -> Any:
        self._note(text, parameters)
        return self._driver.execute(text, parameters)

    def executemany(self, text: str, parameters: Any) -> Any:
        self._note(text, parameters[0])
        return self._driver.executemany(text, parameters)


@contextlib.contextmanager
def noted(store: Store, note: Note) -> Iterator[None]:
    """Have `note` told of every statement of a store inside. What a batch reads for its rows goes by neither way."""

    def hear(_connection: Any, _cursor: Any, text: str, parameters: Any, _context: Any, many: bool) -> None:
        note(text, parameters[0] if many else parameters)

    sa.event.listen(store.engine, "before_cursor_execute", hear)
    direct = store._sqlite
    if direct is not None:
        direct.close()
        new = direct._new

        def noting() -> SqliteConnection:
            connection = new()
            connection.driver = NotedConnection(connection.driver, note)  # type: ignore[assignment] # as good as one
            return connection

        direct._new = noting  # type: ignore[method-assign]
    try:
        yield
    finally:
        sa.event.remove(store.engine, "before_cursor_execute", hear)
        if direct is not None:
            direct.close()
            del direct._new
