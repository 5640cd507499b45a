"""Processes that are cut off from the brokers, or stopped, for longer than their share of the work is theirs: what they
do late changes nothing.
"""

import asyncio
import signal
import time
from collections import Counter

import pytest

from tests.support import kafka_site
from tests.support.kafka_site import measured

pytestmark = pytest.mark.timeout(240)

#: Of the executors of these tests; the deadline of a call and the settle time are a second each.
LEASE_S = 3


async def test_a_workers_partitions_go_to_another_and_its_late_work_changes_nothing(own_cluster, settle_at):
    """The cut falls while there is work in hand, on all the ways to the brokers of the one worker."""
    (gate,) = own_cluster.gates
    async with settle_at() as site:
        cut_off = await site.start("worker", "behind-the-gate", log=own_cluster.gated_url)
        gateway = await site.start("gateway")
        sender = kafka_site.Sender(site, gateway.url)
        before = [f"EV1{number:03d}" for number in range(20)]
        await asyncio.gather(*(sender.gocardless(one) for one in before))
        await site.decided(before)

        held = site.owner_epochs()
        during = [f"EV2{number:03d}" for number in range(400)]
        flow = asyncio.create_task(asyncio.wait_for(_flow(sender, during), 60))
        await site.decided(during[:50])
        gate.cut()
        began_s = time.monotonic()
        other = await site.start("worker", "in-the-open")
        try:
            await kafka_site.until(lambda: all(site.owner_epochs()[number] > held[number] for number in held))
            taken_s = time.monotonic() - began_s
            await flow
            await site.decided(during)
        finally:
            gate.mend()
        measured("taken over after the cut, s", round(taken_s, 2))
        assert taken_s < 30

        # It either saw that it had lost its share and took part again, or ended to be started again; both go on from
        # the store.
        after = [f"EV3{number:03d}" for number in range(20)]
        await asyncio.gather(*(sender.gocardless(one) for one in after))
        await site.decided(after)
        await asyncio.sleep(8)  # longer than a session: whatever it held back has come
        if not cut_off.running:
            assert await cut_off.ended() == 70, cut_off.said
            assert "StoreFenced" in cut_off.said or "fenced" in cut_off.said
            await cut_off.start()
        assert other.running
        await site.decided(after)
        await kafka_site.until(site.all_handled)

        sent = [*before, *during, *after]
        events = Counter(one.id for one in await site.events())
        assert set(events) == set(sent)
        measured(
            "events appended more than once, of all", f"{sum(count > 1 for count in events.values())} of {len(events)}"
        )
        assert set(await site.decisions()) == set(sent)
        published = await site.published()
        for offsets in published.values():
            assert offsets == sorted(offsets)
        assert sum(len(offsets) for offsets in published.values()) == len(sent), "each was decided at one place"
        assert sorted(site.state("payments")) == sorted(one.replace("EV", "PM") for one in sent)
        assert max(events.values()) <= 3, "what comes late comes once more, not again and again"


async def _flow(sender, ids):
    for start in range(0, len(ids), 10):
        await asyncio.gather(*(sender.gocardless(one) for one in ids[start : start + 10]))
        await asyncio.sleep(0.05)


async def finished(site, name):
    """Until the command has its outcome."""

    async def done():
        await site.translate(group="look")
        await site.decide()
        return site.queue.get("acme", name).state == "done"

    await kafka_site.until(done)


async def once(site, api, debit):
    """One payment at the API, one in the state, by one outcome that counts; and nothing that a person would have to
    look at.
    """
    await site.translate(group="look")
    await site.decide()
    assert [one["id"] for one in api.made] == ["PM0001"]
    assert [method for _, method in api.writes()] == ["POST"]
    assert {event.data.kind for event in await site.events() if event.type == "command.outcome"} == {"succeeded"}
    assert site.queue.get("acme", debit.id).state == "done"
    assert list(site.state("payments")) == ["PM0001"]
    assert site.state("invoices")["inv-1"].payment == "PM0001"
    assert site.discrepancies() == []


def lease(site):
    with site.store.read() as reader:
        return reader.exec_driver_sql("SELECT owner, epoch FROM leases WHERE api = 'gocardless'").one_or_none()


async def asked(site):
    """A debit that may be sent, with what it takes to be decided."""
    debit, rows = site.debit()
    await site.ask(debit, rows=rows)
    return debit


async def test_an_executor_that_is_cut_off_while_its_call_is_under_way_neither_doubles_nor_loses_it(
    own_cluster, settle_at, api
):
    (gate,) = own_cluster.gates
    async with settle_at(api=f"{api.url}/any") as site:
        first = await site.start("executor", "first", log=own_cluster.gated_url, lease_s=LEASE_S)
        api.may_answer.clear()
        debit = await asked(site)
        await asyncio.wait_for(api.writing.wait(), 30)
        gate.cut()
        api.may_answer.set()
        began_s = time.monotonic()
        second = await site.start("executor", "second", lease_s=LEASE_S)
        await kafka_site.until(lambda: lease(site).owner.startswith("second"))
        taken_s = time.monotonic() - began_s
        await finished(site, debit.id)
        measured("lease taken, and done, after s", (round(taken_s, 2), round(time.monotonic() - began_s, 2)))
        there = len(await site.deliveries("gocardless"))
        gate.mend()

        async def late_answer():
            return len(await site.deliveries("gocardless")) > there

        measured("late answer after the mend, s", round(await kafka_site.until(late_answer), 2))
        await once(site, api, debit)
        assert (first.running, second.running) == (True, True)


async def test_an_executor_that_was_stopped_in_the_middle_of_its_call_neither_doubles_nor_loses_it(
    own_cluster, settle_at, api
):
    async with settle_at(api=f"{api.url}/any") as site:
        first = await site.start("executor", "first", lease_s=LEASE_S)
        api.may_answer.clear()
        debit = await asked(site)
        await asyncio.wait_for(api.writing.wait(), 30)
        first.send(signal.SIGSTOP)
        api.may_answer.set()
        began_s = time.monotonic()
        second = await site.start("executor", "second", lease_s=LEASE_S)
        await kafka_site.until(lambda: lease(site).owner.startswith("second"))
        taken_s = time.monotonic() - began_s
        first.send(signal.SIGCONT)
        await finished(site, debit.id)
        measured("lease taken, and done, after s", (round(taken_s, 2), round(time.monotonic() - began_s, 2)))
        await asyncio.sleep(LEASE_S + 2)  # whatever the first one had in hand has come
        await once(site, api, debit)
        assert (first.running, second.running) == (True, True)
