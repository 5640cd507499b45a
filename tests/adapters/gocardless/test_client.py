"""The client against a real server: what it adds, what it keeps back, and how it fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from adapters import http
from adapters.errors import CredentialError, TransportError
from adapters.gocardless import perform
from adapters.gocardless.client import URLS, Client
from adapters.http import Call
from adapters.vault import Secret
from adapters.verdicts import Done, Retry, Unknown
from tests.support import gocardless_records as gc

TOKEN = Secret("main", b"sandbox_access_token")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def client_of(handler: Handler) -> AsyncIterator[Client]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with http.HttpTransport() as session:
            yield Client(session, TOKEN, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


async def test_the_create_goes_out_with_key_version_and_token() -> None:
    seen: list[tuple[web.Request, bytes]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request, await request.read()))
        return web.json_response({"payments": gc.PAYMENT}, status=201, headers={"RateLimit-Remaining": "163"})

    command = gc.command("create_payment")
    call = perform.send_call(command)
    async with client_of(handler) as client:
        answer = await client.send(call, deadline_s=5)
    request, body = seen[0]
    assert (request.method, request.path) == ("POST", "/payments")
    assert request.headers["Authorization"] == "Bearer sandbox_access_token"
    assert request.headers["GoCardless-Version"] == "2015-07-06"
    assert request.headers["Content-Type"] == request.headers["Accept"] == "application/json"
    assert request.headers["Idempotency-Key"] == "zg01-abc"
    assert body == call.body
    assert answer.headers["ratelimit-remaining"] == "163"
    assert perform.verdict(command, "send", call, answer) == Done("succeeded", gc.PAYMENT["id"])


async def test_notes_to_ourselves_do_not_travel() -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({})

    async with client_of(handler) as client:
        await client.send(
            Call("GET", "/payout_items", {"payout": "PO1", "after": "x=", "_page": "2", "_first": "200"}), deadline_s=5
        )
    assert dict(seen[0].query) == {"payout": "PO1", "after": "x="}
    assert "Content-Type" not in seen[0].headers


@pytest.mark.parametrize("value", [b"", b"a b", b"a\r\nX: y", b"\xff", b"x" * 513])
async def test_a_token_that_cannot_stand_in_a_header_is_refused_and_not_shown(value: bytes) -> None:
    async with http.HttpTransport() as session:
        with pytest.raises(CredentialError) as caught:
            Client(session, Secret("main", value), URLS["live"])
    assert not caught.value.retriable
    assert value == b"" or value.decode("latin-1") not in str(caught.value)


async def stuck(_request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def reset(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def truncated(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"payments": {')
    assert request.transport is not None
    request.transport.close()
    return response


async def huge(_request: web.Request) -> web.Response:
    return web.Response(body=b"x" * (http.MAX_ANSWER_BYTES + 1))


@pytest.mark.parametrize(
    ("handler", "reason"),
    [(stuck, "deadline"), (reset, "reset"), (truncated, "truncated"), (huge, "too_large")],
    ids=lambda v: str(v)[:20],
)
async def test_no_whole_answer_means_that_a_write_may_have_happened(handler: Handler, reason: str) -> None:
    async with client_of(handler) as client:
        with pytest.raises(TransportError) as caught:
            await client.send(perform.send_call(gc.command("create_payment")), deadline_s=0.5)
    assert (caught.value.reason, caught.value.sent) == (reason, True)


async def test_nobody_there_means_that_nothing_was_sent() -> None:
    async with client_of(stuck) as client:
        url = client._base_url
    async with http.HttpTransport() as session:
        with pytest.raises(TransportError) as caught:
            await Client(session, TOKEN, url).send(perform.send_call(gc.command("create_payment")), deadline_s=2)
    assert not caught.value.sent


async def test_html_is_an_answer_that_says_nothing() -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(
            status=502, body=gc.fixture("client-java-errors/non_json_response.html"), content_type="text/html"
        )

    async with client_of(handler) as client:
        for name, expected in (("create_payment", Unknown("http_502")), ("read_payment", Retry("http_502"))):
            command = gc.command(name)
            call = perform.send_call(command)
            assert perform.verdict(command, "send", call, await client.send(call, deadline_s=5)) == expected


async def test_a_redirect_does_not_carry_the_token_elsewhere() -> None:
    paths: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        paths.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async with client_of(handler) as client:
        answer = await client.send(perform.send_call(gc.command("create_payment")), deadline_s=5)
    assert (answer.status, paths) == (307, ["/payments"])
