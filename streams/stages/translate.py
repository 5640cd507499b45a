"""Translate: deliveries in, events out. One delivery gives any number of events; a piece that cannot be read is parked, the rest goes on.

The events and the position of the delivery are one append, so on the embedded log a delivery is translated exactly once; on Kafka it may
be translated again after a crash, and the ids of its events make that harmless.
"""

from typing import Final

import msgspec

from adapters.deliveries import DeliveryMeta, Parked, Translation
from adapters.gocardless import translate as gocardless
from adapters.zoho import translate as zoho
from domain import events, ids
from domain.envelope import Event
from streams import failpoints
from streams.log import Batch, NewRecord, Record, TopicPartition
from streams.records import event_record, read_delivery
from streams.stages.shop import Shop

#: Events of one append. Lower: more commits in a burst. Higher: others wait longer behind it (the log takes 10,000 records).
_APPEND_EVENTS: Final = 5_000


class Translate:
    """The handler of both delivery topics."""

    def __init__(self, shop: Shop, group: str) -> None:
        self._shop = shop
        self._group = group

    async def resume_at(self, tp: TopicPartition) -> int:
        """Where the log says this group goes on."""
        position = await self._shop.log.committed(self._group, tp)
        found = await self._shop.log.start_offset(tp) if position is None else position
        await self._shop.reads(tp, found)
        return found

    async def handle(self, batch: Batch) -> None:
        """Translate consecutive deliveries of one partition."""
        records: list[NewRecord] = []
        for record in batch.records:
            translation, meta = read(self._shop, record)
            records.extend(event_record(self._shop.topics, event) for event in translation.events)
            records.extend(event_record(self._shop.topics, parked(meta, record, piece)) for piece in translation.parked)
            self._shop.metrics.parked_pieces.inc(len(translation.parked))
            if len(records) >= _APPEND_EVENTS or record is batch.records[-1]:
                failpoints.hit("translate.before_append")
                await self._shop.append(records, positions={self._group: {batch.tp: record.offset + 1}})
                failpoints.hit("translate.after_append")
                self._shop.pulse.handled(batch.tp, record.offset + 1)
                records = []


def read(shop: Shop, record: Record) -> tuple[Translation, DeliveryMeta]:
    """What a delivery says. Total: whatever the bytes are, there is a translation."""
    try:
        meta, body = read_delivery(record)
    except (msgspec.DecodeError, UnicodeDecodeError):
        key = (record.key or b"").decode(errors="replace")
        meta = DeliveryMeta(f"{record.topic}/{record.partition}/{record.offset}", key, "gocardless", "page", shop.clock.now())
        return Translation([], [Parked("meta", "not a delivery of ours")]), meta
    connection = shop.connections.get(meta.connection)
    try:
        if meta.api == "gocardless":
            return gocardless.translate(meta, body), meta
        organization = connection.zoho.organization_id if connection is not None else ""
        field = connection.payer_link_field if connection is not None else "cf_gocardless_customer"
        unique = connection.unique_field if connection is not None else "cf_gocardless_key"
        return zoho.translate(meta, body, organization, unique_field=unique, payer_link_field=field), meta
    except Exception as fault:  # noqa: BLE001 - a translator that raises is a fault of ours; its delivery is parked whole, the stream goes on
        shop.journal.exception("translate.raised", delivery=meta.id, kind=meta.kind)
        return Translation([], [Parked("", f"the translator failed: {type(fault).__name__}")]), meta


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
