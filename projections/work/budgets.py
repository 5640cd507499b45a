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
        c = budgets.c
        with self._store.read() as reader:
            state: str | None = reader.execute(
                sa.select(c.state).where(c.connection == connection, c.api == api)
            ).scalar()
            return state

    def put(self, connection: str, api: str, state: str) -> None:
        """Keep a state; durable when it returns."""
        with self._store.write() as writer:
            writer.exec_driver_sql(self._store.upsert(budgets), (connection, api, state))
