"""A connection that waits for Zoho's limit: the commands of others go on over the same executor, in order, as if it
were not there.
"""

import pytest

from streams.settings import Calls
from streams.stages.executor import Executor
from tests.support.installation import answer

CALLS = Calls(deadline_s=5.0, settle_s=30, park_after=3, lookup_again_s=60)
OTHERS = ("birch", "cedar")
COMMANDS = 6
TOO_MANY = {"code": 44, "message": "the number of calls per minute is exceeded"}


def invoice(key):
    return {
        "invoice_id": key,
        "invoice_number": key,
        "customer_id": "c-1",
        "status": "sent",
        "currency_code": "GBP",
        "total": 12,
        "balance": 12,
        "date": "2026-03-01",
        "due_date": "2026-03-02",
        "exchange_rate": 1,
        "last_modified_time": "2026-03-01T09:00:00+0000",
    }


class Zoho:
    """Answers every read of one connection; or refuses them all, as it does above its limit."""

    def __init__(self, *, refuses=False):
        self.calls = []
        self.refuses = refuses

    async def __call__(self, call, deadline_s):
        self.calls.append(call.path)
        if self.refuses:
            return answer(429, TOO_MANY)
        return answer(200, {"code": 0, "invoice": invoice(call.path.rsplit("/", 1)[1])})


@pytest.fixture
def fleet(company):
    """Makes an executor of three connections, acme refused by Zoho; with what each connection was called for. `run`
    tells its commands.
    """

    async def make(*busy, run="first"):
        for name in busy:
            asked = [company.read_invoice(f"{name}-{number}-{run}") for number in range(COMMANDS)]
            await company.ask(*asked, connection=name)
        sent = {name: Zoho(refuses=name == "acme") for name in ("acme", *OTHERS)}
        accesses = {name: company.access("zoho", sent[name], connection=name, calls=CALLS) for name in sent}
        return Executor(company.context, "zoho", accesses, CALLS), {name: sent[name].calls for name in sent}

    return make


async def turns_until_done(executor, calls):
    """How many turns the others' commands take, without any time going by; what acme was called for meanwhile."""
    for turn in range(1, 4 * COMMANDS):
        await executor.turn()
        await executor.drain()
        if all(len(calls[name]) == COMMANDS for name in OTHERS):
            return turn
    pytest.fail(f"the others were called {[len(calls[name]) for name in OTHERS]} times of {COMMANDS}")


async def test_others_take_as_many_turns_beside_one_that_waits_as_without_it(company, fleet):
    executor, calls = await fleet(*OTHERS)
    alone = await turns_until_done(executor, calls)
    assert calls["acme"] == []
    company.clock.move(3_600)  # the minute's budget is whole again
    executor, beside = await fleet("acme", *OTHERS, run="second")
    assert await turns_until_done(executor, beside) == alone
    for name in OTHERS:
        assert [path.removesuffix("second") for path in beside[name]] == [
            path.removesuffix("first") for path in calls[name]
        ]
    assert 0 < len(beside["acme"]) < COMMANDS, "what was under way when Zoho refused, and nothing after it"


async def test_what_waits_is_not_tried_again_while_others_go_on_and_goes_when_its_time_is_up(company, fleet):
    executor, calls = await fleet("acme", *OTHERS)
    await turns_until_done(executor, calls)
    refused = len(calls["acme"])
    company.clock.move(59)
    await company.ask(company.read_invoice("later"), connection="birch")
    await executor.turn()
    await executor.drain()
    assert len(calls["acme"]) == refused
    assert calls["birch"][-1] == "/invoices/later"
    company.clock.move(1)
    await executor.turn()
    await executor.drain()
    assert len(calls["acme"]) > refused


async def test_a_restart_keeps_it_waiting_and_the_others_going(company, fleet, again):
    executor, calls = await fleet("acme", *OTHERS)
    await executor.turn()
    await executor.drain()
    for access in executor._accesses.values():
        access.release()
    async with again() as restarted:
        sent = {name: Zoho() for name in ("acme", *OTHERS)}
        accesses = {name: restarted.access("zoho", sent[name], connection=name, calls=CALLS) for name in sent}
        executor = Executor(restarted.context, "zoho", accesses, CALLS)
        for _ in range(COMMANDS):
            await executor.turn()
            await executor.drain()
        assert sent["acme"].calls == []
        assert [len(calls[name]) + len(sent[name].calls) for name in OTHERS] == [COMMANDS] * len(OTHERS)
