"""Call budgets used, as rows, so that a restart does not spend them twice. Their arithmetic is the adapters' affair."""

import sqlalchemy as sa

from projections.store.store import Store
from projections.store.tables import budgets


class Budgets:
    """Budget states in the store, JSON text by (connection, api). They outlive a rebuild."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, connection: str, api: str) -> str | None:
        """The state as it was put, None before the first."""
        rows = self._store.rows(self._store.sql("budget", _state, ("connection", "api")), (connection, api))
        return str(rows[0][0]) if rows else None

    def put(self, connection: str, api: str, state: str) -> None:
        """Keep a state; durable when it returns."""
        self._store.write_one(self._store.upsert(budgets), (connection, api, state))


def _state() -> sa.ClauseElement:
    c = budgets.c
    return sa.select(c.state).where(c.connection == sa.bindparam("connection"), c.api == sa.bindparam("api"))
