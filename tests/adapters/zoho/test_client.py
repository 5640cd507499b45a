"""Against a real server that behaves, and misbehaves, as Zoho's does."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from aiohttp import web

from adapters import http
from adapters.errors import CredentialError, TransportError
from adapters.http import Answer, Call
from adapters.verdicts import Retry, Unknown
from adapters.zoho import perform
from adapters.zoho.client import Client
from adapters.zoho.oauth import ClientKey, TokenSource, TokenState
from tests.support import zoho_records as z

READ = Call("GET", "/invoices", {"reference_number": "a+b c"})


class Books:
    """A server of both the tokens and the books; `reply` answers a call."""

    def __init__(self):
        self.calls, self.tokens, self.scope = [], 0, ""

    async def accounts(self, request):
        return await self.token(request)

    async def token(self, _request):
        self.tokens += 1
        return web.json_response(
            {"access_token": f"1000.token-{self.tokens}", "scope": self.scope, "api_domain": self.url}
        )

    async def books(self, request):
        self.calls.append(
            (request.method, request.path, dict(request.query), dict(request.headers), await request.read())
        )
        return await self.reply(request)

    async def reply(self, _request):
        return web.json_response({"code": 0, "invoices": []}, headers={"X-Rate-Limit-Remaining": "776"})


class Store:
    def __init__(self, state):
        self.state = state

    async def load(self):
        return self.state

    async def save(self, state):
        self.state = state

    @asynccontextmanager
    async def lock(self):
        yield


@pytest.fixture
async def rig(clock):
    books = Books()
    app = web.Application()
    app.router.add_post("/oauth/v2/token", books.accounts)
    app.router.add_route("*", "/books/v3/{rest:.*}", books.books)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    books.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with http.HttpTransport() as session:
        store = Store(TokenState(refresh_token="1000.refresh", accounts_url=books.url))
        tokens = TokenSource(session, ClientKey("id", "secret"), store, clock, sandbox=True)
        yield SimpleNamespace(books=books, client=Client(session, tokens, "20077001"), clock=clock, store=store)
    await runner.cleanup()


async def test_every_call_carries_the_token_and_the_organisation(rig):
    answer = await rig.client.send(READ, deadline_s=5)
    assert answer == Answer(200, answer.headers, b'{"code": 0, "invoices": []}')
    assert answer.headers["x-rate-limit-remaining"] == "776"
    method, path, query, headers, body = rig.books.calls[0]
    assert (method, path, body) == ("GET", "/books/v3/invoices", b"")
    assert query == {"reference_number": "a+b c", "organization_id": "20077001"}
    assert headers["Authorization"] == "Zoho-oauthtoken 1000.token-1"


async def test_a_write_arrives_as_it_was_made(rig):
    call = perform.send_call(z.command(z.CREATE_PAYMENT))
    await rig.client.send(call, deadline_s=5)
    method, path, query, headers, body = rig.books.calls[0]
    assert (method, path, query) == ("PUT", "/books/v3/customerpayments", {"organization_id": "20077001"})
    assert body == call.body
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Unique-Identifier-Value"] == "live:PM01:1"
    assert headers["X-Upsert"] == "true"


async def test_the_organisation_cannot_be_overridden_by_a_call(rig):
    await rig.client.send(Call("GET", "/invoices", {"organization_id": "666"}), deadline_s=5)
    assert rig.books.calls[0][2]["organization_id"] == "20077001"


async def test_a_refused_token_is_replaced_before_the_next_call_and_not_again_at_once(rig):
    async def reply(request):
        if request.headers["Authorization"].endswith("token-1"):
            return web.json_response({"code": 57, "message": "no"}, status=401)
        return web.json_response({"code": 0, "invoices": []})

    rig.books.reply = reply
    assert (await rig.client.send(READ, deadline_s=5)).status == 401
    assert (await rig.client.send(READ, deadline_s=5)).status == 401  # made moments ago: not replaced yet
    assert rig.books.tokens == 1
    rig.clock.at = "2026-03-02T09:02:00.000Z"
    assert (await rig.client.send(READ, deadline_s=5)).status == 200
    assert rig.books.tokens == 2


async def test_a_missing_scope_is_told_from_a_dead_token_before_the_call(rig):
    rig.books.scope = "ZohoBooks.invoices.READ"
    await rig.client.send(READ, deadline_s=5)
    with pytest.raises(CredentialError, match=r"ZohoBooks\.banking\.CREATE"):
        await rig.client.send(Call("POST", "/banktransactions", body=b"{}"), deadline_s=5)
    assert len(rig.books.calls) == 1


async def test_a_timeout_may_have_been_carried_out(rig):
    async def reply(_request):
        await asyncio.sleep(5)
        return web.Response()

    rig.books.reply = reply
    with pytest.raises(TransportError) as caught:
        await rig.client.send(READ, deadline_s=0.15)
    assert caught.value.sent is True
    assert len(rig.books.calls) == 1


async def test_a_reset_may_have_been_carried_out_and_is_not_sent_again(rig):
    async def reply(request):
        request.transport.abort()
        return web.Response()

    rig.books.reply = reply
    with pytest.raises(TransportError) as caught:
        await rig.client.send(perform.send_call(z.command(z.CREATE_PAYMENT)), deadline_s=5)
    assert caught.value.sent is True
    assert len(rig.books.calls) == 1


async def test_time_spent_on_the_token_counts_and_nothing_was_sent(rig):
    make = rig.books.token

    async def slow(request):
        await asyncio.sleep(0.2)
        return await make(request)

    rig.books.token = slow
    with pytest.raises(TransportError) as caught:
        await rig.client.send(READ, deadline_s=0.05)
    assert caught.value.sent is False
    assert rig.books.calls == []
    assert (await rig.client.send(READ, deadline_s=5)).status == 200  # the token was made all the same, once
    assert rig.books.tokens == 1


@pytest.mark.parametrize(
    ("status", "body", "write", "read"),
    [
        (502, b"<html>bad gateway</html>", Unknown("server_error"), Retry("server_error")),
        (200, b"<html>maintenance</html>", Unknown("not_an_api_answer"), Retry("not_an_api_answer")),
        (200, b'{"code":57,"message":"no"}', Retry("token", 60.0, "api"), Retry("token", 60.0, "api")),
        (302, b"", Unknown("not_an_api_answer"), Retry("not_an_api_answer")),
    ],
)
async def test_odd_answers_come_back_whole_and_are_judged_by_perform(rig, status, body, write, read):
    async def reply(_request):
        return web.Response(status=status, body=body, headers={"Location": "https://elsewhere.example/"})

    rig.books.reply = reply
    for command, verdict in ((z.command(z.CREATE_TRANSFER), write), (z.command(perform.c.ReadInvoice("1")), read)):
        call = perform.send_call(command)
        answer = await rig.client.send(call, deadline_s=5)
        assert (answer.status, answer.body) == (status, body)
        assert perform.verdict(command, "send", call, answer) == verdict
    assert len(rig.books.calls) == 2
