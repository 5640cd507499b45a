"""The outbox: decisions that are committed and not yet published. The relay reads it in order, appends, and says so
here.
"""

from functools import partial

import msgspec
import sqlalchemy as sa

from projections.store.direct import SqlConnection
from projections.store.select_in import among, chunks, literals
from projections.store.store import Store
from projections.store.tables import outbox, outbox_positions
from projections.work import queue


class Unpublished(msgspec.Struct, frozen=True):
    """One decision to publish: `value` is the record for the topic decisions, `offset` its event's, and so the version
    of its public records.
    """

    partition: int
    offset: int
    event: str
    connection: str
    value: bytes


class Outbox:
    """The relay's view of the outbox."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def unpublished(self, partition: int, limit: int) -> list[Unpublished]:
        """The next decisions to publish, in event order; at most `limit`."""
        sql = self._store.sql(f"unpublished {limit}", partial(_unpublished, limit), ("partition",))
        return [Unpublished(*row) for row in self._store.rows(sql, (partition,))]

    def mark_published(self, decisions: list[Unpublished]) -> None:
        """These decisions are durably in the log: their commands may be sent now. One transaction; safe to repeat.

        By row and not "up to an offset": a connection that was set aside adds decisions of earlier events while later
        ones are under way.

        Raises:
            StoreFenced: the store was rebuilt or restored meanwhile.

        """
        if not decisions:
            return
        assert len({(one.partition, one.offset) for one in decisions}) == len(decisions), "a decision is published once"
        offsets: dict[int, list[int]] = {}
        for one in decisions:
            offsets.setdefault(one.partition, []).append(one.offset)
        with self._store.direct_write() as connection:
            self._store.require_generation(connection)
            ready = 0
            for partition, published in sorted(offsets.items()):
                published.sort()
                for size, parameters in chunks(self._store, published):
                    sql = self._store.sql(f"published {size}", partial(_published, self._store, size))
                    connection.exec_driver_sql(sql, (partition, *parameters))
                ready += queue.publish(self._store, connection, partition, published)
                assert self._advance(connection, partition, published[-1]) >= published[-1], "the relay would go back"
            if ready:
                queue.wake_executors(self._store, connection)

    def _advance(self, connection: SqlConnection, partition: int, offset: int) -> int:
        """Move forward, and return what the database says then."""
        sql = self._store.sql("published to", _published_to, ("partition",))
        held = connection.exec_driver_sql(sql, (partition,)).scalar()
        if held is not None and held >= offset:
            return int(held)
        connection.exec_driver_sql(self._store.upsert(outbox_positions), (partition, offset))
        return int(connection.exec_driver_sql(sql, (partition,)).scalar())

    def oversize(self, limit_bytes: int) -> bool:
        """Whether a decision waits that is too large for the log: version 0.1.0 could commit one, and its relay then
        stood for good.
        """
        return bool(self._store.rows(self._store.sql("oversize", _oversize, ("limit",)), (limit_bytes,)))

    def last_published(self, partition: int) -> int | None:
        """The highest event offset whose decision was published; None before the first."""
        rows = self._store.rows(self._store.sql("published to", _published_to, ("partition",)), (partition,))
        return int(rows[0][0]) if rows else None

    def backlog(self) -> dict[int, int]:
        """How many decisions wait, by partition."""
        return {partition: int(count) for partition, count in self._store.rows(self._store.sql("backlog", _backlog))}


def _oversize() -> sa.ClauseElement:
    most, first = literals(1, 0)
    too_large = sa.func.length(outbox.c.decision) > sa.bindparam("limit")
    return sa.select(sa.literal_column("1")).where(too_large).limit(most).offset(first)


def _unpublished(limit: int) -> sa.ClauseElement:
    most, first = literals(limit, 0)
    own = sa.select(outbox).where(outbox.c.partition == sa.bindparam("partition"))
    return own.order_by(outbox.c.event_offset).limit(most).offset(first)


def _published_to() -> sa.ClauseElement:
    c = outbox_positions.c
    return sa.select(c.event_offset).where(c.partition == sa.bindparam("partition"))


def _backlog() -> sa.ClauseElement:
    return sa.select(outbox.c.partition, sa.func.count()).group_by(outbox.c.partition)


def _published(store: Store, size: int) -> sa.ClauseElement:
    c = outbox.c
    return sa.delete(outbox).where(c.partition == sa.bindparam("partition_"), among(store, c.event_offset, size))
