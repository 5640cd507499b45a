"""Sealed credentials: encrypted bytes by (connection, name). What seals them is the vault's affair; here they are only
kept.
"""

import sqlalchemy as sa

from projections.store.store import Store
from projections.store.tables import sealed_secrets


class Secrets:
    """Sealed credentials in the store. They outlive a rebuild."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, connection: str, name: str) -> bytes | None:
        """The sealed bytes, None when there are none."""
        rows = self._store.rows(self._store.sql("sealed", _sealed, ("connection", "name")), (connection, name))
        sealed = bytes(rows[0][0]) if rows else None
        assert sealed is None or sealed, "sealed bytes are never empty"
        return sealed

    def put(self, connection: str, name: str, sealed: bytes) -> None:
        """Keep sealed bytes, in place of earlier ones; durable when it returns."""
        assert sealed, "sealed bytes are never empty"
        self._store.write_one(self._store.upsert(sealed_secrets), (connection, name, sealed))

    def delete(self, connection: str, name: str) -> None:
        """Forget a credential."""
        c = sealed_secrets.c
        with self._store.write() as writer:
            writer.execute(sa.delete(sealed_secrets).where(c.connection == connection, c.name == name))

    def names(self) -> list[tuple[str, str]]:
        """Every (connection, name): for the rotation of keys."""
        return [(connection, name) for connection, name in self._store.rows(self._store.sql("sealed names", _names))]


def _sealed() -> sa.ClauseElement:
    c = sealed_secrets.c
    return sa.select(c.sealed).where(c.connection == sa.bindparam("connection"), c.name == sa.bindparam("name"))


def _names() -> sa.ClauseElement:
    c = sealed_secrets.c
    return sa.select(c.connection, c.name).order_by(c.connection, c.name)
