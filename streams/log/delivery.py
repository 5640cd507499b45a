"""What the Faust consumers of all engines share: batches instead of messages, an own drain, the commit guard, the
stored resume.

Faust spends over 100 µs on each message, so consecutive records of a partition travel as one message whose value is a
`RecordBatch`. Its own drain makes two tasks for each message and polls; this one delivers when there is something, at
once. Everything here leans on Faust 0.15.3's insides (pinned); `streams.log.worker` and the rest of the program do not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import faust
from faust.exceptions import ImproperlyConfigured
from faust.types.tuples import ConsumerMessage

from streams.log.consumption import BATCH_BYTES, BATCH_RECORDS, Consumption
from streams.log.interface import LogError, Record, RecordBatch, TopicPartition

# How long a rebalance waits for running handlers. Lower: their work is done again by the next owner. Higher: the whole
# group stands still for that long when one handler is stuck.
REVOKE_GRACE_S: Final = 5.0
_LOG_APPEND_TIME: Final = 1


def require_our_app(app: Any, scheme: str) -> None:
    """Refuse a Faust app that would lose records over a transport of ours. Raises Faust's `ImproperlyConfigured`."""
    if app.conf.processing_guarantee.value != "at_least_once":
        raise ImproperlyConfigured(
            f"a {scheme}:// broker has no exactly_once: effects happen once by the store's transaction"
        )
    if not isinstance(getattr(app, "delivery", None), Consumption):
        raise ImproperlyConfigured(
            f"a {scheme}:// broker runs under streams.log.worker only: plain Faust agents lose failed records"
        )


class BatchSchema(faust.Schema):  # type: ignore[misc]  # Faust ships no types that mypy can follow
    """Hands the batch on as it is: Faust would decode bytes."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Awaitable[Any]]:
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001 - the shape Faust calls
            return create_event(None, message.value, None, message)

        return decode


class BatchConsumer:
    """To be put before a Faust consumer class: `class Consumer(BatchConsumer, base.Consumer)`.

    The engine gives `_take`, and sets `delivery.wakeup` when new records may have come.
    """

    app: Any
    callback: Any
    should_stop: bool
    flow_active: bool
    can_resume_flow: Any
    _read_offset: Any
    _committed_offset: Any
    _acked: Any
    _acked_index: Any
    _active_partitions: Any
    _seek: Any
    assignment: Any
    stop_flow: Any
    commit: Any

    @property
    def delivery(self) -> Consumption:
        delivery: Consumption = self.app.delivery
        return delivery

    def silent_s(self) -> float | None:
        """For how many real seconds the group's coordinator has not answered; None where a group has none."""
        return None

    # To be given by the engine

    def _take(self, tp: TopicPartition, offset: int, limit: int, max_bytes: int) -> list[Record]:
        """Records from `offset` on that are at hand now, without waiting; none if there are none."""
        raise NotImplementedError

    # Delivering

    async def _drain_messages(self, fetcher: Any) -> None:
        delivery = self.delivery
        delivery.ready.set()
        try:
            while not (self.should_stop or fetcher.should_stop or delivery.halted):
                if not self.flow_active:
                    await self.can_resume_flow.wait()
                delivery.wakeup.clear()
                if not await self._deliver_all(delivery):
                    await delivery.wakeup.wait()
        except Exception as fault:
            delivery.on_failure(fault)
            raise

    async def _deliver_all(self, delivery: Consumption) -> bool:
        """Deliver one batch of each partition that is free and has records; False if there was none."""
        delivered = False
        for tp in sorted(self._active_partitions):
            if delivery.halted or not self.flow_active:
                break
            if not delivery.guard.is_free(tp):
                continue
            offset = delivery.guard.position(tp)
            assert offset is not None
            records = self._take(tp, offset, BATCH_RECORDS, BATCH_BYTES)
            if records:
                delivered = True
                await self._hand_over(delivery, tp, records)
                # The handler may begin with this batch while the next partition is read.
                await asyncio.sleep(0)
        return delivered

    async def _hand_over(self, delivery: Consumption, tp: Any, records: list[Record]) -> None:
        batch = RecordBatch(TopicPartition(*tp), records)
        delivery.guard.deliver(batch)
        last = records[-1]
        message = ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp_ms / 1_000,
            _LOG_APPEND_TIME,
            None,
            None,
            batch,
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        await self.callback(message)
        self._read_offset[tp] = last.offset

    # Resuming

    async def perform_seek(self) -> None:
        """Put every assigned partition where the store says, once no handler is running that could still move it."""
        delivery = self.delivery
        try:
            await delivery.quiet.wait()
            for tp in sorted(self.assignment()):
                offset = await delivery.resume(TopicPartition(*tp))
                if tp not in self.assignment():
                    continue  # taken away while the store was asked; a further rebalance sees to the rest
                # The guard first: records that come between the two must meet a partition that knows what it expects.
                delivery.guard.resume(TopicPartition(*tp), offset)
                await self._seek(tp, offset)
                self._read_offset[tp] = offset or None
                self._committed_offset[tp] = offset
        except Exception as fault:
            delivery.on_failure(fault)
            raise
        delivery.handing_over = False
        delivery.wakeup.set()

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Let handlers end that have begun, and say how far they came, so that the next owner need not do it again."""
        if revoked:
            self.delivery.handing_over = True
            self.stop_flow()
            with suppress(TimeoutError):
                async with asyncio.timeout(REVOKE_GRACE_S):
                    await self.delivery.quiet.wait()
            await self.commit()
        await super().on_partitions_revoked(revoked)  # type: ignore[misc]  # the Faust consumer that comes after this class
        for tp in revoked:
            self.delivery.guard.revoke(TopicPartition(*tp))
            self.delivery.revoked(TopicPartition(*tp))

    # Committing: what the guard says, not what Faust acknowledged

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterable[Any]:  # noqa: ARG002 - the guard knows what is due
        return list(self.delivery.guard.committable())

    def _filter_committable_offsets(self, tps: Iterable[Any]) -> dict[Any, int]:
        # Faust only ever adds to its own books, which nothing reads any more.
        self._acked.clear()
        self._acked_index.clear()
        due = self.delivery.guard.committable()
        return {tp: due[tp] for tp in tps if tp in due}

    async def _commit_offsets(self, offsets: Any, start_new_transaction: bool = True) -> bool:
        try:
            done = bool(await super()._commit_offsets(offsets, start_new_transaction))  # type: ignore[misc]  # as above
        except LogError as fault:
            self.delivery.not_stored(fault)
            return False
        if done:
            self.delivery.guard.committed({TopicPartition(*tp): offset for tp, offset in offsets.items()})
        return done
