"""Several processes over one store: one of them calls, the others stand by, and a take-over neither doubles nor loses
anything.
"""

import asyncio
from contextlib import AsyncExitStack

import msgspec
import pytest

from adapters import budgets
from adapters.errors import TransportError
from domain import commands, times
from domain.state import Payout
from projections.work.leases import Held, Leases
from projections.work.polls import Polls
from streams.settings import Calls, Polling
from streams.stages.executor import Executor
from streams.stages.poller import KINDS, Poller
from tests.support.api_rows import NO_TRANSFERS, TRANSFER
from tests.support.installation import Script, answer
from tests.support.statements import noted

NOW = "2026-03-02T09:00:00.000Z"
CALLS = Calls(deadline_s=5.0, settle_s=30, park_after=100, lookup_again_s=60)
MADE = (201, {"code": 0, "banktransaction": TRANSFER})


class Process:
    """An executor and a poller of Zoho for one connection, under an owner's name."""

    def __init__(self, company, owner, send):
        self.company = company
        self.send = send
        self.access = company.access("zoho", send, owner=owner, calls=CALLS)
        self.executor = Executor(company.context, "zoho", {"acme": self.access}, CALLS, draw=lambda: 0.0)
        self.poller = Poller(company.context, "zoho", {"acme": self.access}, Polling(), CALLS)

    async def turn(self):
        due = await self.executor.turn()
        await self.executor.drain()
        return due

    def row(self, name="cm-transfer"):
        return self.company.queue.get("acme", name)

    @property
    def methods(self):
        return [call.method for call in self.send.calls]


@pytest.fixture
def process(company):
    """Makes a process with scripted answers."""

    def make(owner, *answers, over=None):
        return Process(
            over or company, owner, Script(*(answer(*one) if isinstance(one, tuple) else one for one in answers))
        )

    return make


@pytest.fixture
def asked_of_leases(company):
    """The statements about leases, as they are made."""
    seen = []

    with noted(company.store, lambda statement, _: seen.append(statement) if "leases" in statement else None):
        yield seen


def lease_row(company):
    with company.store.read() as reader:
        return reader.exec_driver_sql(
            "SELECT owner, epoch, until FROM leases WHERE connection = 'acme' AND api = 'zoho'"
        ).first()


# --- standing by ------------------------------------------------------------------------------------------------------


async def test_without_work_nobody_asks_for_a_lease(company, process, asked_of_leases):
    polls = Polls(company.store)
    for kind in KINDS["zoho"]:
        polls.save(msgspec.structs.replace(polls.get("acme", kind), due_at="2026-03-02T10:00:00.000Z"))
    one = process("one")
    assert await one.turn() == "2026-03-02T09:01:00.000Z", "another process could die and leave its calls"
    assert await one.poller.turn() == "2026-03-02T10:00:00.000Z"
    assert asked_of_leases == []


async def test_who_has_work_first_takes_it_and_the_other_asks_again_when_it_lapses(
    company, process, beside, asked_of_leases
):
    one, two = process("one", MADE), process("two", over=await beside())
    await company.ask(company.transfer())
    await one.turn()
    assert lease_row(company) == ("one", 1, "2026-03-02T09:01:00.000Z")
    await company.ask(company.transfer("cm-2", not_after="2026-03-02T09:00:01.000Z"))
    assert await two.turn() == "2026-03-02T09:01:00.000Z"
    company.clock.move(59)
    asked_of_leases.clear()
    with noted(two.company.store, lambda statement, _: asked_of_leases.append(statement)):
        for _ in range(3):
            assert await two.turn() == "2026-03-02T09:01:00.000Z"
    assert not [one for one in asked_of_leases if "leases" in one], "whatever wakes it meanwhile"
    assert two.send.calls == []


async def test_a_lease_that_lapsed_with_nothing_begun_costs_its_successor_no_wait(company, process, beside):
    one, two = process("one", MADE), process("two", MADE, over=await beside())
    await company.ask(company.transfer())
    await one.turn()
    company.clock.move(61)
    await one.turn()
    assert lease_row(company) == ("one", 1, "2026-03-02T09:01:00.000Z"), "an idle owner does not renew"
    await company.ask(company.transfer("cm-2"))
    await two.turn()
    assert two.methods == ["POST"]
    assert lease_row(company)[:2] == ("two", 2)


async def test_an_idle_owner_goes_on_with_a_lease_that_nobody_took(company, process):
    one = process("one", MADE, MADE)
    await company.ask(company.transfer())
    await one.turn()
    company.clock.move(600)
    await company.ask(company.transfer("cm-2"))
    await one.turn()
    assert one.methods == ["POST", "POST"]
    assert lease_row(company) == ("one", 1, "2026-03-02T09:11:00.000Z")


async def test_an_owner_at_work_renews_when_half_of_it_is_over(company, process):
    one = process("one", *[TransportError("refused", sent=False)] * 3)
    await company.ask(company.transfer())
    await one.turn()
    company.clock.move(29)
    await one.turn()
    assert lease_row(company) == ("one", 1, "2026-03-02T09:01:00.000Z")
    company.clock.move(1)
    await one.turn()
    assert lease_row(company) == ("one", 1, "2026-03-02T09:01:30.000Z")


async def test_a_lease_outlasts_two_deadlines(company):
    slow = company.access("zoho", None, owner="one", calls=Calls(deadline_s=100.0))
    assert slow.hold()
    assert lease_row(company)[2] == times.add_seconds(NOW, 200)


async def test_what_is_given_back_at_a_clean_stop_may_be_taken_at_once(company, process, beside):
    one, two = process("one", MADE), process("two", MADE, over=await beside())
    await company.ask(company.transfer())
    await one.turn()
    one.access.release()
    await company.ask(company.transfer("cm-2"))
    await two.turn()
    assert two.methods == ["POST"]


# --- taking over ------------------------------------------------------------------------------------------------------


async def begin_and_die(process):
    """The process dies in the middle of a call."""
    started = asyncio.Event()

    async def hanging(call, deadline_s):
        started.set()
        await asyncio.Event().wait()

    process.access._send = hanging
    await process.executor.turn()
    await started.wait()
    for task in process.executor._tasks:
        task.cancel()
    await asyncio.gather(*process.executor._tasks, return_exceptions=True)


async def test_what_a_dead_owner_had_begun_is_taken_over_by_one_that_nobody_woke(company, process, beside):
    one = process("one")
    two = process("two", (200, NO_TRANSFERS), (200, NO_TRANSFERS), MADE, over=await beside())
    assert await two.turn() == "2026-03-02T09:01:00.000Z"
    await company.ask(company.transfer())
    company.clock.move(10)
    await begin_and_die(one)
    assert one.row().state == "sent"
    company.clock.move(50)
    assert await two.turn() == "2026-03-02T09:01:10.000Z", "nothing is due, but something was begun"
    company.clock.move(10)
    assert await two.turn() == "2026-03-02T09:01:45.000Z", "deadline and settle time, from the acquisition"
    assert two.row().state == "unknown"
    company.clock.move(34)
    await two.turn()
    assert two.send.calls == []
    company.clock.move(1)
    await two.turn()
    assert two.methods == ["GET"]
    company.clock.move(60)
    await two.turn()
    assert two.methods == ["GET", "GET", "POST"]


async def test_a_poller_that_takes_over_wakes_the_executor(company, process, beside):
    one = process("one")
    await company.ask(company.transfer())
    await begin_and_die(one)
    company.clock.move(60)
    two = process("two", *[TransportError("refused", sent=False)] * 3, over=await beside())
    woken = []
    two.company.wakeups.wake = woken.append
    await two.poller.turn()
    assert woken == ["executor.zoho"]
    assert two.row().state == "unknown"


async def test_the_late_answer_of_an_old_owner_counts_and_nothing_is_sent_again(company, process, beside):
    one, started, arrive = process("one"), asyncio.Event(), asyncio.Event()

    async def late(call, deadline_s):
        started.set()
        await arrive.wait()
        return answer(*MADE)

    one.access._send = late
    await company.ask(company.transfer(), rows=[("payouts", Payout("PO1"))])
    await one.executor.turn()
    await started.wait()
    two = process("two", over=await beside())
    company.clock.move(60)
    await two.turn()
    arrive.set()
    await one.executor.drain()
    assert one.row().state == "unknown", "the row is the successor's"
    assert await company.outcomes() == [("succeeded", "")]
    await company.decide()
    assert one.row().state == "done"
    company.clock.move(600)
    await two.turn()
    assert two.send.calls == []


async def test_a_second_step_is_not_begun_by_an_owner_that_lost_its_lease(company, process, beside):
    """It had looked up, and would now write; the other may be at the same."""
    one, two = process("one"), process("two", over=await beside())

    async def slow(call, deadline_s):
        one.send.calls.append(call)
        company.clock.move(61)
        assert two.access.hold()
        return answer(200, NO_TRANSFERS)

    one.access._send = slow
    await company.ask(company.transfer(look_up_first=True))
    await one.turn()
    assert one.methods == ["GET"]
    row = one.row()
    assert (row.state, row.due_at) == ("unknown", times.add_seconds(NOW, 61 + 35)), "as the successor left it"


async def test_a_walk_ends_with_the_lease_and_is_the_new_owners(company, process, beside):
    one, two = process("one"), process("two", over=await beside())

    async def slow(call, deadline_s):
        one.send.calls.append(call)
        company.clock.move(61)
        assert two.access.hold()
        rows = [{"currency_code": "GBP", "is_base_currency": True, "exchange_rate": 0}]
        return answer(200, {"code": 0, "currencies": rows, "page_context": {"page": 1, "has_more_page": True}})

    one.access._send = slow
    assert await one.poller.turn() == lease_row(company)[2]
    assert len(one.send.calls) == 1
    assert Polls(company.store).get("acme", "zoho.currencies").head_at == ""


async def test_a_poll_that_another_has_walked_meanwhile_is_not_walked_again(company, process, beside):
    one, two = process("one"), process("two", over=await beside())
    assert one.access.hold()
    assert await two.poller.turn() == "2026-03-02T09:01:00.000Z"
    polls = Polls(company.store)
    for kind in KINDS["zoho"]:
        polls.save(msgspec.structs.replace(polls.get("acme", kind), due_at="2026-03-02T10:00:00.000Z"))
    company.clock.move(60)
    assert await two.poller.turn() == "2026-03-02T10:00:00.000Z"
    assert lease_row(company)[0] == "one"


async def test_a_lease_lost_between_the_acquisition_and_the_first_act_is_asked_for_again(company, process, monkeypatch):
    one = process("one", MADE)
    await company.ask(company.transfer())
    abandoned = one.access._queue.abandoned

    def stalled(lease, now, due_at):
        company.clock.move(61)
        monkeypatch.setattr(one.access._queue, "abandoned", abandoned)
        return abandoned(lease, company.clock.now(), due_at)

    monkeypatch.setattr(one.access._queue, "abandoned", stalled)
    assert await one.turn() == NOW, "at once"
    assert one.send.calls == []
    await one.turn()
    assert one.methods == ["POST"]
    assert lease_row(company)[:2] == ("one", 2)


# --- the budget -------------------------------------------------------------------------------------------------------


async def test_a_new_owner_goes_on_from_what_the_former_spent(company, process, beside):
    one, two = process("one"), process("two", over=await beside())
    assert one.access.hold()
    for _ in range(30):
        one.access.begin(commands.PRIORITY_DEBIT)
        one.access.end()
    one.access._saved_at = 0.0
    one.access.begin(commands.PRIORITY_DEBIT)
    one.access.end()
    assert two.access.may_go(commands.PRIORITY_READ) is None, "as far as it knows before it asks"
    one.access.release()
    assert two.access.hold()
    assert two.access.may_go(commands.PRIORITY_READ) == one.access.may_go(commands.PRIORITY_READ) > NOW


async def test_a_closed_api_stays_closed_for_a_new_owner(company, process, beside):
    one, two = process("one"), process("two", over=await beside())
    assert one.access.hold()
    until = one.access.close(600, "throttled")
    company.clock.move(60)
    assert two.access.hold()
    assert two.access.may_go(commands.PRIORITY_DEBIT) == until


async def test_who_has_lost_the_lease_does_not_overwrite_the_budget(company, process, beside):
    one, two = process("one"), process("two", over=await beside())
    assert one.access.hold()
    one.access.begin(commands.PRIORITY_DEBIT)
    company.clock.move(60)
    assert two.access.hold()
    until = two.access.close(600, "throttled")
    one.access._saved_at = -budgets.BACKOFF_CAP_S
    one.access.end()
    one.access.close(1, "late")
    one.access.release()
    three = process("three", over=company)
    assert three.access.may_go(commands.PRIORITY_DEBIT) == until


# --- clocks apart -----------------------------------------------------------------------------------------------------


async def test_on_postgresql_a_process_whose_clock_is_ahead_steals_nothing(again, postgres_url):
    async with AsyncExitStack() as stack:
        processes = []
        for minutes, owner in ((0, "right"), (10, "ahead"), (-10, "behind")):
            made = again()
            made.settings = msgspec.structs.replace(made.settings, store=postgres_url)
            made.clock.move(60 * minutes)
            await stack.enter_async_context(made)
            processes.append(Process(made, owner, Script(*[answer(*MADE)] * 2)))
        right, ahead, behind = processes
        await right.company.ask(right.company.transfer())
        await right.turn()
        assert right.methods == ["POST"]
        await right.company.ask(right.company.transfer("cm-2"))
        due = await ahead.turn()
        assert times.add_seconds(NOW, 600) < due <= times.add_seconds(NOW, 660), (
            "by its own clock, what is left of the other's lease"
        )
        await right.turn()
        assert (right.methods, ahead.methods) == (["POST", "POST"], [])
        right.access.release()
        assert behind.access.hold()
        assert not ahead.access.hold()
        found = Leases(right.company.store).acquire("acme", "zoho", "ahead", "2099-01-01T00:00:00.000Z", 60)
        assert isinstance(found, Held)
        assert found.owner == "behind"
