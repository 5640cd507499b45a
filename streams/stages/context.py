"""What every stage of a process shares, and how a record enters the log."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from adapters.clock import Clock
from adapters.machine import MACHINE, Machine
from domain.envelope import Event
from projections.store.store import Store
from streams.log.interface import Log, LogError, LogOverloaded, LogUnavailable, NewRecord, Position, TopicPartition
from streams.log.records import event_record
from streams.log.topics import Topics
from streams.settings import Connection
from streams.stages.activity import Activity, Wakeups
from streams.stages.metrics import Metrics

#: Real seconds between two tries of an append that a cluster did not take. Lower: load on brokers that are recovering.
#: Higher: everything behind it waits longer once they are back.
_AGAIN_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class StageContext:
    """One process's log, store, clock and counters. `skews`: seconds by which an API's `Date` header was last ahead of
    our clock.

    `owns` tells whether a partition of the events is this process's to publish and to keep time for. `patience_s`: how
    long an append that a cluster did not take is tried again in place; the ids of what is appended make a record that
    came twice harmless.
    """

    log: Log
    topics: Topics
    store: Store
    clock: Clock
    wakeups: Wakeups
    metrics: Metrics
    connections: Mapping[str, Connection]
    skews: dict[str, float] = field(default_factory=dict)
    owns: Callable[[int], bool] = lambda _: True
    patience_s: float = 0.0
    machine: Machine = MACHINE
    journal: structlog.stdlib.BoundLogger = field(default_factory=lambda: structlog.get_logger("zoho_gocardless"))

    @property
    def activity(self) -> Activity:
        """Whether this process is quiet."""
        return self.wakeups.activity

    async def append(
        self, records: Sequence[NewRecord], *, positions: Mapping[str, Mapping[TopicPartition, int]] | None = None
    ) -> list[Position]:
        """Append durably. Until it is, and until this process has handled what it reads itself, the process is not
        quiet.
        """
        with self.activity.work("append"):
            found = await self._append(records, positions)
            for position in found:
                self.activity.appended(position.tp, position.offset + 1)
        return found

    async def _append(
        self, records: Sequence[NewRecord], positions: Mapping[str, Mapping[TopicPartition, int]] | None
    ) -> list[Position]:
        give_up_at = self.machine.monotonic_s() + self.patience_s
        while True:
            try:
                places = await self.log.append(records, positions=positions)
            except LogError as error:
                self.metrics.append_failed(error)
                self.metrics.replaced(self.log.producers_replaced)
                again = isinstance(error, LogUnavailable) and error.retriable and not isinstance(error, LogOverloaded)
                if not again or self.machine.monotonic_s() >= give_up_at:
                    raise
                self.journal.warning("append.again", error=type(error).__name__)
            else:
                self.metrics.appended()
                return places
            await asyncio.sleep(_AGAIN_S)

    async def reads(self, tp: TopicPartition, position: int) -> None:
        """Note that this process reads the partition from `position`."""
        self.activity.reads(tp, position, await self.log.end_offset(tp))

    async def tell(self, *events: Event) -> list[Position]:
        """Append events."""
        return await self.append([event_record(self.topics, event) for event in events])
