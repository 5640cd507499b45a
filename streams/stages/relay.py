"""Relay: committed decisions to the log, in event order; then their commands may be sent.

The decision and its public records are one append. After a crash between the append and the mark, the tail of the decisions topic says
what is published already; what is published twice on Kafka all the same is told by its version, and a rebuild takes the first.
"""

from typing import Final

from projections.outbox import Outbox, Unpublished
from streams import failpoints
from streams.log import NewRecord, TopicPartition
from streams.records import OFFSET_HEADER, decision_records, header
from streams.stages.shop import Shop

#: Decisions of one append. Lower: more commits in a burst. Higher: commands wait longer for their decision's publication.
_BATCH: Final = 500
#: Records of the decisions topic looked at after a start. It must cover one batch that was appended and not marked.
_TAIL: Final = 4 * _BATCH


class Relay:
    """Publishes the outbox."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._outbox = Outbox(shop.store)

    async def recover(self) -> None:
        """Mark what an earlier process had appended and not marked."""
        topic = self._shop.topics.decisions.name
        for partition in range(self._shop.topics.partitions):
            waiting = self._outbox.unpublished(partition, _BATCH)
            if not waiting:
                continue
            tp = TopicPartition(topic, partition)
            end = await self._shop.log.end_offset(tp)
            start = max(await self._shop.log.start_offset(tp), end - _TAIL)
            published = set()
            while start < end and (records := await self._shop.log.read(tp, start, end - start)):
                published |= {header(record, OFFSET_HEADER) for record in records}
                start = records[-1].offset + 1
            self._mark([one for one in waiting if str(one.offset).encode() in published])

    async def turn(self) -> str | None:
        """Publish everything that waits; nothing is due later."""
        for partition, _ in sorted(self._outbox.backlog().items()):
            while decisions := self._outbox.unpublished(partition, _BATCH):
                records: list[NewRecord] = []
                for one in decisions:
                    records.extend(decision_records(self._shop.topics, one.value, one.offset, partition))
                failpoints.hit("relay.before_append")
                await self._shop.append(records)
                failpoints.hit("relay.after_append")
                self._mark(decisions)
                failpoints.hit("relay.after_mark")
        return None

    def _mark(self, decisions: list[Unpublished]) -> None:
        if decisions:
            self._outbox.mark_published(decisions)
            self._shop.metrics.decisions.inc(len(decisions))
            self._shop.pulse.wake("executor.gocardless")
            self._shop.pulse.wake("executor.zoho")
