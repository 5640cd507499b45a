"""A setback: the log holds decisions that the store does not know of. The store is an older copy than the one that made
them.

Decisions reach the log only after the store has committed them, so this cannot happen otherwise: a database was failed
over to a standby that lagged, or an older copy was put back. Nothing tells what else it has forgotten (an intent to
call, an answer), so nothing is sent before both APIs were polled to their heads, and whatever may have been sent counts
as unknown.
"""

from collections.abc import Iterable

import sqlalchemy as sa

from projections.state.batch import OwnedPartition
from projections.store import migrate
from projections.store.errors import StoreFenced
from projections.store.store import Store, position_name
from projections.store.tables import STATE, catch_ups, positions


def went_back(
    owned: OwnedPartition, last: int, connections: Iterable[str], now: str, others: Iterable[OwnedPartition] = ()
) -> bool:
    """The log holds decisions of `connections` up to the event offset `last`. Where that is at `owned.position` or
    beyond, see that everything which the store may have forgotten is looked up before anything is sent: once per
    setback, whoever finds it, and in however many partitions.

    It begins a new generation, which fences off every process that still acts upon the lost copy. This process goes on:
    `owned`, and those of `others` that are still its own at the same position, are carried over into it. Call it after
    `take`, before the first batch.

    Returns whether the setback was news. One transaction; safe to repeat.

    Raises:
        StoreFenced: the partition, or the store, is another's meanwhile. Nothing was written.

    """
    if last < owned.position:
        return False
    store, name = owned.store, position_name(owned.stage, owned.topic, owned.partition)
    others = [one for one in others if one is not owned]
    with store.write() as connection:
        migrate.lock(connection)
        store.require_generation(connection, alone=True)
        if not _is_ours(connection, owned):
            raise StoreFenced(
                "another owner has taken this partition", owned.where, "drop what was read, and take it anew"
            )
        seen = f"seen {name}"
        if last <= int(store.get_meta(seen, connection) or -1):
            return False
        store.set_meta(connection, seen, str(last))
        stood = store.stood(connection)
        if stood is not None and stood.get(name, 0) == owned.position:
            # The same setback as was found elsewhere: only who was not known then is left.
            _require_of_unknown(store, connection, connections, now)
            return False
        carried = [owned, *(one for one in others if _is_ours(connection, one))]
        store.set_back(connection, "restored", now, connections)
    for one in others:
        one.clear()
    for one in carried:
        one.carry_over()
    return True


def _is_ours(connection: sa.Connection, owned: OwnedPartition) -> bool:
    c = positions.c
    here = sa.and_(c.stage == owned.stage, c.topic == owned.topic, c.partition == owned.partition)
    row = connection.execute(sa.select(c.owner_epoch, c.generation, c.next_offset).where(here)).first()
    return row is not None and tuple(row) == (owned.epoch, owned.generation, owned.position)


def _require_of_unknown(store: Store, connection: sa.Connection, connections: Iterable[str], now: str) -> None:
    known = set(connection.execute(sa.select(STATE["connections"].c.id)).scalars())
    rows = [(name, api, "restored", now) for name in sorted(set(connections) - known) for api in ("gocardless", "zoho")]
    if rows:
        store.put(connection, catch_ups, rows)


__all__ = ["went_back"]
