"""Translate: deliveries in, events out. One delivery gives any number of events; a piece that cannot be read is parked,
the rest goes on.

The events and the position of the delivery are one append, so on the embedded log a delivery is translated exactly
once. On Kafka, and where one delivery is too large for one append, it may be translated again after a crash, and the
ids of its events make that harmless. A cluster forgets positions of a group that nobody was in for a week, so there the
store keeps them as well.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from adapters.deliveries import DeliveryMeta, Parked, Translation
from adapters.gocardless import translate as gocardless
from adapters.zoho import translate as zoho
from domain import events, ids
from domain.envelope import Event
from domain.errors import UndecodableEventError
from projections.work.progress import Progress
from streams import failpoints
from streams.log.interface import MEBIBYTE, NewRecord, Record, RecordBatch, TopicPartition
from streams.log.records import event_record, read_delivery
from streams.stages.context import StageContext

STAGE: Final = "translate"

#: Events of one append, and their bytes. Lower: more commits in a burst. Higher: others wait longer behind it, and the
#: log refuses an append of more than 10,000 records or 32 MiB.
_APPEND_EVENTS: Final = 5_000
_APPEND_BYTES: Final = 8 * MEBIBYTE

#: Pieces of one delivery that are parked one by one. Lower: a person sees less of what is wrong. Higher: a page of a
#: million bad rows would be answered with a million events.
MAX_PARKED: Final = 100

#: Longest connection name that is believed of a record that does not say whose it is. Higher than a real one's 40 only
#: costs room.
_MAX_KEY: Final = 40


class Translate:
    """The handler of both delivery topics."""

    def __init__(self, context: StageContext, group: str) -> None:
        self._context = context
        self._group = group
        self._progress = None if context.log.keeps_positions else Progress(context.store)

    async def resume_at(self, tp: TopicPartition) -> int:
        """Where the log says this group goes on; where its word does not last, the store, if it knows better."""
        known = [await self._context.log.start_offset(tp)]
        committed = await self._context.log.committed(self._group, tp)
        if committed is not None:
            known.append(committed)
        if self._progress is not None:
            known.append(self._progress.get(STAGE, tp.topic, tp.partition))
        found = max(known)
        self._store(tp, found)
        await self._context.reads(tp, found)
        return found

    def revoked(self, tp: TopicPartition) -> None:
        """Another worker has the partition now."""
        self._context.activity.forgets(tp)

    def _store(self, tp: TopicPartition, done: int) -> None:
        if self._progress is not None:
            self._progress.advance(STAGE, tp.topic, tp.partition, done)

    async def handle(self, batch: RecordBatch) -> None:
        """Translate consecutive deliveries of one partition."""
        events_out: list[NewRecord] = []
        size = 0
        for record in batch.records:
            for event in self._records(record):
                if len(events_out) >= _APPEND_EVENTS or size >= _APPEND_BYTES:
                    await self._append(batch.tp, events_out, record.offset)
                    events_out, size = [], 0
                events_out.append(event)
                size += len(event.value or b"")
        await self._append(batch.tp, events_out, batch.next_offset)

    async def _append(self, tp: TopicPartition, records: list[NewRecord], done: int) -> None:
        """Events, with the position before which every delivery is wholly translated."""
        failpoints.hit("translate.before_append")
        await self._context.append(records, positions={self._group: {tp: done}})
        failpoints.hit("translate.after_append")
        self._store(tp, done)
        self._context.activity.handled(tp, done)

    def _records(self, record: Record) -> Iterator[NewRecord]:
        """The events of one delivery, then what of it is parked."""
        translation, meta = read(self._context, record)
        pieces = list(translation.parked)
        for event in translation.events:
            try:
                yield event_record(self._context.topics, event)
            except UndecodableEventError as error:
                pieces.append(Parked(event.id, str(error)))
        if len(pieces) > MAX_PARKED + 1:  # one more may be the translator's own word on the rest
            pieces[MAX_PARKED:] = [Parked("", f"{len(pieces) - MAX_PARKED} further pieces cannot be read")]
        self._context.metrics.parked_pieces.inc(len(pieces))
        for piece in pieces:
            yield event_record(self._context.topics, parked(meta, record, piece))


def read(context: StageContext, record: Record) -> tuple[Translation, DeliveryMeta]:
    """What a delivery says. Total: whatever the bytes are, there is a translation."""
    try:
        meta, body = read_delivery(record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        meta = DeliveryMeta(
            f"{record.topic}/{record.partition}/{record.offset}",
            _whose(record),
            "gocardless",
            "page",
            context.clock.now(),
        )
        return Translation([], [Parked("meta", "not a delivery of ours")]), meta
    connection = context.connections.get(meta.connection)
    try:
        if meta.api == "gocardless":
            return gocardless.translate(meta, body), meta
        organization = connection.zoho.organization_id if connection is not None else ""
        field = connection.payer_link_field if connection is not None else "cf_gocardless_customer"
        unique = connection.unique_field if connection is not None else "cf_gocardless_key"
        return zoho.translate(meta, body, organization, unique_field=unique, payer_link_field=field), meta
    except Exception as fault:  # noqa: BLE001 - a translator that raises is a fault of ours; its delivery is parked whole, the stream goes on
        context.journal.exception("translate.raised", delivery=meta.id, kind=meta.kind)
        return Translation([], [Parked("", f"the translator failed: {type(fault).__name__}")]), meta


def _whose(record: Record) -> str:
    """The connection that a record's key names, as far as it can be one."""
    key = (record.key or b"").decode(errors="replace")[:_MAX_KEY]
    return "".join(one if one.isprintable() else "?" for one in key)


def parked(meta: DeliveryMeta, record: Record, piece: Parked) -> Event:
    """The event that keeps a piece visible until it can be read."""
    data = events.DeliveryParked(meta.id, record.topic, record.partition, record.offset, piece.reason, piece.where)
    return Event(
        ids.observation_id(meta.id, "delivery.parked", piece.where),
        "delivery.parked",
        meta.connection,
        meta.received_at,
        meta.received_at,
        "translate",
        data,
        causation_id=meta.id,
    )
