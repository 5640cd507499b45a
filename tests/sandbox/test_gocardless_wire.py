"""The wire: headers, envelopes, errors, idempotency, cursors, filters, limits. Shapes are those of recorded bodies."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from sandbox.gocardless import gocardless_app
from sandbox.world import World
from tests.support.served import served

HEADERS = {"Authorization": "Bearer token", "GoCardless-Version": "2015-07-06"}
OTHER = {"Authorization": "Bearer other", "GoCardless-Version": "2015-07-06"}
CUSTOMER = {"given_name": "Ada", "family_name": "Byron", "email": "ada@example.com", "country_code": "GB"}


class Wire:
    def __init__(self, server: Any) -> None:
        self.server = server
        self.mandate = ""
        self.ids: dict[str, Any] = {}

    async def call(self, method: str, path: str, document: Any = None, **headers: str) -> tuple[int, Any]:
        json = {} if document is None else {"json": document}
        answer: tuple[int, Any] = await self.server.call(method, path, headers=HEADERS | headers, **json)
        return answer

    async def payment(self, amount: int = 1000, **more: Any) -> tuple[int, Any]:
        headers = {name.replace("_", "-"): more.pop(name) for name in ("Idempotency_Key",) if name in more}
        links = {"mandate": self.mandate}
        body = {"amount": amount, "currency": "GBP", "links": links, **more}
        return await self.call("POST", "/payments", {"payments": body}, **headers)

    async def config(self, **settings: Any) -> None:
        status, body = await self.server.post("/_sandbox/config", {"gocardless": settings})
        assert status == 200, body


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    world = World(seed=5, start=datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
    async with served(world, "gocardless", gocardless_app(world)) as server:
        wire = Wire(server)
        _, wire.ids = await server.post("/_sandbox/gocardless/populate", {"quiet": True, "customers": [CUSTOMER]})
        wire.mandate = wire.ids["customers"][0]["mandate"]
        yield wire


def reasons(body: dict[str, Any]) -> list[str]:
    return [item.get("reason", item.get("field")) for item in body["error"]["errors"]]


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({"GoCardless-Version": "2015-07-06"}, 401, "missing_authorization_header"),
        ({**HEADERS, "Authorization": "Basic abc"}, 401, "invalid_authorization_header"),
        ({**HEADERS, "Authorization": "Bearer "}, 401, "invalid_authorization_header"),
        ({"Authorization": "Bearer token"}, 400, "missing_version_header"),
        ({**HEADERS, "GoCardless-Version": "2016-01-01"}, 400, "version_not_found"),
        ({**HEADERS, "Accept": "text/html"}, 406, "not_acceptable"),
    ],
)
async def test_heads_that_are_refused(wire: Wire, headers: dict[str, str], status: int, reason: str) -> None:
    answer, body = await wire.server.get("/payments", headers=headers)
    assert (answer, reasons(body)) == (status, [reason])
    assert set(body["error"]) == {"message", "documentation_url", "type", "request_id", "errors", "code"}
    assert body["error"]["type"] == "invalid_api_usage"
    assert body["error"]["code"] == status


async def test_tokens_may_be_listed_read_only_revoked_and_killed(wire: Wire) -> None:
    await wire.config(access_tokens={"token": "read_only", "other": "revoked"})
    assert (await wire.call("GET", "/payments"))[0] == 200
    assert reasons((await wire.payment())[1]) == ["insufficient_permissions"]
    assert reasons((await wire.server.get("/payments", headers=OTHER))[1]) == ["access_token_revoked"]
    await wire.config(access_tokens={"x": "read_write"})
    assert reasons((await wire.call("GET", "/payments"))[1]) == ["access_token_not_found"]
    await wire.config(access_tokens={})
    await wire.server.post("/_sandbox/faults", {"rules": [{"api": "gocardless", "kind": "token_death"}]})
    assert (await wire.call("GET", "/payments"))[0] == 401
    assert (await wire.call("GET", "/payments"))[0] == 401


@pytest.mark.parametrize(
    ("method", "path", "kwargs", "status", "reason"),
    [
        ("GET", "/nowhere", {}, 404, "path_not_found"),
        ("PATCH", "/payments", {}, 405, "method_not_allowed"),
        ("GET", "/payments/PM0", {}, 404, "resource_not_found"),
        ("GET", "/payments", {"json": {}}, 400, "request_body_not_allowed"),
        ("POST", "/payments", {"json": []}, 400, "invalid_document_structure"),
        ("POST", "/payments", {"json": {"amount": 1}}, 400, "invalid_document_structure"),
        ("POST", "/payments", {"data": b"{", "ct": "application/json"}, 400, "invalid_document_structure"),
        ("POST", "/payments", {"data": b"{}", "ct": "text/plain"}, 415, "unsupported_media_type"),
        ("GET", "/payments?colour=red", {}, 400, "invalid_filters"),
        ("GET", "/payments?limit=501", {}, 400, "invalid_filters"),
        ("GET", "/payments?after=PM0", {}, 400, "invalid_filters"),
        ("GET", "/payments?created_at[gte]=soon", {}, 400, "invalid_filters"),
        ("GET", "/payments?customer=CU1&creditor=CR1", {}, 400, "invalid_filters"),
        ("GET", "/events?resource_type=payments&payment=PM1", {}, 400, "invalid_filters"),
        ("GET", "/events?include=payment", {}, 400, "invalid_filters"),
        ("GET", "/balances", {}, 422, "creditor"),
        ("GET", "/payout_items", {}, 422, "payout"),
        ("POST", "/creditors", {"json": {"creditors": {}}}, 403, "forbidden"),
        ("GET", "/billing_request_flows/BRF1", {}, 404, "path_not_found"),
        ("POST", "/scenario_simulators/rain/actions/run", {}, 404, "resource_not_found"),
    ],
)
async def test_requests_that_are_refused(
    wire: Wire, method: str, path: str, kwargs: dict[str, Any], status: int, reason: str
) -> None:
    headers = dict(HEADERS)
    content_type = kwargs.pop("ct", None) if "ct" in (kwargs := dict(kwargs)) else None
    if content_type is not None:
        headers["Content-Type"] = content_type
    answer, body = await wire.server.call(method, path, headers=headers, **kwargs)
    assert (answer, reasons(body)) == (status, [reason])


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"amount": None}, "/payments/amount"),
        ({"amount": 0}, "/payments/amount"),
        ({"amount": 10.5}, "/payments/amount"),
        ({"amount": "10"}, "/payments/amount"),
        ({"amount": True}, "/payments/amount"),
        ({"amount": 500_001}, "/payments/amount"),
        ({"currency": "EUR"}, "/payments/currency"),
        ({"currency": None}, "/payments/currency"),
        ({"links": {}}, "/payments/links/mandate"),
        ({"charge_date": "2026-01-07"}, "/payments/charge_date"),
        ({"charge_date": "tomorrow"}, "/payments/charge_date"),
        ({"reference": "INV-1"}, "/payments/reference"),
        ({"metadata": {"a": 1}}, "/payments/metadata"),
        ({"metadata": dict.fromkeys("abcd", "v")}, "/payments/metadata"),
        ({"metadata": {"k" * 51: "v"}}, "/payments/metadata"),
        ({"metadata": {"k": "v" * 501}}, "/payments/metadata"),
        ({"metadata": "x"}, "/payments/metadata"),
        ({"retry_if_possible": "yes"}, "/payments/retry_if_possible"),
        ({"description": 7}, "/payments/description"),
    ],
)
async def test_payment_fields_are_checked(wire: Wire, change: dict[str, Any], pointer: str) -> None:
    status, body = await wire.payment(**change) if "amount" not in change else await wire.payment(change["amount"])
    assert status == 422
    assert body["error"]["type"] == "validation_failed"
    (item,) = body["error"]["errors"]
    assert item["request_pointer"] == pointer
    assert item["field"] == pointer.rsplit("/", 1)[1]
    assert (await wire.call("GET", "/payments"))[1]["payments"] == []


async def test_charge_dates_roll_over_days_without_banks_and_move_with_the_clock(wire: Wire) -> None:
    assert (await wire.payment(charge_date="2026-01-10"))[1]["payments"]["charge_date"] == "2026-01-12"
    next_possible = []
    for until in ("2026-01-05T15:59:59Z", "2026-01-05T16:00:00Z", "2026-01-09T16:00:00Z", "2026-04-01T10:00:00Z"):
        await wire.server.run_until(until)
        mandate = (await wire.call("GET", f"/mandates/{wire.mandate}"))[1]["mandates"]
        next_possible.append(mandate["next_possible_charge_date"])
    assert next_possible == ["2026-01-08", "2026-01-09", "2026-01-15", "2026-04-08"]


@pytest.mark.parametrize(
    ("start", "charge_date"),
    [
        # Two recorded Bacs payments on new mandates, around Easter 2024.
        ("2024-03-26T17:33:20.268Z", "2024-04-04"),
        ("2024-03-22T20:31:28.319Z", "2024-04-02"),
    ],
)
async def test_charge_dates_as_recorded(start: str, charge_date: str) -> None:
    world = World(start=datetime.fromisoformat(start))
    async with served(world, "gocardless", gocardless_app(world)) as server:
        wire = Wire(server)
        customers = [{**CUSTOMER, "mandate": "pending_submission"}]
        _, ids = await server.post("/_sandbox/gocardless/populate", {"customers": customers})
        wire.mandate = ids["customers"][0]["mandate"]
        status, body = await wire.payment(98199)
    assert status == 201
    assert body["payments"]["charge_date"] == charge_date
    assert body["payments"]["created_at"] == start


async def test_a_used_key_answers_409_with_the_first_id_whatever_is_asked(wire: Wire) -> None:
    status, first = await wire.payment(1000, Idempotency_Key="k1")
    assert status == 201
    status, body = await wire.payment(2000, Idempotency_Key="k1")
    assert status == 409
    error = body["error"]
    assert (error["type"], error["code"]) == ("invalid_state", 409)
    assert error["errors"] == [
        {
            "reason": "idempotent_creation_conflict",
            "message": "A resource has already been created with this idempotency key",
            "links": {"conflicting_resource_id": first["payments"]["id"]},
        }
    ]
    # Another resource type has its own keys, unless the switch says otherwise.
    assert (await wire.call("POST", "/customers", {"customers": CUSTOMER}, **{"Idempotency-Key": "k1"}))[0] == 201
    assert len((await wire.call("GET", "/payments"))[1]["payments"]) == 1


async def test_a_refused_create_leaves_its_key_usable(wire: Wire) -> None:
    assert (await wire.payment(0, Idempotency_Key="k2"))[0] == 422
    assert (await wire.payment(1, Idempotency_Key="k2"))[0] == 201


async def test_keys_live_thirty_days(wire: Wire) -> None:
    _, first = await wire.payment(1000, Idempotency_Key="k")
    await wire.server.run_until("2026-02-04T07:59:59Z")
    assert (await wire.payment(1000, Idempotency_Key="k"))[0] == 409
    await wire.server.run_until("2026-02-04T08:00:00Z")
    status, second = await wire.payment(1000, Idempotency_Key="k")
    assert status == 201
    assert second["payments"]["id"] != first["payments"]["id"]


async def test_a_create_whose_answer_was_lost_is_found_by_its_key(wire: Wire) -> None:
    rules = [{"api": "gocardless", "method": "POST", "path": "^/payments$", "kind": "500_after_commit"}]
    await wire.server.post("/_sandbox/faults", {"rules": rules})
    status, body = await wire.payment(1000, Idempotency_Key="k")
    assert (status, body["error"]["type"]) == (500, "gocardless")
    status, body = await wire.payment(1000, Idempotency_Key="k")
    assert status == 409
    found = body["error"]["errors"][0]["links"]["conflicting_resource_id"]
    assert (await wire.call("GET", f"/payments/{found}"))[1]["payments"]["amount"] == 1000


async def test_ids_come_from_keys_not_from_order(wire: Wire) -> None:
    ids = {key: (await wire.payment(1000, Idempotency_Key=key))[1]["payments"]["id"] for key in ("a", "b")}
    world = World(seed=5, start=datetime(2026, 1, 5, 8, 0, tzinfo=UTC))
    async with served(world, "gocardless", gocardless_app(world)) as server:
        other = Wire(server)
        _, populated = await server.post("/_sandbox/gocardless/populate", {"quiet": True, "customers": [CUSTOMER]})
        other.mandate = populated["customers"][0]["mandate"]
        again = {key: (await other.payment(1000, Idempotency_Key=key))[1]["payments"]["id"] for key in ("b", "a")}
    assert again == ids


async def test_cursors_as_recorded(wire: Wire) -> None:
    made = [(await wire.payment(n))[1]["payments"]["id"] for n in range(1, 8)][::-1]

    async def page(query: str) -> tuple[list[str], Any, Any]:
        _, body = await wire.call("GET", f"/payments?limit=3{query}")
        cursors = body["meta"]["cursors"]
        assert body["meta"]["limit"] == 3
        return [doc["id"] for doc in body["payments"]], cursors["before"], cursors["after"]

    assert await page("") == (made[:3], None, made[2])
    assert await page(f"&after={made[2]}") == (made[3:6], made[3], made[5])
    assert await page(f"&after={made[5]}") == (made[6:], made[6], None)
    assert await page(f"&before={made[3]}") == (made[:3], None, made[2])
    assert await page(f"&before={made[5]}") == (made[2:5], made[2], made[4])
    assert await page(f"&before={made[0]}") == ([], None, None)
    await wire.payment(8)
    # Pages are no snapshot: what is new shifts in front, and walking on misses nothing old.
    assert (await page(f"&after={made[2]}"))[0] == made[3:6]


async def test_filters_and_sorting(wire: Wire) -> None:
    for amount, day in ((300, "2026-02-02"), (100, "2026-02-04"), (200, "2026-02-03")):
        await wire.payment(amount, charge_date=day)
    await wire.server.run_until("2026-01-05T09:00:00.500Z")
    await wire.payment(400, charge_date="2026-02-02")

    async def amounts(query: str) -> list[int]:
        status, body = await wire.call("GET", f"/payments?{query}")
        assert status == 200, body
        return [doc["amount"] for doc in body["payments"]]

    customer = wire.ids["customers"][0]["customer"]
    assert await amounts(f"customer={customer}") == [400, 200, 100, 300]
    assert await amounts(f"mandate={wire.mandate}&status=pending_submission") == [400, 200, 100, 300]
    assert await amounts("status=submitted") == []
    assert await amounts("status[]=submitted&status[]=pending_submission&limit=1") == [400]
    assert await amounts("sort_field=amount&sort_direction=asc") == [100, 200, 300, 400]
    assert await amounts("sort_field=charge_date&sort_direction=desc&limit=2") == [100, 200]
    assert await amounts("charge_date[gte]=2026-02-03") == [200, 100]
    assert await amounts("charge_date[lt]=2026-02-03") == [400, 300]
    assert await amounts("created_at[gt]=2026-01-05T08:00:00.000Z") == [400]
    assert await amounts("created_at[gte]=2026-01-05T09:00:00.500Z") == [400]
    assert await amounts("created_at[gte]=2026-01-05T09:00:00.5001Z") == []
    assert await amounts("created_at[lte]=2026-01-05T09:00:00%2B00:00") == [200, 100, 300]
    await wire.config(unknown_filters="ignore")
    assert len(await amounts("colour=red")) == 4


async def test_limits_are_of_simulated_minutes(wire: Wire) -> None:
    await wire.config(rate_limit_per_minute=3, balances_limit_per_minute=1)
    async with wire.server.http.get(wire.server.url + "/payments", headers=HEADERS) as answer:
        assert answer.headers["ratelimit-limit"] == "3"
        assert answer.headers["ratelimit-remaining"] == "2"
        reset = parsedate_to_datetime(answer.headers["ratelimit-reset"])
    assert reset == datetime(2026, 1, 5, 8, 1, tzinfo=UTC)
    creditor = wire.ids["creditor"]
    assert (await wire.call("GET", f"/balances?creditor={creditor}"))[0] == 200
    assert (await wire.call("GET", f"/balances?creditor={creditor}"))[0] == 429
    status, body = await wire.call("GET", "/payments")
    assert (status, reasons(body)) == (429, ["rate_limit_exceeded"])
    await wire.server.run_until(reset.isoformat())
    assert (await wire.call("GET", "/payments"))[0] == 200


async def test_cancel_only_before_submission_and_metadata_goes_to_the_event(wire: Wire) -> None:
    _, body = await wire.payment(1000, metadata={"invoice": "7"})
    payment = body["payments"]["id"]
    document = {"data": {"metadata": {"why": "paid in cash"}}}
    status, body = await wire.call("POST", f"/payments/{payment}/actions/cancel", document)
    assert (status, body["payments"]["status"], body["payments"]["metadata"]) == (200, "cancelled", {"invoice": "7"})
    status, body = await wire.call("POST", f"/payments/{payment}/actions/cancel")
    assert (status, body["error"]["type"], reasons(body)) == (422, "invalid_state", ["cancellation_failed"])
    await wire.server.run_until("2026-01-05T09:00:00Z")
    _, body = await wire.call("GET", f"/events?payment={payment}&action=cancelled")
    (event,) = body["events"]
    assert (event["metadata"], event["resource_metadata"]) == ({"why": "paid in cash"}, {"invoice": "7"})


async def test_a_payment_is_only_updated_where_it_may_be(wire: Wire) -> None:
    _, body = await wire.payment(1000, metadata={"a": "1"})
    path = f"/payments/{body['payments']['id']}"
    assert (await wire.call("PUT", path, {"payments": {"amount": 5}}))[0] == 422
    assert (await wire.call("PUT", path, {"payments": {"charge_date": "2026-03-03"}}))[0] == 422
    _, body = await wire.call("PUT", path, {"payments": {"metadata": {"b": "2"}, "retry_if_possible": True}})
    assert (body["payments"]["metadata"], body["payments"]["retry_if_possible"]) == ({"b": "2"}, True)
    await wire.config(metadata_update="merge")
    _, body = await wire.call("PUT", path, {"payments": {"metadata": {"c": "3"}}})
    assert body["payments"]["metadata"] == {"b": "2", "c": "3"}


async def test_customers_bank_accounts_and_mandates_made_directly(wire: Wire) -> None:
    status, body = await wire.call("POST", "/customers", {"customers": {"email": "x@example.com"}})
    assert (status, reasons(body)) == (422, ["given_name", "family_name", "company_name"])
    _, body = await wire.call("POST", "/customers", {"customers": CUSTOMER})
    customer = body["customers"]["id"]
    details = {
        "account_holder_name": "Ada Byron of London",
        "account_number": "55779911",
        "branch_code": "200000",
        "country_code": "GB",
        "links": {"customer": customer},
    }
    status, body = await wire.call("POST", "/customer_bank_accounts", {"customer_bank_accounts": details})
    account = body["customer_bank_accounts"]
    assert (status, account["account_number_ending"], account["account_holder_name"]) == (
        201,
        "11",
        "ADA BYRON OF LONDO",
    )
    status, body = await wire.call("POST", "/customer_bank_accounts", {"customer_bank_accounts": details})
    assert (status, body["error"]["type"], reasons(body)) == (409, "validation_failed", ["bank_account_exists"])
    assert body["error"]["errors"][0]["links"] == {"customer_bank_account": account["id"]}
    links = {"customer_bank_account": account["id"], "creditor": wire.ids["creditor"]}
    status, body = await wire.call("POST", "/mandates", {"mandates": {"scheme": "bacs", "links": links}})
    assert (status, body["mandates"]["status"], body["mandates"]["next_possible_charge_date"]) == (
        201, "pending_submission", "2026-01-09",
    )  # fmt: skip
    wire.mandate = body["mandates"]["id"]
    _, body = await wire.payment()
    payment = body["payments"]["id"]
    await wire.server.run_until("2026-01-05T16:00:00Z")
    assert (await wire.call("GET", f"/mandates/{wire.mandate}"))[1]["mandates"]["status"] == "submitted"
    path = f"/customer_bank_accounts/{account['id']}/actions/disable"
    assert (await wire.call("POST", path))[1]["customer_bank_accounts"]["enabled"] is False
    assert reasons((await wire.call("POST", path))[1]) == ["disable_failed"]
    assert (await wire.call("GET", f"/mandates/{wire.mandate}"))[1]["mandates"]["status"] == "cancelled"
    assert (await wire.call("GET", f"/payments/{payment}"))[1]["payments"]["status"] == "cancelled"
    status, body = await wire.payment()
    assert (status, reasons(body)) == (422, ["mandate_is_inactive"])
    # The same details again enable the account.
    _, body = await wire.call("POST", "/customer_bank_accounts", {"customer_bank_accounts": details})
    assert (body["customer_bank_accounts"]["id"], body["customer_bank_accounts"]["enabled"]) == (account["id"], True)


async def test_live_accounts_make_mandates_by_billing_requests_alone(wire: Wire) -> None:
    await wire.config(custom_payment_pages=False)
    for name in ("customers", "customer_bank_accounts", "mandates"):
        assert (await wire.call("POST", f"/{name}", {name: {}}))[0] == 403


async def test_mandates_end_once_and_may_be_reinstated(wire: Wire) -> None:
    path = f"/mandates/{wire.mandate}/actions"
    assert reasons((await wire.call("POST", f"{path}/reinstate"))[1]) == ["mandate_not_inactive"]
    assert (await wire.call("POST", f"{path}/cancel"))[1]["mandates"]["next_possible_charge_date"] is None
    assert reasons((await wire.call("POST", f"{path}/cancel"))[1]) == ["cancellation_failed"]
    assert (await wire.call("POST", f"{path}/reinstate"))[1]["mandates"]["status"] == "pending_submission"
    await wire.server.run_until("2026-01-07T11:40:00Z")
    assert (await wire.call("GET", f"/mandates/{wire.mandate}"))[1]["mandates"]["status"] == "active"


async def test_removed_customers_vanish_and_their_payments_stay(wire: Wire) -> None:
    _, body = await wire.payment()
    customer, payment = wire.ids["customers"][0]["customer"], body["payments"]["id"]
    assert (await wire.call("DELETE", f"/customers/{customer}"))[0] == 200
    assert (await wire.call("GET", "/customers"))[1]["customers"] == []
    assert (await wire.call("GET", f"/customers/{customer}"))[0] == 404
    assert (await wire.call("GET", f"/payments/{payment}"))[1]["payments"]["status"] == "cancelled"
    await wire.config(removed_customer="customer_data_removed")
    assert (await wire.call("GET", f"/customers/{customer}"))[0] == 410


async def test_unknown_links_are_named(wire: Wire) -> None:
    wire.mandate = "MD000"
    status, body = await wire.payment()
    assert (status, reasons(body)) == (404, ["link_not_found"])
    assert body["error"]["errors"][0]["request_pointer"] == "/payments/links/mandate"


async def test_events_appear_late_and_can_be_listed_with_what_they_are_about(wire: Wire) -> None:
    _, body = await wire.payment()
    payment = body["payments"]["id"]
    _, state = await wire.server.get("/_sandbox/state")
    hidden = state["gocardless"]["resources"]["events"][-1]["id"]
    assert state["gocardless"]["events_hidden"] == 1
    assert (await wire.call("GET", f"/events/{hidden}"))[0] == 404
    await wire.server.run_until("2026-01-05T08:01:00Z")
    _, body = await wire.call("GET", "/events?resource_type=payments&include=payment")
    assert [event["id"] for event in body["events"]] == [hidden]
    assert body["linked"]["payments"][0]["id"] == payment
    event = (await wire.call("GET", f"/events/{hidden}"))[1]["events"]
    assert event["source"] == {"name": "Sandbox", "type": "access_token"}
    assert event["details"]["cause"] == "payment_created"
    assert event["created_at"] == "2026-01-05T08:00:00.000Z"


async def test_bad_stage_directions_are_refused(wire: Wire) -> None:
    for path, document in (
        ("populate", {"customers": [{"name": "x"}]}),
        ("populate", {"customers": [{"email": "x@example.com"}]}),
        ("populate", {"customers": [{**CUSTOMER, "mandate": "maybe"}]}),
        ("populate", {"creditor": {"colour": "red"}}),
        ("act", {"do": "rain"}),
        ("act", {"do": "fail_payment", "payment": "PM0"}),
    ):
        status, body = await wire.server.post(f"/_sandbox/gocardless/{path}", document)
        assert status == 400, body
    for settings in ({"colour": "red"}, {"payment_outcomes": [{"outcome": "lost"}]}, {"metadata_update": "keep"}):
        assert (await wire.server.post("/_sandbox/config", {"gocardless": settings}))[0] == 400
