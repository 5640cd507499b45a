"""A debit that may have been made is found by its command's id in the payment's metadata, and never made by looking."""

from typing import Any

import msgspec
import pytest

from adapters.deliveries import DeliveryMeta, Translation
from adapters.gocardless import pages, perform
from adapters.gocardless.translate import translate
from adapters.http import Answer, Call
from adapters.verdicts import Done, Follow, Retry, Verdict
from domain import events
from tests.support import gocardless_records as gc

OTHER = {"zoho_invoice_id": "910000000042009", "command": "cm-9"}
LOOK_UP = Call("GET", "/payments", {"mandate": "MD00AB12CD34EF", "limit": "200"})


def page(rows: list[Any], after: str | None = None) -> bytes:
    return bytes(gc.body(gc.listing("payments", rows, after)))


def judge(body: bytes, call: Call = LOOK_UP, status: int = 200, step: str = "look_up") -> Verdict:
    return perform.verdict(gc.command("create_payment"), step, call, Answer(status, {}, body))


def shown(body: bytes, query: dict[str, str] | None = None, step: str = "look_up") -> Translation:
    meta: DeliveryMeta = gc.answer_meta("create_payment", step="look_up", query=query)
    assert meta.call is not None
    translation = translate(msgspec.structs.replace(meta, call=msgspec.structs.replace(meta.call, step=step)), body)
    gc.survives(translation)
    return translation


def others(count: int = 2) -> list[dict[str, Any]]:
    return [{**gc.PAYMENT, "id": f"PM{number}", "metadata": OTHER if number % 2 else {}} for number in range(count)]


def test_the_payment_that_names_the_command_is_the_one() -> None:
    body = page([*others(), gc.PAYMENT])
    assert judge(body) == Done("succeeded", gc.PAYMENT["id"], found=True)
    read, end = shown(body).events
    assert (read.type, read.data.id, read.data.metadata["command"]) == (
        "gocardless.payment_read",
        gc.PAYMENT["id"],
        "cm-1",
    )
    assert end.data == events.Outcome("cm-1", 3, "succeeded", resource_id=gc.PAYMENT["id"], http_status=200, found=True)
    assert (end.type, end.causation_id, end.correlation_id) == ("command.outcome", "an-1", gc.PAYMENT["id"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount": 1}, "amount_mismatch"),
        ({"currency": "EUR"}, "amount_mismatch"),
        ({"links": {"mandate": "MD2"}}, "mandate_mismatch"),
    ],
)
def test_what_is_found_is_compared_like_what_is_made(change: dict[str, Any], reason: str) -> None:
    body = page([{**gc.PAYMENT, **change}])
    verdict = judge(body)
    assert isinstance(verdict, Done)
    assert (verdict.kind, verdict.reason, verdict.resource_id, verdict.found) == (
        "refused",
        reason,
        gc.PAYMENT["id"],
        True,
    )
    assert [event.type for event in shown(body).events] == ["gocardless.payment_read", "command.outcome"]


def test_a_payment_of_the_same_invoice_by_another_command_is_not_it() -> None:
    earlier = {**gc.PAYMENT, "metadata": {**gc.PAYMENT["metadata"], "command": "cm-0"}}
    assert judge(page([earlier])) == Retry("absent")


def test_only_the_end_of_the_list_shows_that_nothing_is_there() -> None:
    verdict = judge(page(others(), "PM1"))
    assert isinstance(verdict, Follow)
    assert verdict.call.query == {**LOOK_UP.query, "after": "PM1", pages.PAGE: "2", pages.FIRST: "2"}
    assert shown(page(others(), "PM1")) == Translation([], [])
    last = page([gc.PAYMENT])
    assert judge(last, verdict.call, step="follow") == Done("succeeded", gc.PAYMENT["id"], found=True)
    assert [event.type for event in shown(last, verdict.call.query, "follow").events] == [
        "gocardless.payment_read",
        "command.outcome",
    ]
    assert judge(page(others()), verdict.call, step="follow") == Retry("absent")
    assert judge(page([]), verdict.call, step="follow") == Retry("absent")


def test_a_look_up_ends_after_so_many_pages_and_does_not_say_absent() -> None:
    call, verdict = LOOK_UP, judge(page([], "c0"))
    for number in range(1, perform.LOOK_UP_PAGES):
        assert isinstance(verdict, Follow), number
        call = verdict.call
        verdict = judge(page([], f"c{number}"), call, step="follow")
    assert verdict == Retry("look_up_endless")
    assert call.query[pages.PAGE] == str(perform.LOOK_UP_PAGES)


@pytest.mark.parametrize(
    "row", [7, "x", {"id": "PM7", "metadata": {"command": ["cm-1"]}}, {"id": "PM7", "metadata": "cm-1"}]
)
def test_a_row_that_cannot_be_asked_hides_what_it_is(row: Any) -> None:
    assert judge(page([row])) == Retry("look_up_unreadable")
    first = judge(page([row], "PM7"))
    assert isinstance(first, Follow)
    assert judge(page(others()), first.call, step="follow") == Retry("look_up_unreadable")
    assert judge(page([row, gc.PAYMENT])) == Done("succeeded", gc.PAYMENT["id"], found=True)


def test_a_stranger_s_payment_that_cannot_be_read_hides_nothing() -> None:
    assert judge(page([{"id": "PM7", "metadata": OTHER, "amount": "much"}])) == Retry("absent")


def test_our_own_payment_that_cannot_be_read_stops() -> None:
    body = page([{**gc.PAYMENT, "amount": "12999.5"}])
    verdict = judge(body)
    assert isinstance(verdict, Done)
    assert (verdict.kind, verdict.reason, verdict.resource_id, verdict.found) == (
        "refused",
        "unreadable",
        gc.PAYMENT["id"],
        True,
    )
    translation = shown(body)
    assert [event.type for event in translation.events] == ["command.outcome"]
    assert [piece.where for piece in translation.parked] == ["payments[0]"]


def test_two_payments_of_one_command_are_both_shown() -> None:
    body = page([{**gc.PAYMENT, "id": "PM2"}, gc.PAYMENT])
    assert judge(body) == Done("succeeded", gc.PAYMENT["id"], reason="duplicate", found=True)
    assert [event.data.id for event in shown(body).events[:-1]] == ["PM2", gc.PAYMENT["id"]]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"payments": [', b"[]", b'{"payments": []}', b'{"payments": {}, "meta": {"cursors": {}}}'],
)
def test_what_is_no_page_is_asked_again(body: bytes) -> None:
    assert judge(body) == Retry("malformed")


@pytest.mark.parametrize(
    ("status", "reason", "verdict"),
    [
        (400, "invalid_filters", Retry("look_up_refused: invalid_filters")),
        (403, "insufficient_permissions", Retry("look_up_refused: insufficient_permissions")),
        (404, "resource_not_found", Retry("look_up_refused: resource_not_found")),
        (401, "unauthorized", Retry("unauthorized", scope="api")),
        (500, "internal_server_error", Retry("http_500")),
        (429, "rate_limit_exceeded", Retry("rate_limited", 60.0, "api")),
    ],
)
def test_a_look_up_that_is_not_answered_settles_nothing(status: int, reason: str, verdict: Verdict) -> None:
    body = gc.body({"error": {"type": "invalid_api_usage", "errors": [{"reason": reason}]}})
    assert judge(body, status=status) == verdict
    assert judge(b"<html></html>", status=502) == Retry("http_502")


def test_the_send_call_s_own_answer_is_no_page_of_a_look_up() -> None:
    command = gc.command("create_payment")
    assert perform.searches(command, LOOK_UP)
    assert not perform.searches(command, perform.send_call(command))
    assert not perform.searches(command, Call("GET", f"/payments/{gc.PAYMENT['id']}"))
    assert not perform.searches(
        gc.command("read_mandate_payments"), perform.send_call(gc.command("read_mandate_payments"))
    )
