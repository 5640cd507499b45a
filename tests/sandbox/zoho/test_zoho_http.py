"""The whole thing over real HTTP: consent, tokens, calls, faults, webhooks, the control side."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from sandbox.world import World
from sandbox.zoho import zoho_app
from tests.support.served import served

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Client:
    """A connected client of a served simulator."""

    def __init__(self, served: Any, made: dict[str, Any], token: str) -> None:
        self.served = served
        self.made = made
        self.headers = {"Authorization": f"Zoho-oauthtoken {token}"}

    async def call(self, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
        params = {"organization_id": self.made["organization_id"], **kwargs.pop("params", {})}
        headers = {**self.headers, **kwargs.pop("headers", {})}
        status, document = await self.served.call(method, f"/books/v3{path}", params=params, headers=headers, **kwargs)
        return status, document


@pytest.fixture
async def client(population: dict[str, Any]) -> AsyncIterator[Client]:
    world = World(seed=4, start=START)
    async with served(world, "zoho", zoho_app(world)) as running:
        status, made = await running.post("/_sandbox/zoho/populate", population)
        assert status == 200, made
        form = {**made["oauth"], "grant_type": "refresh_token"}
        _, token = await running.call("POST", "/oauth/v2/token", data=form)
        assert token["api_domain"] == running.url
        yield Client(running, made, token["access_token"])


async def state(client: Client) -> dict[str, Any]:
    status, document = await client.served.get("/_sandbox/state")
    assert status == 200
    return dict(document)


def payment_body(client: Client) -> dict[str, Any]:
    return {
        "customer_id": client.made["contacts"][0],
        "payment_mode": "banktransfer",
        "amount": 10.1,
        "date": "2026-03-02",
        "account_id": client.made["keys"]["clearing"],
        "reference_number": "PM9",
        "invoices": [],
    }


async def test_consent_exchange_call_and_revocation(client: Client) -> None:
    served, oauth = client.served, client.made["oauth"]
    query = {
        "response_type": "code",
        "client_id": oauth["client_id"],
        "redirect_uri": "http://app.example/back",
        "scope": "ZohoBooks.invoices.READ",
        "access_type": "offline",
        "state": "s1",
    }
    async with served.http.get(f"{served.url}/oauth/v2/auth", params=query, allow_redirects=False) as answer:
        assert answer.status == 302
        back = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert (back["state"], back["accounts-server"], back["location"]) == (["s1"], [served.url], ["us"])
    client_pair = {name: oauth[name] for name in ("client_id", "client_secret")}
    form = {
        **client_pair,
        "grant_type": "authorization_code",
        "code": back["code"][0],
        "redirect_uri": query["redirect_uri"],
    }
    _, token = await served.call("POST", "/oauth/v2/token", data=form)
    client.headers = {"Authorization": f"Zoho-oauthtoken {token['access_token']}"}
    assert (await client.call("GET", "/invoices"))[0] == 200
    _, revoked = await served.call("POST", "/oauth/v2/token/revoke", params={"token": token["refresh_token"]})
    assert revoked == {"status": "success"}
    status, refused = await client.call("GET", "/invoices")
    assert (status, refused["code"]) == (401, 57)
    basic = {"Authorization": f"Basic {b64encode(':'.join(client_pair.values()).encode()).decode()}"}
    form = {"token": oauth["refresh_token"], "token_type": "refresh_token"}
    _, other = await served.call("POST", "/oauth/v2/revoke/token", data=form, headers=basic)
    assert other == {"status": "success"}


async def test_a_wrong_client_gets_no_consent_and_the_console_gives_codes(client: Client) -> None:
    served = client.served
    status, _ = await served.get("/oauth/v2/auth", params={"response_type": "code", "client_id": "x"})
    assert status == 400
    _, given = await served.post("/_sandbox/zoho/grant", {"scope": "ZohoBooks.fullaccess.all"})
    form = {**given, "grant_type": "authorization_code"}
    _, token = await served.call("POST", "/oauth/v2/token", params=form)
    assert token["refresh_token"].startswith("1000.")
    _, bad = await served.call("POST", "/oauth/v2/revoke/token", data={"token": token["refresh_token"]})
    assert bad == {"error": "invalid_client"}


async def test_bodies_come_bare_or_in_the_form_field(client: Client) -> None:
    body = payment_body(client)
    status, one = await client.call("POST", "/customerpayments", json=body)
    assert (status, one["payment"]["amount"]) == (201, 10.1)
    status, two = await client.call("POST", "/customerpayments", data={"JSONString": json.dumps({**body, "amount": 3})})
    assert (status, two["payment"]["amount"]) == (201, 3)
    for sent in (
        {"data": {"amount": "3"}},
        {"data": b"{", "headers": {"Content-Type": "application/json"}},
        {"json": [1]},
        {},
    ):
        status, refused = await client.call("POST", "/customerpayments", **sent)
        assert (status, refused["code"]) == (400, 2)


async def test_unknown_addresses_and_methods(client: Client) -> None:
    status, unknown = await client.call("GET", "/customer_payments")
    assert (status, unknown["code"]) == (404, 5)
    status, method = await client.call("PATCH", "/invoices/1")
    assert (status, method["code"]) == (405, 37)
    status, absent = await client.call("GET", "/invoices/1")
    assert (status, absent["code"]) == (404, 1002)


async def test_every_answer_tells_simulated_time_and_what_is_left(client: Client) -> None:
    served = client.served
    params = {"organization_id": client.made["organization_id"]}
    async with served.http.get(f"{served.url}/books/v3/invoices", params=params, headers=client.headers) as answer:
        assert answer.headers["Date"] == "Mon, 02 Mar 2026 09:00:00 GMT"
        assert answer.headers["x-rate-limit-limit"] == "5000"
        assert answer.headers["x-rate-limit-remaining"] == "4999"
        assert answer.headers["x-rate-limit-reset"] == str(15 * 3600)


async def test_faults_strike_before_and_after_the_commit(client: Client) -> None:
    body = payment_body(client)
    rules = [
        {"api": "zoho", "method": "POST", "path": "/customerpayments$", "kind": kind}
        for kind in ("500_before", "500_after_commit", "429_minute", "429_day", "429_concurrency")
    ]
    await client.served.post("/_sandbox/faults", {"rules": rules})
    answers = [await client.call("POST", "/customerpayments", json=body) for _ in rules]
    assert [(status, document["code"]) for status, document in answers] == [
        (500, 1000),
        (500, 1000),
        (429, 44),
        (429, 45),
        (429, 1070),
    ]
    assert len((await state(client))["zoho"]["payments"]) == 1


async def test_a_reset_after_the_commit_leaves_the_payment_there(client: Client) -> None:
    rule = {"api": "zoho", "method": "POST", "path": "/customerpayments$", "kind": "reset_after_commit"}
    await client.served.post("/_sandbox/faults", {"rules": [rule]})
    with pytest.raises(aiohttp.ClientError):
        await client.call("POST", "/customerpayments", json=payment_body(client))
    _, found = await client.call("GET", "/customerpayments", params={"reference_number": "PM9"})
    assert len(found["customerpayments"]) == 1
    calls = (await state(client))["calls"]["zoho"]
    assert calls["POST /books/v3/customerpayments"] == 1


async def test_token_death_meets_the_call_that_met_it(client: Client) -> None:
    await client.served.post(
        "/_sandbox/faults", {"rules": [{"api": "zoho", "path": "/invoices", "kind": "token_death"}]}
    )
    status, document = await client.call("GET", "/invoices")
    assert (status, document["code"]) == (401, 57)


async def test_invoices_to_come_and_their_webhooks(client: Client, receiver: Any) -> None:
    served = client.served
    url = f"{receiver.url}?tenant=7"
    config = {"zoho": {"webhooks": [{"url": url, "secret": "aSecretOf20Characters", "modules": ["invoice"]}]}}
    status, body = await served.post("/_sandbox/config", config)
    assert status == 200, body
    rules = [{"api": "zoho", "match": "invoice.created", "kind": "duplicate", "times": 1, "delay_s": 60}]
    await served.post("/_sandbox/webhooks", {"rules": rules})
    row = {"contact": client.made["contacts"][0], "line_items": [{"rate": "10"}], "sent_at": "2026-03-03T08:00:00Z"}
    _, made = await served.post("/_sandbox/zoho/populate", {"invoices": [row, row]})
    await served.run_until("2026-03-03T09:00:00Z")
    assert len(receiver.requests) == 3
    seen = [json.loads(sent)["invoice"]["invoice_id"] for _, sent in receiver.requests]
    assert sorted(set(seen)) == sorted(made["invoices"])
    assert all(headers["X-Zoho-Webhook-Signature"] for headers, _ in receiver.requests)
    assert len({sent for _, sent in receiver.requests}) == 2


async def test_the_control_side_refuses_in_words(client: Client) -> None:
    served = client.served
    for path, document in (
        ("/_sandbox/zoho/populate", {"contacts": [{}]}),
        ("/_sandbox/zoho/edit", {"action": "void_invoice", "invoice_number": "none"}),
        ("/_sandbox/config", {"zoho": {"switches": {"colour": "red"}}}),
        ("/_sandbox/config", {"zoho": {"switches": {"lock_date": "soon"}}}),
        ("/_sandbox/config", {"zoho": {"colour": "red"}}),
    ):
        status, words = await served.post(path, document)
        assert status == 400, (path, words)
    status, done = await served.post(
        "/_sandbox/zoho/edit", {"action": "create_contact", "body": {"contact_name": "By hand"}}
    )
    assert status == 200
    assert any(c["contact_id"] == done["id"] for c in (await state(client))["zoho"]["contacts"])
