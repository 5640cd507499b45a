"""How deliveries, events and decisions lie in the log: keys, headers, values. The one place that stages and tools agree
on.
"""

import re
from typing import Final

import msgspec

from adapters.deliveries import META_HEADER, DeliveryMeta, decode_meta, encode_meta
from adapters.headers import whole
from domain import codec
from domain.decisions import Decision
from domain.envelope import Event
from streams.log.interface import NewRecord, Record
from streams.log.topics import Topics

ID_HEADER: Final = "id"
TYPE_HEADER: Final = "type"
#: On a decision: the offset of its event, so that the tail can be told apart without decoding.
OFFSET_HEADER: Final = "event-offset"

#: Largest offset there is. Lower: a long log could not be told to its end. Higher: no engine has one.
MAX_OFFSET: Final = 2**63 - 1

_ZERO_TEXT: Final = rb"\u0000"
#: The escape of a zero character, and not the text "\\u0000" with its backslash escaped.
_ZERO: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def header(record: Record, name: str) -> bytes | None:
    """The value of a header, None when it is not there."""
    return next((value for key, value in record.headers if key == name), None)


def event_offset(record: Record) -> int | None:
    """Where the event of a decision is, as its header says it; None when it does not."""
    return whole(header(record, OFFSET_HEADER) or b"", MAX_OFFSET)


def delivery_record(topics: Topics, meta: DeliveryMeta, body: bytes) -> NewRecord:
    """A delivery: value = the body exactly as it came."""
    topic = topics.deliveries_gocardless if meta.api == "gocardless" else topics.deliveries_zoho
    headers = ((ID_HEADER, meta.id.encode()), (META_HEADER, encode_meta(meta)))
    return NewRecord(topic.name, meta.connection.encode(), body, headers)


def read_delivery(record: Record) -> tuple[DeliveryMeta, bytes]:
    """Meta and body of a delivery. Raises `msgspec.DecodeError` when it is not one."""
    value = header(record, META_HEADER)
    if value is None:
        raise msgspec.DecodeError("a delivery without its meta header")
    return decode_meta(value), record.value or b""


def event_record(topics: Topics, event: Event) -> NewRecord:
    """An event; its type and id travel as headers too. A zero character, which PostgreSQL's texts cannot hold, is
    replaced by U+FFFD; the delivery it came in keeps it.
    """
    headers = ((TYPE_HEADER, event.type.encode()), (ID_HEADER, event.id.encode()))
    value = codec.encode_event(event)
    if _ZERO_TEXT in value:
        value = _ZERO.sub(rb"\1\\ufffd", value)
    return NewRecord(topics.events.name, event.connection.encode(), value, headers)


def decision_records(topics: Topics, value: bytes, offset: int, partition: int) -> list[NewRecord]:
    """A decision and its public records, to be appended together. `offset` of its event is the public records'
    version.
    """
    decision: Decision = codec.decode_decision(value)
    version = str(offset).encode()
    key = decision.connection.encode()
    head = ((ID_HEADER, decision.event.encode()), (OFFSET_HEADER, version))
    found = [NewRecord(topics.decisions.name, key, value, head, partition)]
    for one in decision.publications:
        public = b'{"version":' + version + b"," + bytes(one.value)[1:]
        name = f"{decision.connection}:{one.key}".encode()
        found.append(
            NewRecord(topics.prefix + one.topic, name, public, ((ID_HEADER, decision.event.encode()),), partition)
        )
    return found
