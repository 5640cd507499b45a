"""Leases: which process may call an API for a connection. Every call, polls included, happens under one.

Instants come from the caller's clock, so that all processes of a simulation agree; the epoch decides, the instants only say when a
successor may try.
"""

import msgspec
import sqlalchemy as sa

from domain.times import add_seconds
from projections.errors import StoreFenced
from projections.store import Store
from projections.tables import leases


class Lease(msgspec.Struct, frozen=True):
    """A lease held. `after`: until when the former owner's lease ran, "" for none: its last call may be under way until its deadline
    after that.
    """

    connection: str
    api: str
    owner: str
    epoch: int
    until: str
    after: str = ""


class Leases:
    """Leases in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def acquire(self, connection: str, api: str, owner: str, now: str, ttl_s: int) -> Lease | None:
        """Take the lease for `ttl_s` seconds from `now`, under a new epoch; None while another owner's runs."""
        until = add_seconds(now, ttl_s)
        c = leases.c
        here = sa.and_(c.connection == connection, c.api == api)
        with self._store.write() as writer:
            held = writer.execute(sa.select(leases).where(here).with_for_update()).first()
            if held is None:
                writer.exec_driver_sql(self._store.insert(leases), (connection, api, owner, 1, until))
                return Lease(connection, api, owner, 1, until)
            if held.owner != owner and held.until > now:
                return None
            writer.execute(sa.update(leases).where(here).values(owner=owner, epoch=held.epoch + 1, until=until))
            return Lease(connection, api, owner, int(held.epoch) + 1, until, "" if held.owner == "" else held.until)

    def renew(self, lease: Lease, now: str, ttl_s: int) -> Lease:
        """Hold it for `ttl_s` seconds from `now`. One that lapsed may be renewed while nobody has taken it.

        Raises:
            StoreFenced: another owner, or another epoch, holds it.

        """
        until = add_seconds(now, ttl_s)
        with self._store.write() as writer:
            if writer.execute(sa.update(leases).where(*_held(lease)).values(until=until)).rowcount != 1:
                raise _lost(lease, self._store.where)
        return msgspec.structs.replace(lease, until=until)

    def release(self, lease: Lease, now: str) -> None:
        """Give it back; all calls under it must have ended. Nothing happens when it is another's already."""
        with self._store.write() as writer:
            writer.execute(sa.update(leases).where(*_held(lease)).values(owner="", until=now))


def require(connection: sa.Connection, lease: Lease, now: str, where: str) -> None:
    """Refuse, within a write transaction, unless the lease is held and has not lapsed. Raises `StoreFenced`."""
    row = connection.execute(sa.select(leases.c.until).where(*_held(lease)).with_for_update()).first()
    if row is None or row.until <= now:
        raise _lost(lease, where)


def _held(lease: Lease) -> tuple[sa.ColumnElement[bool], ...]:
    c = leases.c
    return c.connection == lease.connection, c.api == lease.api, c.owner == lease.owner, c.epoch == lease.epoch


def _lost(lease: Lease, where: str) -> StoreFenced:
    return StoreFenced(f"the lease of {lease.api} for {lease.connection} is not held any more", where, "stop calling; acquire it anew")
