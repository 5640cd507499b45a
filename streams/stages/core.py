"""Core: events in; state, decisions and position out, in one transaction of the store.

Everything is decided in memory first (pure, in event order), then written at once. A rule that raises sets its
connection aside: its position freezes, its money writes stop, the partition goes on (design rule 10). A lost
compare-and-set ends the process: somebody else owns the partition.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from domain import codec, routing
from domain.decisions import Decision
from domain.envelope import Event
from domain.errors import UndecodableEventError
from projections.state.batch import Batch, OwnedPartition, take
from projections.state.store_behind_log import went_back
from projections.store.errors import StoreError
from streams import failpoints
from streams.gc_pause import without_collector
from streams.log.interface import Record, RecordBatch, TopicPartition
from streams.log.records import event_offset
from streams.stages.context import StageContext

STAGE: Final = "core"

#: Records of the decisions topic read at once, from its end backwards. It must exceed one publication of the relay.
#: Lower: more reads after a restore. Higher: more is decoded at each start for nothing.
_CHUNK: Final = 1_000


class Core:
    """The handler of the events topic."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._owned: dict[TopicPartition, OwnedPartition] = {}
        self._recorded: dict[TopicPartition, Recorded] = {}

    async def resume_at(self, tp: TopicPartition) -> int:
        """Own the partition; where the store says it goes on. Connections that were set aside get another try first."""
        owned = take(self._context.store, STAGE, tp.topic, tp.partition)
        self._owned[tp] = owned
        recorded = self._recorded[tp] = await recorded_from(self._context, tp.partition, owned.position)
        self._see_store_behind_log(owned, recorded)
        for connection in sorted(owned.frozen):
            self._catch_up(owned, tp, connection)
        await self._context.reads(tp, owned.position)
        return owned.position

    def _see_store_behind_log(self, owned: OwnedPartition, recorded: "Recorded") -> None:
        """A store that knows less than the log has decided is an older copy: nothing is sent before both APIs were
        looked through.
        """
        connections = {decision.connection for decision in recorded.decisions.values()}
        if went_back(owned, recorded.last, connections, self._context.clock.now(), self._owned.values()):
            self._context.journal.error(
                "core.store_went_back", position=owned.position, decided=recorded.last, partition=owned.partition
            )

    def owns(self, partition: int) -> bool:
        """Whether this process decides the events of a partition."""
        return TopicPartition(self._context.topics.events.name, partition) in self._owned

    def revoked(self, tp: TopicPartition) -> None:
        """Another worker has the partition now; what it writes is fenced off from what this one might still have in
        hand.
        """
        self._owned.pop(tp, None)
        self._recorded.pop(tp, None)
        self._context.activity.forgets(tp)

    async def handle(self, batch: RecordBatch) -> None:
        """Decide consecutive events of one partition."""
        owned = self._owned[batch.tp]
        decided = False
        with without_collector(), owned.batch(batch.first_offset) as writing:
            decoded = list(self._decoded(batch.records))
            writing.prepare([event for _, event in decoded])
            for offset, event in decoded:
                if not writing.known(event) and not writing.frozen(event.connection):
                    decided |= self._fold(writing, offset, event, self._recorded[batch.tp])
            failpoints.hit("core.before_commit")
            writing.commit(batch.next_offset)
        failpoints.hit("core.after_commit")
        self._context.metrics.events.inc(len(batch.records))
        if decided:
            self._context.wakeups.wake("relay")
            self._context.wakeups.wake("clock")
        self._context.activity.handled(batch.tp, batch.next_offset)

    def _decoded(self, records: list[Record]) -> Iterator[tuple[int, Event]]:
        for record in records:
            try:
                yield record.offset, codec.decode_event(record.value or b"")
            except UndecodableEventError:
                self._context.metrics.undecodable.inc()
                self._context.journal.error(
                    "core.undecodable", topic=record.topic, partition=record.partition, offset=record.offset
                )

    def _fold(self, writing: Batch, offset: int, event: Event, recorded: "Recorded") -> bool:
        """Take the recorded decision where the log has got further than the store (design rule 3); decide otherwise.
        Whether there is something to publish.
        """
        if offset <= recorded.last:
            self._restep(writing, offset, event, recorded.decisions.get(offset))
            return False
        made = self._decide(writing, offset, event)
        return made is not None and not made.empty

    def _decide(self, writing: Batch, offset: int, event: Event) -> Decision | None:
        """Decide one event; None when its rule raised, which sets the connection aside."""
        state = writing.state(event.connection)
        try:
            decision: Decision = routing.step(state, event)
            # The encoder raises on a decision that no record could hold.
            encoded = b"" if decision.empty else codec.encode_decision(decision)
        except StoreError:
            raise
        except Exception as fault:  # noqa: BLE001 - whatever a rule raises sets its connection aside, and nothing else
            self._set_aside(writing, offset, event, fault)
            return None
        writing.record(offset, event, None if decision.empty else decision, encoded=encoded)
        return decision

    def _restep(self, writing: Batch, offset: int, event: Event, decision: Decision | None) -> None:
        try:
            routing.restep(writing.state(event.connection), event, decision)
        except StoreError:
            raise
        except Exception as fault:  # noqa: BLE001 - as above
            self._set_aside(writing, offset, event, fault)
        else:
            writing.record(offset, event, decision, recorded=True)

    def _set_aside(self, writing: Batch, offset: int, event: Event, fault: Exception) -> None:
        self._context.journal.error("core.set_aside", connection=event.connection, cause=event.id, exc_info=fault)
        self._context.metrics.set_aside.inc()
        writing.freeze(
            event.connection, offset, event.id, f"{type(fault).__name__} at {event.type}", self._context.clock.now()
        )

    def _catch_up(self, owned: OwnedPartition, tp: TopicPartition, connection: str) -> None:
        """Read the log again from where the connection froze; it is released when this code decides all of it."""
        since = owned.frozen[connection]
        for records in self._context.log.scan(tp.topic, tp.partition, since, owned.position, batch=500):
            mine = [(offset, event) for offset, event in self._decoded(records) if event.connection == connection]
            with owned.batch(owned.position) as writing:
                writing.prepare([event for _, event in mine])
                for offset, event in mine:
                    if not writing.known(event) and self._decide(writing, offset, event) is None:
                        writing.commit(owned.position)
                        return
                writing.commit(owned.position)
        with owned.batch(owned.position) as writing:
            writing.release(connection)
            writing.commit(owned.position)


class Recorded(NamedTuple):
    """Decisions that the log has beyond the store's position, by offset of their event; `last` is the highest such
    offset.
    """

    decisions: dict[int, Decision]
    last: int


async def recorded_from(context: StageContext, partition: int, position: int) -> Recorded:
    """Read the decisions topic backwards to where the store is. A store restored from a backup finds what was decided
    since; usually there is nothing.
    """
    tp = TopicPartition(context.topics.decisions.name, partition)
    start, end = await context.log.start_offset(tp), await context.log.end_offset(tp)
    found: dict[int, Decision] = {}
    while end > start:
        first = max(start, end - _CHUNK)
        ahead = False
        for records in context.log.scan(tp.topic, partition, first, end):
            for record in reversed(records):
                offset = event_offset(record)
                if offset is not None and offset >= position:
                    found[offset] = codec.decode_decision(record.value or b"")
                    ahead = True
        if not ahead:
            break
        end = first
    return Recorded(found, max(found, default=-1))
