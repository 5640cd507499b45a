"""Looking: status, why with its trail down to the signed bytes, and the log itself."""

import hashlib
import json

import pytest

from domain.events import PayoutItem
from projections.store.store import open_store
from projections.store.tables import quarantine
from tests.support.company import events_of
from tests.support.deliveries import gc_event, webhook


@pytest.fixture
def collected(installation, company):
    """A payment that a signed webhook confirmed; its id, and the webhook's body."""
    payment = company.collect()
    installation.feed(events_of(company))
    installation.feed(deliveries=[webhook([gc_event("EV1", payment, "confirmed", "2026-03-06T11:40:00.000Z")])])
    meta, body = webhook([gc_event("EV2", "PM-other", "created", "2026-03-06T11:40:00.000Z")])
    installation.feed(deliveries=[(meta, body)])
    return payment


def test_status_of_a_fresh_installation_says_the_first_steps(installation):
    installation.feed()
    data = installation.json("status", code=1)
    (one,) = data["connections"]
    assert (one["name"], one["gate"], one["policy"], data["running"]) == ("c1", "closed", 0, False)
    assert "zoho-gocardless connect c1" in one["needs_person"][0]
    assert "needs a person: nothing is known yet" in installation.cli("status", code=1).stdout


def test_status_counts_and_is_quiet_when_nobody_is_needed(installation, collected):
    data = installation.json("status")
    (one,) = data["connections"]
    assert (one["invoices"], one["payments"]["confirmed"], one["policy"]) == ({"collected": 1}, 1, 1)
    assert one["commands"]["zoho"]["ready"] == 1
    assert (one["needs_person"], data["log"]["unhandled_events"]) == ([], 0)
    assert "invoices: 1 collected" in installation.cli("status").stdout


def test_status_shows_what_waits_for_a_person(installation, company):
    payment = company.collect()
    company.pay(payment, "failed", cause="insufficient_funds", will_attempt_retry=False)
    installation.feed(events_of(company))
    with open_store(installation.settings.store) as store, store.write() as connection:
        connection.exec_driver_sql(
            store.upsert(quarantine), ("c1", 1, 3, "EV1", "KeyError at x", "2026-03-02T09:00:00.000Z")
        )
        store.require_catch_up(connection, "restored", "2026-03-02T09:00:00.000Z")
    (one,) = installation.json("status", code=1)["connections"]
    assert [row["code"] for row in one["discrepancies"]] == ["debit_failed"]
    assert one["needs_person"] == [
        "set aside since 2026-03-02T09:00:00.000Z: KeyError at x; upgrade, or report it",
        "1 discrepancies are open",
    ]
    assert one["waits"] == [f"{api} is read to its head first (restored)" for api in ("gocardless", "zoho")]
    shown = installation.cli("status", code=1).stdout
    assert "The debit for INV-1 failed: insufficient funds." in shown
    assert "zoho-gocardless decide invoice INV-1 --retry" in shown


def test_status_tells_what_was_not_worked_in(installation, company):
    company.collect()
    events = events_of(company)
    installation.feed(events[:-3])
    installation.append(events[-3:])
    assert installation.json("status")["log"]["unhandled_events"] == 3


def test_the_trail_of_a_payment_ends_at_the_signed_bytes(installation, collected):
    data = installation.json("why", "payment", collected, "--bodies")
    assert data["why"]["state"].startswith("It is confirmed. Booked on 2026-03-06")
    step = next(one for one in data["trail"] if one["id"] == "EV1")
    assert (step["place"]["topic"], step["place"]["partition"], step["type"]) == (
        "events",
        1,
        "gocardless.payments.confirmed",
    )
    assert any(line.startswith("asked: zoho.create_customer_payment for bookings:") for line in step["decided"])
    assert (
        f"booked on 2026-03-06: {collected} confirmed: Dr clearing 120.00 GBP, Cr receivables 120.00 GBP"
        in step["decided"]
    )
    source = step["delivery"]
    assert (source["place"], source["kind"]) == (
        {"topic": "deliveries.gocardless", "partition": 1, "offset": 0},
        "webhook",
    )
    assert (source["signature_header"], source["secret"]) == ("webhook-signature", "main")
    body = source["body"].encode()
    assert (source["size_bytes"], source["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert webhook(json.loads(body)["events"])[0].headers["webhook-signature"] == source["signature"]
    assert not [one for one in data["trail"] if "PM-other" in json.dumps(one)]


def test_the_trail_of_an_invoice_holds_its_commands_and_how_they_ended(installation, collected):
    data = installation.json("why", "invoice", "INV-1")
    assert data["key"] == "1"
    asked = [
        line
        for step in data["trail"]
        for line in step["decided"]
        if line.startswith("asked: gocardless.create_payment")
    ]
    command = asked[0].rpartition("(")[2].rstrip(")")
    assert [
        step["said"] for step in data["trail"] if step["type"] == "command.outcome" and command in step["said"]
    ] == [f"command {command}, kind succeeded, resource_id {collected}"]
    assert {step["place"]["offset"] for step in data["trail"]} <= set(range(100))
    assert [step["place"]["offset"] for step in data["trail"]] == sorted(
        step["place"]["offset"] for step in data["trail"]
    )


def test_why_in_words(installation, collected):
    shown = installation.cli("why", "invoice", "INV-1").stdout
    assert shown.startswith("invoice INV-1: ")
    assert "verified by the secret 'main'" in shown
    assert "  to do: nothing" in shown
    brief = installation.cli("why", "contact", "c-1", "--brief").stdout
    assert (
        brief.splitlines()[0]
        == "contact c-1: The contact is linked to a payer at GoCardless by email (CU1). Mandates: MD1 active in GBP."
    )
    assert installation.json("why", "contact", "c-1")["trail"]


def test_why_of_something_unknown(installation):
    installation.feed()
    assert installation.json("why", "invoice", "INV-9", code=5)["code"] == "not_found"


def test_why_of_a_payout(installation, company):
    payment = company.confirmed()
    items = [PayoutItem("payment_paid_out", 120_000, payment)]
    company.payout("PO1", items, 12_000)
    company.answer_all()
    installation.feed(events_of(company))
    data = installation.json("why", "payout", "PO1")
    assert "Reconciled" in data["why"]["state"]
    assert {"gocardless.payouts.paid", "gocardless.payout_read", "command.outcome"} <= {
        step["type"] for step in data["trail"]
    }


# --- the log ---


def test_events_shows_the_last_ones_or_from_a_place_on(installation, collected):
    total = len(installation.event_types())
    last = installation.json("events", "--limit", "2")["records"]
    assert [one["offset"] for one in last] == [total - 2, total - 1]
    first = installation.json("events", "--from", "0", "--partition", "1", "--limit", "3")["records"]
    assert [one["offset"] for one in first] == [0, 1, 2]
    assert first[0]["value"]["type"] == first[0]["type"] == "connection.checked"
    assert installation.json("events", "--from", "2999-01-01T00:00:00Z")["records"] == []
    assert len(installation.json("events", "--from", "2020-01-01T00:00:00Z", "--limit", "1000")["records"]) == total
    assert installation.json("events", "--from", "999999")["records"] == []


def test_events_by_type_connection_and_topic(installation, collected):
    found = installation.json("events", "--type", "gocardless.payments.*")["records"]
    assert [one["id"] for one in found] == ["EV1", "EV2"]
    assert installation.json("events", "--connection", "c1", "--type", "nothing.*")["records"] == []
    deliveries = installation.json("events", "--topic", "deliveries.gocardless")["records"]
    assert len(deliveries) == 2
    assert deliveries[0]["value"]["events"][0]["id"] == "EV1"
    assert installation.json("events", "--topic", "discrepancies", "--connection", "c1")["records"] == []
    published = installation.json("events", "--topic", "decisions", "--limit", "1")["records"][0]
    assert published["value"]["connection"] == "c1"


def test_events_in_text_hold_values_only_when_asked(installation, collected):
    line = installation.cli("events", "--limit", "1").stdout
    assert line.startswith("events[1]@")
    assert line.rstrip().endswith("EV2")
    assert "PM-other" not in line
    assert "PM-other" in installation.cli("events", "--limit", "1", "--values").stdout


def test_events_refuses_what_it_cannot_read(installation):
    installation.feed()
    assert "use an offset, or an instant" in installation.cli("events", "--from", "yesterday", code=2).stderr
    assert installation.json("events", "--partition", "7", code=5)["where"] == "events"
