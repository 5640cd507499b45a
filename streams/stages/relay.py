"""Relay: committed decisions to the log, in event order; then their commands may be sent.

The decision and its public records are one append. After a crash between the append and the mark, the tail of the
decisions topic says what is published already; what is published twice on Kafka all the same is told by its version,
and a rebuild takes the first.
"""

from typing import Final

from projections.work.outbox import Outbox, Unpublished
from streams import failpoints
from streams.log.interface import NewRecord
from streams.log.records import decision_records
from streams.stages.context import StageContext
from streams.stages.core import recorded_from

#: Decisions of one append. Lower: more commits in a burst. Higher: commands wait longer for their decision's
#: publication.
_BATCH: Final = 500

#: Bounds of one append: below the log's own (10,000 records, 32 MiB), which would stop the relay for good. Lower: more
#: commits.
_APPEND_RECORDS: Final = 5_000
_APPEND_BYTES: Final = 8 * 1024 * 1024


class Relay:
    """Publishes the outbox."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        self._outbox = Outbox(context.store)

    async def recover(self, partition: int) -> None:
        """Mark what an earlier owner had appended and not marked, or what a restored store does not remember."""
        while waiting := self._outbox.unpublished(partition, _BATCH):
            published = (await recorded_from(self._context, partition, waiting[0].offset)).decisions
            done = [one for one in waiting if one.offset in published]
            self._mark(done)
            if len(done) < len(waiting):
                break

    async def turn(self) -> str | None:
        """Publish everything that waits in partitions of ours; nothing is due later."""
        for partition, _ in sorted(self._outbox.backlog().items()):
            while self._context.owns(partition) and (decisions := self._outbox.unpublished(partition, _BATCH)):
                await self._publish(decisions, partition)
        return None

    async def _publish(self, decisions: list[Unpublished], partition: int) -> None:
        """Append decisions with their public records, in order, in appends that the log takes; mark each as soon as it
        is durable.
        """
        records: list[NewRecord] = []
        whole: list[Unpublished] = []
        size = 0
        for one in decisions:
            made = decision_records(self._context.topics, one.value, one.offset, partition)
            weight = sum(len(record.value or b"") for record in made)
            if records and (len(records) + len(made) > _APPEND_RECORDS or size + weight > _APPEND_BYTES):
                await self._append(records, whole)
                records, whole, size = [], [], 0
            records += made
            whole.append(one)
            size += weight
        await self._append(records, whole)

    async def _append(self, records: list[NewRecord], decisions: list[Unpublished]) -> None:
        failpoints.hit("relay.before_append")
        await self._context.append(records)
        failpoints.hit("relay.after_append")
        self._mark(decisions)
        failpoints.hit("relay.after_mark")

    def _mark(self, decisions: list[Unpublished]) -> None:
        if decisions:
            self._outbox.mark_published(decisions)
            self._context.metrics.decisions.inc(len(decisions))
            self._context.wakeups.wake("executor.gocardless")
            self._context.wakeups.wake("executor.zoho")
