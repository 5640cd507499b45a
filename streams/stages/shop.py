"""What every stage of a process shares, and how a record enters the log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from adapters.clock import Clock
from domain.envelope import Event
from projections.store import Store
from streams.log import Log, NewRecord, Position, TopicPartition
from streams.metrics import Metrics
from streams.pulse import Pulse
from streams.records import event_record
from streams.settings import Connection
from streams.topics import Topics


@dataclass(slots=True)
class Shop:
    """One process's log, store, clock and counters. `skews`: seconds by which an API's `Date` header was last ahead of our clock."""

    log: Log
    topics: Topics
    store: Store
    clock: Clock
    pulse: Pulse
    metrics: Metrics
    connections: Mapping[str, Connection]
    skews: dict[str, float] = field(default_factory=dict)
    journal: structlog.stdlib.BoundLogger = field(default_factory=lambda: structlog.get_logger("zoho_gocardless"))

    async def append(
        self, records: Sequence[NewRecord], *, positions: Mapping[str, Mapping[TopicPartition, int]] | None = None
    ) -> list[Position]:
        """Append durably. Until it is, and until this process has handled what it reads itself, the process is not quiet."""
        with self.pulse.work("append"):
            found = await self.log.append(records, positions=positions)
            for position in found:
                self.pulse.appended(position.tp, position.offset + 1)
        return found

    async def reads(self, tp: TopicPartition, position: int) -> None:
        """Note that this process reads the partition from `position`."""
        self.pulse.reads(tp, position, await self.log.end_offset(tp))

    async def tell(self, *events: Event) -> list[Position]:
        """Append events."""
        return await self.append([event_record(self.topics, event) for event in events])
