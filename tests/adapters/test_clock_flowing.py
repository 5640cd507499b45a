"""The simulators' clock where time flows by itself: it is seen by asking, and nobody has to be quiet for it to move."""

import asyncio
from datetime import timedelta

import pytest

from adapters import sandbox_clock
from adapters.sandbox_clock import SandboxClock
from domain.times import instant
from tests.support.simulated_time import START, at, simulated


async def test_flowing_time_is_seen_by_asking() -> None:
    async with simulated() as program:
        program.barrier.flow(3600)
        await asyncio.wait_for(program.clock.sleep_until(at(1800)), 5)
        assert program.clock.now() >= at(1800)
        assert program.clock.now() <= instant(program.world.now + timedelta(seconds=1))


async def test_a_sleeper_of_flowing_time_wakes_soon_after_its_time() -> None:
    async with simulated() as program:
        program.barrier.flow(60)
        for seconds in (6, 12, 18):
            await asyncio.wait_for(program.clock.sleep_until(at(seconds)), 5)
            assert at(seconds) <= program.clock.now() < at(seconds + 60)


async def test_a_program_goes_from_the_barrier_to_flowing_time_and_back() -> None:
    async with simulated() as program:
        program.run_until(10)
        await program.idle()
        program.barrier.flow(3600)
        await asyncio.wait_for(program.clock.sleep(1800), 5)
        program.barrier.pause()
        stood = program.world.now
        sleeper = asyncio.create_task(program.clock.sleep_until(instant(stood + timedelta(hours=1))))
        await asyncio.sleep(0.1)
        assert not sleeper.done()
        program.barrier.run_until(stood + timedelta(hours=1), ("program",))
        await asyncio.wait_for(sleeper, 5)
        assert (await program.idle())["idle"]
        assert program.clock.now() == instant(stood + timedelta(hours=1))


@pytest.mark.parametrize("busy", ["working", "unsettled"])
async def test_a_program_that_never_rests_sees_flowing_time_too(monkeypatch: pytest.MonkeyPatch, busy: str) -> None:
    monkeypatch.setattr(sandbox_clock, "_WORKING_S", 0.1)

    async def settle() -> None:
        await asyncio.sleep(0)

    async with simulated(start=False) as program:
        program.busy = int(busy == "working")
        await program.clock.start(program.quiet, settle if busy == "unsettled" else None)
        program.barrier.run_until(START + timedelta(hours=1), ("program",))
        await asyncio.sleep(0.3)
        assert program.clock.now() == at(0), "asked meanwhile, and time stood still"
        program.barrier.flow(3600)
        await asyncio.wait_for(program.clock.sleep_until(at(1800)), 5)


async def test_flowing_time_asks_nobody_whether_it_is_quiet() -> None:
    async with simulated() as program:
        program.barrier.flow(3600)
        await asyncio.wait_for(program.clock.sleep(600), 5)
        asked = program.asked
        await asyncio.wait_for(program.clock.sleep(600), 5)
        assert program.asked == asked


async def test_a_program_that_is_started_while_time_flows_takes_no_part_in_the_barrier() -> None:
    async with simulated(start=False) as program:
        program.barrier.flow(3600)
        for name in ("one", "two"):
            clock = SandboxClock(program.url, participant=name)
            await clock.start(lambda: False)
            before = clock.now()
            await asyncio.wait_for(clock.sleep(300), 5)
            assert clock.now() > before
            await clock.close()
        assert program.barrier._tokens == {}


async def test_a_new_speed_is_seen() -> None:
    async with simulated() as program:
        program.barrier.flow(3600)
        await asyncio.wait_for(program.clock.sleep(600), 5)
        program.barrier.flow(1)
        await asyncio.sleep(0.6)
        seen = program.clock.now()
        await asyncio.sleep(0.6)
        assert seen <= program.clock.now() < instant(program.world.now + timedelta(seconds=5))
