"""The control side: the same on both addresses, the state in parts, and who takes part."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from sandbox import barrier
from sandbox.server import Sandbox, SandboxConfig, running_sandbox
from sandbox.world import iso_utc


class Control:
    """Both addresses of a running sandbox."""

    def __init__(self, sandbox: Sandbox, http: aiohttp.ClientSession) -> None:
        self.sandbox, self._http = sandbox, http
        self.urls = (sandbox.gocardless_url, sandbox.zoho_url)

    async def call(self, method: str, url: str, document: Any = None) -> tuple[int, Any]:
        json = {} if document is None else {"json": document}
        async with self._http.request(method, url, **json) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text())

    async def participants(self) -> list[str]:
        return list((await self.call("GET", f"{self.urls[0]}/_sandbox/clock"))[1]["participants"])


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    async with running_sandbox(SandboxConfig(seed=7)) as sandbox, aiohttp.ClientSession() as http:
        yield Control(sandbox, http)


async def test_what_belongs_to_one_api_is_controlled_at_either_address(control: Control) -> None:
    customers, contacts = {"customers": [{"company_name": "Co"}]}, {"contacts": [{"contact_name": "Co"}]}
    for url in control.urls:
        assert (await control.call("POST", f"{url}/_sandbox/gocardless/populate", customers))[0] == 200
        assert (await control.call("POST", f"{url}/_sandbox/zoho/populate", contacts))[0] == 200
        assert (await control.call("POST", f"{url}/_sandbox/zoho/grant", {}))[0] == 200
    _, states = await control.call("GET", f"{control.urls[0]}/_sandbox/state")
    assert states["gocardless"]["counts"]["customers"] == len(states["zoho"]["contacts"]) == 2
    # The APIs themselves stay apart.
    assert (await control.call("GET", f"{control.urls[1]}/customers"))[0] == 404
    assert (await control.call("GET", f"{control.urls[0]}/books/v3/contacts"))[0] in (401, 404)


async def test_the_state_is_given_in_parts_too(control: Control) -> None:
    url = f"{control.urls[0]}/_sandbox/state"
    _, whole = await control.call("GET", url)
    for part, expected in (
        ("now", whole["now"]),
        ("zoho/organization", whole["zoho"]["organization"]),
        ("gocardless/resources/creditors", whole["gocardless"]["resources"]["creditors"]),
    ):
        assert await control.call("GET", f"{url}?part={part}") == (200, expected)
    for part in ("nothing", "zoho/nothing", "now/hour", "zoho/contacts/0"):
        status, said = await control.call("GET", f"{url}?part={part}")
        assert (status, part in said) == (404, True)


async def test_whoever_asks_by_name_takes_part_for_a_while(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await control.participants() == []
    await control.call("GET", f"{control.urls[1]}/_sandbox/clock?participant=worker")
    assert await control.participants() == ["worker"]
    monkeypatch.setattr(barrier, "_PRESENT_S", 0.0)
    await asyncio.sleep(0.01)
    assert await control.participants() == []


@asynccontextmanager
async def quiet(control: Control, participant: str) -> AsyncIterator[None]:
    world = control.sandbox.world
    token = {"participant": participant, "now": iso_utc(world.now), "activity": world.activity, "wait_s": 20}
    held = asyncio.ensure_future(control.call("POST", f"{control.urls[0]}/_sandbox/clock/quiet", token))
    async with asyncio.timeout(5):
        while participant not in control.sandbox.barrier._tokens:  # noqa: ASYNC110 - the server's doing has no event here
            await asyncio.sleep(0.001)
    try:
        yield
    finally:
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)


async def test_whoever_holds_a_token_takes_part_however_long(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier, "_PRESENT_S", 0.0)
    async with quiet(control, "program"):
        await asyncio.sleep(0.01)
        assert await control.participants() == ["program"]


async def test_of_too_many_participants_the_first_are_forgotten(control: Control) -> None:
    for number in range(20):
        await control.call("GET", f"{control.urls[0]}/_sandbox/clock?participant=p{number:02d}")
    assert await control.participants() == [f"p{number:02d}" for number in range(4, 20)]


async def test_a_person_is_told_the_number_of_an_invoice(control: Control) -> None:
    url = f"{control.urls[0]}/_sandbox/zoho/edit"
    _, contact = await control.call("POST", url, {"action": "create_contact", "body": {"contact_name": "Co"}})
    assert set(contact) == {"id"}
    body = {"customer_id": contact["id"], "line_items": [{"rate": "5"}]}
    _, invoice = await control.call("POST", url, {"action": "create_invoice", "body": body})
    assert invoice["invoice_number"] == "INV-000001"
    _, listed = await control.call("GET", f"{control.urls[0]}/_sandbox/state?part=zoho/invoices")
    assert [one["invoice_id"] for one in listed] == [invoice["id"]]


async def test_a_scenario_names_the_credentials_of_the_client(control: Control) -> None:
    client = {"client_id": "1000.ACME", "client_secret": "secret", "refresh_token": "1000.refresh.token"}
    status, _ = await control.call("POST", f"{control.urls[0]}/_sandbox/config", {"zoho": {"client": client}})
    assert status == 200
    query = "&".join(f"{name}={value}" for name, value in client.items())
    url = f"{control.urls[1]}/oauth/v2/token?grant_type=refresh_token&{query}"
    _, token = await control.call("POST", url)
    assert token["scope"] == "ZohoBooks.fullaccess.all"
    assert token["access_token"].startswith("1000.")
    assert (await control.call("POST", url.replace("secret=secret", "secret=other")))[1]["error"] == (
        "invalid_client_secret"
    )
