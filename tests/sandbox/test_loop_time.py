"""A world along the loop's time: what is due happens when the loop comes to it, and nothing waits without a reason."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.gocardless import gocardless_app
from sandbox.inprocess import InProcess
from sandbox.loop_time import LoopTime
from sandbox.world import World
from tests.support.virtual_loop import in_virtual_time

START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
HEADERS = {"Authorization": "Bearer token", "GoCardless-Version": "2015-07-06"}


def at(seconds):
    return START + timedelta(seconds=seconds)


class PostedTo:
    """Keeps what is posted, with the time; answers after `takes_s`, or not at all."""

    def __init__(self):
        self.posts = []
        self.takes_s = 0.0
        self.answer = (200, {"X-Kept": "yes"}, b"ok")

    async def post(self, url, headers, body):
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(self.takes_s)
        self.posts.append((began, url, body))
        return self.answer


def test_what_is_due_happens_when_the_loop_comes_to_it_and_in_order():
    async def work(loop):
        world, seen = World(start=START), []
        for seconds in (50.25, 7, 86_400, 7):
            world.at(at(seconds), lambda: seen.append((loop.time(), world.now)))
        async with LoopTime(world) as time:
            assert time.now() == world.now == START
            await asyncio.sleep(7)
            assert seen == [(7, at(7)), (7, at(7))]
            await asyncio.sleep(100_000)
            assert time.now() == at(100_007)
            assert world.now == at(86_400), "nothing was due since"
            time.catch_up()
            assert world.now == time.now()
        assert seen[2:] == [(50.25, at(50.25)), (86_400, at(86_400))]
        assert loop.looks < 20, "it sleeps until the next thing is due"

    in_virtual_time(work)


def test_what_comes_first_later_on_is_seen():
    async def work(_loop):
        world, seen = World(start=START), []
        world.at(at(1000), lambda: seen.append(1000))
        world.at(at(30), lambda: world.at(at(40), lambda: seen.append(40)))
        async with LoopTime(world):
            await asyncio.sleep(10)
            world.keep_up()
            assert world.now == at(10), "who acts beside the API goes to the present first"
            world.at(at(20), lambda: seen.append(20))
            world.changed()
            await asyncio.sleep(40)
            assert seen == [20, 40]
            await asyncio.sleep(1000)
        assert seen == [20, 40, 1000]

    in_virtual_time(work)


def test_a_request_finds_the_world_at_its_own_time():
    async def work(_loop):
        world, seen = World(start=START), []
        inside = InProcess(gocardless_app(world))
        async with LoopTime(world):
            for seconds in (100, 130, 160):
                world.at(at(seconds), lambda: seen.append(world.now))
            # Nobody has told the world: the request itself goes through all that was due on the way.
            await asyncio.sleep(150.5)
            reply = await inside.request("GET", "/customers", HEADERS)
            assert reply.headers["date"] == "Mon, 05 Jan 2026 08:02:30 GMT"
            assert (world.now, seen) == (at(150.5), [at(100), at(130)])
            await asyncio.sleep(9.5)
            assert seen[-1] == at(160), "its end sets the timer anew"

    in_virtual_time(work)


def test_webhooks_are_posted_when_they_are_due_one_after_the_other():
    async def work(loop):
        gateway = PostedTo()
        world = World(start=START, post=gateway.post)
        for seconds in (5, 6, 60):
            world.webhooks.enqueue("zoho", f"http://{seconds}", {}, b"x", delay=timedelta(seconds=seconds))
        gateway.takes_s = 3
        async with LoopTime(world):
            await asyncio.sleep(100)
        assert [(began, url) for began, url, _ in gateway.posts] == [
            (5, "http://5"),
            (8, "http://6"),
            (60, "http://60"),
        ]
        assert [one.at for one in world.webhooks.attempts] == [at(8), at(11), at(63)]
        first = world.webhooks.attempts[0]
        assert (first.status, first.headers, first.body) == (200, {"X-Kept": "yes"}, "ok")
        assert loop.looks < 40

    in_virtual_time(work)


@pytest.mark.parametrize(("answer", "takes_s"), [(None, 0.0), ((503, {}, b""), 0.0), ((200, {}, b""), 11.0)])
def test_whoever_is_not_answered_tries_again(answer, takes_s):
    async def work(_loop):
        gateway = PostedTo()
        gateway.answer, gateway.takes_s = answer, takes_s
        world = World(start=START, post=gateway.post)
        world.webhooks.enqueue("gocardless", "http://hook", {}, b"x")
        async with LoopTime(world):
            await asyncio.sleep(120)
        attempts = world.webhooks.attempts
        late_s = min(takes_s, 10)
        assert [one.at for one in attempts][:2] == [at(late_s), at(60 + 2 * late_s)]
        assert attempts[0].status == (None if takes_s else answer and answer[0])

    in_virtual_time(work)


def test_after_its_end_nothing_is_left_in_the_loop():
    async def work(loop):
        gateway = PostedTo()
        gateway.takes_s = 5
        world = World(start=START, post=gateway.post)
        world.at(at(1000), lambda: pytest.fail("nothing moves any more"))
        world.webhooks.enqueue("zoho", "http://hook", {}, b"x")
        time = LoopTime(world)
        await asyncio.sleep(1)
        assert world.webhooks.in_flight
        await time.close()
        assert not world.webhooks.in_flight
        assert [loop.timers, world.listeners, len(asyncio.all_tasks())] == [[], [], 1]
        world.changed()
        time.catch_up()
        assert loop.timers == []

    in_virtual_time(work)


def test_moments_between_two_microseconds_do_not_hold_the_loop():
    async def work(loop):
        world, seen = World(start=START), []
        async with LoopTime(world):
            await asyncio.sleep(1 / 3)
            for number in range(100):
                world.at(at(1 + number / 7), lambda: seen.append(1))
            world.keep_up()
            await asyncio.sleep(100)
        assert len(seen) == 100
        assert loop.looks < 320

    in_virtual_time(work)
