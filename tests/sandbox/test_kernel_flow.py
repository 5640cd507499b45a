"""Time that flows by itself: what is due happens when its time comes, whoever takes part, and a word by HTTP stops it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from sandbox.flow import SPEED_MAX, Flow, speed_in, speed_of_day
from sandbox.server import Sandbox, SandboxConfig, running_sandbox
from sandbox.world import World, parse_utc

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
HEADERS = {"Authorization": "Bearer token", "GoCardless-Version": "2015-07-06"}
DAY_S = 86_400


class Control:
    """A running sandbox, spoken to over HTTP."""

    def __init__(self, sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
        self.sandbox, self.world, self._http = sandbox, sandbox.world, http

    async def call(self, method: str, path: str, document: Any = None, **more: Any) -> tuple[int, Any]:
        url = self.sandbox.zoho_url if "zoho" in path else self.sandbox.gocardless_url
        json = {} if document is None else {"json": document}
        async with self._http.request(method, url + path, headers=HEADERS, **json, **more) as answer:
            text = await answer.text()
            return answer.status, orjson.loads(text) if answer.content_type == "application/json" else text

    async def get(self, path: str) -> Any:
        status, body = await self.call("GET", path)
        assert status == 200, body
        return body

    async def post(self, path: str, document: Any = None, expected: int = 200) -> Any:
        status, body = await self.call("POST", path, {} if document is None else document)
        assert status == expected, body
        return body

    async def now(self) -> datetime:
        return parse_utc((await self.get("/_sandbox/clock"))["now"])

    async def until(self, seen: Any) -> Any:
        async with asyncio.timeout(30):
            while not (found := await seen()):  # noqa: ASYNC110 - time flows by itself; no event tells of it
                await asyncio.sleep(0.02)
        return found


@asynccontextmanager
async def running(**config: Any) -> AsyncIterator[Control]:
    async with running_sandbox(SandboxConfig(start=START, **config)) as sandbox, aiohttp.ClientSession() as http:
        yield Control(sandbox, http)


class Watch:
    """Real time, moved by hand."""

    def __init__(self) -> None:
        self.real_s = 100.0

    def __call__(self) -> float:
        return self.real_s


def test_time_comes_as_far_as_its_speed_says() -> None:
    watch = Watch()
    flow = Flow(watch)
    flow.start(START, 60)
    watch.real_s += 30
    assert flow.reached() == START + HOUR / 2
    assert flow.real_s_until(START + HOUR) == 30
    assert flow.real_s_until(START) == 0
    flow.start(flow.reached(), 3600)
    watch.real_s += 2
    assert flow.reached() == START + HOUR * 2.5


def test_time_goes_through_everything_that_is_due_on_the_way_each_at_its_own_time() -> None:
    world, watch = World(start=START), Watch()
    world.flow = Flow(watch)
    seen: list[tuple[str, datetime]] = []

    def first() -> None:
        seen.append(("first", world.now))
        world.at(world.now + HOUR / 4, lambda: seen.append(("what it made due", world.now)))

    world.at(START + HOUR, first)
    world.at(START + 3 * HOUR, lambda: seen.append(("later", world.now)))
    world.catch_up()
    assert world.now == START
    world.flow.start(world.now, 3600)
    watch.real_s += 2
    world.catch_up()
    assert seen == [("first", START + HOUR), ("what it made due", START + HOUR * 1.25)]
    assert world.now == START + 2 * HOUR


@pytest.mark.parametrize("document", [{"speed": 0}, {"speed": -1}, {"speed": SPEED_MAX * 2}, {"speed": float("nan")}])
def test_a_speed_has_bounds(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a speed is above 0"):
        Flow().start(START, speed_in(document))


def test_a_speed_is_named_in_one_of_two_ways() -> None:
    assert speed_in({"day_s": 60}) == speed_of_day(60) == 1440
    for document in ({}, {"speed": 1, "day_s": 1}, {"days": 1}, {"day_s": 0.5}, {"day_s": float("inf")}):
        with pytest.raises(ValueError):
            speed_in(document)
    for value in (True, "60", None):
        with pytest.raises(TypeError):
            speed_in({"speed": value})


async def test_a_payment_goes_its_way_and_every_webhook_is_sent_with_nobody_taking_part(receiver: Any) -> None:
    async with running(speed=DAY_S) as control:
        settings = {"endpoints": [{"url": receiver.url, "secret": "s"}]}
        await control.post("/_sandbox/config", {"gocardless": settings})
        customers = [{"company_name": "Co", "email": "c@example.com"}]
        made = await control.post("/_sandbox/gocardless/populate", {"customers": customers})
        links = {"mandate": made["customers"][0]["mandate"]}
        body = {"payments": {"amount": 1000, "currency": "GBP", "links": links}}
        payment = (await control.post("/payments", body, 201))["payments"]["id"]

        def told() -> list[str]:
            events = [event for _, raw in receiver.requests for event in orjson.loads(raw)["events"]]
            return [event["action"] for event in events if event["links"].get("payment") == payment]

        async def paid_out() -> bool:
            return told()[-1:] == ["paid_out"]

        await control.until(paid_out)
        assert told() == ["created", "submitted", "confirmed", "paid_out"]
        state = await control.get("/_sandbox/state")
        (payout,) = state["gocardless"]["resources"]["payouts"]
        assert payout["status"] == "paid"
        created = {
            e["action"]: e["created_at"]
            for e in state["gocardless"]["resources"]["events"]
            if payment in e["links"].values()
        }
        # Each at the hour at which it happens with the time under control.
        assert created["confirmed"][10:16] == created["paid_out"][10:16] == "T11:40"
        for attempt in state["webhooks"]["attempts"]:
            assert parse_utc(attempt["at"]) >= START


async def test_an_invoice_of_a_later_day_appears_when_the_day_comes() -> None:
    async with running(speed=DAY_S) as control:
        invoice = {
            "contact": 0, "line_items": [{"rate": "5"}], "sent_at": "2026-01-06T08:00:00Z", "date": "2026-01-06",
        }  # fmt: skip
        books = {"contacts": [{"contact_name": "Co"}], "invoices": [invoice]}
        await control.post("/_sandbox/zoho/populate", books)

        async def sent() -> Any:
            return (await control.get("/_sandbox/state"))["zoho"]["invoices"]

        assert await sent() == []
        (made,) = await control.until(sent)
        assert made["date"] == "2026-01-06"


async def test_it_is_paused_resumed_and_set_to_another_speed() -> None:
    async with running() as control:
        clock = await control.get("/_sandbox/clock")
        assert (clock["flowing"], clock["speed"]) == (False, None)
        assert "no speed was set" in await control.post("/_sandbox/clock/resume", expected=400)
        await asyncio.sleep(0.05)
        assert await control.now() == START

        clock = await control.post("/_sandbox/clock/speed", {"speed": 3600})
        assert (clock["flowing"], clock["speed"]) == (True, 3600)
        await asyncio.sleep(0.1)
        after = await control.now()
        assert timedelta(minutes=6) <= after - START < timedelta(hours=10)

        clock = await control.post("/_sandbox/clock/pause")
        assert (clock["flowing"], clock["speed"]) == (False, 3600)
        stood = parse_utc(clock["now"])
        assert stood >= after
        await asyncio.sleep(0.05)
        assert await control.now() == stood

        # Under control again, as if it had never flowed.
        until = (stood + HOUR).isoformat()
        await control.post("/_sandbox/clock/run", {"until": until, "participants": []})
        assert (await control.get("/_sandbox/clock/wait?timeout_s=5"))["idle"]
        assert await control.now() == stood + HOUR

        assert (await control.post("/_sandbox/clock/resume"))["speed"] == 3600
        clock = await control.post("/_sandbox/clock/speed", {"day_s": 86_400})
        assert clock["speed"] == 1
        at = parse_utc(clock["now"])
        await asyncio.sleep(0.05)
        assert timedelta(0) < await control.now() - at < timedelta(minutes=1)


async def test_every_answer_carries_the_time_that_flows() -> None:
    async with running(speed=DAY_S) as control, aiohttp.ClientSession() as http:
        seen = []
        for _ in range(3):
            async with http.get(f"{control.sandbox.gocardless_url}/payouts", headers=HEADERS) as answer:
                seen.append(answer.headers["Date"])
            await asyncio.sleep(0.05)
        assert len(set(seen)) == 3


async def test_a_target_is_not_taken_while_time_flows_and_one_set_before_is_forgotten() -> None:
    async with running() as control:
        run = {"until": "2026-01-09T00:00:00Z", "participants": ["program"]}
        await control.post("/_sandbox/clock/run", run)
        clock = await control.post("/_sandbox/clock/speed", {"speed": 1})
        assert (clock["target"], clock["idle"]) == (None, True)
        assert "pause it first" in await control.post("/_sandbox/clock/run", run, expected=409)
        assert (await control.get("/_sandbox/clock/wait?timeout_s=5"))["idle"]
        assert (await control.post("/_sandbox/clock/pause"))["idle"]
        await control.post("/_sandbox/clock/run", run)


async def test_whoever_says_it_is_quiet_is_released_when_time_begins_to_flow_and_answered_at_its_wake() -> None:
    async with running() as control:
        quiet = {"participant": "program", "now": START.isoformat(), "activity": 0, "wait_s": 20}
        held = asyncio.ensure_future(control.post("/_sandbox/clock/quiet", quiet))
        await control.until(lambda: asyncio.sleep(0, control.sandbox.barrier._tokens))
        await control.post("/_sandbox/clock/speed", {"speed": 3600})
        assert (await asyncio.wait_for(held, 5))["flowing"]
        wake = await control.now() + HOUR / 2
        answer = await control.post("/_sandbox/clock/quiet", {**quiet, "next_wake": wake.isoformat()})
        assert parse_utc(answer["now"]) >= wake
        began = asyncio.get_running_loop().time()
        await control.post("/_sandbox/clock/quiet", quiet)
        assert asyncio.get_running_loop().time() - began < 5


async def test_a_delivery_that_is_refused_is_sent_again_in_flowing_time(receiver: Any) -> None:
    receiver.answers = [500, 500, 200]
    async with running(speed=600) as control:
        control.world.webhooks.enqueue("gocardless", receiver.url, {}, b"{}")
        control.world.changed()
        await control.until(lambda: asyncio.sleep(0, len(receiver.requests) == 3))
        await control.until(lambda: asyncio.sleep(0, len(control.world.webhooks.attempts) == 3))
        first, second, third = control.world.webhooks.attempts
        assert second.at - first.at >= timedelta(seconds=60)
        assert third.at - second.at >= timedelta(seconds=120)


async def test_a_broken_simulator_stops_flowing_time_loudly() -> None:
    def broken() -> None:
        raise ZeroDivisionError("a payout of nothing")

    async with running() as control:
        control.world.at(START + HOUR, broken)
        await control.post("/_sandbox/clock/speed", {"speed": DAY_S})

        async def stopped() -> bool:
            return (await control.call("GET", "/_sandbox/clock"))[0] == 500

        await control.until(stopped)
        assert "a payout of nothing" in (await control.call("GET", "/_sandbox/clock"))[1]
        assert control.world.now == START + HOUR


@pytest.mark.parametrize("document", [{}, {"speed": "fast"}, {"speed": 0}, {"speed": 1, "day_s": 1}, {"day_s": 0.1}])
async def test_speeds_that_make_no_sense_are_refused(document: dict[str, Any]) -> None:
    async with running() as control:
        await control.post("/_sandbox/clock/speed", document, expected=400)
        assert not (await control.get("/_sandbox/clock"))["flowing"]


@pytest.mark.parametrize(("words", "speed"), [(["--speed", "7200"], 7200), (["--day-s", "20"], 4320)])
async def test_a_process_of_its_own_takes_a_speed(words: list[str], speed: float) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox", "--start", "2026-03-02T09:00:00Z", *words),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        urls = orjson.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        assert set(urls) == {"gocardless", "zoho"}
        async with aiohttp.ClientSession() as http, http.get(f"{urls['zoho']}/_sandbox/clock") as answer:
            clock = await answer.json()
        assert (clock["flowing"], clock["speed"]) == (True, speed)
        assert parse_utc(clock["now"]) > datetime(2026, 3, 2, 9, tzinfo=UTC)
    finally:
        process.terminate()
        assert await process.wait() == 0
