"""Commands to calls, and every kind of answer to what it means."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.gocardless import pages, perform
from adapters.http import Answer, Call
from adapters.verdicts import Done, Follow, Retry, Unknown, Verdict
from domain import commands as c
from domain.commands import Command
from tests.support import gocardless_records as gc

SHAPE = "GoCardless's answer does not have the documented shape"


def judge(command: Command, answer: Answer, step: str = "send") -> Verdict:
    return perform.verdict(command, step, perform.send_call(command), answer)


def said(status: int, body: bytes, **headers: str) -> Answer:
    return Answer(status, headers, body)


def test_a_debit_is_one_post_with_its_key_and_its_claim() -> None:
    call = perform.send_call(gc.command("create_payment"))
    assert (call.method, call.path, call.headers) == ("POST", "/payments", {"Idempotency-Key": "zg01-abc"})
    assert call.body is not None
    assert json.loads(call.body) == {
        "payments": {
            "amount": 12999,
            "currency": "GBP",
            "description": "INV-0042",
            "links": {"mandate": "MD00AB12CD34EF"},
            "metadata": {"zoho_invoice_id": "910000000042001", "zoho_invoice_number": "INV-0042", "command": "cm-1"},
        }
    }


def test_metadata_keeps_to_what_gocardless_accepts() -> None:
    data = c.CreatePayment("9", "N" * 600, "MD1", 1, "GBP")
    call = perform.send_call(Command("cm-1", "a", "p", data, key="k"))
    assert call.body is not None
    metadata = json.loads(call.body)["payments"]["metadata"]
    assert len(metadata) <= 3
    assert all(isinstance(value, str) and len(value) <= 500 for value in metadata.values())


def test_an_invitation_names_the_contact_on_request_and_mandate() -> None:
    call = perform.send_call(gc.command("create_billing_request"))
    assert call.body is not None
    assert json.loads(call.body) == {
        "billing_requests": {
            "mandate_request": {
                "currency": "GBP",
                "scheme": "bacs",
                "metadata": {"zoho_contact_id": "910000000031007"},
            },
            "metadata": {"zoho_contact_id": "910000000031007"},
        }
    }
    known = Command("cm-2", "a", "p", c.CreateBillingRequest("9", "EUR", "sepa_core", payer="CU1"), key="k")
    body = perform.send_call(known).body
    assert body is not None
    assert json.loads(body)["billing_requests"]["links"] == {"customer": "CU1"}


def test_a_flow_belongs_to_its_billing_request() -> None:
    call = perform.send_call(gc.command("create_flow"))
    assert call.body is not None
    assert (call.path, json.loads(call.body)) == (
        "/billing_request_flows",
        {"billing_request_flows": {"links": {"billing_request": "BRQ000000000001"}}},
    )


def test_a_create_without_a_key_is_not_made() -> None:
    with pytest.raises(AssertionError):
        perform.send_call(Command("cm-1", "a", "p", c.CreatePayment("9", "N", "MD1", 1, "GBP")))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("read_payment", "/payments/PM00AB12CD34EF"),
        ("read_mandate", "/mandates/MD00AB12CD34EF"),
        ("read_payer", "/customers/CU000000000001"),
        ("read_billing_request", "/billing_requests/BRQ000000000001"),
        ("read_payout", "/payouts/PO00AB12CD34EF"),
    ],
)
def test_a_read_is_one_get(name: str, path: str) -> None:
    assert perform.send_call(gc.command(name)) == Call("GET", path)


def test_walks_begin_with_their_first_page() -> None:
    assert perform.send_call(gc.command("read_payout_items")).query == {"payout": "PO00AB12CD34EF", "limit": "200"}
    call = perform.send_call(gc.command("read_mandate_payments"))
    assert (call.path, call.query) == (
        "/payments",
        {"mandate": "MD00AB12CD34EF", "created_at[gte]": "2026-01-01T00:00:00.000Z", "limit": "200"},
    )


def test_an_id_cannot_change_the_path() -> None:
    assert perform.send_call(Command("cm-1", "a", "p", c.ReadPayment("../x?y#z"))).path == "/payments/..%2Fx%3Fy%23z"


def test_only_a_debit_is_looked_up_without_being_sent() -> None:
    calls = {name: perform.look_up_call(gc.command(name)) for name in gc.names}
    assert calls.pop("create_payment") == Call("GET", "/payments", {"mandate": "MD00AB12CD34EF", "limit": "200"})
    assert set(calls.values()) == {None}


def test_a_command_of_the_other_api_is_a_mistake() -> None:
    command = Command("cm-1", "a", "p", c.ReadInvoice("1"))
    with pytest.raises(ValueError, match=r"zoho\.read_invoice"):
        perform.send_call(command)
    with pytest.raises(ValueError, match="not a command"):
        perform.verdict(command, "send", Call("GET", "/"), Answer(200, {}, b"{}"))


# --- success ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key", "record"),
    [
        ("create_payment", "payments", "PAYMENT"),
        ("create_billing_request", "billing_requests", "BILLING_REQUEST"),
        ("create_flow", "billing_request_flows", "FLOW"),
        ("read_payment", "payments", "PAYMENT"),
        ("read_mandate", "mandates", "MANDATE"),
        ("read_payer", "customers", "CUSTOMER"),
        ("read_billing_request", "billing_requests", "BILLING_REQUEST"),
        ("read_payout", "payouts", "PAYOUT"),
    ],
)
@pytest.mark.parametrize("status", [200, 201])
def test_a_resource_is_success_in_each_of_its_envelopes(name: str, key: str, record: str, status: int) -> None:
    document = getattr(gc, record)
    for body in ({key: document}, {"data": document}, document):
        assert judge(gc.command(name), said(status, gc.body(body))) == Done("succeeded", document["id"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount": 13000}, "amount_mismatch"),
        ({"currency": "EUR"}, "amount_mismatch"),
        ({"links": {"mandate": "MD2"}}, "mandate_mismatch"),
        ({"metadata": {"zoho_invoice_id": "another"}}, "invoice_mismatch"),
    ],
)
@pytest.mark.parametrize(("step", "status"), [("send", 201), ("follow", 200)])
def test_another_payment_than_was_asked_for_stops(change: dict[str, Any], reason: str, step: str, status: int) -> None:
    verdict = judge(gc.command("create_payment"), said(status, gc.body({"payments": {**gc.PAYMENT, **change}})), step)
    assert isinstance(verdict, Done)
    assert (verdict.kind, verdict.reason, verdict.resource_id) == ("refused", reason, gc.PAYMENT["id"])
    assert verdict.found is (step == "follow")


def test_another_resource_than_was_read_stops() -> None:
    verdict = judge(gc.command("read_payment"), said(200, gc.body({"payments": {**gc.PAYMENT, "id": "PM2"}})))
    assert isinstance(verdict, Done)
    assert (verdict.kind, verdict.reason) == ("refused", "other_resource")


def test_a_made_resource_that_cannot_be_read_is_shown_with_its_id() -> None:
    body = gc.body({"payments": {**gc.PAYMENT, "amount": "12999.5"}})
    assert judge(gc.command("create_payment"), said(201, body)) == Done(
        "refused", gc.PAYMENT["id"], "unreadable", SHAPE
    )


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"payments": {"id": "P', b"[]", b"{}", b'{"payments": []}', b'{"payments": {"id": null}}'],
)
def test_a_2xx_that_names_nothing_is_unknown_for_a_write(body: bytes) -> None:
    assert judge(gc.command("create_payment"), said(201, body)) == Unknown("malformed")
    follow_up = judge(gc.command("create_payment"), said(200, body), "follow")
    assert isinstance(follow_up, Retry | Unknown)


def test_a_read_that_is_cut_off_is_asked_again() -> None:
    assert judge(gc.command("read_payment"), said(200, b'{"payments": {"id"')) == Retry("malformed")
    assert judge(gc.command("read_payment"), said(204, b"")) == Retry("malformed")
    assert judge(gc.command("read_payment"), said(200, b'{"payments": 1}')) == Done(
        "refused", reason="unreadable", message=SHAPE
    )


# --- walks ------------------------------------------------------------------------------------------------------------


def test_a_walk_follows_to_its_last_page() -> None:
    command = gc.command("read_payout_items")
    verdict = judge(command, said(200, gc.body(gc.listing("payout_items", gc.ITEMS, "c1"))))
    assert isinstance(verdict, Follow)
    assert not verdict.found
    assert verdict.call.query == {
        "payout": "PO00AB12CD34EF",
        "limit": "200",
        "after": "c1",
        "_page": "2",
        "_first": "3",
    }
    last = perform.verdict(command, "follow", verdict.call, said(200, gc.body(gc.listing("payout_items", gc.ITEMS))))
    assert last == Done("succeeded", "PO00AB12CD34EF")


def test_a_page_without_cursors_is_never_the_last() -> None:
    verdict = judge(gc.command("read_mandate_payments"), said(200, gc.body({"payments": []})))
    assert isinstance(verdict, Done)
    assert (verdict.kind, verdict.reason) == ("refused", "unreadable")
    assert judge(gc.command("read_mandate_payments"), said(200, b"{")) == Retry("malformed")


def test_a_walk_that_does_not_end_is_refused() -> None:
    command = gc.command("read_mandate_payments")
    call = Call("GET", "/payments", {"mandate": "MD1", "after": "c1", "_page": str(pages.MAX_PAGES)})
    for after in ("c1", "c2"):
        verdict = perform.verdict(command, "follow", call, said(200, gc.body(gc.listing("payments", [], after))))
        assert isinstance(verdict, Done)
        assert (verdict.kind, verdict.reason) == ("refused", "endless")


@pytest.mark.parametrize("query", [{}, {"_damaged": "1"}])
def test_a_walk_with_a_row_that_could_not_be_read_did_not_succeed(query) -> None:
    rows = [gc.PAYMENT] if query else [gc.PAYMENT, {"id": "PM2"}]
    call = Call("GET", "/payments", {"mandate": "MD1", **query})
    verdict = perform.verdict(
        gc.command("read_mandate_payments"), "follow", call, said(200, gc.body(gc.listing("payments", rows)))
    )
    assert isinstance(verdict, Done)
    assert (verdict.kind, verdict.reason) == ("refused", "unreadable")


def test_damage_on_a_page_is_told_to_the_next() -> None:
    verdict = judge(
        gc.command("read_mandate_payments"),
        said(200, gc.body(gc.listing("payments", [gc.PAYMENT, {"id": "PM2"}], "c1"))),
    )
    assert isinstance(verdict, Follow)
    assert verdict.call.query[pages.DAMAGED] == "1"


def test_items_that_are_gone_are_refused() -> None:
    body = gc.body(
        {
            "error": {
                "type": "invalid_api_usage",
                "code": 410,
                "message": "Gone",
                "errors": [{"reason": "payout_items_archived"}],
            }
        }
    )
    assert judge(gc.command("read_payout_items"), said(410, body)) == Done(
        "refused", reason="payout_items_archived", message="Gone"
    )


# --- errors -----------------------------------------------------------------------------------------------------------

CONFLICTS = {
    "client-python/idempotent_creation_conflict_error.json": "PM00001078ZJJN",
    "client-java-errors/conflict.json": "ID123",
    "client-node-errors/idempotency_conflict.json": "PM1234",
}
#: file → (status, reason, message) for answers that end a command
REFUSALS: dict[str, tuple[int, str, str]] = {
    "client-python/insufficient_permission.json": (403, "insufficient_permissions", "Insufficient permissions"),
    "client-java-errors/insufficient_permission.json": (403, "insufficient_permissions", "Insufficient permissions"),
    "client-node-errors/insufficent_permissions.json": (403, "insufficient_permissions", "Insufficient permissions"),
    "client-python/invalid_api_usage_error.json": (400, "invalid_api_usage", "Root element must be an object."),
    "client-java-errors/invalid_api_usage.json": (400, "invalid_document_structure", "Invalid document structure"),
    "client-node-errors/invalid_api_usage.json": (422, "invalid_api_usage", '"currency" wasn\'t supplied.'),
    "client-python/invalid_state_error.json": (
        422,
        "mandate_not_inactive",
        "Mandate is already active or being submitted",
    ),
    "client-node-errors/invalid_state.json": (422, "cancellation_failed", "Payment cannot be cancelled"),
    "client-java-errors/invalid_state.json": (409, "bank_account_exists", "Bank account already exists"),
    "client-python/validation_failed_duplicate_bank_account_error.json": (
        409,
        "bank_account_exists",
        "Bank account already exists",
    ),
    "client-python/validation_failed_error.json": (422, "branch_code", "branch_code: must be a number"),
    "client-java-errors/validation_failed.json": (422, "branch_code", "branch_code: must be a number"),
    "client-node-errors/validation_failed.json": (
        422,
        "amount",
        "amount: is greater than the permitted scheme maximum",
    ),
    "client-java-errors/string_error.json": (422, "bank_authorisation_expired", ""),
    "client-node-errors/string_error.json": (422, "bank_authorisation_expired", ""),
}
THROTTLED = ["client-python", "client-java-errors", "client-node-errors"]
UNAUTHORIZED = [
    "client-python/unauthorized_error.json",
    "client-java-errors/unauthorized_error.json",
    "client-node-errors/unauthorized.json",
]
THEIRS = [
    "client-python/gocardless_error.json",
    "client-java-errors/internal_error.json",
    "client-node-errors/gocardless_internal_error.json",
]


@pytest.mark.parametrize(("file", "resource_id"), CONFLICTS.items())
def test_a_used_key_leads_to_what_it_made(file: str, resource_id: str) -> None:
    answer = said(409, gc.fixture(file))
    assert judge(gc.command("create_payment"), answer) == Follow(Call("GET", f"/payments/{resource_id}"), found=True)
    assert judge(gc.command("create_billing_request"), answer) == Follow(
        Call("GET", f"/billing_requests/{resource_id}"), found=True
    )


def test_what_a_used_key_made_is_found() -> None:
    done = judge(gc.command("create_payment"), said(200, gc.body({"payments": gc.PAYMENT})), "follow")
    assert done == Done("succeeded", gc.PAYMENT["id"], found=True)


def test_a_read_that_is_refused_says_nothing_about_the_write() -> None:
    body = gc.body({"error": {"type": "invalid_api_usage", "errors": [{"reason": "resource_not_found"}]}})
    for step in ("follow", "look_up"):
        verdict = perform.verdict(gc.command("create_payment"), step, Call("GET", "/payments/PM1"), said(404, body))
        assert verdict == Retry(f"{step}_refused: resource_not_found")
    assert judge(gc.command("read_payment"), said(404, body), "follow") == Done("refused", reason="resource_not_found")


def test_a_used_key_that_names_nothing_is_unknown() -> None:
    for links in ({}, {"conflicting_resource_id": None}, {"conflicting_resource_id": "../x"}):
        body = gc.body(
            {"error": {"type": "invalid_state", "errors": [{"reason": "idempotent_creation_conflict", "links": links}]}}
        )
        assert judge(gc.command("create_payment"), said(409, body)) == Unknown("conflict_without_id")


@pytest.mark.parametrize(("file", "expected"), REFUSALS.items())
def test_a_clear_no_is_final(file: str, expected: tuple[int, str, str]) -> None:
    status, reason, message = expected
    for name in gc.names:
        assert judge(gc.command(name), said(status, gc.fixture(file))) == Done(
            "refused", reason=reason, message=message
        )


@pytest.mark.parametrize("file", UNAUTHORIZED)
def test_a_refused_token_closes_the_api(file: str) -> None:
    for name in gc.names:
        assert judge(gc.command(name), said(401, gc.fixture(file))) == Retry("unauthorized", scope="api")


@pytest.mark.parametrize("folder", THROTTLED)
def test_throttling_closes_the_api_until_the_reset(folder: str) -> None:
    body = gc.fixture(f"{folder}/rate_limit_exceeded.json")
    headers = {"ratelimit-reset": "Thu, 03 May 2018 16:00:00 GMT", "date": "Thu, 03 May 2018 15:59:18 GMT"}
    assert judge(gc.command("create_payment"), said(429, body, **headers)) == Retry("rate_limited", 42.0, "api")


@pytest.mark.parametrize(
    ("headers", "after_s"),
    [
        ({}, 60.0),
        ({"ratelimit-reset": "Thu, 03 May 2018 16:00:00 GMT"}, 60.0),
        ({"ratelimit-reset": "soon", "date": "Thu, 03 May 2018 16:00:00 GMT"}, 60.0),
        ({"ratelimit-reset": "Thu, 03 May 2018 16:00:00 GMT", "date": "Thu, 03 May 2018 16:00:10 GMT"}, 1.0),
        ({"ratelimit-reset": "Thu, 03 May 2028 16:00:00 GMT", "date": "Thu, 03 May 2018 16:00:10 GMT"}, 600.0),
        ({"ratelimit-reset": "Thu, 03 May 2018 16:00:00 -0000", "date": "Thu, 03 May 2018 16:00:10 GMT"}, 1.0),
        ({"ratelimit-reset": "Thu, 03 May 99999 16:00:00 GMT", "date": "Thu, 03 May 2018 16:00:10 GMT"}, 60.0),
    ],
)
def test_the_wait_is_bounded_whatever_the_headers_say(headers: dict[str, str], after_s: float) -> None:
    assert judge(gc.command("read_payment"), said(429, b"", **headers)) == Retry("rate_limited", after_s, "api")


@pytest.mark.parametrize("status", [400, 500, 503])
@pytest.mark.parametrize("file", THEIRS)
def test_their_fault_leaves_a_write_unknown(file: str, status: int) -> None:
    answer = said(status, gc.fixture(file))
    assert judge(gc.command("create_payment"), answer) == Unknown(f"http_{status}")
    assert judge(gc.command("create_payment"), answer, "follow") == Retry(f"http_{status}")
    assert judge(gc.command("read_payout_items"), answer) == Retry(f"http_{status}")


@pytest.mark.parametrize("status", [100, 302, 400, 404, 408, 500, 502, 504, 999])
@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b"null", b"[]", b"{}", b'{"error": 7}', b'{"error": {"errors": 7}}', b"\xff"]
)
def test_whatever_is_not_clear_leaves_a_write_unknown(status: int, body: bytes) -> None:
    assert judge(gc.command("create_payment"), said(status, body)) == Unknown(f"http_{status}")
    assert judge(gc.command("read_payment"), said(status, body)) == Retry(f"http_{status}")


def test_a_timed_out_request_is_not_a_no() -> None:
    body = gc.body({"error": {"type": "invalid_api_usage", "errors": [{"reason": "request_timed_out"}]}})
    assert judge(gc.command("create_payment"), said(422, body)) == Unknown("http_422")
    clear = gc.body({"error": {"type": "invalid_api_usage", "errors": [{"reason": "bad_request"}]}})
    assert judge(gc.command("create_payment"), said(408, clear)) == Unknown("http_408")


def test_an_unwrapped_error_is_read_too() -> None:
    body = gc.body(gc.load("client-node-errors/invalid_state.json")["error"])
    assert judge(gc.command("create_payment"), said(422, body)) == Done(
        "refused", reason="cancellation_failed", message="Payment cannot be cancelled"
    )


def test_no_personal_data_stands_in_a_message() -> None:
    item = {"field": "email", "message": f"someone@example.com and account 55779911 are odd {'x' * 400}"}
    verdict = judge(
        gc.command("create_payment"), said(422, gc.body({"error": {"type": "validation_failed", "errors": [item]}}))
    )
    assert isinstance(verdict, Done)
    assert verdict.message.startswith("email: … and account … are odd")
    assert len(verdict.message) <= 200


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_answer_has_a_verdict(data: st.DataObject) -> None:
    command = gc.command(data.draw(st.sampled_from(gc.names)))
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["error", "errors", "type", "reason", "id", "links"]), inner)
        ),
        max_leaves=5,
    )
    body = data.draw(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
    status = data.draw(st.sampled_from([200, 201, 204, 301, 400, 401, 404, 409, 422, 429, 500]) | st.integers(0, 999))
    headers = data.draw(st.dictionaries(st.sampled_from(["ratelimit-reset", "date"]), st.text(max_size=30)))
    step = data.draw(st.sampled_from(["send", "look_up", "follow"]))
    call = perform.send_call(command) if step == "send" else perform.look_up_call(command) or perform.send_call(command)
    verdict = perform.verdict(command, step, call, Answer(status, headers, body))
    assert isinstance(verdict, Done | Follow | Retry | Unknown)
    if isinstance(verdict, Done):
        assert 200 <= status < 500
        assert verdict.kind == "succeeded" or verdict.reason
    if command.writes and step == "send" and (status >= 500 or status < 200):
        assert isinstance(verdict, Unknown)
