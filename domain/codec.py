"""Bytes ↔ events and decisions. The one place that knows the wire form, its versions, and what to do with an unknown
one.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from domain.decisions import Decision
from domain.envelope import Event, UnknownData
from domain.errors import OversizeDecisionError, UndecodableEventError
from domain.events import SCHEMA, TYPES, GcEvent

#: Longest event accepted, bytes. Lower than 1 MB: a listing of a few thousand invoices would not fit. Higher: one
#: record could stall a partition for seconds and exceed Kafka's default `max.message.bytes`.
MAX_EVENT_BYTES: Final = 1_000_000


#: Largest decision, bytes. The largest that the rules make, for a page of 200 invoices that are all due, is about a
#: quarter of it. Lower: a page of invoices with long texts sets its connection aside. Higher: with its public records
#: it comes near the largest record of the log (8 MiB), which would stop the whole partition.
MAX_DECISION_BYTES: Final = 2 * 1024 * 1024


class _Wire(msgspec.Struct, frozen=True):
    id: str
    type: str
    connection: str
    happened_at: str
    learned_at: str
    source: str
    data: msgspec.Raw
    subject: str = ""
    causation_id: str = ""
    correlation_id: str = ""
    schema: int = 1


_encoder: Final = msgspec.json.Encoder(order="deterministic")
_decode_wire: Final = msgspec.json.Decoder(_Wire).decode
_decode_gc: Final = msgspec.json.Decoder(GcEvent).decode
_decoders: Final[dict[str, Callable[[msgspec.Raw], Any]]] = {
    name: msgspec.json.Decoder(shape).decode for name, shape in TYPES.items()
}
_decode_decision: Final = msgspec.json.Decoder(Decision).decode


def encode_event(event: Event) -> bytes:
    """One event as JSON. Raises `UndecodableEventError` when it is larger than a reader accepts."""
    whole = replace(event, data=event.data.raw) if isinstance(event.data, UnknownData) else event
    data = _encoder.encode(whole)
    if len(data) > MAX_EVENT_BYTES:
        raise UndecodableEventError(f"event {event.type} of {len(data)} bytes exceeds {MAX_EVENT_BYTES}")
    return data


def decode_event(value: bytes) -> Event:
    """One event from JSON. A type or schema version we do not know gives `UnknownData`, never an error; bytes that are
    no envelope raise `UndecodableEventError`.
    """
    try:
        wire = _decode_wire(value)
        if wire.schema > SCHEMA:
            data: Any = UnknownData(wire.data.copy())
        elif (decoder := _decoders.get(wire.type)) is not None:
            data = decoder(wire.data)
        elif wire.type.startswith("gocardless."):
            data = _decode_gc(wire.data)
        else:
            data = UnknownData(wire.data.copy())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableEventError(f"not an event of ours: {error}") from None
    return Event(
        wire.id,
        wire.type,
        wire.connection,
        wire.happened_at,
        wire.learned_at,
        wire.source,
        data,
        wire.subject,
        wire.causation_id,
        wire.correlation_id,
        wire.schema,
    )


def encode_decision(decision: Decision) -> bytes:
    """One decision as JSON: the same decision gives the same bytes. Raises `OversizeDecisionError` when it is larger
    than one may be.
    """
    data = _encoder.encode(decision)
    if len(data) > MAX_DECISION_BYTES:
        raise OversizeDecisionError(f"a decision of {len(data)} bytes exceeds {MAX_DECISION_BYTES}")
    return data


def decode_decision(value: bytes) -> Decision:
    """One decision from JSON. Raises `UndecodableEventError`."""
    try:
        return _decode_decision(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableEventError(f"not a decision of ours: {error}") from None


def encode_json(value: Any) -> msgspec.Raw:
    """Any JSON-able value in the one deterministic form."""
    return msgspec.Raw(_encoder.encode(value))
