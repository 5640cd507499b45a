"""What an API's answer says in its headers can stop nothing: it is ignored and counted, and the next call goes on."""

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest

from adapters import budgets
from adapters.http import Call, HttpTransport
from adapters.machine import uptime_s
from adapters.zoho.oauth import TokenState
from domain import commands
from projections.work.polls import Polls
from streams.credentials import GOCARDLESS_TOKEN, ZOHO_CLIENT, ZOHO_TOKEN, sender
from streams.settings import Calls, Polling
from streams.stages.executor import Executor
from streams.stages.poller import KINDS, Poller
from tests.support.installation import Script, answer

CALLS = Calls(deadline_s=5.0)
DIGITS = {"x-rate-limit-limit": "5000", "x-rate-limit-remaining": "4000", "x-rate-limit-reset": "3600"}
GOOD_DATE = "Mon, 02 Mar 2026 09:03:07 GMT"

BAD_DATES = [
    "Mon, 31 Nov 2026 09:00:00 GMT",
    "Mon, 02 Mar 99999 09:00:00 GMT",
    "Mon, 02 Mar 2026 09:00:99 GMT",
    "²",
    "9" * 5_000,
]
BAD_NUMBERS = ["9" * 20, "²", "٣", "9" * 5_000, "-1", "1e9", "\udcff"]

BODIES = {
    "/customers": b'{"customers":[],"meta":{"cursors":{}}}',
    "/mandates": b'{"mandates":[],"meta":{"cursors":{}}}',
    "/events": b'{"events":[],"meta":{"cursors":{}}}',
    "/payments/PM1": b'{"error":{"type":"invalid_api_usage","code":404,"errors":[{"reason":"resource_not_found"}]}}',
    "/books/v3/settings/currencies": b'{"code":0,"message":"success","currencies":[]}',
    "/books/v3/contacts": b'{"code":0,"message":"success","contacts":[]}',
    "/books/v3/invoices": b'{"code":0,"message":"success","invoices":[]}',
    "/books/v3/invoices/inv-1": b'{"code":1002,"message":"Invoice does not exist."}',
    "/oauth/v2/token": b'{"access_token":"1000.a-token-that-works"}',
}
STATUS = {"/payments/PM1": 404, "/books/v3/invoices/inv-1": 404}


class Server:
    """Both APIs, on a real port, with headers byte for byte as a test gives them."""

    def __init__(self):
        self.headers = {}
        self.paths = []

    async def __call__(self, reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b"":
            length = next(
                (int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")), 0
            )
            await reader.readexactly(length)
            path = head.split(b" ")[1].split(b"?")[0].decode()
            self.paths.append(path)
            body = BODIES[path]
            lines = [f"HTTP/1.1 {STATUS.get(path, 200)} X", f"Content-Length: {len(body)}"]
            lines += [f"{name}: {value}" for name, value in self.headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body)


@pytest.fixture
async def rig(company):
    """Executors and pollers of both APIs for acme, over the real clients, against one server."""
    server = Server()
    async with serving(server) as url, HttpTransport() as session:
        company.credentials.put("acme", GOCARDLESS_TOKEN, b"token")
        company.credentials.put(
            "acme", ZOHO_CLIENT, msgspec.json.encode({"client_id": "id", "client_secret": "secret"})
        )
        company.credentials.put("acme", ZOHO_TOKEN, msgspec.json.encode(TokenState("refresh", url)))
        connection = msgspec.convert(
            {
                **msgspec.to_builtins(company.settings.connections["acme"]),
                "gocardless": {"url": url},
                "zoho": {"organization_id": "20077001", "url": url},
            },
            type(company.settings.connections["acme"]),
        )
        sends = {
            api: sender(api, session, company.credentials, "acme", connection, company.clock.now)
            for api in ("gocardless", "zoho")
        }
        yield Rig(company, server, {api: company.access(api, send, calls=CALLS) for api, send in sends.items()})


@asynccontextmanager
async def serving(server):
    async def answer(reader, writer):
        try:
            await server(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


class Rig:
    def __init__(self, company, server, accesses):
        self.company, self.server, self.accesses = company, server, accesses

    async def round(self, api):
        """A minute later, one turn of the poller and of the executor, each list and one read due; the paths that were
        asked for.
        """
        self.company.clock.move(60)
        self.server.paths.clear()
        polls = Polls(self.company.store)
        for kind in KINDS[api]:
            polls.save(msgspec.structs.replace(polls.get("acme", kind), due_at=""))
        number = next(self.company._numbers)
        read = (
            commands.Command(f"r-{number}", "payments:PM1", "read", commands.ReadPayment("PM1"))
            if api == "gocardless"
            else msgspec.structs.replace(self.company.read_invoice("inv-1"), id=f"r-{number}")
        )
        await self.company.ask(read)
        executor = Executor(self.company.context, api, {"acme": self.accesses[api]}, CALLS)
        await executor.turn()
        await executor.drain()
        await executor.turn()  # a task that failed ends the loop here
        await Poller(self.company.context, api, {"acme": self.accesses[api]}, Polling(), CALLS).turn()
        return [path for path in self.server.paths if "oauth" not in path]


EXPECTED = {
    "gocardless": ["/payments/PM1", "/customers", "/mandates", "/events"],
    "zoho": [f"/books/v3/{name}" for name in ("invoices/inv-1", "settings/currencies", "contacts", "invoices")],
}


@pytest.mark.parametrize("api", ["gocardless", "zoho"])
@pytest.mark.parametrize("date", BAD_DATES)
async def test_no_date_of_an_answer_ends_a_loop_and_the_next_call_goes_on(rig, api, date):
    rig.server.headers = {"Date": date}
    for _ in range(2):
        assert await rig.round(api) == EXPECTED[api]
    assert rig.company.context.skews == {}
    assert rig.company.count("ignored_headers", api=api, header="date") == 8
    rig.server.headers = {"Date": GOOD_DATE}
    assert await rig.round(api) == EXPECTED[api]
    assert rig.company.context.skews == {f"acme/{api}": 7.0}


@pytest.mark.parametrize("name", DIGITS)
@pytest.mark.parametrize("value", BAD_NUMBERS)
async def test_no_limit_that_zoho_names_ends_a_loop_or_closes_it_for_years(rig, name, value):
    rig.server.headers = {**DIGITS, name: value}
    for _ in range(2):
        assert await rig.round("zoho") == EXPECTED["zoho"]
    assert rig.company.count("ignored_headers", api="zoho", header=name) == 8
    access = rig.accesses["zoho"]
    assert access._spent.day_limit == budgets.ZOHO.day, "our own count goes on"
    rig.server.headers = DIGITS
    assert await rig.round("zoho") == EXPECTED["zoho"]
    assert (access._spent.day_limit, access._spent.day_left, access._spent.day_ends) == (
        5000,
        4000,
        "2026-03-02T10:03:00.000Z",
    )


async def test_a_legal_leap_second_is_a_date_like_any_other(rig):
    rig.server.headers = {"Date": "Mon, 02 Mar 2026 09:01:60 GMT"}
    assert await rig.round("gocardless") == EXPECTED["gocardless"]
    assert rig.company.context.skews == {"acme/gocardless": 59.0}
    assert rig.company.count("ignored_headers", api="gocardless", header="date") == 0


@pytest.mark.parametrize("api", ["gocardless", "zoho"])
async def test_a_content_type_that_is_no_text_is_kept_with_its_bytes_replaced(rig, api):
    rig.server.headers = {"Content-Type": "application/json\udcff", "Date": "\udcfe"}
    assert await rig.round(api) == EXPECTED[api]
    await rig.company.translate()
    assert "command.outcome" in {event.type for event in await rig.company.events()}


@pytest.mark.parametrize("api", ["gocardless", "zoho"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Length", "9" * 30),
        ("Content-Length", "²"),
        ("Content-Length", "-5"),
        ("Transfer-Encoding", "²"),
        ("Content-Encoding", "gzip"),
        ("Content-Encoding", "br"),
        ("Content-Encoding", "\udcff"),
        ("Content-Type", "; charset=²; charset"),
        ("Set-Cookie", '="; \udcff; expires=Mon, 31 Nov 2026; max-age=' + "9" * 30),
        ("Connection", "\udcff"),
        ("Keep-Alive", "timeout=" + "9" * 30),
        ("Location", "http://[::²"),
        ("Link", "<²>; rel=" + "9" * 5_000),
        ("Retry-After", "9" * 5_000),
        ("RateLimit-Reset", "9" * 5_000),
        ("X-Long", "x" * 100_000),
    ],
)
async def test_no_other_header_ends_a_loop_either(rig, api, name, value):
    """Where the transport cannot read the answer for it, nothing is concluded, and the same is asked again."""
    rig.server.headers = {name: value}
    await rig.round(api)
    rig.server.headers = {}
    rig.company.clock.move(60)
    assert set(EXPECTED[api]) <= {*await rig.round(api)}


@pytest.mark.parametrize("field", ["day_ends", "closed_until"])
async def test_an_end_that_lies_years_ahead_in_a_kept_budget_closes_nothing(company, field):
    """A row written by an earlier version, or while the clock was wrong."""
    row = {"day_limit": 1000, "day_left": 0, field: "2093-01-01T00:00:00.000Z"}
    company.access("zoho", Script())._budgets.put("acme", "zoho", msgspec.json.encode(row).decode())
    access = company.access("zoho", Script(answer(200, {"code": 0})), calls=CALLS)
    assert access.hold()
    assert access.may_go(commands.PRIORITY_SWEEP) is None
    access.begin(commands.PRIORITY_SWEEP)
    await access.call(Call("GET", "/invoices"), uptime_s() + 5)
