"""How events lie in the log."""

import pytest

from domain import codec, events
from domain.envelope import Event
from streams.log.records import event_record
from streams.log.topics import Topics


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\x00b", "a\ufffdb"),
        ("\x00\x00", "\ufffd\ufffd"),
        ("\\\x00", "\\\ufffd"),
        ("\\u0000", "\\u0000"),
        ("\\\\u0000\x00", "\\\\u0000\ufffd"),
        ("plain", "plain"),
    ],
)
def test_a_zero_character_never_reaches_a_database_that_cannot_hold_it(text, kept):
    data = events.DeliveryParked("wh-1", "deliveries.zoho", 0, 1, text, "")
    event = Event(
        "e1", "delivery.parked", "acme", "2026-03-02T09:00:00.000Z", "2026-03-02T09:00:00.000Z", "translate", data
    )
    value = event_record(Topics(), event).value
    assert codec.decode_event(value).data.reason == kept
