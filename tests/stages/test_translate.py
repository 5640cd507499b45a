"""Translate over a real log: each delivery once, all or nothing, and nothing that comes in can stop it."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec
import orjson
import pytest
from structlog.testing import capture_logs

from adapters.deliveries import CallInfo, PageInfo
from adapters.gocardless import translate as gocardless
from domain import commands, events
from streams.log.interface import LogUnavailable, NewRecord
from streams.stages import translate

PROCESS = Path(__file__).with_name("process.py")
NOW = "2026-03-02T09:00:00.000Z"


def hook(*numbers: int) -> bytes:
    return orjson.dumps(
        {
            "events": [
                {
                    "id": f"EV{n}",
                    "created_at": NOW,
                    "resource_type": "payments",
                    "action": "created",
                    "links": {"payment": f"PM{n}"},
                }
                for n in numbers
            ]
        }
    )


async def test_each_delivery_is_translated_once_across_restarts(company, again):
    await company.context.append([company.webhook(hook(1, 2)), company.webhook(hook(3), "birch")])
    await company.translate()
    await company.translate()
    await company.context.append([company.webhook(hook(4))])
    async with again() as restarted:
        await restarted.translate()
        assert [event.id for event in await restarted.events()] == ["EV1", "EV2", "EV3", "EV4"]


async def test_events_and_position_are_one_append(company, monkeypatch):
    await company.context.append([company.webhook(hook(1))])
    append, refused = company.log.append, []

    async def refusing(records, *, positions=None):
        refused.append((len(records), positions))
        raise LogUnavailable("no", "here", "try again")

    monkeypatch.setattr(company.log, "append", refusing)
    with pytest.raises(LogUnavailable):
        await company.translate()
    tp = company.tp("deliveries.gocardless")
    assert refused == [(1, {"test": {tp: 1}})]
    assert (await company.events(), await company.log.committed("test", tp)) == ([], None)
    monkeypatch.setattr(company.log, "append", append)
    await company.translate()
    assert ([event.id for event in await company.events()], await company.log.committed("test", tp)) == (["EV1"], 1)


@pytest.mark.parametrize(
    ("failpoint", "left"), [("translate.before_append", ([], None)), ("translate.after_append", (["EV1", "EV2"], 2))]
)
async def test_a_kill_between_leaves_all_or_nothing(company, again, tmp_path, failpoint, left):
    await company.context.append([company.webhook(hook(1)), company.webhook(hook(2))])
    environment = {**os.environ, "ZOHO_GOCARDLESS_FAILPOINT": failpoint}
    dying = await asyncio.create_subprocess_exec(sys.executable, str(PROCESS), str(tmp_path), env=environment)
    assert await dying.wait() == -9
    async with again() as restarted:
        tp = restarted.tp("deliveries.gocardless")
        assert ([event.id for event in await restarted.events()], await restarted.log.committed("test", tp)) == left
        await restarted.translate()
        assert [event.id for event in await restarted.events()] == ["EV1", "EV2"]


async def test_two_deliveries_of_the_same_bytes_give_events_of_the_same_ids_and_observations_of_their_own(company):
    invoice = orjson.dumps({"invoice": {"invoice_id": "910"}})
    await company.context.append([company.webhook(hook(1)), company.webhook(hook(1))])
    await company.context.append([company.webhook(invoice, api="zoho"), company.webhook(invoice, api="zoho")])
    await company.translate()
    first, second, gone, gone_again = await company.events()
    assert first.id == second.id
    assert (gone.type, gone_again.type) == ("zoho.invoice_gone", "zoho.invoice_gone")
    assert gone.id != gone_again.id


async def test_a_delivery_larger_than_an_append_comes_through_and_its_position_with_its_last_part(company, monkeypatch):
    monkeypatch.setattr(translate, "_APPEND_EVENTS", 10)
    placed = []
    append = company.log.append

    async def noted(records, *, positions=None):
        placed.append((len(records), positions["test"][company.tp("deliveries.gocardless")]))
        return await append(records, positions=positions)

    await company.context.append(
        [company.webhook(hook(0)), company.webhook(hook(*range(1, 26))), company.webhook(hook(26))]
    )
    monkeypatch.setattr(company.log, "append", noted)
    await company.translate()
    assert placed == [(10, 1), (10, 1), (7, 3)], "a position never passes a delivery of which a part is still to come"
    assert [event.id for event in await company.events()] == [f"EV{number}" for number in range(27)]
    assert company.activity.quiet()


async def test_an_append_is_bounded_in_bytes_too(company, monkeypatch):
    monkeypatch.setattr(translate, "_APPEND_BYTES", 1_000)
    sizes = []
    await company.context.append([company.webhook(hook(*range(30)))])
    append = company.log.append

    async def noted(records, *, positions=None):
        sizes.append(sum(len(record.value) for record in records))
        return await append(records, positions=positions)

    monkeypatch.setattr(company.log, "append", noted)
    await company.translate()
    assert len(sizes) > 5
    assert max(sizes) < 2_000
    assert len(await company.events()) == 30


async def test_more_events_than_the_log_takes_at_once_do_not_stop_it(company):
    """GoCardless documents 250 to a body; a body of two MiB can hold far more than the 10,000 records of one append."""
    await company.context.append([company.webhook(hook(*range(12_000)))])
    await company.translate()
    assert len(await company.events()) == 12_000


async def test_an_event_larger_than_a_reader_accepts_is_parked_and_the_rest_goes_on(company):
    pairs = {f"k{number}": "x" * 500 for number in range(40)}
    row = {
        "status": "confirmed",
        "amount": 1000,
        "currency": "GBP",
        "created_at": NOW,
        "links": {"mandate": "MD1"},
        "metadata": pairs,
    }
    body = orjson.dumps(
        {"payments": [{"id": f"PM{n}", **row} for n in range(100)], "meta": {"cursors": {"after": None}}}
    )
    command = commands.Command("cm-1", "mandates:MD1", "view", commands.ReadMandatePayments("MD1", NOW))
    call = CallInfo(command, 1, "send", "GET", "/payments", {}, 200, NOW)
    await company.context.append([company.webhook(body, kind="answer", call=call), company.webhook(hook(1))])
    await company.translate()
    outcome, parked, after = await company.events()
    assert (outcome.type, outcome.data.kind) == ("command.outcome", "succeeded")
    assert parked.type == "delivery.parked"
    assert "exceeds" in parked.data.reason
    assert after.id == "EV1"


async def test_a_page_of_bad_rows_is_not_answered_with_as_many_events(company):
    body = orjson.dumps(
        {"code": 0, "message": "success", "invoices": [1] * 5_000, "page_context": {"page": 1, "has_more_page": False}}
    )
    page = PageInfo("zoho.invoices", 1, NOW, complete=True)
    await company.context.append([company.webhook(body, api="zoho", kind="page", page=page)])
    await company.translate()
    found = await company.events()
    parked = [event for event in found if event.type == "delivery.parked"]
    assert len(parked) == translate.MAX_PARKED + 1
    assert parked[-1].data.reason == "4900 further pieces cannot be read"
    assert [event.type for event in found if event.type != "delivery.parked"] == ["zoho.invoices_listed"]
    assert company.count("parked_pieces") == len(parked)


async def test_a_translator_that_raises_parks_its_delivery_whole(company, monkeypatch):
    def raising(meta, body):
        raise ZeroDivisionError("a fault of ours, with Ada Lovelace in it")

    await company.context.append(
        [company.webhook(hook(1), id="wh-bad"), company.webhook(b'{"invoice":{"invoice_id":"910"}}', api="zoho")]
    )
    monkeypatch.setattr(gocardless, "translate", raising)
    with capture_logs() as journal:
        await company.translate()
    parked, gone = await company.events()
    assert (parked.type, parked.data.delivery, parked.data.reason) == (
        "delivery.parked",
        "wh-bad",
        "the translator failed: ZeroDivisionError",
    )
    assert (parked.data.topic, parked.data.partition, parked.data.offset) == ("deliveries.gocardless", 0, 0)
    assert gone.type == "zoho.invoice_gone"
    assert [line["event"] for line in journal] == ["translate.raised"]


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("meta", b"not json"),),
        (("meta", b"\xff\xfe"),),
        (("meta", b'{"id":1}'),),
        (("meta", b'{"x":' * 100_000),),
        (
            (
                "meta",
                msgspec.json.encode(
                    {"id": "a", "connection": "acme", "api": "stripe", "kind": "webhook", "received_at": NOW}
                ),
            ),
        ),
    ],
)
async def test_a_record_that_is_no_delivery_of_ours_is_parked_under_its_key(company, headers):
    await company.log.append([NewRecord("deliveries.zoho", b"acme", b"{}", headers)])
    await company.translate()
    (parked,) = await company.events()
    assert (parked.type, parked.connection) == ("delivery.parked", "acme")
    assert (parked.data.delivery, parked.data.reason) == ("deliveries.zoho/0/0", "not a delivery of ours")
    await company.decide()
    assert company.discrepancies() == ["delivery_parked"]


@pytest.mark.parametrize("key", [None, b"", b"\xff\x00\x01", b"k" * 1_000])
async def test_a_record_of_nobody_stops_nothing(company, key):
    await company.log.append([NewRecord("deliveries.gocardless", key, b"", partition=0)])
    await company.context.append([company.webhook(hook(1))])
    await company.translate()
    (parked,) = [event for event in await company.events() if event.type == "delivery.parked"]
    assert parked.connection == "" or parked.connection.isprintable()
    assert len(parked.connection) <= 40
    await company.decide()
    assert list(company.state("payments")) == ["PM1"]


def test_what_is_parked_says_where_the_whole_is(company):
    record = msgspec.structs.replace(_record(), offset=7)
    meta = company.webhook(b"")
    event = translate.parked(
        msgspec.json.decode(dict(meta.headers)["meta"], type=translate.DeliveryMeta),
        record,
        translate.Parked("events[3]", "no id"),
    )
    assert isinstance(event.data, events.DeliveryParked)
    assert (event.data.offset, event.data.where, event.data.reason) == (7, "events[3]", "no id")


def _record():
    from streams.log.interface import Record

    return Record("deliveries.gocardless", 0, 0, 0, b"acme", b"{}")
