"""No bytes make it raise, whatever it makes of them the log takes, and it says the same each time."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.deliveries import DeliveryMeta, Translation
from adapters.gocardless import pages
from adapters.gocardless.translate import translate
from domain.codec import decode_event, encode_event
from tests.support import gocardless_records as gc

QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    10**15 + 1,
    2**63,
    10**400,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x" * 600,
    "\x00",
    "\ud800",
    "é世",
]
VALUES += [
    "NaN",
    "XXX",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "2026-02-30",
    "1e5",
    "-45.5",
    "99999999999999999.9",
]
VALUES += ["../..", [], {}, [[[[]]]]]
ODD = st.sampled_from(VALUES)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def metas() -> list[DeliveryMeta]:
    notes = {"after": "c1", "_page": "2", "_first": "3", "_damaged": "x"}
    return [
        gc.webhook_meta(),
        *(gc.page_meta(kind) for kind in pages.KINDS),
        gc.page_meta("gocardless.payments", fresh=[0, 3, -1]),
        *(gc.answer_meta(name, status=status) for name in gc.names for status in (200, 201, 409, 422, 429, 500)),
        *(gc.answer_meta(name, step="follow", query=notes) for name in gc.names),
        gc.answer_meta("read_payment", status=429, headers={"RateLimit-Reset": "x", "date": "Thu, 99 May"}),
    ]


def bodies() -> list[Any]:
    return [
        *(gc.load(f"webhook_vector{number}") for number in ("1_body.json", "2_body_go.json")),
        *({"events": rows} for rows in gc.load("webhook_event_samples_synthetic.json")["samples"].values()),
        *(
            entry["body"]
            for name in (
                "payments",
                "payouts",
                "payout_items",
                "mandates",
                "customers",
                "billing_requests",
                "billing_request_flows",
                "events",
            )
            for entry in gc.load(f"client-python/{name}.json").values()
        ),
        *(
            gc.load(f"client-python/{name}_error.json")
            for name in ("idempotent_creation_conflict", "validation_failed", "gocardless")
        ),
        {"payments": gc.PAYMENT},
        gc.listing("payments", [gc.PAYMENT, gc.PAYMENT], "c2"),
        gc.listing("payout_items", gc.ITEMS),
        {"data": gc.PAYOUT},
    ]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, child in inner for found in places(child, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The document with one value exchanged."""
    if not path:
        return new
    head, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[head] = put(value[head], tuple(rest), new)
    return copy


def check(meta: DeliveryMeta, body: bytes) -> None:
    translation = translate(meta, body)
    assert isinstance(translation, Translation)
    for event in translation.events:
        assert decode_event(encode_event(event)) == event
        assert event.learned_at == meta.received_at
        assert event.causation_id == meta.id
    for piece in translation.parked:
        piece.reason.encode()
    assert translate(meta, body) == translation


@QUICK
@given(data=st.data())
def test_any_bytes_give_a_translation(data: st.DataObject) -> None:
    check(data.draw(st.sampled_from(metas())), data.draw(st.binary(max_size=200)))


@QUICK
@given(data=st.data())
def test_real_bodies_with_wrong_values_give_a_translation(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from(bodies()))
    for _ in range(data.draw(st.integers(1, 3))):
        document = put(document, data.draw(st.sampled_from(places(document))), data.draw(ODD))
    check(data.draw(st.sampled_from(metas())), json.dumps(document).encode())


@QUICK
@given(data=st.data())
def test_real_bodies_with_wrong_bytes_give_a_translation(data: st.DataObject) -> None:
    body = bytearray(json.dumps(data.draw(st.sampled_from(bodies()))).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    check(data.draw(st.sampled_from(metas())), bytes(body[: data.draw(st.integers(0, len(body)))]))


@pytest.mark.parametrize("levels", [500, 2_000])
def test_deep_nesting_gives_a_translation(levels: int) -> None:
    nested = b"[" * levels + b"1" + b"]" * levels
    for meta in metas():
        for name in ("events", "payments", "payout_items", "error", "meta", "data", "links"):
            check(meta, b'{"%s": %s, "meta": {"cursors": {"after": null}}}' % (name.encode(), nested))
            check(meta, b'{"%s": [{"id": "EV1", "extra": %s}], "meta": {"cursors": {}}}' % (name.encode(), nested))


def test_every_place_of_a_real_body_may_be_wrong() -> None:
    document = {"payments": gc.PAYMENT}
    meta = gc.answer_meta("create_payment", status=201)
    for path in places(document):
        wrong: Any
        for wrong in (None, [], {}, "", -1, 1.5, True, "x", deep(50)):
            check(meta, json.dumps(put(document, path, wrong)).encode())
