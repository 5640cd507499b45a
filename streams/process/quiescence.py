"""Whether work is on its way between the processes of one installation, and whether this one has looked at all that
there is.

With simulated time, a process that is quiet by itself may still be about to get work: a delivery that waits in the log
for another to translate, an event to decide, a decision to publish, a command that was just released. So time must
stand still until nothing is on its way in the log and the store, and until every loop of every process has had a turn
since the last of it. `Quiescence` says when that is so for one process, and names what it has seen by a fingerprint;
the sandbox moves time when all processes name the same.
"""

from typing import Final, NamedTuple

import sqlalchemy as sa

from domain import ids
from projections.store.errors import StoreError
from projections.store.store import Store
from projections.store.tables import outbox, positions
from streams.log.interface import Log, LogError, TopicPartition
from streams.log.topics import Topics
from streams.stages import core, translate
from streams.stages.activity import Wakeups

#: One statement, for one round trip. Without a position there is no outbox row either: they are written together.
_HANDLED: Final = sa.select(
    positions.c.topic,
    positions.c.partition,
    positions.c.next_offset,
    positions.c.owner_epoch,
    sa.select(outbox.c.partition).exists().label("unpublished"),
).where(positions.c.stage.in_((core.STAGE, translate.STAGE)))


class _Handled(NamedTuple):
    next_offset: int
    owner_epoch: int


_NOTHING: Final = _Handled(0, 0)


class Quiescence:
    """One process's view of what its installation shares. Give it to `SandboxClock.start`."""

    def __init__(self, log: Log, topics: Topics, store: Store, wakeups: Wakeups) -> None:
        self._log = log
        self._store = store
        self._wakeups = wakeups
        read = (topics.deliveries_gocardless.name, topics.deliveries_zoho.name, topics.events.name)
        self._read = [TopicPartition(topic, number) for topic in read for number in range(topics.partitions)]
        self._all = [
            *self._read,
            *(TopicPartition(topics.decisions.name, number) for number in range(topics.partitions)),
        ]
        self._looked_at = ""
        self.under_way = ""
        """What the last call found on its way: for people. Empty when there was nothing."""

    async def __call__(self) -> str | None:
        """Give the fingerprint of log and store when nothing is on its way in them and every loop of this process has
        had a turn since they became so; None otherwise. To be called while this process is quiet. It wakes the loops
        that have to look.

        A log or store that cannot be read just now is None too. Raises `LogError`, `StoreError`: it never will be.
        """
        try:
            # The store first: a position that equals an end read later was the end all the while, so together they were
            # true at once.
            unpublished, handled = self._handled()
            ends = await self._log.end_offsets(self._all)
        except (LogError, StoreError) as error:
            if not error.retriable:
                raise
            self.under_way = type(error).__name__
            return None
        behind = [
            f"{tp.topic}/{tp.partition}" for tp in self._read if handled.get(tp, _NOTHING).next_offset != ends[tp]
        ]
        self.under_way = ", ".join([*behind, "outbox"] if unpublished else behind)
        if self.under_way:
            return None
        # The positions equal their ends, so the ends tell both. A new owner of a partition has yet to look at what is
        # due in it.
        seen = [f"{tp.topic}/{tp.partition} {ends[tp]} {handled.get(tp, _NOTHING).owner_epoch}" for tp in self._all]
        return self._when_looked_at(ids.digest(*seen))

    def _handled(self) -> tuple[bool, dict[TopicPartition, _Handled]]:
        with self._store.read() as reader:
            rows = reader.execute(_HANDLED).all()
        found = {TopicPartition(row.topic, row.partition): _Handled(row.next_offset, row.owner_epoch) for row in rows}
        return any(row.unpublished for row in rows), found

    def _when_looked_at(self, fingerprint: str) -> str | None:
        """The fingerprint, once every loop was woken at it and this process is quiet again."""
        names = self._wakeups.names()
        if fingerprint != self._looked_at and names:
            self._looked_at = fingerprint
            for name in names:
                self._wakeups.wake(name)
            return None
        return fingerprint
