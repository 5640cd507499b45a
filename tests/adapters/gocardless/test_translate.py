"""Deliveries to events: every vendored body comes out as what it says, and what cannot be read is parked beside the
rest.
"""

import hmac
from typing import Any

import pytest

from adapters.deliveries import DeliveryMeta, Parked, Translation
from adapters.gocardless.translate import MAX_PARKED, translate
from adapters.gocardless.webhook import DOCUMENTED_EVENTS, MAX_BODY_BYTES, verify
from adapters.vault import Secret
from domain import events, ids
from domain.envelope import Event
from tests.support import gocardless_records as gc

# --- webhooks ---------------------------------------------------------------------------------------------------------


def test_the_signed_vectors_verify_and_say_what_they_say() -> None:
    expected = {
        "official-1": [
            ("EV00BD05S5VM2T", "gocardless.subscriptions.created", "2018-07-05T09:13:51.404Z", "SB0003JJQ2MR06"),
            ("EV00BD05TB8K63", "gocardless.mandates.created", "2018-07-05T09:13:56.893Z", "MD000AMA19XGEC"),
        ],
        "official-2-go": [("EVTESTNE86TNZS", "gocardless.payments.failed", "2017-03-20T17:57:02.292Z", "index_ID_123")],
        "derived-non-ascii": [],
        "derived-empty-events": [],
    }
    for vector in gc.load("webhook_vectors.json")["vectors"]:
        if not vector["valid"]:
            continue
        body = gc.fixture(vector["body_file"]) if "body_file" in vector else vector["body"].encode()
        secret = Secret("endpoint", vector["secret"].encode())
        assert verify({"Webhook-Signature": vector["signature"]}, body, [secret]) == "endpoint"
        translation = translate(gc.webhook_meta(secret="endpoint"), body)
        assert translation.parked == []
        assert [(e.id, e.type, e.happened_at, e.correlation_id) for e in translation.events] == expected.pop(
            vector["name"]
        )
        gc.survives(translation)
    assert expected == {}


def test_an_event_is_carried_whole() -> None:
    event = gc.one(translate(gc.webhook_meta(), gc.fixture("webhook_vector2_body_go.json")))
    assert event == Event(
        "EVTESTNE86TNZS",
        "gocardless.payments.failed",
        "main",
        "2017-03-20T17:57:02.292Z",
        gc.NOW,
        "webhook",
        events.GcEvent(
            "payments",
            "failed",
            {"payment": "index_ID_123"},
            origin="bank",
            cause="test_failure",
            description="GoCardless has marked this payment as failed in sandbox to enable testing of payment failure webhooks.",
            scheme="sepa_core",
            reason_code="TEST",
        ),
        causation_id="wh-1",
        correlation_id="index_ID_123",
    )


def test_every_lifecycle_sample_is_understood() -> None:
    samples = gc.load("webhook_event_samples_synthetic.json")["samples"]
    count = 0
    for rows in samples.values():
        translation = translate(gc.webhook_meta(), gc.body({"events": rows, "meta": {"webhook_id": "WB1"}}))
        assert translation.parked == []
        for row, event in zip(rows, translation.events, strict=True):
            assert (event.id, event.happened_at) == (row["id"], row["created_at"])
            assert event.type == f"gocardless.{row['resource_type']}.{row['action']}"
            assert (event.data.links, event.data.cause) == (row["links"], row["details"]["cause"])
            assert event.data.will_attempt_retry == row["details"].get("will_attempt_retry")
            assert event.data.resource_metadata == row["resource_metadata"]
            assert event.correlation_id == row["links"][row["resource_type"][:-1]]
        gc.survives(translation)
        count += len(rows)
    assert count == 34


def test_every_action_of_the_catalogue_is_understood() -> None:
    catalogue = gc.load("event_catalogue.json")
    rows: list[dict[str, Any]] = []
    for resource, actions in catalogue["resource_types"].items():
        for action, entry in actions.items():
            for details in entry["details"]:
                shown = {key: details[key] for key in ("origin", "cause", "scheme", "description")}
                row = {
                    "id": f"EV{len(rows)}",
                    "created_at": "2026-03-02T09:00:00.000Z",
                    "resource_type": resource,
                    "action": action,
                }
                rows.append({**row, "details": shown, "links": {resource[:-1]: f"X{len(rows)}"}})
    for resource, actions in catalogue["_later_additions"].items():
        if resource == "_source":
            continue
        rows.extend(
            {
                "id": f"EV{len(rows)}{action}",
                "created_at": "2026-03-02T09:00:00Z",
                "resource_type": resource,
                "action": action,
            }
            for action in actions
        )
    translation = translate(gc.webhook_meta(), gc.body({"events": rows}))
    assert translation.parked == []
    assert len(translation.events) == len(rows) > 200
    assert [event.type for event in translation.events] == [
        f"gocardless.{row['resource_type']}.{row['action']}" for row in rows
    ]
    gc.survives(translation)


def test_a_recorded_list_row_and_its_webhook_are_the_same_event() -> None:
    body = gc.load("client-python/events.json")["list"]["body"]
    polled = translate(gc.page_meta("gocardless.events"), gc.body(body)).events[0]
    pushed = translate(gc.webhook_meta(), gc.body({"events": body["events"][:1]})).events[0]
    assert (polled.id, polled.type, polled.data, polled.happened_at) == (
        pushed.id,
        pushed.type,
        pushed.data,
        pushed.happened_at,
    )
    assert (polled.source, pushed.source) == ("poll", "webhook")


def test_a_type_nobody_has_heard_of_is_kept() -> None:
    row = {
        "id": "EV1",
        "created_at": "2026-03-02T09:00:00Z",
        "resource_type": "gift_cards",
        "action": "folded",
        "links": {"gift_card": "GC1"},
    }
    translation = translate(gc.webhook_meta(), gc.body({"events": [row]}))
    event = gc.one(translation)
    assert (event.type, event.correlation_id, event.happened_at) == (
        "gocardless.gift_cards.folded",
        "GC1",
        "2026-03-02T09:00:00.000Z",
    )
    gc.survives(translation)


GOOD = {
    "id": "EV1",
    "created_at": "2026-03-02T09:00:00Z",
    "resource_type": "payments",
    "action": "failed",
    "links": {"payment": "PM1"},
}


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": ""},
        {"id": []},
        {"id": "EV 1"},
        {"id": "../1"},
        {"created_at": None},
        {"created_at": "yesterday"},
        {"created_at": "2026-03-02T09:00:00"},
        {"created_at": "0001-01-01T00:00:00+23:59"},
        {"created_at": "0001-01-02T00:00:00Z"},
        {"created_at": "1969-12-31T23:59:59Z"},
        {"created_at": "9999-12-31T00:00:00Z"},
        {"created_at": 1772442000},
        {"resource_type": None},
        {"resource_type": "pay.ments"},
        {"action": ""},
        {"action": ["failed"]},
        {"links": []},
        {"links": {"payment": {}}},
        {"links": {"payment": "PM 1"}},
        {"links": {"pay ment": "PM1"}},
        {"links": {f"link{number}": "X" for number in range(60)}},
        {"details": "bank"},
        {"details": {"will_attempt_retry": "yes"}},
        {"resource_metadata": {"a": {}}},
        {"resource_metadata": {f"key{number}": "x" for number in range(60)}},
    ],
)
def test_an_event_that_cannot_be_read_is_parked_and_the_others_go_on(change: dict[str, Any]) -> None:
    body = gc.body({"events": [{**GOOD, "id": "EV0"}, {**GOOD, **change}, {**GOOD, "id": "EV2"}]})
    translation = translate(gc.webhook_meta(), body)
    assert [event.id for event in translation.events] == ["EV0", "EV2"]
    assert [piece.where for piece in translation.parked] == ["events[1]"]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"id": 17},
        {"links": None},
        {"links": {"payment": None}},
        {"links": {"payment": 17}},
        {"details": None},
        {"metadata": 7},
    ],
)
def test_an_event_that_is_merely_odd_is_read(change: dict[str, Any]) -> None:
    gc.survives(translation := translate(gc.webhook_meta(), gc.body({"events": [{**GOOD, **change}]})))
    gc.one(translation)


def test_bytes_that_are_not_utf_8_spoil_their_own_event_only() -> None:
    body = gc.body({"events": [{**GOOD, "id": "EV0"}, {**GOOD, "action": "XX"}]}).replace(b"XX", b"\xff\xfe")
    translation = translate(gc.webhook_meta(), body)
    assert [event.id for event in translation.events] == ["EV0"]
    assert translation.parked == [Parked("events[1]", "not UTF-8")]


@pytest.mark.parametrize("spoiled", [b'"\\ud83d"', b"NaN", b"-Infinity"])
def test_half_an_emoji_does_not_spoil_the_others(spoiled: bytes) -> None:
    body = gc.body(
        {"events": [{**GOOD, "id": "EV0"}, {**GOOD, "id": "EV2", "resource_metadata": {"note": "XX"}}]}
    ).replace(b'"XX"', spoiled)
    translation = translate(gc.webhook_meta(), body)
    assert [event.id for event in translation.events] == ["EV0", "EV2"]
    gc.survives(translation)


def test_long_texts_are_cut_and_control_characters_are_taken_out() -> None:
    row = {
        **GOOD,
        "details": {"description": "a\x00b\n" + "x" * 5000, "cause": "a\ud800"},
        "resource_metadata": {"k\x00": "v" * 5000, "n": True},
    }
    translation = translate(gc.webhook_meta(), gc.body({"events": [row]}))
    data = gc.one(translation).data
    assert (len(data.description), data.description[:4], data.cause) == (500, "a b ", "a?")
    assert (len(data.resource_metadata["k"]), data.resource_metadata["n"]) == (500, "true")
    gc.survives(translation)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"events": {}}',
        b"<html>",
        b'{"events": [',
        b"\xff",
        b'{"events": ' + b"[" * 100_000,
        b'{"error": {}}',
    ],
)
def test_a_webhook_that_is_none_is_parked_whole(body: bytes) -> None:
    translation = translate(gc.webhook_meta(), body)
    assert translation.events == []
    assert [piece.where for piece in translation.parked] == [""]


def test_a_body_above_the_limit_is_not_parsed() -> None:
    fits = gc.body({"events": [GOOD]})
    assert len(translate(gc.webhook_meta(), fits.ljust(MAX_BODY_BYTES)).events) == 1
    translation = translate(gc.webhook_meta(), fits.ljust(MAX_BODY_BYTES + 1))
    assert translation.events == []
    assert "exceeds" in translation.parked[0].reason


def test_more_events_than_documented_are_all_read() -> None:
    rows = [{**GOOD, "id": f"EV{number}"} for number in range(DOCUMENTED_EVENTS + 50)]
    assert len(translate(gc.webhook_meta(), gc.body({"events": rows})).events) == DOCUMENTED_EVENTS + 50


def test_parked_pieces_are_bounded_and_counted() -> None:
    translation = translate(gc.webhook_meta(), gc.body({"events": [{}] * (MAX_PARKED + 5)}))
    assert len(translation.parked) == MAX_PARKED + 1
    assert translation.parked[-1] == Parked("", "5 further pieces cannot be read")


def test_no_value_stands_in_a_reason() -> None:
    rows: list[dict[str, Any]] = [{**GOOD, "id": "someone@example.com"}, {**GOOD, "details": "someone@example.com"}]
    rows.append({**GOOD, "created_at": "someone@example.com"})
    translation = translate(gc.webhook_meta(), gc.body({"events": rows}))
    assert len(translation.parked) == 3
    assert "example" not in "".join(piece.reason for piece in translation.parked)


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "type_"),
    [
        ("gocardless.payments", "payments", "gocardless.payment_read"),
        ("gocardless.payouts", "payouts", "gocardless.payout_read"),
        ("gocardless.mandates", "mandates", "gocardless.mandate_read"),
        ("gocardless.customers", "customers", "gocardless.payer_read"),
    ],
)
def test_recorded_list_bodies_become_reads(kind: str, name: str, type_: str) -> None:
    body = gc.load(f"client-python/{name}.json")["list"]["body"]
    translation = translate(gc.page_meta(kind), gc.body(body))
    assert translation.parked == []
    assert [event.type for event in translation.events] == [type_] * len(body[name])
    event = translation.events[0]
    assert event.id == ids.observation_id("pg-1", type_, body[name][0]["id"])
    assert (event.source, event.learned_at, event.happened_at, event.correlation_id) == (
        "poll",
        gc.NOW,
        gc.NOW,
        body[name][0]["id"],
    )
    gc.survives(translation)


def test_only_fresh_rows_of_a_page_become_events() -> None:
    rows = [{**gc.PAYMENT, "id": f"PM{number}"} for number in range(4)]
    body = gc.body(gc.listing("payments", rows))

    def shown(fresh: list[int] | None) -> list[str]:
        return [event.data.id for event in translate(gc.page_meta("gocardless.payments", fresh=fresh), body).events]

    assert shown(None) == ["PM0", "PM1", "PM2", "PM3"]
    assert shown([3, 1]) == ["PM1", "PM3"]
    assert shown([]) == []


def test_a_fresh_row_that_is_not_there_is_parked() -> None:
    translation = translate(
        gc.page_meta("gocardless.payments", fresh=[0, 7, -1]), gc.body(gc.listing("payments", [gc.PAYMENT]))
    )
    assert len(translation.events) == 1
    assert [piece.where for piece in translation.parked] == ["payments[-1]", "payments[7]"]


def test_one_bad_row_does_not_spoil_a_page() -> None:
    rows = [gc.PAYMENT, {**gc.PAYMENT, "amount": -1}, {**gc.PAYMENT, "currency": "XXX"}, {**gc.PAYMENT, "id": "PM2"}]
    translation = translate(gc.page_meta("gocardless.payments"), gc.body(gc.listing("payments", rows)))
    assert [event.data.id for event in translation.events] == [gc.PAYMENT["id"], "PM2"]
    assert [piece.where for piece in translation.parked] == ["payments[1]", "payments[2]"]


def test_a_page_that_equals_the_last_says_nothing() -> None:
    assert translate(gc.page_meta("gocardless.payments", same_as="abc"), b"") == Translation([], [])


def test_a_page_that_is_none_is_parked() -> None:
    for meta, body in (
        (gc.page_meta("gocardless.payments"), b"<html>"),
        (gc.page_meta("gocardless.payments"), gc.body({"payments": [gc.PAYMENT]})),
        (gc.page_meta("gocardless.payments", status=500), gc.body(gc.listing("payments", []))),
        (gc.page_meta("gocardless.nothing"), gc.body(gc.listing("payments", []))),
    ):
        translation = translate(meta, body)
        assert (translation.events, [piece.where for piece in translation.parked]) == ([], [""])


def test_a_delivery_that_does_not_say_what_it_is_is_parked() -> None:
    for kind in ("page", "answer"):
        meta = DeliveryMeta("d", "main", "gocardless", kind, gc.NOW)
        assert [piece.where for piece in translate(meta, b"{}").parked] == [""]


def test_a_signed_body_goes_all_the_way() -> None:
    rows = gc.load("webhook_event_samples_synthetic.json")["samples"]["refund lifecycle"]
    body = gc.body({"events": rows, "meta": {"webhook_id": "WB1"}})
    secret = Secret("2026", b"s3cret")
    assert verify({"Webhook-Signature": hmac.new(secret.value, body, "sha256").hexdigest()}, body, [secret]) == "2026"
    assert [event.id for event in translate(gc.webhook_meta(secret="2026"), body).events] == [row["id"] for row in rows]
