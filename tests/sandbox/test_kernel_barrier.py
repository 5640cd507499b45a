"""Time moves only when everyone is quiet: the barrier, the faults and the webhooks over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sandbox import barrier
from sandbox.http import json_response, kernel_middleware
from sandbox.world import World, iso_utc
from tests.support.served import served

START = "2026-01-05T08:00:00.000000Z"


class Counting:
    """The smallest API: a number that POST raises."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.number = 0
        self.effects: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        world.apis["toy"] = self
        self.app = web.Application(middlewares=[kernel_middleware(world, "toy")])
        self.app.router.add_post("/numbers/{id}", self.raise_number)

    async def raise_number(self, _request: web.Request) -> web.Response:
        await self.gate.wait()
        self.number += 1
        return json_response({"number": self.number}, status=201)

    def state(self) -> dict[str, Any]:
        return {"number": self.number}

    def configure(self, document: dict[str, Any]) -> None:
        self.number = int(document["number"])

    def fault_response(self, kind: str) -> web.Response:
        return json_response({"spoilt": kind}, status=int(kind[:3]))

    def fault_effect(self, kind: str) -> None:
        self.effects.append(kind)


@pytest.fixture
async def toy() -> AsyncIterator[tuple[Counting, Any]]:
    world = World(seed=1)
    api = Counting(world)
    async with served(world, "toy", api.app) as server:
        yield api, server


async def quiet(server: Any, who: str = "program", wake: str | None = None, wait_s: float = 5) -> Any:
    _, clock = await server.get("/_sandbox/clock")
    document = {
        "participant": who,
        "now": clock["now"],
        "activity": clock["activity"],
        "next_wake": wake,
        "wait_s": wait_s,
    }
    status, body = await server.post("/_sandbox/clock/quiet", document)
    assert status == 200, body
    return body


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is watched is another task's doing and has no event
            await asyncio.sleep(0.001)


async def run(server: Any, until: str, *participants: str) -> None:
    status, body = await server.post("/_sandbox/clock/run", {"until": until, "participants": participants})
    assert status == 200, body


async def test_time_stands_still_until_the_participant_is_quiet(toy: tuple[Counting, Any]) -> None:
    api, server = toy
    api.world.at(api.world.now + timedelta(hours=1), lambda: None)
    await run(server, "2026-01-05T10:00:00Z", "program")
    _, waited = await server.get("/_sandbox/clock/wait", params={"timeout_s": "0.05"})
    assert (waited["now"], waited["idle"]) == (START, False)
    assert (await quiet(server))["now"] == "2026-01-05T09:00:00.000000Z"
    assert (await quiet(server, wake="2026-01-05T09:20:00Z"))["now"] == "2026-01-05T09:20:00.000000Z"
    assert (await quiet(server))["now"] == "2026-01-05T10:00:00.000000Z"
    waiting = asyncio.ensure_future(server.get("/_sandbox/clock/wait", params={"timeout_s": "5"}))
    last = await quiet(server, wait_s=0.05)
    assert last["idle"]
    assert (await waiting)[1]["idle"]


async def test_all_participants_are_needed(toy: tuple[Counting, Any]) -> None:
    _, server = toy
    await run(server, "2026-01-05T10:00:00Z", "one", "two")
    assert (await quiet(server, "one", wait_s=0.05))["now"] == START
    first = asyncio.ensure_future(quiet(server, "one"))
    second = asyncio.ensure_future(quiet(server, "two"))
    assert [(await task)["now"] for task in (first, second)] == ["2026-01-05T10:00:00.000000Z"] * 2


async def test_a_token_of_yesterday_is_worth_nothing(toy: tuple[Counting, Any]) -> None:
    _, server = toy
    _, clock = await server.get("/_sandbox/clock")
    await server.post("/numbers/1")
    await run(server, "2026-01-05T10:00:00Z", "program")
    stale = {"participant": "program", "now": clock["now"], "activity": clock["activity"], "wait_s": 5}
    _, answer = await server.post("/_sandbox/clock/quiet", stale)
    assert (answer["now"], answer["activity"]) == (START, 1)


async def test_a_request_in_flight_holds_time_and_its_end_kills_the_token(toy: tuple[Counting, Any]) -> None:
    api, server = toy
    api.gate.clear()
    call = asyncio.ensure_future(server.post("/numbers/1"))
    await until(lambda: api.world.in_flight > 0)
    await run(server, "2026-01-05T10:00:00Z", "program")
    token = asyncio.ensure_future(quiet(server))
    _, waited = await server.get("/_sandbox/clock/wait", params={"timeout_s": "0.05"})
    assert waited["now"] == START
    api.gate.set()
    assert (await call)[0] == 201
    # Released because something happened, not because time moved.
    assert (await token)["now"] == START
    assert (await quiet(server))["now"] == "2026-01-05T10:00:00.000000Z"


async def test_a_killed_program_leaves_no_token(toy: tuple[Counting, Any]) -> None:
    api, server = toy
    async with aiohttp.ClientSession() as dying:
        document = {"participant": "one", "now": START, "activity": 0, "next_wake": None, "wait_s": 30}
        poll = asyncio.ensure_future(dying.post(f"{server.url}/_sandbox/clock/quiet", json=document))
        await until(lambda: server.barrier._tokens)
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
    await until(lambda: not server.barrier._tokens)
    await run(server, "2026-01-05T10:00:00Z", "one", "two")
    assert (await quiet(server, "two", wait_s=0.05))["now"] == START
    assert iso_utc(api.world.now) == START


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/_sandbox/clock/quiet", {"participant": "p", "now": START, "activity": 0, "next_wake": START}),
        ("/_sandbox/clock/quiet", {"participant": "p", "now": "soon", "activity": 0}),
        ("/_sandbox/clock/quiet", {"now": START, "activity": 0}),
        ("/_sandbox/clock/run", {"until": "2020-01-01T00:00:00Z"}),
        ("/_sandbox/clock/run", {"until": "2027-01-01T00:00:00Z", "participants": [str(n) for n in range(17)]}),
        ("/_sandbox/faults", {"rules": [{"api": "toy", "kind": "gremlin"}]}),
        ("/_sandbox/faults", {"rules": [{"api": "toy", "kind": "500_before", "hold_s": 1000}]}),
        ("/_sandbox/webhooks", {"rules": [{"api": "toy", "kind": "lose"}]}),
        ("/_sandbox/config", {"paypal": {}}),
    ],
)
async def test_control_requests_that_make_no_sense_are_refused(
    toy: tuple[Counting, Any], path: str, document: dict[str, Any]
) -> None:
    _, server = toy
    status, body = await server.post(path, document)
    assert status == 400, body


async def test_a_broken_simulator_stops_the_run_loudly(toy: tuple[Counting, Any]) -> None:
    api, server = toy

    def broken() -> None:
        raise ZeroDivisionError("a payout of nothing")

    api.world.at(api.world.now + timedelta(hours=1), broken)
    await run(server, "2026-01-05T10:00:00Z")
    status, text = await server.get("/_sandbox/clock/wait", params={"timeout_s": "5"})
    assert status == 500
    assert "a payout of nothing" in text


async def test_every_answer_carries_simulated_time(toy: tuple[Counting, Any]) -> None:
    _, server = toy
    for path in ("/_sandbox/clock", "/nowhere"):
        async with server.http.get(server.url + path) as answer:
            assert answer.headers["Date"] == "Mon, 05 Jan 2026 08:00:00 GMT"


async def test_faults_strike_before_or_after_the_commit(toy: tuple[Counting, Any]) -> None:
    api, server = toy
    rules = [
        {"api": "toy", "method": "POST", "path": "^/numbers/", "kind": "500_before", "skip": 1},
        {"api": "toy", "kind": "500_after_commit"},
        {"api": "toy", "kind": "html_502", "commit": True},
        {"api": "toy", "kind": "html_502"},
        {"api": "toy", "kind": "429_minute"},
        {"api": "toy", "kind": "token_death"},
        {"api": "other", "kind": "500_before", "times": 9},
    ]
    await server.post("/_sandbox/faults", {"rules": rules})
    seen = []
    for _ in range(8):
        status, _ = await server.post("/numbers/1")
        seen.append((status, api.number))
    assert sorted(status for status, _ in seen) == [201, 201, 201, 429, 500, 500, 502, 502]
    # Three clean answers, one 500 and one 502 that had committed.
    assert api.number == 5
    assert api.effects == ["token_death"]
    _, listed = await server.get("/_sandbox/faults")
    assert [rule["hits"] for rule in listed["rules"]] == [1, 1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize("kind", ["timeout_after_commit", "reset_after_commit"])
async def test_a_lost_answer_leaves_the_change_made(toy: tuple[Counting, Any], kind: str) -> None:
    api, server = toy
    await server.post("/_sandbox/faults", {"rules": [{"api": "toy", "kind": kind, "hold_s": 0.01}]})
    with pytest.raises(aiohttp.ClientError):
        await server.post("/numbers/1")
    assert api.number == 1
    assert api.world.in_flight == 0
    assert (await server.post("/numbers/1"))[1] == {"number": 2}


async def test_state_counts_calls_by_template(toy: tuple[Counting, Any]) -> None:
    _, server = toy
    for number in range(3):
        await server.post(f"/numbers/{number}")
    await server.post("/_sandbox/config", {"toy": {"number": 40}})
    _, state = await server.get("/_sandbox/state")
    assert state["calls"] == {"toy": {"POST /numbers/{id}": 3}}
    assert state["activity"] == 3
    assert state["toy"] == {"number": 40}


async def test_webhooks_go_out_in_simulated_time_and_are_retried(toy: tuple[Counting, Any], receiver: Any) -> None:
    api, server = toy
    await server.post("/_sandbox/config", {"webhooks": {"retries_s": {"toy": [60, 120]}}})
    receiver.answers = [500, 302, 204]
    api.world.webhooks.enqueue("toy", receiver.url, {"X-One": "1"}, b"body", delay=timedelta(seconds=10))
    await run(server, "2026-01-05T08:00:05Z")
    await server.get("/_sandbox/clock/wait")
    assert receiver.requests == []
    await server.run_until("2026-01-05T09:00:00Z")
    _, state = await server.get("/_sandbox/state")
    assert [(a["at"][11:19], a["number"], a["status"]) for a in state["webhooks"]["attempts"]] == [
        ("08:00:10", 1, 500),
        ("08:01:10", 2, 302),
        ("08:03:10", 3, 204),
    ]
    assert {body for _, body in receiver.requests} == {b"body"}
    assert receiver.requests[0][0]["X-One"] == "1"
    assert state["activity"] == 3


async def test_nobody_there_is_retried_to_the_end_of_the_ladder(toy: tuple[Counting, Any]) -> None:
    api, server = toy
    await server.post("/_sandbox/config", {"webhooks": {"retries_s": {"toy": [60]}}})
    api.world.webhooks.enqueue("toy", "http://127.0.0.1:9/", {}, b"")
    await server.run_until("2026-01-05T09:00:00Z")
    assert [attempt.status for attempt in api.world.webhooks.attempts] == [None, None]
    assert api.world.webhooks.next_due_at() is None


async def test_webhook_rules_drop_duplicate_delay_and_reorder(toy: tuple[Counting, Any], receiver: Any) -> None:
    api, server = toy
    kinds = ("drop", "duplicate", "delay", "reorder")
    rules = [
        {"api": "toy", "match": f"^{kind}\\.", "kind": kind, "delay_s": 7 if kind != "reorder" else 0} for kind in kinds
    ]
    status, _ = await server.post("/_sandbox/webhooks", {"rules": rules})
    assert status == 200
    for label in ("drop.x", "duplicate.x", "delay.x", "reorder.x", "plain.x", "drop.y"):
        api.world.webhooks.enqueue("toy", receiver.url, {}, label.encode(), label=label)
    await server.run_until("2026-01-05T09:00:00Z")
    assert [body.decode() for _, body in receiver.requests] == [
        "duplicate.x",
        "plain.x",
        "drop.y",
        "duplicate.x",
        "delay.x",
        "reorder.x",
    ]


class Participants:
    """Fake programs, each with its view of what they share: its fingerprint and its next wake."""

    def __init__(self, api: Counting, server: Any) -> None:
        self.world, self.server = api.world, server
        self.polls: dict[str, asyncio.Task[Any]] = {}

    async def claim(self, who: str, fingerprint: str, wake: str | None = None, wait_s: float = 5) -> asyncio.Task[Any]:
        """Send a token for the clock as it is; returns once the sandbox has dealt with it."""
        document = {
            "participant": who,
            "now": iso_utc(self.world.now),
            "activity": self.world.activity,
            "next_wake": wake,
            "wait_s": wait_s,
            "fingerprint": fingerprint,
        }
        before = self.server.barrier._tokens.get(who)
        poll = asyncio.ensure_future(self.server.post("/_sandbox/clock/quiet", document))
        self.polls[who] = poll
        await until(lambda: poll.done() or self.server.barrier._tokens.get(who) not in (None, before))
        return poll

    async def answer(self, who: str) -> Any:
        async with asyncio.timeout(5):
            status, body = await self.polls.pop(who)
        assert status == 200, body
        return body

    def waiting(self) -> list[str]:
        return sorted(who for who, poll in self.polls.items() if not poll.done())


@pytest.fixture
async def several(toy: tuple[Counting, Any]) -> AsyncIterator[Participants]:
    made = Participants(*toy)
    yield made
    for poll in made.polls.values():
        poll.cancel()
    await asyncio.gather(*made.polls.values(), return_exceptions=True)


TEN = "2026-01-05T10:00:00.000000Z"


@pytest.mark.parametrize("stale_wake", [None, "2026-01-05T08:00:01Z"], ids=["sleeps", "early"])
async def test_a_token_that_saw_older_state_lets_no_time_pass(several: Participants, stale_wake: str | None) -> None:
    await run(several.server, TEN, "worker", "executor")
    await several.claim("executor", "before the decision", stale_wake)
    # The worker has decided meanwhile: the executor has a command to send at this instant, and does not know it yet.
    await several.claim("worker", "after the decision", "2026-01-05T09:00:00Z")
    released = await several.answer("executor")
    assert (released["now"], released["activity"], released["idle"]) == (START, 0, False)
    assert iso_utc(several.world.now) == START
    assert several.waiting() == ["worker"]
    # It looks again, sends, and is quiet with the newer state: now its next wake is to be believed.
    await several.claim("executor", "after the decision", "2026-01-05T08:30:00Z")
    assert [(await several.answer(who))["now"] for who in ("executor", "worker")] == ["2026-01-05T08:30:00.000000Z"] * 2


async def test_a_token_that_comes_late_with_older_state_is_answered_by_the_next_one(several: Participants) -> None:
    await run(several.server, TEN, "gateway", "worker", "executor")
    await several.claim("worker", "2")
    await several.claim("gateway", "2")
    await several.claim("executor", "1")
    assert {(await several.answer(who))["now"] for who in ("worker", "gateway")} == {START}
    await several.claim("worker", "2")
    assert (await several.answer("executor"))["now"] == START
    assert several.waiting() == ["worker"]
    await several.claim("executor", "2")
    assert iso_utc(several.world.now) == START, "the gateway has not looked again"
    await several.claim("gateway", "2")
    assert {(await several.answer(who))["now"] for who in ("worker", "gateway", "executor")} == {TEN}
    assert several.server.barrier.steps == 1


async def test_whoever_is_not_expected_releases_nobody(several: Participants) -> None:
    await run(several.server, TEN, "worker", "executor")
    await several.claim("worker", "1")
    await several.claim("operator", "", "2026-01-05T09:00:00Z", wait_s=30)
    assert several.waiting() == ["operator", "worker"]
    await several.claim("executor", "1")
    assert {(await several.answer(who))["now"] for who in ("worker", "executor")} == {"2026-01-05T09:00:00.000000Z"}


async def test_tokens_from_before_the_run_are_compared_when_it_begins(several: Participants) -> None:
    await several.claim("worker", "1")
    await several.claim("executor", "2")
    assert several.waiting() == ["executor", "worker"]
    _, clock = await several.server.post(
        "/_sandbox/clock/run", {"until": START, "participants": ["worker", "executor"]}
    )
    assert not clock["idle"]
    await run(several.server, TEN, "worker", "executor")
    assert (await several.answer("worker"))["now"] == START
    assert several.waiting() == ["executor"]
    await several.claim("worker", "2")
    assert (await several.answer("executor"))["now"] == TEN


async def test_idle_needs_one_fingerprint_too(several: Participants) -> None:
    await run(several.server, START, "worker", "executor")
    await several.claim("worker", "1")
    await several.claim("executor", "2")
    _, waited = await several.server.get("/_sandbox/clock/wait", params={"timeout_s": "0.05"})
    assert not waited["idle"]
    await several.claim("worker", "2")
    _, waited = await several.server.get("/_sandbox/clock/wait", params={"timeout_s": "5"})
    assert waited["idle"]


async def test_a_participant_that_starts_again_replaces_its_token(several: Participants) -> None:
    await run(several.server, TEN, "gateway", "worker", "executor")
    old = await several.claim("executor", "1", "2026-01-05T08:00:01Z", wait_s=30)
    await several.claim("gateway", "1")
    await several.claim("executor", "2", "2026-01-05T09:00:00Z")
    # The new one is the newest, not as old as the one that it replaces.
    assert (await several.answer("gateway"))["now"] == START
    assert several.waiting() == ["executor"]
    await several.claim("gateway", "2")
    await several.claim("worker", "2")
    assert {(await several.answer(who))["now"] for who in ("gateway", "worker", "executor")} == {
        "2026-01-05T09:00:00.000000Z"
    }
    old.cancel()
    await asyncio.gather(old, return_exceptions=True)


async def test_of_several_programs_a_killed_one_stops_time(several: Participants) -> None:
    await run(several.server, TEN, "worker", "executor")
    async with aiohttp.ClientSession() as dying:
        document = {"participant": "executor", "now": START, "activity": 0, "wait_s": 30, "fingerprint": "1"}
        poll = asyncio.ensure_future(dying.post(f"{several.server.url}/_sandbox/clock/quiet", json=document))
        await until(lambda: several.server.barrier._tokens)
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
    await until(lambda: not several.server.barrier._tokens)
    await several.claim("worker", "1", wait_s=0.05)
    assert (await several.answer("worker"))["now"] == START
    await several.claim("worker", "1")
    await several.claim("executor", "1")
    assert (await several.answer("worker"))["now"] == TEN


async def test_programs_that_never_agree_stop_the_run_loudly(
    several: Participants, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(barrier, "_RELEASES_MAX", 5)
    await run(several.server, TEN, "one", "two")
    for _ in range(3):
        await several.claim("one", "a")
        await several.claim("two", "b")
    # One call that ends begins the count anew: work that is done is no quarrel.
    assert (await several.server.post("/numbers/1"))[0] == 201
    for _ in range(3):
        await several.claim("one", "a")
        await several.claim("two", "b")
    poll = await several.claim("one", "a")
    async with asyncio.timeout(5):
        status, text = await poll
    assert status == 500
    assert "two and one do not agree on what they share, after 5 looks at 2026-01-05T08:00:00.000000Z" in text
    assert (await several.server.get("/_sandbox/clock"))[0] == 500


@pytest.mark.parametrize("fingerprint", ["x" * 129, 7, None])
async def test_a_fingerprint_is_a_short_text(toy: tuple[Counting, Any], fingerprint: object) -> None:
    _, server = toy
    document = {"participant": "p", "now": START, "activity": 0, "fingerprint": fingerprint}
    status, body = await server.post("/_sandbox/clock/quiet", document)
    assert status == 400
    assert "at most 128 characters" in str(body)
