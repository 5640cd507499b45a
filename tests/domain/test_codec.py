import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain import codec, events
from domain.decisions import RULES_VERSION, Decision, Mark
from domain.envelope import Event, UnknownData
from domain.errors import OversizeDecisionError, UndecodableEventError
from tests.domain.strategies import DATA, gc_events


def event(type_, data, **more):
    return Event("e-1", type_, "c1", "2026-03-02T09:00:00.000Z", "2026-03-02T09:00:01.000Z", "test", data, **more)


def wire(**changes):
    whole = {
        "id": "e-1",
        "type": "zoho.invoice_gone",
        "connection": "c1",
        "happened_at": "",
        "learned_at": "",
        "source": "",
        "data": {"id": "1"},
    }
    return json.dumps({key: value for key, value in {**whole, **changes}.items() if value is not None}).encode()


@pytest.mark.parametrize("type_", sorted(events.TYPES))
@settings(max_examples=10)
@given(data=st.data())
def test_every_type_comes_back_as_it_went(type_, data):
    told = event(type_, data.draw(DATA[type_]), subject="contact:c-1", causation_id="a", correlation_id="b")
    value = codec.encode_event(told)
    assert codec.decode_event(value) == told
    assert codec.encode_event(codec.decode_event(value)) == value


@settings(max_examples=25)
@given(gc_events("payments"))
def test_gocardlesss_own_events_come_back_whatever_their_names(drawn):
    type_, data = drawn
    assert codec.decode_event(codec.encode_event(event(type_, data))).data == data


def test_an_action_that_nobody_has_heard_of_still_decodes():
    data = events.GcEvent("quarks", "split", {"quark": "Q1"})
    assert codec.decode_event(codec.encode_event(event("gocardless.quarks.split", data))).data == data


@pytest.mark.parametrize(
    "changes", [{"type": "zoho.something_new"}, {"schema": 99}, {"type": ""}, {"type": "gocardless", "data": [1, None]}]
)
def test_an_unknown_type_or_schema_is_kept_whole(changes):
    value = wire(**changes)
    told = codec.decode_event(value)
    assert isinstance(told.data, UnknownData)
    assert msgspec.json.decode(told.data.raw) == json.loads(value)["data"]
    again = codec.decode_event(codec.encode_event(told))
    assert bytes(again.data.raw) == bytes(told.data.raw)


def test_unknown_fields_are_ignored():
    assert codec.decode_event(wire(data={"id": "1", "colour": "blue"}, weight=3)).data == events.InvoiceGone("1")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        wire(id=None),
        wire(id=7),
        wire(data={"id": 7}),
        wire(data=None),
        wire(schema="1"),
        wire()[:-1],
        wire() + b"x",
        wire().replace(b'"data": {', b'"data": {"a": \xff, '),
        wire().replace(b'"data": {"id": "1"}', b'"data": ' + b"[" * 200_000),
    ],
)
def test_bytes_that_are_no_event_of_ours_are_refused(value):
    with pytest.raises(UndecodableEventError):
        codec.decode_event(value)


def test_an_event_larger_than_a_reader_accepts_is_refused_before_it_is_written():
    with pytest.raises(UndecodableEventError, match="exceeds"):
        codec.encode_event(
            event("zoho.invoices_listed", events.InvoicesListed("open", "", 1, ["1" * 20] * 60_000, complete=True))
        )


def test_the_same_content_gives_the_same_bytes():
    left = events.GcEvent("payments", "failed", {"payment": "PM1", "mandate": "MD1"})
    right = events.GcEvent("payments", "failed", {"mandate": "MD1", "payment": "PM1"})
    assert codec.encode_event(event("gocardless.payments.failed", left)) == codec.encode_event(
        event("gocardless.payments.failed", right)
    )
    assert codec.encode_json({"b": 1, "a": 2}) == msgspec.Raw(b'{"a":2,"b":1}')


def test_a_decision_comes_back_and_an_empty_one_is_short(company):
    company.confirmed()
    assert len({type(one.data) for _, decision in company.log for one in decision.commands}) >= 4
    for _, decision in company.log:
        assert codec.decode_decision(codec.encode_decision(decision)) == decision
    empty = Decision("e-1", "c1", "2026-03-02T09:00:00.000Z")
    assert empty.empty
    assert codec.encode_decision(empty) == b'{"event":"e-1","connection":"c1","at":"2026-03-02T09:00:00.000Z"}'


@pytest.mark.parametrize(
    "value", [b"", b"{}", b"[]", b'{"event":1,"connection":"c","at":""}', b'{"event":' + b"[" * 200_000]
)
def test_bytes_that_are_no_decision_are_refused(value):
    with pytest.raises(UndecodableEventError):
        codec.decode_decision(value)


def test_a_decision_larger_than_one_may_be_is_refused_before_it_is_kept():
    marks = [Mark("contacts", f"c-{number}", {"name": "x" * 1_000}) for number in range(2_200)]
    with pytest.raises(OversizeDecisionError, match="exceeds 2097152"):
        codec.encode_decision(Decision("e-1", "c1", "2026-03-02T09:00:00.000Z", marks=marks))


def test_a_record_without_a_version_of_the_rules_is_of_version_1_for_ever():
    old = codec.decode_decision(b'{"event":"e-1","connection":"c1","at":"2026-03-02T09:00:00.000Z"}')
    assert old.rules == 1
    assert b'"rules":2' in codec.encode_decision(replace(old, rules=RULES_VERSION))
