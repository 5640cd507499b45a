"""Lists: order, filters, pages, freshness; times and days in the organisation's zone; ids in no order."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.zoho_shop import Shop


def numbers(reply: Any) -> list[str]:
    return [row["invoice_number"] for row in reply["invoices"]]


def test_invoices_come_newest_first_and_ids_tell_no_order(shop: Any) -> None:
    ids = []
    for _ in range(12):
        ids.append(shop.invoice("10"))
        shop.pass_time(seconds=7)
    reply = shop.ok("GET", "/invoices")
    assert numbers(reply) == [f"INV-{n:06d}" for n in range(12, 0, -1)]
    assert reply["page_context"] == {
        "page": 1,
        "per_page": 200,
        "has_more_page": False,
        "report_name": "Invoices",
        "applied_filter": "Status.All",
        "custom_fields": [],
        "seller_app_sales_channels": "",
        "sort_column": "created_time",
        "sort_order": "D",
    }
    assert all(isinstance(i, str) and len(i) == 18 and i.isdecimal() for i in ids)
    assert len(set(ids)) == 12
    assert ids not in (sorted(ids), sorted(ids, reverse=True))


def test_pages_shift_when_a_row_is_deleted_between_them(shop: Any) -> None:
    ids = [shop.invoice("10", sent=False) for _ in range(5)]
    query = {"sort_column": "invoice_number", "sort_order": "A", "per_page": "2"}
    first = shop.ok("GET", "/invoices", **query)
    assert numbers(first) == ["INV-000001", "INV-000002"]
    assert first["page_context"]["has_more_page"] is True
    shop.ok("DELETE", f"/invoices/{ids[0]}")
    assert numbers(shop.ok("GET", "/invoices", **query, page="2")) == ["INV-000004", "INV-000005"]
    last = shop.ok("GET", "/invoices", **query, page="3")
    assert (numbers(last), last["page_context"]["has_more_page"]) == ([], False)


def test_per_page_is_two_hundred_at_most(population: dict[str, Any]) -> None:
    population["contacts"] += [{"contact_name": f"Customer {n:03d}"} for n in range(230)]
    shop = Shop(population=population)
    reply = shop.ok("GET", "/contacts", per_page="1000")
    assert (len(reply["contacts"]), reply["page_context"]["per_page"]) == (200, 200)
    assert len(shop.ok("GET", "/contacts", page="2")["contacts"]) == 32


def test_an_unknown_filter_is_ignored_and_a_bad_value_refused(shop: Any) -> None:
    shop.pay("10", {}, reference_number="PM1")
    shop.pay("11", {}, reference_number="PM2")
    assert len(shop.ok("GET", "/customerpayments", referencenumber="PM1")["customerpayments"]) == 2
    found = shop.ok("GET", "/customerpayments", reference_number="PM1")["customerpayments"]
    assert [row["amount"] for row in found] == [10]
    for query in ({"page": "x"}, {"page": "0"}, {"sort_column": "colour"}, {"sort_order": "up"}, {"date": "today"}):
        assert shop.call("GET", "/customerpayments", **query).code == 2


def test_the_filters_of_invoices(shop: Any) -> None:
    open_ = shop.invoice("10", reference_number="A-1", due_date="2026-03-30")
    late = shop.invoice("20", due_date="2026-03-01", date="2026-02-01")
    part = shop.invoice("30", due_date="2026-03-30")
    paid = shop.invoice("40")
    draft = shop.invoice("50", sent=False)
    void = shop.invoice("60", shop.customer_eur)
    shop.ok("POST", f"/invoices/{void}/status/void")
    shop.pay("15", {part: "15"})
    shop.pay("40", {paid: "40"})

    def found(**query: str) -> set[str]:
        return {row["invoice_id"] for row in shop.ok("GET", "/invoices", **query)["invoices"]}

    assert found(status="draft") == found(filter_by="Status.Draft") == {draft}
    assert found(filter_by="Status.OverDue") == {late}
    assert found(filter_by="Status.Unpaid") == {open_, late, part}
    assert found(filter_by="Status.PartiallyPaid") == found(status="partially_paid") == {part}
    assert found(filter_by="Status.Paid") == {paid}
    assert found(filter_by="Status.Void") == {void}
    assert found(status="sent") == {open_}
    assert found(customer_id=shop.customer_eur) == {void}
    assert found(reference_number="a-1") == found(reference_number_startswith="A") == {open_}
    assert found(invoice_number_contains="0003") == {part}
    assert found(date_before="2026-02-15") == found(due_date_end="2026-03-01") == {late}
    assert found(balance_greater_than="10", balance_less_equals="20") == {late, part}
    assert found(total="60") == {void}
    assert found(email="PAY@birch.example") == {void}
    assert found(search_text="birch") == {void}
    shop.ok("PUT", f"/invoice/{open_}/customfields", [{"api_name": "cf_state", "value": "collecting"}])
    assert found(custom_field="collecting") == found(custom_field_contains="coll") == {open_}


def test_changes_since_a_second_exclude_that_second(shop: Any) -> None:
    first = shop.invoice("10")
    shop.pass_time(seconds=1)
    second = shop.invoice("20")
    since = shop.shown_invoice(first)["last_modified_time"]

    def found(when: str) -> list[str]:
        query = {"sort_column": "last_modified_time", "sort_order": "A", "last_modified_time": when}
        return [row["invoice_id"] for row in shop.ok("GET", "/invoices", **query)["invoices"]]

    assert found(since) == [second]
    shop.simulator.configure({"switches": {"modified_after_inclusive": True}})
    assert found(since) == [first, second]
    assert shop.call("GET", "/invoices", last_modified_time=since.replace("+", " ")).code == 2


def test_times_are_the_organisations_and_days_turn_at_its_midnight(population: dict[str, Any]) -> None:
    population["organization"]["time_zone"] = "America/New_York"
    shop = Shop(population=population)
    invoice = shop.invoice("10", date="2026-03-02", due_date="2026-03-02")
    shown = shop.shown_invoice(invoice)
    assert (shown["created_time"], shown["status"]) == ("2026-03-02T04:00:00-0500", "sent")
    reset = int(shop.ok("GET", "/invoices").headers["x-rate-limit-reset"])
    assert reset == 20 * 3600
    shop.pass_time(seconds=reset - 1)
    assert shop.shown_invoice(invoice)["status"] == "sent"
    before = shop.shown_invoice(invoice)["last_modified_time"]
    shop.pass_time(seconds=1)
    late = shop.shown_invoice(invoice)
    assert (late["status"], late["last_modified_time"]) == ("overdue", before)
    assert shop.ok("GET", "/invoices")["invoices"][0]["due_days"] == "Overdue by 1 days"
    # Clocks go forward on 8 March 2026: the offset changes and that day has 23 hours.
    shop.pass_time(days=5)
    assert shop.ok("GET", "/invoices").headers["x-rate-limit-reset"] == str(23 * 3600)
    shop.pass_time(hours=12)
    assert shop.shown_invoice(shop.invoice("1"))["created_time"] == "2026-03-08T13:00:00-0400"


def test_contacts_by_name_by_change_and_by_kind(shop: Any) -> None:
    shop.pass_time(minutes=1)
    vendor = shop.ok("POST", "/contacts", {"contact_name": "A Provider", "contact_type": "vendor"})["contact"][
        "contact_id"
    ]

    def found(**query: str) -> list[str]:
        return [row["contact_name"] for row in shop.ok("GET", "/contacts", **query)["contacts"]]

    assert found() == ["A Provider", "Aster Ltd", "Birch GmbH"]
    assert found(contact_type="vendor") == ["A Provider"]
    assert found(email="ap@aster.example") == ["Aster Ltd"]
    assert found(sort_column="last_modified_time", sort_order="D")[0] == "A Provider"
    shop.ok("POST", f"/contacts/{vendor}/inactive")
    assert found(filter_by="Status.Inactive") == ["A Provider"]
    assert found(filter_by="Status.Active") == ["Aster Ltd", "Birch GmbH"]
    shop.invoice("5", due_date="2026-03-01", date="2026-02-20")
    assert found(filter_by="Invoice.OverDue") == found(filter_by="Invoice.Unpaid") == ["Aster Ltd"]


def test_with_staleness_lists_show_the_past_and_single_reads_the_present(shop: Any) -> None:
    old = shop.invoice("10", reference_number="old")
    shop.pass_time(seconds=60)
    shop.simulator.configure({"switches": {"list_staleness_s": 30}})
    new = shop.invoice("20")
    shop.ok("PUT", f"/invoices/{old}", {"reference_number": "new"})

    def rows() -> dict[str, str]:
        return {row["invoice_id"]: row["reference_number"] for row in shop.ok("GET", "/invoices")["invoices"]}

    assert rows() == {old: "old"}
    assert shop.shown_invoice(old)["reference_number"] == "new"
    shop.pass_time(seconds=29)
    assert rows() == {old: "old"}
    shop.pass_time(seconds=1)
    assert rows() == {old: "new", new: ""}
    shop.ok("DELETE", f"/invoices/{new}")
    assert new in rows()
    shop.pass_time(seconds=30)
    assert new not in rows()


def test_amounts_are_numbers_of_the_currencys_precision_and_empties_are_texts(shop: Any) -> None:
    reply = shop.ok("GET", f"/invoices/{shop.invoice('149.97', exchange_rate='1.10', currency_code='EUR')}")
    assert b'"total":149.97' in reply.raw
    assert b'"bcy_total":164.97' in reply.raw
    invoice = reply["invoice"]
    assert (invoice["last_payment_date"], invoice["recurring_invoice_id"], invoice["payment_expected_date"]) == (
        "",
        "",
        "",
    )
    yen = shop.ok("GET", f"/invoices/{shop.invoice('1050.4', currency_code='JPY', exchange_rate='0.0052')}")
    assert b'"total":1050,' in yen.raw
    assert yen["invoice"]["bcy_total"] == Decimal("5.46")


def test_an_unused_currency_shows_rate_zero_and_rates_are_found_by_day(shop: Any) -> None:
    rows = {row["currency_code"]: row for row in shop.ok("GET", "/settings/currencies")["currencies"]}
    assert (rows["USD"]["exchange_rate"], rows["USD"]["effective_date"]) == (0, "")
    assert (rows["GBP"]["is_base_currency"], rows["EUR"]["exchange_rate"]) == (True, Decimal("0.85"))
    assert "SEK" not in rows
    made = shop.ok("POST", "/settings/currencies", {"currency_code": "SEK"})["currency"]
    path = f"/settings/currencies/{made['currency_id']}/exchangerates"
    for day, rate in (("2026-02-01", "0.074"), ("2026-03-01", "0.075")):
        shop.ok("POST", path, {"effective_date": day, "rate": rate})
    assert [row["effective_date"] for row in shop.ok("GET", path)["exchange_rates"]] == ["2026-03-01", "2026-02-01"]
    (nearest,) = shop.ok("GET", path, from_date="2026-02-15")["exchange_rates"]
    assert nearest["rate"] == Decimal("0.074")
    assert shop.call("POST", "/settings/currencies", {"currency_code": "SEK"}).code == 1001


@pytest.mark.parametrize("order", ["A", "D"])
def test_sorting_is_by_the_column_named(shop: Any, order: str) -> None:
    for amount in ("30", "10", "20"):
        shop.invoice(amount)
        shop.world.move_to(shop.world.now + timedelta(seconds=1))
    rows = shop.ok("GET", "/invoices", sort_column="total", sort_order=order)["invoices"]
    totals = [row["total"] for row in rows]
    assert totals == sorted(totals, reverse=order == "D")
    assert len(totals) == 3
