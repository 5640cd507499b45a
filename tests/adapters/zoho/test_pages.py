import json

import pytest

from adapters.http import Answer, Call
from adapters.zoho import pages
from adapters.zoho.wire import WireError
from tests.support import zoho_records as z


def page(body, status=200):
    return Answer(status, {}, body)


def test_invoices_are_read_from_before_the_cursor_oldest_first():
    call = pages.first("zoho.invoices", "2026-03-02T09:00:00.000Z")
    assert call.query == {
        "page": "1",
        "per_page": "200",
        "sort_column": "created_time",
        "sort_order": "A",
        "last_modified_time": "2026-03-02T08:50:00+0000",
    }
    assert "last_modified_time" not in pages.first("zoho.invoices").query


def test_contacts_have_no_filter_and_come_newest_first_since_a_cursor():
    assert pages.first("zoho.contacts", "2026-03-02T09:00:00.000Z").query["sort_order"] == "D"
    assert pages.first("zoho.contacts").query["sort_column"] == "created_time"
    assert pages.first("zoho.currencies") == Call("GET", "/settings/currencies", {"page": "1", "per_page": "200"})


def test_an_unknown_kind_is_a_mistake():
    with pytest.raises(KeyError):
        pages.first("zoho.items")


def test_pages_follow_until_there_are_none():
    call = pages.first("zoho.invoices")
    second = pages.next_page("zoho.invoices", call, page(z.listing("invoices", [z.INVOICE_ROW], more=True)))
    assert second is not None
    assert second.query["page"] == "2"
    assert second.query["sort_column"] == "created_time"
    assert pages.next_page("zoho.invoices", second, page(z.listing("invoices", [z.INVOICE_ROW]))) is None
    assert pages.next_page("zoho.invoices", second, page(z.listing("invoices", [], more=True))) is None


def test_a_walk_ends_at_its_limit():
    call = pages.page_call(pages.first("zoho.invoices"), pages.MAX_PAGES)
    assert pages.next_page("zoho.invoices", call, page(z.listing("invoices", [1], more=True))) is None


def test_contacts_stop_at_the_cursor():
    since = "2026-02-01T08:05:00.000Z"  # less than the overlap after the contact's change
    call = pages.first("zoho.contacts", since)
    new = page(z.listing("contacts", [z.CONTACT], more=True))
    assert pages.next_page("zoho.contacts", call, new, since) is not None
    old = page(z.listing("contacts", [z.edited(z.CONTACT, last_modified_time="2026-02-01T07:00:00+0000")], more=True))
    assert pages.next_page("zoho.contacts", call, old, since) is None
    strange = page(z.listing("contacts", [z.edited(z.CONTACT, last_modified_time="soon")], more=True))
    assert pages.next_page("zoho.contacts", call, strange, since) is not None


def test_a_page_is_told_from_a_refusal():
    assert pages.is_page("zoho.invoices", page(z.listing("invoices", [])))
    for answer in (
        page(z.refusal(57), 401),
        page(z.refusal(57)),
        page(b"<html>"),
        page(z.body()),
        page(z.listing("invoices", []), 500),
    ):
        assert not pages.is_page("zoho.invoices", answer)
    with pytest.raises(WireError):
        pages.next_page("zoho.invoices", pages.first("zoho.invoices"), page(b"<html>"))


def test_a_rows_bytes_change_with_what_we_read_and_with_nothing_else():
    def digest(**changes):
        return pages.rows("zoho.invoices", z.listing("invoices", [z.edited(z.INVOICE_ROW, **changes)]))[0]

    plain = digest()
    assert plain[0] == "910000000042001"
    assert digest(due_days="Overdue", invoice_url="https://other", custom_fields=[{"x": 1}]) == plain
    assert digest(balance=19.91) != plain
    assert digest(status="paid")[0] == plain[0]


def test_a_row_that_cannot_be_read_keeps_its_place():
    rows = pages.rows("zoho.invoices", z.listing("invoices", [7, z.INVOICE_ROW, {"invoice_id": {}}]))
    assert [key for key, _ in rows] == ["", "910000000042001", ""]
    assert rows[0][1] == b"7"
    assert json.loads(rows[1][1])["balance"] == "19.9"
