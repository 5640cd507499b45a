"""Quiet: true only when nothing is left to do at this instant."""

import asyncio

import pytest

from streams.log.interface import TopicPartition

TP = TopicPartition("events", 0)


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


def test_work_is_counted_and_named(company):
    activity = company.activity
    assert activity.quiet()
    with activity.work("gateway"), activity.work("gateway"):
        assert not activity.quiet()
        assert activity.why_not() == "gateway"
    assert activity.quiet()
    with pytest.raises(KeyError), activity.work("append"):
        raise KeyError
    assert activity.quiet()


def test_a_partition_that_is_read_is_busy_until_it_is_handled(company):
    activity = company.activity
    activity.appended(TP, 5)
    assert activity.quiet(), "what this process does not read keeps nobody up"
    activity.reads(TP, 0, 5)
    assert activity.why_not() == "events/0"
    activity.handled(TP, 5)
    assert activity.quiet()
    activity.appended(TP, 7)
    activity.appended(TP, 6)
    assert not activity.quiet()
    activity.handled(TP, 6)
    assert not activity.quiet()
    activity.handled(TP, 7)
    assert activity.quiet()


async def test_a_loop_runs_at_once_when_woken_and_at_the_instant_it_named(company):
    activity, wakeups, clock, ran = company.activity, company.wakeups, company.clock, []

    async def turn():
        ran.append(clock.now())
        return "2026-03-02T10:00:00.000Z"

    loop = asyncio.create_task(wakeups.loop("clock", turn))
    await turns()
    assert len(ran) == 1
    assert activity.quiet()
    wakeups.wake("clock")
    assert not activity.quiet(), "from the moment it is woken, not from the moment it runs"
    await turns()
    assert len(ran) == 2
    clock.move(3_599)
    await turns()
    assert len(ran) == 2
    clock.move(1)
    await turns()
    assert ran[-1] == "2026-03-02T10:00:00.000Z"
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


async def test_who_is_woken_during_its_turn_takes_another(company):
    activity, wakeups, ran = company.activity, company.wakeups, []

    async def turn():
        ran.append(1)
        if len(ran) == 1:
            wakeups.wake("relay")

    loop = asyncio.create_task(wakeups.loop("relay", turn))
    await turns(8)
    assert len(ran) == 2
    assert activity.quiet()
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)


async def test_a_loop_ends_with_the_error_of_its_turn(company):
    async def turn():
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await company.wakeups.loop("relay", turn)
    assert company.activity.quiet()


def test_waking_a_loop_of_another_process_keeps_nobody_up(company):
    company.wakeups.wake("executor.zoho")
    assert company.activity.quiet()


async def test_an_append_keeps_the_process_up_until_it_is_handled_here(company):
    await company.context.reads(company.tp("events"), 0)
    await company.context.tell(company.seen("PM1"))
    assert company.activity.why_not() == "events/0"
    await company.decide()
    assert company.activity.quiet()
