"""Polls: how a list is walked, where the walk ends, and what a row's digest covers."""

import pytest

from adapters.gocardless import pages, wire
from adapters.gocardless.wire import WireError
from adapters.http import Answer, Call
from tests.support import gocardless_records as gc


def answer(body: bytes, status: int = 200) -> Answer:
    return Answer(status, {}, body)


def test_the_first_page_reaches_back_before_the_cursor() -> None:
    assert pages.first("gocardless.events") == Call("GET", "/events", {"limit": "500"})
    call = pages.first("gocardless.payouts", "2026-03-02T09:00:00.000Z")
    assert call == Call("GET", "/payouts", {"limit": "500", "created_at[gte]": "2026-03-02T08:30:00.000Z"})
    with pytest.raises(KeyError):
        pages.first("gocardless.nothing")


def test_a_walk_follows_the_cursor_to_its_end() -> None:
    call = pages.first("gocardless.payments", "2026-03-02T09:00:00.000Z")
    second = pages.next_page(
        "gocardless.payments", call, answer(gc.body(gc.listing("payments", [gc.PAYMENT] * 3, "PM9")))
    )
    assert second is not None
    assert second.query == {**call.query, "after": "PM9", "_page": "2", "_first": "3"}
    third = pages.next_page(
        "gocardless.payments", second, answer(gc.body(gc.listing("payments", [gc.PAYMENT] * 2, "PM4")))
    )
    assert third is not None
    assert (third.query["after"], third.query["_page"], third.query["_first"]) == ("PM4", "3", "5")
    assert pages.next_page("gocardless.payments", third, answer(gc.body(gc.listing("payments", [])))) is None


def test_a_walk_that_goes_in_circles_ends() -> None:
    body = answer(gc.body(gc.listing("payments", [gc.PAYMENT], "PM9")))
    call = pages.next_page("gocardless.payments", pages.first("gocardless.payments"), body)
    assert call is not None
    assert pages.next_page("gocardless.payments", call, body) is None


def test_a_walk_without_an_end_is_cut() -> None:
    call, count = pages.first("gocardless.events"), 1
    while call is not None:
        following = pages.next_page("gocardless.events", call, answer(gc.body(gc.listing("events", [], f"EV{count}"))))
        if following is None:
            break
        call, count = following, count + 1
    assert count == pages.MAX_PAGES


def test_damage_is_carried_to_the_end_of_a_walk() -> None:
    page = wire.page(gc.body(gc.listing("payments", [], "PM9")), "payments")
    call = pages.next_call(Call("GET", "/payments"), page, damaged=True)
    assert call is not None
    further = pages.next_call(Call("GET", "/payments", {**call.query, "after": "PM8"}), page)
    assert further is not None
    assert pages.query_note(further, pages.DAMAGED, 0) == 1


@pytest.mark.parametrize("shown", ["", "x", "-1", "1.5", "9" * 10, "²"])
def test_a_spoiled_note_counts_as_none(shown: str) -> None:
    assert pages.query_note(Call("GET", "/", {"_page": shown}), pages.PAGE, 7) == 7


def test_recorded_pages_are_pages() -> None:
    for kind, name in pages.KINDS.items():
        body = gc.body(gc.load(f"client-python/{name}.json")["list"]["body"])
        assert pages.is_page(kind, answer(body))
        assert not pages.is_page(kind, answer(body, 206))
        assert [row_id for row_id, _ in pages.rows(kind, body)] != []


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"payments": []}', b'{"payments": {}, "meta": {"cursors": {}}}', b'{"meta": {}}']
)
def test_what_is_no_page_is_not_taken_for_one(body: bytes) -> None:
    assert not pages.is_page("gocardless.payments", answer(body))
    with pytest.raises(WireError):
        pages.rows("gocardless.payments", body)
    with pytest.raises(WireError):
        pages.next_page("gocardless.payments", pages.first("gocardless.payments"), answer(body))


def test_a_digest_covers_what_is_read_and_nothing_else() -> None:
    def digest(row: dict[str, object]) -> bytes:
        return pages.rows("gocardless.payments", gc.body(gc.listing("payments", [row])))[0][1]

    reordered = dict(reversed(gc.PAYMENT.items()))
    assert digest(gc.PAYMENT) == digest(reordered) == digest({**gc.PAYMENT, "new_field": 1})
    assert digest(gc.PAYMENT) != digest({**gc.PAYMENT, "status": "submitted"})


def test_a_row_that_cannot_be_read_is_digested_whole() -> None:
    rows = pages.rows("gocardless.payments", gc.body(gc.listing("payments", [gc.PAYMENT, {"id": 1}, 7])))
    assert [row_id for row_id, _ in rows] == [gc.PAYMENT["id"], "", ""]
    assert rows[2][1] == b"7"
