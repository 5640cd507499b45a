"""The clock seam: the machine's time, and simulated time that moves only while the program is quiet (against the real
barrier).
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp import web

from adapters import clock as system_clock
from adapters import sandbox_clock
from adapters.clock import Clock, StoppedClock, SystemClock
from adapters.errors import ClockError
from adapters.sandbox_clock import SandboxClock
from domain.times import instant, parse
from tests.support.simulated_time import START, Simulated, at, simulated


async def test_the_system_clock_tells_utc_and_sleeps() -> None:
    clock: Clock = SystemClock()
    before, real = clock.now(), time.monotonic()
    await clock.sleep(0.03)
    await clock.sleep_until(instant(parse(clock.now()) + timedelta(seconds=0.05)))
    assert time.monotonic() - real >= 0.07
    assert clock.now() > before
    assert abs((parse(clock.now()) - datetime.now(UTC)).total_seconds()) < 1


async def test_the_system_clock_does_not_wait_for_the_past() -> None:
    await asyncio.wait_for(SystemClock().sleep_until("2001-01-01T00:00:00.000Z"), 1)


async def test_the_system_clock_looks_again_at_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_clock, "_LONGEST_SLEEP_S", 0.01)
    slept = 0
    real_sleep = asyncio.sleep

    async def counted(delay: float) -> None:
        nonlocal slept
        slept += 1
        await real_sleep(delay)

    monkeypatch.setattr(asyncio, "sleep", counted)
    await SystemClock().sleep_until(instant(datetime.now(UTC) + timedelta(seconds=0.1)))
    assert slept > 3


async def test_simulated_time_stands_still_until_it_is_run() -> None:
    async with simulated() as program:
        assert program.clock.now() == at(0)
        sleeper = asyncio.create_task(program.clock.sleep(10))
        await asyncio.sleep(0.1)
        assert not sleeper.done()
        program.run_until(10)
        await asyncio.wait_for(sleeper, 5)
        assert program.clock.now() == at(10)


async def test_sleepers_wake_in_order_each_at_its_own_time() -> None:
    woken: list[tuple[str, str]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await program.clock.sleep_until(at(seconds))
        woken.append((name, program.clock.now()))

    async with simulated() as program, asyncio.TaskGroup() as group:
        for name, seconds in (("c", 86_400 * 30), ("a", 0.25), ("b", 3600), ("a2", 0.25), ("past", -5)):
            group.create_task(sleeper(name, seconds))
        program.run_until(86_400 * 31)
    assert woken == [("past", at(0)), ("a", at(0.25)), ("a2", at(0.25)), ("b", at(3600)), ("c", at(86_400 * 30))]


async def test_time_waits_while_the_program_works() -> None:
    async with simulated() as program:
        program.busy = 1
        program.clock.wake()
        program.run_until(100)
        await asyncio.sleep(0.1)
        assert program.world.now == START
        program.busy = 0
        program.clock.wake()
        assert (await program.idle())["now"].startswith("2026-03-02T09:01:40")


async def test_work_that_a_woken_sleeper_starts_holds_time() -> None:
    seen: list[str] = []

    async def poller() -> None:
        for _ in range(20):
            await program.clock.sleep(60)
            program.busy += 1
            began = program.clock.now()
            await asyncio.sleep(0.003)  # a call under way, in real time
            seen.append(program.clock.now())
            assert program.clock.now() == began
            program.busy -= 1
            program.clock.wake()

    async with simulated() as program:
        task = asyncio.create_task(poller())
        await asyncio.sleep(0)
        program.run_until(10_000)
        await asyncio.wait_for(task, 5)
    assert seen == [at(60 * step) for step in range(1, 21)]


async def test_work_that_begins_while_a_token_is_out_withdraws_it() -> None:
    async with simulated() as program:
        await asyncio.sleep(0.1)
        program.run_until(0)
        assert (await program.idle())["idle"]
        program.busy = 1
        program.clock.wake()
        for _ in range(100):
            await asyncio.sleep(0.01)
            if not program.barrier.idle:
                break
        assert not program.barrier.idle


async def test_work_that_begins_without_a_wakeup_is_noticed_too() -> None:
    async with simulated() as program:
        program.run_until(0)
        await program.idle()
        program.busy = 1
        for _ in range(100):
            await asyncio.sleep(0.01)
            if not program.barrier.idle:
                break
        assert not program.barrier.idle


async def test_a_sleeper_that_comes_while_a_token_is_out_is_not_overslept() -> None:
    async with simulated() as program:
        long = asyncio.create_task(program.clock.sleep(1000))
        await asyncio.sleep(0.05)
        short = asyncio.create_task(program.clock.sleep(5))
        await asyncio.sleep(0.05)
        assert program.clock.next_wake() == at(5)
        program.run_until(1000)
        await asyncio.wait_for(short, 5)
        assert program.clock.now() == at(5)
        await asyncio.wait_for(long, 5)


async def test_activity_of_the_sandbox_asks_again() -> None:
    async with simulated() as program:
        await asyncio.sleep(0.05)
        asked = program.asked
        program.world.activity += 1
        program.barrier.look()
        await asyncio.sleep(0.05)
        assert program.asked > asked
        program.run_until(7)
        await program.idle()
        assert program.clock.now() == at(7)


async def test_a_cancelled_sleeper_leaves_nothing_behind() -> None:
    async with simulated() as program:
        sleeper = asyncio.create_task(program.clock.sleep(5))
        await asyncio.sleep(0.02)
        sleeper.cancel()
        await asyncio.gather(sleeper, return_exceptions=True)
        assert program.clock.next_wake() is None


async def test_a_tiny_sleep_still_moves_time() -> None:
    async with simulated() as program:
        program.run_until(1)
        await asyncio.wait_for(program.clock.sleep(0.0001), 5)
        assert program.clock.now() >= at(0.001)


async def test_steps_are_quick() -> None:
    async with simulated() as program:

        async def ticker() -> None:
            for _ in range(300):
                await program.clock.sleep(60)

        task = asyncio.create_task(ticker())
        await asyncio.sleep(0)
        began = time.monotonic()
        program.run_until(300 * 60)
        await asyncio.wait_for(task, 20)
        assert (time.monotonic() - began) / 300 < 0.03


async def test_before_its_start_a_simulated_clock_tells_no_time() -> None:
    async with simulated(start=False) as program:
        with pytest.raises(ClockError, match="not started"):
            program.clock.now()


async def test_a_clock_is_started_once() -> None:
    async with simulated() as program:
        with pytest.raises(ClockError, match="started before"):
            await program.clock.start(program.quiet)


async def test_a_sandbox_that_is_not_there_is_said_plainly() -> None:
    async with simulated(start=False) as program:
        url = program.url
    with pytest.raises(ClockError, match="is gone"):
        await SandboxClock(url, gone_after_s=0.05).start(lambda: True)


async def test_sleepers_are_told_when_the_sandbox_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_clock, "_TRY_AGAIN_S", 0.01)
    clock, sleeper = None, None
    async with simulated(start=False) as program:
        clock = SandboxClock(program.url, gone_after_s=0.05)
        await clock.start(lambda: True)
        sleeper = asyncio.create_task(clock.sleep(5))
        await asyncio.sleep(0.02)
    with pytest.raises(ClockError, match="is gone"):
        await asyncio.wait_for(sleeper, 5)
    with pytest.raises(ClockError, match="is gone"):
        await clock.sleep(1)
    assert clock.failure is not None
    assert clock.now() == at(0)
    await clock.close()


class Scripted:
    """A server that answers the clock's questions from a list."""

    def __init__(self, answers: list[tuple[int, bytes]]) -> None:
        self.answers = answers

    async def answer(self, _request: web.Request) -> web.Response:
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, body=body, content_type="application/json")


@asynccontextmanager
async def scripted(*answers: tuple[int, bytes]) -> AsyncIterator[SandboxClock]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", Scripted(list(answers)).answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    clock = SandboxClock(f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        yield clock
    finally:
        await clock.close()
        await runner.cleanup()


NINE = (200, b'{"now": "2026-03-02T09:00:00.000000Z", "activity": 4}')


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((200, b'{"now": "2026-03-01T00:00:00.000000Z", "activity": 9}'), "started over"),
        ((200, b'{"now": "2026-03-02T09:00:00.000000Z", "activity": 0}'), "started over"),
        ((500, b"the simulator failed while time moved"), "answered 500.*while time moved"),
        ((200, b"<html>"), "does not speak"),
        ((200, b'{"now": "noon", "activity": 5}'), "does not speak"),
        ((200, b'{"now": "\xff", "activity": 5}'), "does not speak"),
    ],
)
async def test_nonsense_about_the_time_ends_every_sleep(answer: tuple[int, bytes], says: str) -> None:
    async with scripted(NINE, answer) as clock:
        await clock.start(lambda: True)
        with pytest.raises(ClockError, match=says):
            await asyncio.wait_for(clock.sleep(60), 5)


async def test_a_quiet_that_raises_ends_every_sleep() -> None:
    def quiet() -> bool:
        raise RuntimeError("the store is closed")

    async with simulated(start=False) as program:
        await program.clock.start(quiet)
        with pytest.raises(ClockError, match="RuntimeError"):
            await asyncio.wait_for(program.clock.sleep(60), 5)


async def test_a_killed_program_stops_time() -> None:
    async with simulated() as program, aiohttp.ClientSession() as session:
        await program.clock.close()
        await asyncio.sleep(0.05)
        program.run_until(50)
        async with session.get(program.url + "/_sandbox/clock/wait", params={"timeout_s": "0.1"}) as answer:
            said = await answer.json()
        assert (said["idle"], program.world.now) == (False, START)


async def test_a_stopped_clock_stands_and_nobody_waits_by_it() -> None:
    clock = StoppedClock("2026-03-02T09:00:00.000Z")
    assert clock.now() == "2026-03-02T09:00:00.000Z"
    await clock.sleep_until("2026-03-02T09:00:00.000Z")
    with pytest.raises(ClockError, match="stands still"):
        await clock.sleep_until("2026-03-02T09:00:00.001Z")
    with pytest.raises(ClockError, match="never pass"):
        await clock.sleep(1)


class Process:
    """One process of several: how quiet it is, and what it says when it is to fingerprint."""

    def __init__(self, simulation: Simulated, name: str) -> None:
        self.clock = SandboxClock(simulation.url, participant=name)
        self.says: str | None = "1"
        self.asked = 0
        self.busy = False

    async def fingerprint(self) -> str | None:
        self.asked += 1
        await asyncio.sleep(0)
        return self.says

    async def start(self) -> None:
        await self.clock.start(lambda: not self.busy, self.fingerprint)


@asynccontextmanager
async def processes(simulation: Simulated, *names: str) -> AsyncIterator[list[Process]]:
    made = [Process(simulation, name) for name in names]
    try:
        for process in made:
            await process.start()
        yield made
    finally:
        for process in made:
            await process.clock.close()


async def until_asked(process: Process, more: int = 1) -> None:
    """Return when the process was asked so many times more."""
    wanted = process.asked + more
    async with asyncio.timeout(5):
        while process.asked < wanted:  # noqa: ASYNC110 - the clock asks when it likes and has no event for it
            await asyncio.sleep(0.001)


async def test_time_waits_until_the_program_is_quiet() -> None:
    async with simulated(start=False) as simulation, processes(simulation, "program") as (program,):
        program.says = None
        simulation.run_until(60)
        await until_asked(program, 3)
        assert simulation.world.now == START
        program.says = "2"
        assert (await simulation.idle())["idle"]
        assert program.clock.now() == at(60)


async def test_processes_move_together_once_they_say_the_same() -> None:
    woken: list[tuple[str, str]] = []

    async def sleeper(process: Process, name: str, seconds: float) -> None:
        await process.clock.sleep(seconds)
        woken.append((name, process.clock.now()))

    async with simulated(start=False) as simulation, processes(simulation, "worker", "executor") as (worker, executor):
        late = asyncio.create_task(sleeper(worker, "worker", 50))
        worker.says = "2"
        simulation.barrier.run_until(START + timedelta(seconds=100), ("worker", "executor"))
        # Each asks the other to look again, and the executor does not see yet what the worker has done.
        await until_asked(executor, 3)
        assert simulation.world.now == START
        early = asyncio.create_task(sleeper(executor, "executor", 20))
        await asyncio.sleep(0)  # asleep before it says that it has looked, as a loop of the program would be
        executor.says = "2"
        await asyncio.wait_for(asyncio.gather(early, late), 5)
        assert woken == [("executor", at(20)), ("worker", at(50))]
        assert (await simulation.idle())["now"].startswith("2026-03-02T09:01:40")


async def test_a_token_that_is_held_is_given_up_when_another_process_saw_more() -> None:
    async with simulated(start=False) as simulation, processes(simulation, "worker", "executor") as (worker, executor):
        simulation.barrier.run_until(START, ("worker", "executor"))
        assert (await simulation.idle())["idle"]
        asked = executor.asked
        worker.busy = True
        worker.clock.wake()
        await asyncio.sleep(0.02)
        assert executor.asked == asked, "nobody asks again while nothing is known to have changed"
        worker.says, worker.busy = "2", False
        worker.clock.wake()
        await until_asked(executor)
        assert not simulation.barrier.idle
        executor.says = "2"
        assert (await simulation.idle())["idle"]


async def test_what_begins_and_ends_while_it_looks_is_quiet_again() -> None:
    async with simulated(start=False) as simulation:
        process = Process(simulation, "program")
        asked: list[str] = []

        async def fingerprint() -> str:
            asked.append(process.clock.now())
            if len(asked) == 1:
                process.clock.wake()  # a webhook came and was appended, after what is shared was read
            await asyncio.sleep(0)
            return "1"

        await process.clock.start(lambda: True, fingerprint)
        simulation.run_until(10)
        await simulation.idle()
        await process.clock.close()
    assert asked[:3] == [at(0), at(0), at(10)]


async def test_work_that_begins_while_it_looks_holds_time() -> None:
    async with simulated(start=False) as program:

        async def fingerprint() -> str:
            program.busy = 1  # without a wakeup
            return "1"

        await program.clock.start(program.quiet, fingerprint)
        program.run_until(10)
        await asyncio.sleep(0.1)
        assert program.world.now == START


async def test_a_look_that_raises_ends_every_sleep_and_says_why() -> None:
    async def fingerprint() -> str:
        raise RuntimeError("the store was rebuilt")

    async with simulated(start=False) as program:
        await program.clock.start(lambda: True, fingerprint)
        with pytest.raises(ClockError, match="RuntimeError") as failure:
            await asyncio.wait_for(program.clock.sleep(60), 5)
        assert "the store was rebuilt" in str(failure.value.__cause__)


async def test_steps_of_three_processes_are_quick() -> None:
    async with simulated(start=False) as simulation, processes(simulation, "gateway", "worker", "executor") as made:

        async def ticker() -> None:
            for _ in range(100):
                await made[1].clock.sleep(60)

        task = asyncio.create_task(ticker())
        await asyncio.sleep(0)
        began = time.monotonic()
        simulation.barrier.run_until(START + timedelta(seconds=100 * 60), ("gateway", "worker", "executor"))
        await asyncio.wait_for(task, 20)
        assert (time.monotonic() - began) / 100 < 0.05
