"""Answers to our own calls: what each shows, and the outcome that comes last."""

from typing import Any

import msgspec
import pytest

from adapters.deliveries import DeliveryMeta, Translation
from adapters.gocardless.translate import translate
from domain import commands as c
from domain import events
from domain.commands import Command
from domain.envelope import Event
from tests.support import gocardless_records as gc


def outcome(event: Event) -> events.Outcome:
    assert event.type == "command.outcome"
    assert isinstance(event.data, events.Outcome)
    return event.data


def test_a_made_payment_is_shown_and_then_its_outcome() -> None:
    translation = translate(gc.answer_meta("create_payment", status=201), gc.body({"payments": gc.PAYMENT}))
    read, end = translation.events
    assert read.type == "gocardless.payment_read"
    assert read.data == events.PaymentRead(
        gc.PAYMENT["id"],
        "pending_submission",
        12999,
        "GBP",
        "MD00AB12CD34EF",
        "2026-03-02T09:00:00.268Z",
        charge_date="2026-03-10",
        description="INV-0042",
        metadata=gc.PAYMENT["metadata"],
    )
    assert outcome(end) == events.Outcome("cm-1", 3, "succeeded", resource_id=gc.PAYMENT["id"], http_status=201)
    assert (end.source, end.causation_id, end.correlation_id) == ("answer", "an-1", gc.PAYMENT["id"])
    gc.survives(translation)


def test_the_same_answer_has_the_same_ids_and_another_answer_others() -> None:
    def found(meta: DeliveryMeta, document: dict[str, Any]) -> list[str]:
        return [event.id for event in translate(meta, gc.body(document)).events]

    meta = gc.answer_meta("create_payment", status=201)
    first = found(meta, {"payments": gc.PAYMENT})
    assert found(meta, {"payments": gc.PAYMENT}) == first
    assert found(meta, {"payments": {**gc.PAYMENT, "status": "submitted"}})[1] != first[1]
    assert found(gc.answer_meta("create_payment", status=200), {"payments": gc.PAYMENT})[1] != first[1]


def test_a_conflict_says_nothing_and_its_follow_up_says_it_was_there() -> None:
    conflict = gc.fixture("client-python/idempotent_creation_conflict_error.json")
    assert translate(gc.answer_meta("create_payment", status=409), conflict) == Translation([], [])
    read, end = translate(gc.answer_meta("create_payment", step="follow"), gc.body({"payments": gc.PAYMENT})).events
    assert read.type == "gocardless.payment_read"
    assert (outcome(end).kind, outcome(end).found) == ("succeeded", True)


def test_a_payment_of_another_amount_is_shown_and_refused() -> None:
    read, end = translate(
        gc.answer_meta("create_payment", status=201), gc.body({"payments": {**gc.PAYMENT, "amount": 1}})
    ).events
    assert read.data.amount_minor == 1
    assert (outcome(end).kind, outcome(end).reason, outcome(end).resource_id) == (
        "refused",
        "amount_mismatch",
        gc.PAYMENT["id"],
    )


@pytest.mark.parametrize(
    ("name", "key", "record", "type_"),
    [
        ("read_mandate", "mandates", "MANDATE", "gocardless.mandate_read"),
        ("read_payer", "customers", "CUSTOMER", "gocardless.payer_read"),
        ("read_billing_request", "billing_requests", "BILLING_REQUEST", "gocardless.billing_request_read"),
        ("create_billing_request", "billing_requests", "BILLING_REQUEST", "gocardless.billing_request_read"),
        ("create_flow", "billing_request_flows", "FLOW", "gocardless.flow_read"),
        ("read_payout", "payouts", "PAYOUT", "gocardless.payout_read"),
    ],
)
def test_each_command_s_answer_is_read(name: str, key: str, record: str, type_: str) -> None:
    translation = translate(gc.answer_meta(name), gc.body({key: getattr(gc, record)}))
    assert translation.parked == []
    assert [event.type for event in translation.events] == [type_, "command.outcome"]
    assert translation.events[0].subject == ("payer:CU000000000001" if name == "read_payer" else "")
    gc.survives(translation)


def test_recorded_bodies_are_read() -> None:
    for name in ("payments", "mandates", "customers", "billing_requests", "billing_request_flows", "payouts"):
        recorded = gc.load(f"client-python/{name}.json")
        data = {
            "payments": c.ReadPayment("PM123"),
            "mandates": c.ReadMandate("MD123"),
            "customers": c.ReadPayer("CU123"),
            "billing_requests": c.ReadBillingRequest("BRQ123"),
            "billing_request_flows": c.CreateFlow("1", "BRQ123"),
            "payouts": c.ReadPayout("PO123"),
        }[name]
        body = (recorded.get("get") or recorded["create"])["body"]
        meta = gc.answer_meta("read_payment")
        meta = msgspec.structs.replace(
            meta,
            call=msgspec.structs.replace(
                meta.call, command=msgspec.structs.replace(gc.command("create_flow"), data=data)
            ),
        )
        translation = translate(meta, gc.body(body))
        assert translation.parked == []
        assert outcome(translation.events[-1]).kind == "succeeded", name
        gc.survives(translation)


def test_a_payer_s_name_is_the_company_s_or_the_person_s() -> None:
    def name(**change: Any) -> str:
        body = gc.body({"customers": {**gc.CUSTOMER, **change}})
        return str(translate(gc.answer_meta("read_payer"), body).events[0].data.name)

    assert name() == "Rose Hipp"
    assert name(company_name="Rosehip Bakery") == "Rosehip Bakery"
    assert name(given_name=None) == "Hipp"


def test_a_fulfilled_billing_request_names_its_mandate() -> None:
    links = {**gc.BILLING_REQUEST["links"], "mandate_request_mandate": "MD7"}
    body = gc.body(
        {
            "billing_requests": {
                **gc.BILLING_REQUEST,
                "status": "fulfilled",
                "links": links,
                "metadata": {"zoho_contact_id": "9"},
            }
        }
    )
    assert translate(gc.answer_meta("read_billing_request"), body).events[0].data == events.BillingRequestRead(
        "BRQ000000000001",
        "fulfilled",
        "2026-02-20T12:00:00.000Z",
        "CU000000000001",
        "MD7",
        "GBP",
        {"zoho_contact_id": "9"},
    )


@pytest.mark.parametrize(
    ("fx", "expected"),
    [
        (None, ("", None, "")),
        ({"fx_currency": "GBP", "fx_amount": None, "exchange_rate": None}, ("", None, "")),
        ({"fx_currency": "EUR", "fx_amount": None, "exchange_rate": None}, ("EUR", None, "")),
        ({"fx_currency": "EUR", "fx_amount": 17000, "exchange_rate": "1.1508"}, ("EUR", 17000, "1.1508")),
        ({"fx_currency": "GBP", "fx_amount": 1, "exchange_rate": "1.0"}, ("GBP", 1, "1.0")),
    ],
)
def test_foreign_exchange_is_told_from_its_empty_shell(fx: Any, expected: tuple[str, int | None, str]) -> None:
    data = translate(gc.answer_meta("read_payout"), gc.body({"payouts": {**gc.PAYOUT, "fx": fx}})).events[0].data
    assert (data.fx_currency, data.fx_amount_minor, data.fx_rate) == expected


def test_a_payout_may_have_negative_fees() -> None:
    body = gc.body(
        {"payouts": {**gc.PAYOUT, "amount": 0, "deducted_fees": -120, "arrival_date": "2026-03-10", "status": "paid"}}
    )
    data = translate(gc.answer_meta("read_payout"), body).events[0].data
    assert (data.amount_minor, data.deducted_fees_minor, data.arrival_date, data.payout_type) == (
        0,
        -120,
        "2026-03-10",
        "merchant",
    )


def test_payout_items_keep_their_tenths_and_their_places() -> None:
    first = translate(gc.answer_meta("read_payout_items"), gc.body(gc.listing("payout_items", gc.ITEMS, "c1")))
    shown = gc.one(first).data
    assert (shown.payout, shown.first, shown.complete) == ("PO00AB12CD34EF", 0, False)
    assert [item.amount_tenths for item in shown.items] == [100_000, 50_000, -1445]
    assert shown.items[2].taxes == [events.PayoutTax("GB_VAT_1", 241, "GBP")]
    query = {"payout": "PO00AB12CD34EF", "after": "c1", "_page": "2", "_first": "3"}
    last = translate(
        gc.answer_meta("read_payout_items", step="follow", query=query),
        gc.body(gc.listing("payout_items", gc.ITEMS[:1])),
    )
    page, end = last.events
    assert (page.data.first, page.data.complete, len(page.data.items)) == (3, True, 1)
    assert (outcome(end).kind, outcome(end).resource_id) == ("succeeded", "PO00AB12CD34EF")
    gc.survives(first)
    gc.survives(last)


def test_a_payout_without_items_is_complete() -> None:
    page, _ = translate(gc.answer_meta("read_payout_items"), gc.body(gc.listing("payout_items", []))).events
    assert (page.data.items, page.data.complete) == ([], True)


def test_an_item_that_cannot_be_read_leaves_a_gap_and_an_incomplete_view() -> None:
    rows = [gc.ITEMS[0], {**gc.ITEMS[1], "amount": "1.23"}, gc.ITEMS[2]]
    translation = translate(gc.answer_meta("read_payout_items"), gc.body(gc.listing("payout_items", rows)))
    assert [piece.where for piece in translation.parked] == ["payout_items[1]"]
    first, second, _ = translation.events
    assert [(page.data.first, len(page.data.items), page.data.complete) for page in (first, second)] == [
        (0, 1, False),
        (2, 1, False),
    ]
    assert first.id != second.id


def test_the_payments_of_a_mandate_are_one_view() -> None:
    rows = [gc.PAYMENT, {**gc.PAYMENT, "id": "PM2", "status": "cancelled"}]
    view, end = translate(gc.answer_meta("read_mandate_payments"), gc.body(gc.listing("payments", rows))).events
    assert (view.data.mandate, view.data.as_of, view.data.complete) == (
        "MD00AB12CD34EF",
        "2026-03-09T09:59:58.000Z",
        True,
    )
    assert [payment.id for payment in view.data.payments] == [gc.PAYMENT["id"], "PM2"]
    assert outcome(end).resource_id == "MD00AB12CD34EF"


@pytest.mark.parametrize("damaged", [True, False])
def test_a_view_with_an_unreadable_payment_on_any_page_is_never_complete(damaged: bool) -> None:
    query = {"mandate": "MD00AB12CD34EF", "after": "c1", "_page": "2"} | ({"_damaged": "1"} if damaged else {})
    meta = gc.answer_meta("read_mandate_payments", step="follow", query=query)
    view = translate(meta, gc.body(gc.listing("payments", [gc.PAYMENT]))).events[0]
    assert view.data.complete is not damaged
    broken = translate(meta, gc.body(gc.listing("payments", [gc.PAYMENT, {"id": "PM2"}])))
    assert broken.events[0].data.complete is False
    assert len(broken.parked) == 1


@pytest.mark.parametrize(
    ("status", "file"),
    [(500, "client-java-errors/internal_error.json"), (502, "client-java-errors/non_json_response.html")],
)
def test_an_answer_that_settles_nothing_gives_nothing(status: int, file: str) -> None:
    for name in gc.names:
        assert translate(gc.answer_meta(name, status=status), gc.fixture(file)) == Translation([], [])


def test_a_refusal_is_an_outcome() -> None:
    body = gc.fixture("client-node-errors/validation_failed.json")
    translation = translate(gc.answer_meta("create_payment", status=422), body)
    event = gc.one(translation)
    assert outcome(event) == events.Outcome(
        "cm-1",
        3,
        "refused",
        reason="amount",
        message="amount: is greater than the permitted scheme maximum",
        http_status=422,
    )
    assert event.correlation_id == "invoices:910000000042001"


def test_a_good_status_around_a_bad_body_is_parked() -> None:
    translation = translate(gc.answer_meta("create_payment", status=201), b'{"payments": {"id": "PM')
    assert (translation.events, [piece.where for piece in translation.parked]) == ([], [""])


def test_an_answer_to_the_other_api_s_command_is_parked() -> None:
    meta = gc.answer_meta("read_payment")
    meta = msgspec.structs.replace(
        meta, call=msgspec.structs.replace(meta.call, command=Command("cm", "a", "p", c.ReadInvoice("1")))
    )
    translation = translate(meta, b"{}")
    assert (translation.events, len(translation.parked)) == ([], 1)
