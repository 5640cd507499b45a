"""What is parked is listed, and tried again: commands are sent again, deliveries are read again by the present code."""

import json

import pytest

from adapters.deliveries import Parked, Translation
from streams.stages import translate
from tests.support.company import events_of
from tests.support.deliveries import gc_event, webhook


@pytest.fixture
def parked_command(installation, company):
    payment = company.collect()
    company.pay(payment, "confirmed", "2026-03-06T11:40:00.000Z")
    command = company.take("zoho.create_customer_payment")
    company.outcome(command, "parked", reason="gave up after 30 tries")
    installation.feed(events_of(company))
    return command.id


def test_nothing_is_parked(installation):
    installation.feed()
    assert installation.json("parked", "list") == {"items": []}
    assert installation.cli("parked", "list").stdout == "Nothing is parked.\n"
    assert installation.cli("parked", "replay", "--all").stdout == "Nothing is parked.\n"
    assert installation.json("parked", "replay", "wh-1", code=5)["code"] == "not_found"
    assert installation.json("parked", "replay", code=2)["code"] == "usage"


def test_a_parked_command_is_sent_again(installation, parked_command):
    (item,) = installation.json("parked", "list", code=1)["items"]
    assert (item["kind"], item["item"], item["reason"]) == ("command", parked_command, "gave up after 30 tries")
    assert parked_command in installation.cli("parked", "list", code=1).stdout
    data = installation.json("parked", "replay", parked_command, "--by", "finance")
    assert [one["type"] for one in data["commands"]] == ["operator.replay_requested"]
    installation.feed()
    assert installation.json("parked", "list") == {"items": []}
    assert installation.json("status", code=1)["connections"][0]["commands"]["zoho"].get("parked") is None
    error = installation.json("parked", "replay", parked_command, code=1)
    assert error["remedy"] == f"command {parked_command} is open: only a parked or refused one is sent again"


def test_all_that_is_parked_is_tried_again(installation, parked_command):
    assert "To be sent again" in installation.cli("parked", "replay", "--all").stdout
    installation.feed()
    assert installation.json("parked", "list") == {"items": []}


@pytest.fixture
def parked_delivery(installation, company, monkeypatch):
    """A webhook of two events, one of which an earlier version could not read."""
    payment = company.collect()
    installation.feed(events_of(company))
    meta, body = webhook(
        [
            gc_event("EV1", payment, "confirmed", "2026-03-06T11:40:00.000Z"),
            gc_event("EV2", "PM9", "created", "2026-03-06T12:00:00.000Z"),
        ]
    )
    real = translate.read

    def earlier(context, record):
        found, kept = real(context, record)
        return Translation(found.events[1:], [Parked("events[0]", "not known to this version")]), kept

    monkeypatch.setattr(translate, "read", earlier)
    installation.feed(deliveries=[(meta, body)])
    monkeypatch.setattr(translate, "read", real)
    return meta.id


def test_a_parked_delivery_is_read_again(installation, parked_delivery):
    (item,) = installation.json("parked", "list", code=1)["items"]
    assert (item["kind"], item["item"], item["about"]) == ("delivery", parked_delivery, f"deliveries:{parked_delivery}")
    (done,) = installation.json("parked", "replay", parked_delivery, "--by", "finance")["deliveries"]
    assert done == {"delivery": parked_delivery, "events": 2, "new": 1, "unreadable": [], "closed": True}
    told = [one["value"] for one in installation.json("events", "--limit", "2")["records"]]
    assert [one["id"] for one in told[:1]] == ["EV1"]
    assert told[0]["learned_at"] > told[0]["happened_at"]
    assert told[1]["data"]["discrepancy"] == f"delivery_parked:deliveries:{parked_delivery}"
    installation.feed()
    assert installation.json("parked", "list") == {"items": []}
    assert "Collected" in installation.json("why", "invoice", "INV-1", "--brief")["why"]["state"]


def test_what_still_cannot_be_read_stays_parked(installation, parked_delivery, monkeypatch):
    real = translate.read

    def still(context, record):
        found, kept = real(context, record)
        return Translation(found.events[1:], [Parked("events[0]", "still not known")]), kept

    monkeypatch.setattr(translate, "read", still)
    found = json.loads(installation.cli("parked", "replay", "--all", "--json", code=1).stdout)["data"]["deliveries"]
    assert found == [
        {
            "delivery": parked_delivery,
            "events": 1,
            "new": 0,
            "unreadable": ["events[0]: still not known"],
            "closed": False,
        }
    ]
    assert "still parked: events[0]" in installation.cli("parked", "replay", parked_delivery, code=1).stdout
    assert len(installation.json("parked", "list", code=1)["items"]) == 1
