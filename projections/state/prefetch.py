"""The rows that the rules will read for a batch's events (`domain.reads`): a query for each kind, not for each row."""

from collections.abc import Callable, Sequence

from domain.envelope import Event
from domain.reads import ROUNDS, rows_behind, rows_named
from projections.state.mappings import StateOverRows
from projections.store.tables import STATE

#: A connection's rows, by its name.
Rows = Callable[[str], StateOverRows]


def prefetch(events: Sequence[Event], rows_of: Rows) -> None:
    """Read what the events name, then what was read leads to."""
    wanted: dict[str, dict[str, dict[str, None]]] = {}
    for event in events:
        kinds = wanted.get(event.connection)
        if kinds is None:
            kinds = wanted[event.connection] = {kind: {} for kind in STATE}
        for kind, key in rows_named(event):
            kinds[kind][key] = None
    for connection, kinds in wanted.items():
        rows = rows_of(connection)
        for name, keys in kinds.items():
            if keys:
                rows.preload(name, keys)
    for _ in range(ROUNDS):
        if not _read_behind(events, rows_of):
            break


def _read_behind(events: Sequence[Event], rows_of: Rows) -> bool:
    """Read the rows that those read so far lead to. False: all of them were in memory."""
    wanted: dict[tuple[str, str], dict[str, None]] = {}
    for event in events:
        rows = rows_of(event.connection)
        for kind, key in rows_behind(event, rows.peek):
            if not rows.holds(kind, key):
                wanted.setdefault((event.connection, kind), {})[key] = None
    for (connection, name), keys in wanted.items():
        rows_of(connection).preload(name, keys)
    return bool(wanted)
