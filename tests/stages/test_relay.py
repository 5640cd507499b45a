"""The relay over a real outbox and log: in order, once, with the event's position as the version of what is public."""

import msgspec
import orjson
import pytest

from domain import codec
from projections.work.outbox import Outbox
from streams.log.interface import LogUnavailable
from streams.log.records import OFFSET_HEADER, decision_records, header
from streams.stages.relay import Relay


async def published(company):
    """(connection, event) of every published decision, in the order of the topic."""
    found = [codec.decode_decision(record.value) for record in await company.records("decisions")]
    return [(one.connection, one.event) for one in found]


def states(company, *commands):
    return [company.queue.get("acme", name).state for name in commands]


async def test_decisions_are_published_in_the_order_of_their_events_then_their_commands_may_go(company):
    asked = [await company.ask(company.read_invoice(f"inv-{number}"), publish=False) for number in range(5)]
    assert states(company, "inv-0", "inv-4") == ["waiting_publication"] * 2
    woken = []
    company.wakeups.wake = woken.append
    assert await Relay(company.context).turn() is None
    assert await published(company) == [("acme", event.id) for event in asked]
    assert states(company, "inv-0", "inv-4") == ["ready"] * 2
    assert set(woken) == {"executor.gocardless", "executor.zoho"}
    assert company.count("decisions") == 5
    assert await Relay(company.context).turn() is None
    assert len(await published(company)) == 5


async def test_public_records_carry_the_events_offset_as_version_and_their_own_key(company):
    await company.context.tell(company.seen("PM-first"))
    await company.decide()
    one = company.publication("reconciled-payments", "PM1", schema=1, state="confirmed")
    two = company.publication("discrepancies", "excess:payments:PM1", schema=1, state="open")
    event = await company.ask(publications=[one, two])
    (decision,) = [record for record in await company.records("decisions") if header(record, "id") == event.id.encode()]
    (payment,) = await company.records("reconciled-payments")
    (discrepancy,) = await company.records("discrepancies")
    offset = int(header(decision, OFFSET_HEADER))
    assert offset == 1
    assert orjson.loads(payment.value) == {"version": offset, "schema": 1, "state": "confirmed"}
    assert payment.value.startswith(b'{"version":')
    assert (payment.key, discrepancy.key) == (b"acme:PM1", b"acme:excess:payments:PM1")
    assert payment.partition == discrepancy.partition == decision.partition, "of the connection, not of the resource"
    assert header(payment, "id") == event.id.encode()


async def test_versions_of_a_resource_rise(company):
    for number in range(3):
        await company.ask(publications=[company.publication("reconciled-payouts", "PO1", n=number)])
    found = [orjson.loads(record.value) for record in await company.records("reconciled-payouts")]
    assert [one["n"] for one in found] == [0, 1, 2]
    versions = [one["version"] for one in found]
    assert versions == sorted(set(versions))


async def test_what_was_appended_and_not_marked_is_marked_at_the_next_start(company, again):
    asked = [await company.ask(company.read_invoice(f"inv-{number}"), publish=False) for number in range(3)]
    for one in Outbox(company.store).unpublished(0, 9):  # appended, and the process dies before the mark
        await company.context.append(decision_records(company.topics, one.value, one.offset, one.partition))
    assert await published(company) == [("acme", event.id) for event in asked]
    assert states(company, "inv-0") == ["waiting_publication"]
    late = await company.ask(company.read_invoice("inv-late"), publish=False)
    async with again() as restarted:
        relay = Relay(restarted.context)
        for partition in range(company.topics.partitions):
            await relay.recover(partition)
        assert states(restarted, "inv-0", "inv-2", "inv-late") == ["ready", "ready", "waiting_publication"]
        await relay.turn()
        assert await published(restarted) == [("acme", event.id) for event in (*asked, late)]


async def test_what_is_published_twice_all_the_same_is_the_same_record_with_the_same_version(company):
    """On Kafka an append may be there although it was not acknowledged."""
    await company.ask(publish=False, publications=[company.publication("reconciled-payments", "PM1", n=1)])
    append, lost = company.log.append, []

    async def unacknowledged(records, *, positions=None):
        found = await append(records, positions=positions)
        if not lost:
            lost.append(found)
            raise LogUnavailable("the answer was lost", "broker", "try again")
        return found

    company.log.append = unacknowledged
    with pytest.raises(LogUnavailable):
        await Relay(company.context).turn()
    await Relay(company.context).turn()
    first, second = await company.records("reconciled-payments")
    assert (first.value, first.key, first.headers) == (second.value, second.key, second.headers)
    one, two = await company.records("decisions")
    assert (one.value, one.headers) == (two.value, two.headers)


async def test_a_log_that_refuses_leaves_all_of_it_waiting(company):
    await company.ask(company.read_invoice("inv-1"), publish=False)
    await company.log.stop()
    with pytest.raises(LogUnavailable):
        await Relay(company.context).turn()
    await company.log.start()
    assert states(company, "inv-1") == ["waiting_publication"]
    await Relay(company.context).turn()
    assert states(company, "inv-1") == ["ready"]


async def test_a_long_backlog_goes_out_in_several_appends_in_order(company, monkeypatch):
    monkeypatch.setattr("streams.stages.relay._BATCH", 2)
    asked = [await company.ask(company.read_invoice(f"inv-{number}"), publish=False) for number in range(5)]
    sizes = []
    append = company.log.append

    async def counted(records, *, positions=None):
        sizes.append(len(records))
        return await append(records, positions=positions)

    company.log.append = counted
    await Relay(company.context).turn()
    assert sizes == [2, 2, 1]
    assert await published(company) == [("acme", event.id) for event in asked]


async def test_a_decision_reads_back_as_it_was_made(company):
    event = await company.ask(company.read_invoice("inv-1"))
    (record,) = await company.records("decisions")
    decision = codec.decode_decision(record.value)
    assert decision.event == event.id
    assert [command.id for command in decision.commands] == ["inv-1"]
    assert codec.encode_decision(decision) == record.value
    assert msgspec.json.decode(record.value)["connection"] == "acme"
