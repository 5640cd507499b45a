"""Consent: billing requests, hosted pages, and payers who complete, leave or never come. And webhooks as they are on
the wire.
"""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.gocardless import gocardless_app
from sandbox.world import World
from tests.support.served import served

HEADERS = {"Authorization": "Bearer token", "GoCardless-Version": "2015-07-06"}
SECRET = "ED7D658C-D8EB-4941-948B-3973214F2D49"


class Desk:
    def __init__(self, server: Any) -> None:
        self.server = server

    async def call(self, method: str, path: str, document: Any = None) -> tuple[int, Any]:
        body = {} if document is None else {"json": document}
        answer: tuple[int, Any] = await self.server.call(method, path, headers=HEADERS, **body)
        return answer

    async def ask(self, **more: Any) -> dict[str, Any]:
        request = {"mandate_request": {"currency": "GBP", "metadata": {"customer": "42"}}, **more}
        status, body = await self.call("POST", "/billing_requests", {"billing_requests": request})
        assert status == 201, body
        return dict(body["billing_requests"])

    async def flow(self, billing_request: str, **more: Any) -> dict[str, Any]:
        flow = {"redirect_uri": "https://shop.example/back", "links": {"billing_request": billing_request}, **more}
        status, body = await self.call("POST", "/billing_request_flows", {"billing_request_flows": flow})
        assert status == 201, body
        return dict(body["billing_request_flows"])

    async def get(self, billing_request: str) -> dict[str, Any]:
        return dict((await self.call("GET", f"/billing_requests/{billing_request}"))[1]["billing_requests"])

    async def config(self, **settings: Any) -> None:
        status, body = await self.server.post("/_sandbox/config", {"gocardless": settings})
        assert status == 200, body

    async def actions(self) -> list[str]:
        _, state = await self.server.get("/_sandbox/state")
        events = state["gocardless"]["resources"]["events"]
        return [f"{event['resource_type']}.{event['action']}" for event in events]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    world = World(seed=3, start=datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
    async with served(world, "gocardless", gocardless_app(world)) as server:
        yield Desk(server)


async def test_the_customer_exists_before_the_payer_has_done_anything(desk: Desk) -> None:
    asked = await desk.ask(metadata={"invoice": "1"})
    assert asked["status"] == "pending"
    _, body = await desk.call("GET", f"/customers/{asked['links']['customer']}")
    assert body["customers"]["given_name"] is None
    assert [action["type"] for action in asked["actions"]] == [
        "choose_currency", "collect_customer_details", "collect_bank_account", "confirm_payer_details",
    ]  # fmt: skip
    assert asked["mandate_request"]["scheme"] == "bacs"
    again = await desk.ask(links={"customer": asked["links"]["customer"]})
    assert again["links"]["customer"] == asked["links"]["customer"]
    assert len((await desk.call("GET", "/customers"))[1]["customers"]) == 1


async def test_a_payer_completes_the_hosted_page_after_some_hours(desk: Desk) -> None:
    asked = await desk.ask(metadata={"invoice": "1"})
    flow = await desk.flow(asked["id"], prefilled_customer={"given_name": "Ada", "family_name": "Byron"})
    assert flow["expires_at"] == "2026-01-12T08:00:00.000Z"
    assert flow["authorisation_url"].endswith(flow["id"])
    await desk.server.run_until("2026-01-05T09:00:00Z")
    assert (await desk.get(asked["id"]))["status"] == "pending"
    await desk.server.run_until("2026-01-06T16:00:00Z")
    done = await desk.get(asked["id"])
    assert done["status"] == "fulfilled"
    _, body = await desk.call("GET", f"/mandates/{done['links']['mandate_request_mandate']}")
    mandate = body["mandates"]
    # The mandate request's metadata becomes the mandate's; the billing request keeps its own.
    assert mandate["metadata"] == {"customer": "42"}
    assert done["metadata"] == {"invoice": "1"}
    assert done["mandate_request"]["links"] == {"mandate": mandate["id"]}
    _, body = await desk.call("GET", f"/customers/{mandate['links']['customer']}")
    assert (body["customers"]["given_name"], body["customers"]["country_code"]) == ("Ada", "GB")
    assert [action for action in await desk.actions() if not action.endswith(".submitted")] == [
        "billing_requests.created",
        "billing_requests.flow_created",
        "billing_requests.flow_visited",
        "billing_requests.collect_customer_details",
        "billing_requests.collect_bank_account",
        "billing_requests.payer_details_confirmed",
        "mandates.created",
        "billing_requests.fulfilled",
    ]
    await desk.server.run_until("2026-01-09T12:00:00Z")
    assert (await desk.call("GET", f"/mandates/{mandate['id']}"))[1]["mandates"]["status"] == "active"


async def test_two_flows_of_one_request_make_one_mandate(desk: Desk) -> None:
    asked = await desk.ask()
    flows = [await desk.flow(asked["id"]), await desk.flow(asked["id"])]
    assert flows[0]["id"] != flows[1]["id"]
    await desk.server.run_until("2026-01-08T08:00:00Z")
    assert len((await desk.call("GET", "/mandates"))[1]["mandates"]) == 1
    flow = {"billing_request_flows": {"links": {"billing_request": asked["id"]}}}
    assert (await desk.call("POST", "/billing_request_flows", flow))[0] == 422


async def test_payers_may_leave_or_never_come(desk: Desk) -> None:
    rules = [{"behaviour": "never", "metadata_match": {"who": "ghost"}}, {"behaviour": "exits", "delay_hours": 2}]
    await desk.config(payer={"rules": rules})
    ghost, shy = await desk.ask(metadata={"who": "ghost"}), await desk.ask(metadata={"who": "shy"})
    for asked in (ghost, shy):
        await desk.flow(asked["id"])
    await desk.server.run_until("2026-01-14T08:00:00Z")
    assert [(await desk.get(asked["id"]))["status"] for asked in (ghost, shy)] == ["pending", "pending"]
    assert (await desk.actions())[-2:] == ["billing_requests.flow_visited", "billing_requests.flow_exited"]


async def test_a_cancelled_request_is_not_completed(desk: Desk) -> None:
    asked = await desk.ask()
    await desk.flow(asked["id"])
    path = f"/billing_requests/{asked['id']}/actions/cancel"
    assert (await desk.call("POST", path))[1]["billing_requests"]["status"] == "cancelled"
    assert (await desk.call("POST", path))[0] == 422
    await desk.server.run_until("2026-01-08T08:00:00Z")
    assert (await desk.get(asked["id"]))["status"] == "cancelled"
    assert (await desk.call("GET", "/mandates"))[1]["mandates"] == []


async def test_the_actions_of_own_payment_pages(desk: Desk) -> None:
    asked = await desk.ask()
    path = f"/billing_requests/{asked['id']}/actions"
    assert (await desk.call("POST", f"{path}/fulfil"))[0] == 422
    assert (await desk.call("POST", f"{path}/confirm_payer_details"))[0] == 422
    details = {
        "customer": {"given_name": "Ada", "family_name": "Byron", "email": "a@example.com"},
        "customer_billing_detail": {
            "address_line1": "1 Road",
            "city": "Ely",
            "postal_code": "CB7",
            "country_code": "GB",
        },
    }
    _, body = await desk.call("POST", f"{path}/collect_customer_details", {"data": {"customer": details["customer"]}})
    action = body["billing_requests"]["actions"][1]
    assert action["status"] == "pending"
    assert action["collect_customer_details"]["incomplete_fields"]["customer"] == []
    await desk.call("POST", f"{path}/collect_customer_details", {"data": details})
    bank = {"account_holder_name": "Ada", "account_number": "55779911", "branch_code": "200000", "country_code": "GB"}
    await desk.call("POST", f"{path}/collect_bank_account", {"data": bank})
    _, body = await desk.call("POST", f"{path}/confirm_payer_details")
    assert body["billing_requests"]["status"] == "ready_to_fulfil"
    _, body = await desk.call("POST", f"{path}/fulfil")
    assert body["billing_requests"]["status"] == "fulfilled"
    assert body["billing_requests"]["resources"]["customer_bank_account"]["account_number_ending"] == "11"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"mandate_request": {"currency": "CHF"}}, 422),
        ({"mandate_request": {"currency": "GBP", "scheme": "sepa_core"}}, 422),
        ({"mandate_request": {"currency": "GBP", "verify": "maybe"}}, 422),
        ({"payment_request": {"amount": 1, "currency": "GBP"}}, 403),
        ({"mandate_request": {"currency": "GBP"}, "links": {"customer": "CU0"}}, 404),
    ],
)
async def test_billing_requests_that_are_refused(desk: Desk, body: dict[str, Any], status: int) -> None:
    assert (await desk.call("POST", "/billing_requests", {"billing_requests": body}))[0] == status


async def populate(desk: Desk, count: int) -> None:
    customers = [{"company_name": f"Co {n}", "email": "c@example.com"} for n in range(count)]
    status, _ = await desk.server.post("/_sandbox/gocardless/populate", {"customers": customers})
    assert status == 200


async def test_webhooks_are_signed_over_their_exact_bytes(desk: Desk, receiver: Any) -> None:
    await desk.config(endpoints=[{"url": receiver.url, "secret": SECRET}, {"url": receiver.url, "secret": "testing"}])
    await desk.ask()
    await desk.server.run_until("2026-01-05T08:01:00Z")
    assert len(receiver.requests) == 2
    for (headers, body), secret in zip(receiver.requests, (SECRET, "testing"), strict=True):
        assert headers["Webhook-Signature"] == hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        assert headers["Content-Type"] == "application/json"
        assert headers["Origin"] == "https://api-sandbox.gocardless.com"
        assert headers["User-Agent"].startswith("gocardless-webhook-service/1.")
        document = json.loads(body)
        assert [event["action"] for event in document["events"]] == ["created"]
        assert document["meta"]["webhook_id"].startswith("WB")
        assert "source" not in document["events"][0]
    delivered = desk.server.world.webhooks.attempts[0].at
    assert 6 <= (delivered - datetime(2026, 1, 5, 8, 0, tzinfo=UTC)).total_seconds() <= 10


async def test_what_happens_at_once_is_posted_together_in_bodies_of_250(desk: Desk, receiver: Any) -> None:
    await desk.config(endpoints=[{"url": receiver.url, "secret": SECRET}])
    # Three events a customer: the mandate's created, submitted, active.
    await populate(desk, 100)
    await desk.server.run_until("2026-01-05T08:01:00Z")
    assert [len(json.loads(body)["events"]) for _, body in receiver.requests] == [250, 50]


async def test_events_can_be_lost_doubled_and_late(desk: Desk, receiver: Any) -> None:
    await desk.config(endpoints=[{"url": receiver.url, "secret": SECRET}])
    rules = [
        {"api": "gocardless", "match": r"mandates\.created", "kind": "drop"},
        {"api": "gocardless", "match": r"mandates\.submitted", "kind": "duplicate", "delay_s": 60},
        {"api": "gocardless", "match": r"mandates\.active", "kind": "delay", "delay_s": 3600},
    ]
    await desk.server.post("/_sandbox/webhooks", {"rules": rules})
    await populate(desk, 1)
    await desk.server.run_until("2026-01-05T10:00:00Z")
    seen = [[event["action"] for event in json.loads(body)["events"]] for _, body in receiver.requests]
    assert seen == [["submitted"], ["submitted"], ["active"]]
    ids = [json.loads(body)["meta"]["webhook_id"] for _, body in receiver.requests]
    assert len(set(ids)) == 3


async def test_refused_webhooks_come_again_and_can_be_asked_for(desk: Desk, receiver: Any) -> None:
    await desk.config(endpoints=[{"url": receiver.url, "secret": SECRET}])
    receiver.answers = [503]
    await desk.ask()
    await desk.server.run_until("2026-01-05T08:00:30Z")
    _, body = await desk.call("GET", "/webhooks?successful=false")
    (webhook,) = body["webhooks"]
    assert (webhook["response_code"], webhook["is_test"]) == (503, False)
    await desk.server.run_until("2026-01-05T08:02:00Z")
    status, body = await desk.call("GET", f"/webhooks/{webhook['id']}")
    assert (status, body["webhooks"]["successful"], body["webhooks"]["response_code"]) == (200, True, 200)
    status, _ = await desk.call("POST", f"/webhooks/{webhook['id']}/actions/retry")
    assert status == 200
    await desk.server.run_until("2026-01-05T08:03:00Z")
    assert len({body for _, body in receiver.requests}) == 1
    assert len(receiver.requests) == 3
    assert receiver.requests[0][1].decode() == webhook["request_body"]


async def test_test_webhooks_and_unknown_events_are_correctly_signed(desk: Desk, receiver: Any) -> None:
    await desk.config(endpoints=[{"url": receiver.url, "secret": SECRET}])
    _, answer = await desk.server.post("/_sandbox/gocardless/act", {"do": "test_webhook"})
    odd = {"id": "EV1", "resource_type": "moons", "action": "eclipsed", "links": {}, "details": {}, "metadata": {}}
    await desk.server.post("/_sandbox/gocardless/act", {"do": "post_events", "events": [odd]})
    await desk.server.run_until("2026-01-05T08:00:01Z")
    test, strange = (json.loads(body)["events"][0] for _, body in receiver.requests)
    assert test["id"] == answer["event"]
    assert test["id"].startswith("EVTEST")
    assert strange == odd
    assert [doc["is_test"] for doc in (await desk.call("GET", "/webhooks"))[1]["webhooks"]] == [False, True]
    for headers, body in receiver.requests:
        assert headers["Webhook-Signature"] == hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


async def test_what_the_stage_posts_goes_out_though_time_stands_still(desk: Desk, receiver: Any) -> None:
    await desk.config(endpoints=[{"url": receiver.url, "secret": SECRET}])
    before = await desk.server.run_until("2026-01-05T09:00:00Z")
    await desk.server.post("/_sandbox/gocardless/act", {"do": "test_webhook"})
    _, after = await desk.server.get("/_sandbox/clock/wait")
    assert len(receiver.requests) == 1
    assert (after["now"], after["activity"]) == (before["now"], before["activity"] + 1)
