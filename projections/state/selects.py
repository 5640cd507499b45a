"""Questions to the rows of state that stages ask at each turn, compiled once. Each gives the text for one engine, and
says in which order its parameters stand.
"""

from functools import partial
from typing import Any

import sqlalchemy as sa

from projections.store.select_in import among, literals
from projections.store.store import Store
from projections.store.tables import STATE, command_queue, outbox


def one_row(store: Store, kind: str) -> str:
    """The fields of one row: (connection, id)."""
    return store.sql(f"row {kind}", partial(_one_row, kind), ("connection", "id"))


def _one_row(kind: str) -> sa.ClauseElement:
    table = STATE[kind]
    own = table.c.connection == sa.bindparam("connection")
    return sa.select(*list(table.columns)[1:]).where(own, table.c.id == sa.bindparam("id"))


def connections(store: Store) -> str:
    """The fields of every connection, in the order of their names: ()."""
    return store.sql("connections", _connections)


def _connections() -> sa.ClauseElement:
    table = STATE["connections"]
    return sa.select(*list(table.columns)[1:]).order_by(table.c.connection)


def collecting(store: Store) -> str:
    """(name, environment, creditor, organisation) of every connection with an open gate, in the order of the names:
    ().
    """
    return store.sql("collecting", _collecting)


def _collecting() -> sa.ClauseElement:
    c = STATE["connections"].c
    chosen = c.gate == sa.literal_column("'open'")
    return sa.select(c.connection, c.environment, c.creditor, c.organization_id).where(chosen).order_by(c.connection)


def due_timers(store: Store, connections: int, limit: int) -> str:
    """(connection, fields) of the timers of so many connections that are reached: (now, *connections), or one array of
    them on PostgreSQL.
    """
    return store.sql(f"due timers {connections} {limit}", partial(_due_timers, store, connections, limit))


def _due_timers(store: Store, connections: int, limit: int) -> sa.ClauseElement:
    table = STATE["timers"]
    most, first = literals(limit, 0)
    chosen = sa.and_(table.c.at <= sa.bindparam("now"), among(store, table.c.connection, connections))
    order = (table.c.at, table.c.connection, table.c.id)
    return sa.select(table).where(chosen).order_by(*order).limit(most).offset(first)


def among_parameters(store: Store, keys: list[str]) -> list[Any]:
    """What `among` takes for these keys: each, or one array of them on PostgreSQL."""
    return [keys] if store.dialect == "postgresql" and len(keys) > 1 else keys


def counts(store: Store, kind: str, column: str, empty: str = "") -> str:
    """(value, rows of a connection that have it) for the values of a column: (connection,). `empty`: a column that has
    to be "", where one is named.
    """
    return store.sql(f"counts {kind} {column} {empty}", partial(_counts, kind, column, empty), ("connection",))


def _counts(kind: str, column: str, empty: str) -> sa.ClauseElement:
    c = STATE[kind].c
    query = sa.select(c[column], sa.func.count()).where(c.connection == sa.bindparam("connection")).group_by(c[column])
    return query.where(c[empty] == sa.literal_column("''")) if empty else query


def queued(store: Store) -> str:
    """(API, state, commands of a connection in it): (connection,)."""
    return store.sql("queued", _queued, ("connection",))


def _queued() -> sa.ClauseElement:
    c = command_queue.c
    own = c.connection == sa.bindparam("connection")
    return sa.select(c.api, c.state, sa.func.count()).where(own).group_by(c.api, c.state)


def unpublished(store: Store) -> str:
    """How many decisions of a connection wait to be published: (connection,)."""
    return store.sql("unpublished of", _unpublished, ("connection",))


def _unpublished() -> sa.ClauseElement:
    own = outbox.c.connection == sa.bindparam("connection")
    return sa.select(sa.func.count()).select_from(outbox).where(own)


def discrepancies(store: Store, *, closed: bool, limit: int) -> str:
    """The fields of a connection's open discrepancies, with `closed` of all of them, oldest first: (connection,)."""
    name = f"discrepancies {closed} {limit}"
    return store.sql(name, partial(_discrepancies, closed=closed, limit=limit), ("connection",))


def _discrepancies(*, closed: bool, limit: int) -> sa.ClauseElement:
    table = STATE["discrepancies"]
    most, first = literals(limit, 0)
    query = sa.select(*list(table.columns)[1:]).where(table.c.connection == sa.bindparam("connection"))
    if not closed:
        query = query.where(table.c.closed_at == sa.literal_column("''"))
    return query.order_by(table.c.opened_at, table.c.id).limit(most).offset(first)


def next_timer(store: Store) -> str:
    """The earliest instant of a timer after one: (after,)."""
    return store.sql("next timer", _next_timer, ("after",))


def _next_timer() -> sa.ClauseElement:
    column = STATE["timers"].c.at
    return sa.select(sa.func.min(column)).where(column > sa.bindparam("after"))
