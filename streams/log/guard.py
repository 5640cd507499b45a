"""The commit guard: a position moves only past records whose handler has returned, one batch after the other.

Faust acknowledges a message whose handler raised or was cancelled, and may commit beyond it. So its acknowledgements
are not asked: the consumers of all engines commit what this guard says, and nothing else.
"""

from streams.log.interface import LogCorrupt, RecordBatch, TopicPartition


class CommitGuard:
    """Which batch of each partition comes next, which one is being handled, and up to where all are handled."""

    def __init__(self) -> None:
        self._handled: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._in_flight: dict[TopicPartition, RecordBatch] = {}

    def resume(self, tp: TopicPartition, offset: int) -> None:
        """Begin, or begin again, at an offset; what was being handled there counts for nothing."""
        self._handled[tp] = self._committed[tp] = offset
        self._in_flight.pop(tp, None)

    def revoke(self, tp: TopicPartition) -> None:
        """Forget a partition that another worker has now."""
        self._handled.pop(tp, None)
        self._committed.pop(tp, None)
        self._in_flight.pop(tp, None)

    def is_free(self, tp: TopicPartition) -> bool:
        """Whether a batch of this partition may be delivered: one at a time, so that the next gathers all that came."""
        return tp in self._handled and tp not in self._in_flight

    def deliver(self, batch: RecordBatch) -> None:
        """A batch is on its way to its handler.

        Raises:
            LogCorrupt: it does not begin exactly where the last one ended, or where the partition was resumed.

        """
        expected = self._handled[batch.tp]
        if batch.first_offset != expected or batch.next_offset - batch.first_offset != len(batch.records):
            raise LogCorrupt(
                f"a batch of {len(batch.records)} records came as {batch.first_offset} to {batch.next_offset}, not "
                f"from {expected}",
                f"{batch.tp.topic}[{batch.tp.partition}]",
                "restart; if it stays, verify the log",
            )
        self._in_flight[batch.tp] = batch

    def in_flight(self, tp: TopicPartition) -> RecordBatch | None:
        """The batch of a partition that is being handled, if one is."""
        return self._in_flight.get(tp)

    def is_in_flight(self, batch: RecordBatch) -> bool:
        """Whether it was delivered and is neither handled nor overtaken by a new start of its partition."""
        return self._in_flight.get(batch.tp) is batch

    def handled(self, batch: RecordBatch) -> None:
        """Its handler has returned: the position may move past it."""
        if self.is_in_flight(batch):
            del self._in_flight[batch.tp]
            self._handled[batch.tp] = batch.next_offset

    def position(self, tp: TopicPartition) -> int | None:
        """The offset up to which all is handled; None if the partition is not assigned."""
        return self._handled.get(tp)

    def positions(self) -> dict[TopicPartition, int]:
        return dict(self._handled)

    def committable(self) -> dict[TopicPartition, int]:
        """Positions that moved since they were last committed."""
        return {tp: offset for tp, offset in self._handled.items() if self._committed.get(tp) != offset}

    def committed(self, positions: dict[TopicPartition, int]) -> None:
        self._committed.update(positions)
