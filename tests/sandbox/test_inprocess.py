"""An application called in this process answers as it does on a real socket."""

import asyncio
from datetime import UTC, datetime

import aiohttp
import orjson
import pytest
from aiohttp import web

from sandbox.gocardless import gocardless_app
from sandbox.http import BODY_BYTES_MAX
from sandbox.inprocess import HOST, InProcess
from sandbox.world import World
from sandbox.zoho import zoho_app
from tests.support.served import served
from tests.support.virtual_loop import in_virtual_time

START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
GC = {"Authorization": "Bearer token", "GoCardless-Version": "2015-07-06", "Content-Type": "application/json"}
APPS = {"gocardless": gocardless_app, "zoho": zoho_app}
PAYERS = {"quiet": True, "customers": [{"given_name": "Ada", "family_name": "Brook", "email": "a@example.com"}]}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
QUERY_BODY = {"contact_name": "Zoë & Söhne", "email": "zoe@example.com"}


def filled(api):
    """A world with one customer, its application, and what the requests need to know of it."""
    world = World(seed=5, start=START)
    app = APPS[api](world)
    if api == "gocardless":
        from sandbox.gocardless.acts import populate

        known = populate(world.apis["gocardless"].merchant, PAYERS)["customers"][0]
    else:
        known = world.apis["zoho"].populate({"contacts": [{"contact_name": "Ada", "currency_code": "GBP"}]})
    return world, app, known


def gocardless_calls(known):
    payment = {"amount": 1999, "currency": "GBP", "links": {"mandate": known["mandate"]}}
    made = orjson.dumps({"payments": payment})
    return [
        ("GET", "/customers?limit=5", GC, b""),
        ("POST", "/payments", {**GC, "Idempotency-Key": "one"}, made),
        ("POST", "/payments", {**GC, "Idempotency-Key": "one"}, made),
        ("POST", "/payments", GC, b'{"payments": {}}'),
        ("GET", "/payments?created_at%5Bgte%5D=2026-01-01T00%3A00%3A00Z", GC, b""),
        ("GET", "/payments/PM404", GC, b""),
        ("GET", "/nowhere", GC, b""),
        ("DELETE", "/payments", GC, b""),
        ("GET", "/creditors", {}, b""),
        ("GET", "/payments", GC, b""),
    ]


def zoho_calls(known):
    oauth = known["oauth"]
    form = "&".join(f"{name}={value}" for name, value in {**oauth, "grant_type": "refresh_token"}.items())
    organization = f"organization_id={known['organization_id']}"
    return [
        ("POST", "/oauth/v2/token", FORM, form.encode()),
        ("GET", f"/books/v3/contacts?{organization}&sort_column=last_modified_time", {}, b""),
        ("POST", f"/books/v3/contacts?{organization}", {}, orjson.dumps(QUERY_BODY)),
        ("GET", f"/books/v3/contacts/{known['contacts'][0]}?{organization}", {}, b""),
        ("GET", f"/books/v3/invoices/404?{organization}", {}, b""),
        ("GET", "/books/v3/invoices?organization_id=1", {}, b""),
        ("GET", "/books/v3/nowhere", {}, b""),
        ("GET", "/elsewhere", {}, b""),
        ("GET", "/oauth/serverinfo", {}, b""),
        ("GET", f"/books/v3/invoices?{organization}", {}, b""),
    ]


CALLS = {"gocardless": gocardless_calls, "zoho": zoho_calls}
FAULTS = {
    "gocardless": [{"api": "gocardless", "kind": "429_gocardless", "path": "^/payments$", "method": "GET", "skip": 1}],
    "zoho": [{"api": "zoho", "kind": "429_minute", "path": "/invoices$", "skip": 1}],
}


async def answers(api, ask, world, known):
    """(status, headers, body) of each call; the token of the first answer of Zoho goes with the later ones."""
    world.faults.add(FAULTS[api])
    found, token = [], {}
    for method, target, headers, body in CALLS[api](known):
        answer = await ask(method, target, {"Host": HOST, **headers, **token}, body)
        if target == "/oauth/v2/token":
            token = {"Authorization": f"Zoho-oauthtoken {orjson.loads(answer[2])['access_token']}"}
        found.append(answer)
    return found


async def over_sockets(server, method, target, headers, body):
    skip = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
    url = aiohttp.client.URL(server.url + target, encoded=True)
    async with server.http.request(method, url, headers=headers, data=body, skip_auto_headers=skip) as answer:
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, await answer.read()


@pytest.mark.parametrize("api", ["gocardless", "zoho"])
async def test_each_answer_is_that_of_a_real_socket(api):
    world, app, known = filled(api)
    async with served(world, api, app) as server:
        expected = await answers(api, lambda *call: over_sockets(server, *call), world, known)

    world, app, known = filled(api)
    inside = InProcess(app)

    async def ask(*call):
        reply = await inside.request(*call)
        return reply.status, reply.headers, reply.body

    found = await answers(api, ask, world, known)
    for call, one, other in zip(CALLS[api](known), found, expected, strict=True):
        assert one == other, call
    statuses = {status for status, _, _ in found}
    assert {200, 201, 404, 429} <= statuses, statuses
    assert api == "zoho" or {400, 401, 409, 422} & statuses


async def test_an_aborted_connection_is_reset_and_what_was_committed_stays():
    rule = {"api": "gocardless", "kind": "reset_after_commit", "path": "^/payments$"}
    made = []
    for inside in (False, True):
        world, app, known = filled("gocardless")
        world.faults.add([rule])
        call = gocardless_calls(known)[1]
        if inside:
            with pytest.raises(ConnectionResetError):
                await InProcess(app).request(*call)
        else:
            async with served(world, "gocardless", app) as server:
                with pytest.raises(aiohttp.ClientError):
                    await over_sockets(server, *call)
        made.append(world.apis["gocardless"].merchant.collections["payments"].records)
        assert (world.in_flight, world.activity) == (0, 1)
    assert made[0] == made[1] != []


def test_a_held_answer_takes_the_time_of_the_loop():
    async def work(loop):
        world, app, known = filled("gocardless")
        rule = {"api": "gocardless", "kind": "timeout_after_commit", "path": "^/payments$", "hold_s": 40, "times": 2}
        world.faults.add([rule])
        inside = InProcess(app)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await inside.request(*gocardless_calls(known)[1])
        assert loop.time() == 30
        assert world.in_flight == 0, "who gives up takes his handler with him"
        with pytest.raises(ConnectionResetError):
            await inside.request("POST", "/payments", GC, b"{}")
        assert loop.time() == 70
        return len(world.apis["gocardless"].merchant.collections["payments"])

    assert in_virtual_time(work) == 1


async def test_the_application_is_started_once_and_large_bodies_and_streams_pass():
    started = []

    async def start(_app):
        started.append(1)

    async def stream(request):
        response = web.StreamResponse(headers={"X-Length": str(len(await request.read()))})
        await response.prepare(request)
        await response.write(b"one ")
        await response.write_eof(b"two")
        return response

    async def refuse(_request):
        raise web.HTTPForbidden(text="no")

    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.on_startup.append(start)
    app.add_routes([web.post("/stream", stream), web.get("/no", refuse)])
    inside = InProcess(app)
    reply = await inside.request("POST", "/stream", {}, b"x" * 3_000_000)
    assert (reply.status, reply.headers["x-length"], reply.body) == (200, "3000000", b"one two")
    assert (await inside.request("GET", "/no", {})).status == 403
    assert (await inside.request("GET", "/nowhere", {})).status == 404
    assert started == [1]


async def test_what_breaks_inside_breaks_the_caller():
    async def broken(_request):
        raise RuntimeError("a fault of a simulator")

    app = web.Application()
    app.add_routes([web.get("/", broken)])
    with pytest.raises(RuntimeError, match="a fault of a simulator"):
        await InProcess(app).request("GET", "/", {})
