"""What stands still, and why: connections that are set aside, and APIs that must be caught up with before anything is
sent.
"""

import msgspec
import sqlalchemy as sa

from projections.store.store import Store
from projections.store.tables import catch_ups, quarantine


class SetAside(msgspec.Struct, frozen=True):
    """A connection whose position is frozen at `since_offset`, because a rule raised at `event`."""

    connection: str
    partition: int
    since_offset: int
    event: str
    reason: str
    frozen_at: str


class CatchUp(msgspec.Struct, frozen=True):
    """An API that must be polled to its head for a connection first. `reason`: "rebuilt", "restored" or "moved"."""

    connection: str
    api: str
    reason: str
    required_at: str


class Halts:
    """Both, in the store. They outlive a rebuild. A connection is set aside and released by the core's batch alone."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def set_aside(self) -> list[SetAside]:
        """Connections that are set aside."""
        with self._store.read() as reader:
            return [SetAside(*row) for row in reader.execute(sa.select(quarantine).order_by(quarantine.c.connection))]

    def catch_ups(self) -> list[CatchUp]:
        """What must be caught up with before executors run."""
        return [CatchUp(*row) for row in self._store.rows(self._store.sql("catch-ups", _catch_ups))]

    def caught_up(self, connection: str, api: str) -> None:
        """The API was polled to its head for this connection, in full, after the standstill began: its executor may
        run.
        """
        with self._store.write() as writer:
            writer.execute(sa.delete(catch_ups).where(catch_ups.c.connection == connection, catch_ups.c.api == api))


def _catch_ups() -> sa.ClauseElement:
    return sa.select(catch_ups).order_by(catch_ups.c.connection, catch_ups.c.api)
