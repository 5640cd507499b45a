"""Against a real token service, on a real socket, that counts what it is asked."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from adapters import http
from adapters.errors import CredentialError, TransportError
from adapters.http import Call
from adapters.zoho import oauth
from adapters.zoho.oauth import ClientKey, TokenSource, TokenState, missing_scopes, redeem, scope_for
from domain.times import add_seconds

KEY = ClientKey("1000.CLIENT", "client-secret-4711")
THROTTLED = {"error": "Access Denied", "error_description": "too many", "status": "failure"}


class Service:
    """Answers `POST /oauth/v2/token` with what is set; by default a new token each time."""

    def __init__(self):
        self.forms, self.answers, self.status, self.raw, self.delay_s = [], [], 200, None, 0.0

    async def handle(self, request):
        self.forms.append(dict(await request.post()))
        assert not request.query_string
        await asyncio.sleep(self.delay_s)
        if self.raw is not None:
            return web.Response(body=self.raw, status=self.status, content_type="text/html")
        said = (
            self.answers.pop(0)
            if self.answers
            else {"access_token": f"1000.token-{len(self.forms)}", "expires_in": 3600, "token_type": "Bearer"}
        )
        return web.json_response(said, status=self.status)


class Store:
    """A store in memory that two sources can share, as two processes would."""

    def __init__(self, state):
        self.state, self.saves, self._lock = state, 0, asyncio.Lock()

    async def load(self):
        return self.state

    async def save(self, state):
        self.saves += 1
        self.state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=TokenState)

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        async with self._lock:
            yield


@pytest.fixture
async def service():
    found = Service()
    app = web.Application()
    app.router.add_post("/oauth/v2/token", found.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
async def session():
    async with http.HttpTransport() as opened:
        yield opened


@pytest.fixture
def store(service):
    return Store(TokenState(refresh_token="1000.refresh", accounts_url=service.url))


@pytest.fixture
def source(session, store, clock):
    return TokenSource(session, KEY, store, clock, sandbox=True)


def later(clock, seconds):
    clock.at = add_seconds(clock.at, seconds)


async def test_one_refresh_serves_all_until_fifty_five_minutes(service, source, clock):
    found = await asyncio.gather(*(source.access() for _ in range(20)))
    assert {access.token for access in found} == {"1000.token-1"}
    later(clock, 3299)
    assert (await source.access()).token == "1000.token-1"
    later(clock, 1)
    assert (await source.access()).token == "1000.token-2"
    assert len(service.forms) == 2
    assert service.forms[0] == {
        "grant_type": "refresh_token",
        "refresh_token": "1000.refresh",
        "client_id": "1000.CLIENT",
        "client_secret": "client-secret-4711",
    }


async def test_two_processes_share_one_refresh(service, session, store, clock):
    service.delay_s = 0.05
    sources = [TokenSource(session, KEY, store, clock, sandbox=True) for _ in range(4)]
    found = await asyncio.gather(*(each.access() for each in sources))
    assert {access.token for access in found} == {"1000.token-1"}
    assert len(service.forms) == 1


async def test_a_waiter_that_gives_up_stops_no_refresh(service, source):
    service.delay_s = 0.1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await source.access()
    assert (await source.access()).token == "1000.token-1"
    assert len(service.forms) == 1


async def test_a_failure_that_nobody_waits_for_is_quiet(service, source):
    service.delay_s, service.raw = 0.05, b"<html>"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await source.access()
    await asyncio.sleep(0.1)  # an unretrieved exception would be an error of this test run


async def test_the_place_to_call_is_what_the_answer_says_when_it_is_zohos(service, source, store, clock):
    service.answers = [
        {
            "access_token": "1000.token-x",
            "api_domain": "https://www.zohoapis.eu",
            "scope": "ZohoBooks.invoices.READ ZohoBooks.banking.ALL",
        }
    ]
    access = await source.access()
    assert access.api_url == "https://www.zohoapis.eu"
    assert access.scopes == ("ZohoBooks.banking.ALL", "ZohoBooks.invoices.READ")
    later(clock, 3300)
    service.answers = [{"access_token": "1000.token-y", "api_domain": "https://evil.example"}]
    access = await source.access()
    assert access.api_url == service.url  # the token never goes to a host that is not in the table
    assert access.scopes == (
        "ZohoBooks.banking.ALL",
        "ZohoBooks.invoices.READ",
    )  # an answer that says nothing changes nothing


@pytest.mark.parametrize("status", [200, 400])
async def test_throttled_means_silence_for_ten_minutes(service, source, store, clock, status):
    service.answers, service.status = [THROTTLED], status
    for _ in range(30):
        with pytest.raises(TransportError) as caught:
            await source.access()
        assert caught.value.sent is False
    later(clock, 599)
    with pytest.raises(TransportError):
        await source.access()
    assert len(service.forms) == 1
    service.status = 200
    later(clock, 1)
    assert (await source.access()).token == "1000.token-2"
    assert store.state.closed_until == ""


async def test_a_throttled_refresh_keeps_the_old_token_while_it_lives(service, source, clock):
    await source.access()
    later(clock, 3400)
    service.answers = [THROTTLED]
    assert (await source.access()).token == "1000.token-1"
    later(clock, 170)
    with pytest.raises(TransportError):
        await source.access()


@pytest.mark.parametrize(
    "raw",
    [
        b"<html>",
        b"",
        b'{"access_token":""}',
        b'{"error":"general_error"}',
        b'{"access_token":"a b\\r\\nX: y"}',
        b"[" * 100_000,
    ],
)
async def test_nonsense_is_tried_again_later_and_not_at_once(service, source, clock, raw):
    service.raw, service.status = raw, 503
    for _ in range(10):
        with pytest.raises(TransportError):
            await source.access()
    assert len(service.forms) == 1
    service.raw, service.status = None, 200
    later(clock, 75)
    assert (await source.access()).token == "1000.token-2"


async def test_a_service_that_is_away_is_not_hammered_either(session, clock):
    store = Store(TokenState(refresh_token="1000.refresh", accounts_url="http://127.0.0.1:9"))
    source = TokenSource(session, KEY, store, clock, sandbox=True)
    for _ in range(3):
        with pytest.raises(TransportError):
            await source.access()
    assert store.saves == 1


async def test_a_status_says_nothing_a_token_does(service, source):
    service.status = 400
    assert (await source.access()).token == "1000.token-1"


async def test_a_revoked_consent_is_final_until_a_new_one(service, session, source, store, clock):
    service.answers = [{"error": "invalid_code"}]
    with pytest.raises(CredentialError, match="Connect Zoho Books again"):
        await source.access()
    later(clock, 86_400)
    for each in (source, TokenSource(session, KEY, store, clock, sandbox=True)):
        with pytest.raises(CredentialError, match="21st consent"):
            await each.access()
    assert len(service.forms) == 1
    await store.save(TokenState(refresh_token="1000.new", accounts_url=service.url))
    assert (await source.access()).token == "1000.token-2"


@pytest.mark.parametrize("error", ["invalid_client", "invalid_client_secret"])
async def test_a_wrong_setting_is_told_and_can_be_put_right(service, source, clock, error):
    service.answers = [{"error": error}]
    with pytest.raises(CredentialError) as caught:
        await source.access()
    assert "4711" not in str(caught.value)
    later(clock, 75)
    assert (await source.access()).token == "1000.token-2"


async def test_no_consent_yet(session, clock):
    with pytest.raises(CredentialError, match="not connected"):
        await TokenSource(session, KEY, Store(None), clock).access()


async def test_a_stored_place_that_is_not_zohos_gets_no_secret(session, clock):
    store = Store(TokenState(refresh_token="1000.refresh", accounts_url="https://evil.example"))
    with pytest.raises(CredentialError, match="data centre"):
        await TokenSource(session, KEY, store, clock).access()


async def test_a_refused_token_is_replaced_once(service, source, clock):
    token = (await source.access()).token
    later(clock, 100)
    source.rejected(token)
    found = await asyncio.gather(*(source.access() for _ in range(10)))
    assert {access.token for access in found} == {"1000.token-2"}
    source.rejected(token)  # a straggler's 401 with the token before
    assert (await source.access()).token == "1000.token-2"
    assert len(service.forms) == 2


async def test_refusals_without_end_make_no_storm(service, source, clock):
    """A user without the right gets 401 whatever the token."""
    made = []
    for _ in range(120):  # an hour, a call each 30 seconds, each refused
        source.rejected((await source.access()).token)
        made.append(len(service.forms))
        later(clock, 30)
    assert made[-1] <= 7
    assert max(made[at + 20] - made[at] for at in range(100)) <= 5  # in any ten minutes; Zoho locks at ten


async def test_a_token_that_works_for_other_calls_is_kept_and_the_gap_does_not_grow(service, source, clock):
    for _ in range(40):
        token = (await source.access()).token
        source.accepted(token)
        source.rejected(token)
        later(clock, 30)
    assert len(service.forms) <= 17  # 20 minutes at 75 seconds each
    service.answers = [THROTTLED]
    later(clock, 75)
    assert (await source.access()).token.startswith("1000.token-")  # still good for the others


async def test_secrets_are_in_no_repr(service, source, store):
    access = await source.access()
    shown = repr([access, store.state, KEY])
    for secret in ("1000.refresh", "1000.token", "client-secret-4711"):
        assert secret not in shown


# --- consent ---


async def test_a_grant_code_is_redeemed(service, session, clock):
    service.answers = [
        {
            "access_token": "1000.first-token",
            "refresh_token": "1000.refresh",
            "scope": "ZohoBooks.fullaccess.all",
            "api_domain": service.url,
        }
    ]
    state = await redeem(
        session, KEY, service.url + "/", "1000.code", clock, redirect_uri="https://app.example/callback", sandbox=True
    )
    assert service.forms[0]["grant_type"] == "authorization_code"
    assert service.forms[0]["code"] == "1000.code"
    assert service.forms[0]["redirect_uri"] == "https://app.example/callback"
    assert (state.refresh_token, state.access_token, state.api_url) == ("1000.refresh", "1000.first-token", service.url)
    assert (state.obtained_at, state.scopes) == (clock.at, ("ZohoBooks.fullaccess.all",))
    source = TokenSource(session, KEY, Store(state), clock, sandbox=True)
    assert (await source.access()).token == "1000.first-token"
    assert len(service.forms) == 1


async def test_a_self_client_has_no_redirect(service, session, clock):
    service.answers = [{"access_token": "1000.first-token", "refresh_token": "1000.refresh"}]
    await redeem(session, KEY, service.url, "1000.code", clock, sandbox=True)
    assert "redirect_uri" not in service.forms[0]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"error": "invalid_code"}, "used before"),
        ({"error": "invalid_client"}, "data centre"),
        ({"error": "other"}, "refused the grant code"),
        ({"access_token": "1000.first-token"}, "access_type=offline"),
    ],
)
async def test_a_failed_consent_says_what_to_do(service, session, clock, said, words):
    service.answers = [said]
    with pytest.raises(CredentialError, match=words):
        await redeem(session, KEY, service.url, "1000.code", clock, sandbox=True)


async def test_the_callbacks_server_is_checked_before_the_secret_goes_there(service, session, clock):
    for address in ("https://accounts.zoho.eu.evil.example", service.url):
        with pytest.raises(CredentialError, match="accounts server"):
            await redeem(session, KEY, address, "1000.code", clock)
    assert service.forms == []


async def test_a_lost_answer_is_not_ours_to_worry_about(service, session, clock):
    service.raw = json.dumps({}).encode() + b"x"
    with pytest.raises(TransportError) as caught:
        await redeem(session, KEY, service.url, "1000.code", clock, sandbox=True)
    assert caught.value.sent is False


# --- scopes ---


@pytest.mark.parametrize(
    ("call", "scope"),
    [
        (Call("GET", "/invoices"), "ZohoBooks.invoices.READ"),
        (Call("PUT", "/customerpayments"), "ZohoBooks.customerpayments.UPDATE"),
        (Call("POST", "/customerpayments/1/refunds"), "ZohoBooks.customerpayments.CREATE"),
        (Call("POST", "/banktransactions"), "ZohoBooks.banking.CREATE"),
        (Call("GET", "/settings/currencies"), "ZohoBooks.settings.READ"),
        (Call("GET", "/unheardof"), ""),
        (Call("GET", ""), ""),
    ],
)
def test_what_a_call_needs(call, scope):
    assert scope_for(call) == scope


def test_what_a_consent_lacks():
    assert missing_scopes([], oauth.SCOPES) == []  # Zoho did not say
    assert missing_scopes(["ZohoBooks.fullaccess.all"], oauth.SCOPES) == []
    assert missing_scopes(oauth.SCOPES, oauth.SCOPES) == []
    assert missing_scopes(["ZohoBooks.banking.ALL"], ["ZohoBooks.banking.CREATE", "ZohoBooks.invoices.READ"]) == [
        "ZohoBooks.invoices.READ"
    ]
    four = [f"ZohoBooks.expenses.{right}" for right in ("CREATE", "READ", "UPDATE", "DELETE")]
    assert missing_scopes(four, ["ZohoBooks.expenses.ALL"]) == []
    assert missing_scopes(four[:3], ["ZohoBooks.expenses.ALL"]) == ["ZohoBooks.expenses.ALL"]
    assert missing_scopes(["zohobooks.INVOICES.read"], ["ZohoBooks.invoices.READ"]) == []
