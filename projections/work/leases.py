"""Leases: which process may call an API for a connection. Every call, polls included, happens under one.

Instants of leases come from one clock for all processes: the database's on PostgreSQL, so that a process whose clock is
minutes ahead does not take a lease that another still holds; the caller's where there is one anyhow (simulated time,
and SQLite, which is one machine's). That is courtesy. Safety hangs on no clock's agreement with another:

- the epoch of the row fences intents in the database, in the transaction that writes them: of two that think they hold
  a lease, one can record an intent, and nothing is called without;
- what the former owner recorded is committed before its successor's epoch, and its calls' last moment counts from
  before that, on a clock that nobody sets; the successor's wait is a duration that counts from its acquisition, so it
  ends later, whatever their clocks say.

A clock that is set while a successor waits, or a third owner whose clock is ahead of the second's and that comes within
the wait, can cut the rest of it short. What is left then is that nothing is sent without a look-up, and where no key of
the API's protects a write, two.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa

from domain import times
from domain.times import add_seconds
from projections.store.direct import SqlConnection
from projections.store.errors import LeaseLost
from projections.store.store import Store
from projections.store.tables import leases

#: Whose instants a lease's are. "caller": those that the methods are given.
Clock = Literal["caller", "database"]

#: Both engines speak this; of two processes that come first at once, one inserts the row and the other waits for it.
_FIRST: Final = sa.text(
    "INSERT INTO leases (connection, api, owner, epoch, until) VALUES (:connection, :api, :owner, 1, :until) ON "
    "CONFLICT DO NOTHING"
)


class Lease(msgspec.Struct, frozen=True):
    """A lease held, until an instant of `clock`."""

    connection: str
    api: str
    owner: str
    epoch: int
    until: str
    clock: Clock = "caller"


class Held(msgspec.Struct, frozen=True):
    """Another owner's lease. Unless it is renewed it lapses in `left_s` seconds, rounded up: a duration, good on any
    clock.
    """

    owner: str
    until: str
    left_s: int


class Leases:
    """Leases in the store. `simulated`: the callers' instants are one clock's, the simulators', so the database's is
    not asked.
    """

    def __init__(self, store: Store, *, simulated: bool = False) -> None:
        self._store = store
        self._clock: Clock = "database" if store.dialect == "postgresql" and not simulated else "caller"

    def acquire(self, connection: str, api: str, owner: str, now: str, ttl_s: int) -> Lease | Held:
        """Take the lease for `ttl_s` seconds, under a new epoch, unless another owner's runs. `now`: the caller's
        instant.
        """
        assert owner, "a lease without an owner is free"
        assert ttl_s >= 0, "a lease that has lapsed before it is taken protects nothing"
        here, sql = (connection, api), self._store.sql("lease of", _of, ("connection_", "api_"))
        with self._store.write() as writer:
            held = writer.exec_driver_sql(sql, here).first()
            if held is None:
                until = add_seconds(_now(writer, self._clock, now), ttl_s)
                first = {"connection": connection, "api": api, "owner": owner, "until": until}
                if writer.execute(_FIRST, first).rowcount:
                    return _stands(self._store, writer, Lease(connection, api, owner, 1, until, self._clock))
                held = writer.exec_driver_sql(sql, here).one()
            holder, epoch, until = held
            at = _now(writer, self._clock, now)
            if holder not in ("", owner) and until > at:
                left_s = (times.parse(until) - times.parse(at)).total_seconds()
                return Held(holder, until, math.ceil(left_s))
            lease = Lease(connection, api, owner, int(epoch) + 1, add_seconds(at, ttl_s), self._clock)
            taken = self._store.sql("lease take", _take, ("owner_", "epoch_", "until_", "connection_", "api_"))
            writer.exec_driver_sql(taken, (owner, lease.epoch, lease.until, *here))
            return _stands(self._store, writer, lease)

    def renew(self, lease: Lease, now: str, ttl_s: int) -> Lease:
        """Hold it for `ttl_s` seconds from now. One that lapsed may be renewed while nobody has taken it.

        Raises:
            LeaseLost: another owner, or another epoch, holds it.

        """
        sql = self._store.sql("lease renew", _renew, ("until_", *_LEASE))
        with self._store.direct_write() as writer:
            until = add_seconds(_now(writer, lease.clock, now), ttl_s)
            if writer.exec_driver_sql(sql, (until, *_key(lease))).rowcount != 1:
                raise _lost(lease, self._store.where)
        return msgspec.structs.replace(lease, until=until)

    def release(self, lease: Lease, now: str) -> None:
        """Give it back; all calls under it must have ended. Nothing happens when it is another's already."""
        sql = self._store.sql("lease release", _release, ("until_", *_LEASE))
        with self._store.direct_write() as writer:
            writer.exec_driver_sql(sql, (_now(writer, lease.clock, now), *_key(lease)))


def _stands(store: Store, connection: SqlConnection, lease: Lease) -> Lease:
    """The lease, once the database has been seen to say the same."""
    until = connection.exec_driver_sql(store.sql("lease held", _held, _LEASE), _key(lease)).scalar()
    assert until == lease.until, "two would call for one connection"
    return lease


def require(store: Store, connection: SqlConnection, lease: Lease, now: str) -> None:
    """Refuse, within a write transaction, unless the lease is held and has not lapsed; until that transaction ends,
    nobody takes it.

    Raises:
        LeaseLost: it is another's, or has lapsed.

    """
    sql = store.sql("lease held", _held, _LEASE)
    until = connection.exec_driver_sql(sql, _key(lease)).scalar()
    if until is None or until <= _now(connection, lease.clock, now):
        raise _lost(lease, store.where)


def _now(connection: SqlConnection, clock: Clock, now: str) -> str:
    """The instant it is on a lease's clock. Asked after the row is locked: a wait for the lock must not make a lapsed
    lease look alive.
    """
    if clock == "caller":
        return now
    moment: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar()
    return times.instant(moment)


#: The parameters of `_bound`, as `_key` gives them.
_LEASE: Final = ("connection_", "api_", "owner_", "epoch_")


def _key(lease: Lease) -> tuple[str, str, str, int]:
    return lease.connection, lease.api, lease.owner, lease.epoch


def _bound(names: Sequence[str] = _LEASE) -> sa.ColumnElement[bool]:
    return sa.and_(*(leases.c[name.removesuffix("_")] == sa.bindparam(name) for name in names))


def _of() -> sa.ClauseElement:
    c = leases.c
    return sa.select(c.owner, c.epoch, c.until).where(_bound(_LEASE[:2])).with_for_update()


def _take() -> sa.ClauseElement:
    given: dict[str, Any] = {name: sa.bindparam(f"{name}_") for name in ("owner", "epoch", "until")}
    return sa.update(leases).where(_bound(_LEASE[:2])).values(given)


def _release() -> sa.ClauseElement:
    free: sa.ColumnElement[str] = sa.literal_column("''")
    return sa.update(leases).where(_bound()).values(owner=free, until=sa.bindparam("until_"))


def _renew() -> sa.ClauseElement:
    return sa.update(leases).where(_bound()).values(until=sa.bindparam("until_"))


def _held() -> sa.ClauseElement:
    return sa.select(leases.c.until).where(_bound()).with_for_update()


def _lost(lease: Lease, where: str) -> LeaseLost:
    return LeaseLost(
        f"the lease of {lease.api} for {lease.connection} is not held any more", where, "stop calling; acquire it anew"
    )
