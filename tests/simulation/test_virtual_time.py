"""The loop of the simulation: its order is asyncio's, and its time passes only when nothing is left to do."""

import asyncio
import contextvars
from datetime import UTC, datetime

import pytest

from streams.simulation.virtual_time import DeadlockError, VirtualClock, VirtualLoop, begin_for, run

DAY_S = 86_400.0


def test_a_day_passes_when_nothing_is_left_to_do_and_only_then():
    async def work():
        loop = asyncio.get_running_loop()
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert loop.time() == 0
        await asyncio.sleep(DAY_S)
        return loop.time()

    assert run(work()) == DAY_S


def test_what_is_called_soon_is_first_in_first_out_and_what_is_due_comes_by_its_instant():
    async def work():
        loop, seen = asyncio.get_running_loop(), []
        loop.call_later(2, seen.append, "two")
        loop.call_later(1, seen.append, "one")
        loop.call_later(1, seen.append, "one, asked later")
        loop.call_later(0, loop.call_soon, seen.append, "from due")
        for name in ("a", "b"):
            loop.call_soon(seen.append, name)
        loop.call_at(0.5, seen.append, "cancelled").cancel()
        await asyncio.sleep(3)
        return seen

    assert run(work()) == ["a", "b", "from due", "one", "one, asked later", "two"]


def test_it_keeps_asyncios_order_in_a_crowd():
    """The same crowd on both loops; a round of ours is a round of theirs."""

    async def crowd():
        seen, events = [], [asyncio.Event() for _ in range(5)]

        async def one(number):
            await events[number % 5].wait()
            seen.append(f"woken {number}")
            await asyncio.sleep(0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001 * (number + 1)):
                    await asyncio.Event().wait()
            seen.append(f"late {number}")

        tasks = [asyncio.create_task(one(number)) for number in range(20)]
        for event in reversed(events):
            event.set()
        await asyncio.gather(*tasks)
        return seen

    with asyncio.Runner() as real:
        assert run(crowd()) == real.run(crowd())


def test_nothing_left_that_could_happen_is_said():
    with pytest.raises(DeadlockError):
        run(asyncio.Event().wait())


def test_a_callback_that_raises_is_told_and_the_loop_goes_on():
    async def work():
        loop, told = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        loop.call_soon([].pop)
        await asyncio.sleep(1)
        return told

    assert [type(one) for one in run(work())] == [IndexError]


def test_a_callback_runs_in_the_context_it_was_asked_for_in():
    word = contextvars.ContextVar("word", default="")

    async def work():
        loop, seen = asyncio.get_running_loop(), []
        empty = contextvars.Context()
        word.set("mine")
        loop.call_soon(lambda: seen.append(word.get()))
        loop.call_later(1, lambda: seen.append(word.get()))
        loop.call_soon(lambda: seen.append(word.get()), context=empty)
        word.set("later")
        await asyncio.sleep(2)
        return seen

    assert run(work()) == ["mine", "", "mine"]


def test_tasks_belong_to_whom_they_were_begun_for_until_they_end(monkeypatch):
    monkeypatch.setattr("streams.simulation.virtual_time._ENDED", 3)

    async def work():
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)

        async def parent():
            child = asyncio.create_task(asyncio.sleep(2))
            await asyncio.sleep(1)
            return child

        first = begin_for("us", parent())
        begin_for(None, asyncio.sleep(5))
        assert loop.tasks_of("us") == [first]
        await asyncio.sleep(0.5)
        assert len(loop.tasks_of("us")) == 2
        child = await first
        assert loop.tasks_of("us") == [child]
        for _ in range(20):
            await begin_for("others", asyncio.sleep(0))
        assert loop.tasks_of("us") == [child]
        assert len(loop._owned) < 10, "what has ended is forgotten"
        await child
        return loop.tasks_of("us")

    assert run(work()) == []


def test_a_clock_shows_the_loops_time_as_somebody_has_set_it():
    async def work():
        clock = VirtualClock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))
        seen = [clock.now()]
        await asyncio.sleep(1.5)
        seen.append(clock.now())
        clock.skew_s = 60.0
        seen.append(clock.now())
        clock.skew_s = 0.0
        await clock.sleep_until("2026-03-05T00:00:00.000Z")
        return [*seen, clock.now()]

    assert run(work()) == [
        "2026-03-02T09:00:00.000Z",
        "2026-03-02T09:00:01.500Z",
        "2026-03-02T09:01:01.500Z",
        "2026-03-05T00:00:00.000Z",
    ]
