"""A process that is stopped between its intent and its write, and goes on when another has taken its work over: nothing
late goes out.

Two real processes over one store, and a real server that keeps what it was asked.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from adapters.clock import SystemClock
from domain.times import add_seconds
from tests.support.api_rows import PAYMENT

#: The old owner's lease is short, since the new one has to wait for its end; the new one's outlasts the test.
LEASE_S = {"old": 3, "new": 60}

#: Of both processes. The wait of a successor: deadline, in whole seconds, and settle time.
CALLS = {"deadline_s": 1.0, "settle_s": 1}
WAIT_S = 2

#: For a process to start, on a machine that is busy.
PATIENCE_S = 30

NO_PAYMENTS = {"payments": [], "meta": {"cursors": {"after": None}}}


class Api:
    """GoCardless, at an address of its own for each process: (when, whose, method) of each request it got."""

    def __init__(self):
        self.got = []
        self.now = SystemClock().now
        self.made = asyncio.Event()

    async def serve(self, request):
        self.got.append((self.now(), request.match_info["owner"], request.method))
        if request.method == "GET":
            return web.json_response(NO_PAYMENTS)
        self.made.set()
        return web.json_response({"payments": PAYMENT}, status=201)


@pytest.fixture
async def api():
    made = Api()
    app = web.Application()
    app.router.add_route("*", "/{owner}/payments", made.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
def start(api):
    """Starts a process, under an owner's name, over the files of an installation."""
    with ExitStack() as stack:

        def run(company, owner, stops=""):
            told = {
                "owner": owner,
                "stops": stops,
                "store": company.settings.store,
                "log": company.settings.log,
                "partitions": company.settings.partitions,
                "api": f"{api.url}/{owner}",
                "lease_s": LEASE_S[owner],
                "calls": CALLS,
            }
            command = [sys.executable, str(Path(__file__).with_name("owner.py")), json.dumps(told)]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            return process

        yield run


async def line(process):
    """What a process says of its next call."""
    return (await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), PATIENCE_S)).strip()


async def stopped(process):
    """Wait until it has stopped itself."""
    found = await asyncio.wait_for(
        asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT), PATIENCE_S
    )
    assert found.si_status == signal.SIGSTOP, "it ended"


def lease_row(company):
    with company.store.read() as reader:
        return reader.exec_driver_sql("SELECT owner, until FROM leases").one()


async def until_state(company, name, state):
    async with asyncio.timeout(PATIENCE_S):
        while company.queue.get("acme", name).state != state:  # noqa: ASYNC110 - another process changes it
            await asyncio.sleep(0.02)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("store", "stops"), [("sqlite", "at the call"), ("postgresql", "at the connection")])
async def test_what_an_owner_was_stopped_in_does_not_go_out_when_it_goes_on(again, api, start, request, store, stops):
    company = again()
    if store == "postgresql":
        company.settings = msgspec.structs.replace(company.settings, store=request.getfixturevalue("postgres_url"))
    company.clock.move(to=SystemClock().now())
    async with company:
        debit, rows = company.debit()
        await company.ask(debit, rows=rows)
        old = start(company, "old", stops)
        await stopped(old)
        assert company.queue.get("acme", debit.id).state == "sent"
        owner, lapses_at = lease_row(company)
        assert owner == "old"
        new = start(company, "new")
        await until_state(company, debit.id, "unknown")
        assert lease_row(company)[0] == "new"
        old.send_signal(signal.SIGCONT)
        assert await line(old) == "POST deadline: the request was not sent"
        assert api.got == [], "while the successor waits"
        await asyncio.wait_for(api.made.wait(), PATIENCE_S)
        assert [await line(new), await line(new)] == ["GET 200", "POST 201"]
        assert [(who, method) for _, who, method in api.got] == [("new", "GET"), ("new", "POST")], (
            "it looked first, and then wrote"
        )
        assert api.got[0][0] >= add_seconds(lapses_at, WAIT_S), "lease, deadline and settle time"
        await until_state(company, debit.id, "answered")
        assert (old.poll(), new.poll()) == (None, None), "to lose a lease ends no process"
        assert await company.outcomes() == [("succeeded", "")]
