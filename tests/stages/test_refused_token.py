"""An access token that GoCardless refuses: few calls, nothing given up, everybody is told; with a good one everything
goes on by itself.
"""

import asyncio
import json
import os
import sys
from types import SimpleNamespace

import msgspec
import orjson
import pytest
from aiohttp import web

from adapters.errors import CredentialError
from adapters.http import Call, HttpTransport
from adapters.machine import uptime_s
from adapters.zoho.oauth import TokenState
from domain import commands, times
from projections.work.polls import Polls
from streams.credentials import GOCARDLESS_TOKEN, ZOHO_CLIENT, ZOHO_TOKEN, sender
from streams.process.health import Health
from streams.settings import Calls, Polling
from streams.stages.executor import Executor
from streams.stages.poller import KINDS, Poller
from streams.stages.refusals import refusals

CALLS = Calls(deadline_s=5.0)
READS = 66
NO_TOKEN = {
    "error": {
        "type": "invalid_api_usage",
        "code": 401,
        "message": "The access token you've used is not a valid",
        "errors": [],
    }
}
SETTINGS = """\
log = "{log}"
store = "{store}"
keys = "file:{folder}/keys.txt"
partitions = 2

[connections.acme]
environment = "sandbox"
zoho = {{ organization_id = "20077001" }}
"""


class GoCardless:
    """Takes one token, on a real port."""

    def __init__(self):
        self.good = "another"
        self.away = False
        self.calls = []

    async def answer(self, request):
        self.calls.append(request.path)
        if self.away:
            return web.Response(status=502, text="<html>")
        if request.path == "/oauth/v2/token":
            dead = (await request.post())["refresh_token"] == "revoked"
            return web.json_response({"error": "invalid_code"} if dead else {"access_token": "1000.a-token-that-works"})
        if request.path.startswith("/books/"):
            return web.json_response({"code": 0, "invoices": []})
        if request.headers["Authorization"] != f"Bearer {self.good}":
            return web.json_response(NO_TOKEN, status=401)
        name = request.path.split("/")[1]
        if name == "payments":
            return web.json_response(
                {"error": {"type": "invalid_api_usage", "errors": [{"reason": "resource_not_found"}]}}, status=404
            )
        return web.json_response({name: [], "meta": {"cursors": {}}})


class ApiOfOne:
    """The executor and the poller of GoCardless for acme, over the real client, on a clock that the test moves."""

    def __init__(self, company, session, url):
        self.company = company
        connection = msgspec.convert(
            {**msgspec.to_builtins(company.settings.connections["acme"]), "gocardless": {"url": url}},
            type(company.settings.connections["acme"]),
        )
        send = sender("gocardless", session, company.credentials, "acme", connection, company.clock.now)
        accesses = {"acme": company.access("gocardless", send, calls=CALLS)}
        self.access = accesses["acme"]
        self.executor = Executor(company.context, "gocardless", accesses, CALLS, draw=lambda: 0.5)
        self.poller = Poller(company.context, "gocardless", accesses, Polling(), CALLS)
        self.woken = False
        company.wakeups.wake = self._wake
        self.health = Health(company.context, {"gocardless": accesses, "zoho": {}}, role="executor")
        self.health.started = True

    def _wake(self, name):
        self.woken = True

    async def until(self, instant):
        """Turn both loops whenever they are due or woken, as the program does."""
        while True:
            self.woken = False
            due = [await self.executor.turn(), await self.poller.turn()]
            await self.executor.drain()
            if self.woken:
                continue
            following = min([one for one in due if one is not None], default=instant)
            if following >= instant:
                self.company.clock.move(to=instant)
                return
            self.company.clock.move(to=following)

    async def ready(self):
        response = await self.health._ready(None)
        return response.status, json.loads(response.body)["troubles"]

    def attempts(self):
        return {
            (row.state, row.attempts)
            for row in (self.company.queue.get("acme", f"r-{number}") for number in range(READS))
        }


@pytest.fixture
async def rig(company):
    api = GoCardless()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    company.credentials.put("acme", GOCARDLESS_TOKEN, b"refused-token")
    async with HttpTransport() as session:
        yield SimpleNamespace(api=api, url=url, office=lambda over=company: ApiOfOne(over, session, url))
    await runner.cleanup()


async def status(company, *words):
    """`status` as another process sees it: (exit code, stdout)."""
    file = company.folder / "settings.toml"
    file.write_text(SETTINGS.format(log=company.settings.log, store=company.settings.store, folder=company.folder))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams.cli", "status", "--config", str(file), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "300"},
    )
    out, error = await process.communicate()
    assert not error, error
    return process.returncode, out.decode()


async def test_a_day_of_a_refused_token_costs_few_calls_gives_nothing_up_and_is_told_and_a_good_one_goes_on(
    company, rig
):
    await company.ask(
        *(
            commands.Command(f"r-{n}", f"payments:PM{n}", f"read:{n}", commands.ReadPayment(f"PM{n}"))
            for n in range(READS)
        )
    )
    office = rig.office()
    began = company.clock.now()
    await office.until("2026-03-03T09:00:00.000Z")

    assert 20 < len(rig.api.calls) < 60, "pollers and executors together, far below the 300 that are allowed"
    assert office.attempts() == {("ready", 0)}, "no attempt was used up"
    assert await company.outcomes() == [], "nothing is parked"

    code, troubles = await office.ready()
    assert code == 503
    (trouble,) = troubles
    assert trouble.startswith(
        f"acme/gocardless: GoCardless has refused acme since {began}: it does not accept the access token;"
    )

    code, text = await status(company)
    assert code == 1
    assert f"needs a person: GoCardless has refused acme since {began}" in text
    assert "zoho-gocardless connect acme" in text
    code, text = await status(company, "--json")
    assert code == 1
    (standing,) = orjson.loads(text)["data"]["connections"]
    (refusal,) = standing["refusals"]
    assert (refusal["connection"], refusal["api"], refusal["since"]) == ("acme", "gocardless", began)
    assert began < refusal["again_at"] <= "2026-03-03T10:00:00.000Z"
    assert "refused-token" not in text

    rig.api.good = "new-token"
    company.credentials.put("acme", GOCARDLESS_TOKEN, b"new-token")
    await office.until(refusal["again_at"])
    await office.until(times.add_seconds(company.clock.now(), 120))
    assert await office.ready() == (200, [])
    assert await company.outcomes() == [("refused", "resource_not_found")] * READS, "every read was made after all"
    assert all(Polls(company.store).get("acme", kind).head_at for kind in KINDS["gocardless"])
    _, text = await status(company)
    assert "GoCardless has refused" not in text


async def test_a_start_tries_a_new_token_at_once_and_then_everything_is_due(company, rig, again):
    office = rig.office()
    await office.until("2026-03-02T15:00:00.000Z")
    office.access.release()
    now = company.clock.now()
    async with again() as restarted:
        restarted.clock.move(to=now)
        restarted.credentials.put("acme", GOCARDLESS_TOKEN, b"new-token")
        rig.api.good = "new-token"
        rig.api.calls.clear()
        office = rig.office(restarted)
        code, troubles = await office.ready()
        assert (code, len(troubles)) == (503, 1), "it is told from the start on, before any call"
        await office.until(times.add_seconds(now, 1))
        assert rig.api.calls == ["/customers", "/mandates", "/events"]
        assert await office.ready() == (200, [])


async def test_a_token_that_is_removed_or_cannot_be_opened_is_a_refusal_too_and_ends_no_loop(company, rig):
    office = rig.office()
    await office.until("2026-03-02T09:00:30.000Z")
    for spoil in (
        lambda: company.credentials.delete("acme", GOCARDLESS_TOKEN),
        lambda: company.credentials._secrets.put("acme", GOCARDLESS_TOKEN, b"not an envelope of ours"),
        lambda: company.credentials.put("acme", GOCARDLESS_TOKEN, b"two words"),
    ):
        spoil()
        calls = len(rig.api.calls)
        await office.until(times.add_seconds(company.clock.now(), 3_600))
        assert len(rig.api.calls) == calls, "without a token nothing is sent"
        assert (await office.ready())[0] == 503
    rig.api.good = "new-token"
    company.credentials.put("acme", GOCARDLESS_TOKEN, b"new-token")
    await office.until(times.add_seconds(company.clock.now(), 3_700))
    assert await office.ready() == (200, [])


async def test_a_server_that_is_away_after_a_refusal_is_not_asked_in_a_circle(company, rig):
    """The refusal stands until a call succeeds; an API that is away meanwhile is asked as seldom as ever."""
    await company.ask(commands.Command("r-0", "payments:PM0", "read:0", commands.ReadPayment("PM0")))
    office = rig.office()
    await office.until("2026-03-02T09:00:30.000Z")
    rig.api.away = True
    rig.api.calls.clear()
    await office.until("2026-03-02T10:00:30.000Z")
    walks = [path for path in rig.api.calls if path != "/payments/PM0"]
    assert len(walks) <= 60 * len(KINDS["gocardless"]), "each list once a minute"
    assert len(rig.api.calls) - len(walks) <= CALLS.park_after
    assert (await office.ready())[0] == 503


async def test_a_consent_that_was_revoked_at_zoho_is_told_and_a_new_one_is_taken_up_by_the_running_program(
    company, rig
):
    url = rig.url
    connection = msgspec.convert(
        {
            **msgspec.to_builtins(company.settings.connections["acme"]),
            "zoho": {"organization_id": "20077001", "url": url},
        },
        type(company.settings.connections["acme"]),
    )
    company.credentials.put("acme", ZOHO_CLIENT, msgspec.json.encode({"client_id": "id", "client_secret": "secret"}))
    company.credentials.put("acme", ZOHO_TOKEN, msgspec.json.encode(TokenState("revoked", url)))
    async with HttpTransport() as session:
        send = sender("zoho", session, company.credentials, "acme", connection, company.clock.now)
        access = company.access("zoho", send, calls=CALLS)
        assert access.hold()
        for again_at in ("2026-03-02T09:01:00.000Z", "2026-03-02T09:03:00.000Z"):
            with pytest.raises(CredentialError):
                await access.call(Call("GET", "/invoices"), uptime_s() + 5)
            (refusal,) = refusals(company.store, ["acme"])
            assert (refusal.since, refusal.again_at) == ("2026-03-02T09:00:00.000Z", again_at)
            assert "it was revoked" in refusal.words
            company.clock.move(to=again_at)
            access.may_go(commands.PRIORITY_READ)
        assert rig.api.calls == ["/oauth/v2/token"], "a dead consent is not tried again"
        company.credentials.put("acme", ZOHO_TOKEN, msgspec.json.encode(TokenState("renewed", url)))
        assert (await access.call(Call("GET", "/invoices"), uptime_s() + 5)).status == 200
        assert refusals(company.store, ["acme"]) == []


async def test_a_row_of_a_budget_of_an_earlier_version_is_still_read(company, rig):
    company.access("gocardless", company.script())._budgets.put(
        "acme", "gocardless", '{"arrival_ms":1,"closed_until":"","day_limit":7}'
    )
    office = rig.office()
    await office.until("2026-03-02T09:00:30.000Z")
    assert office.access._spent.day_limit == 7
    assert office.access.refused
