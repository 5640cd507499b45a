"""What can be asked of the store, answered from one filled store."""

import pytest

from domain.decisions import Entry, Line
from domain.state import (
    Balance,
    Booking,
    CommandRow,
    ConnectionRow,
    DiscrepancyRow,
    Invoice,
    OpenItem,
    Payment,
    Payout,
    PayoutItemRow,
    TimerRow,
)
from projections.queries import MonthSummary, Queries
from projections.state.batch import take
from projections.store.store import Store
from tests.support import batch_records as make


def _rows() -> dict[str, list]:
    return {
        "connections": [ConnectionRow("acme", gate="open")],
        "invoices": [
            Invoice(
                "inv-1",
                "INV-1",
                currency="GBP",
                status="paid",
                total_minor=1000,
                balance_minor=0,
                date="2026-02-10",
                stage="collected",
            ),
            Invoice(
                "inv-2",
                "INV-2",
                currency="GBP",
                status="sent",
                total_minor=500,
                balance_minor=200,
                date="2026-03-10",
                stage="scheduled",
            ),
            Invoice(
                "inv-3",
                "INV-2",
                currency="GBP",
                status="void",
                total_minor=500,
                balance_minor=0,
                date="2026-01-10",
                stage="none",
            ),
            Invoice(
                "inv-4",
                "INV-4",
                currency="EUR",
                status="sent",
                total_minor=700,
                balance_minor=700,
                date="2026-03-11",
                stage="hold",
            ),
        ],
        "payments": [
            Payment("PM1", invoice="inv-1", status="paid_out", payout="PO1", amount_minor=1000, currency="GBP"),
            Payment("PM2", invoice="inv-2", status="failed"),
        ],
        "bookings": [Booking("PM1:1", "PM1"), Booking("PM1:2", "PM1", 2), Booking("PM10:1", "PM10")],
        "payouts": [Payout("PO1", "paid", 950, "GBP", stage="reconciled")],
        "payout_items": [PayoutItemRow("PO1:000000", "PO1", 0, payment="PM1"), PayoutItemRow("PO10:000000", "PO10")],
        "balances": [Balance("clearing:GBP", "clearing", "GBP", 50)],
        "open_items": [
            OpenItem("GBP:PM2", "GBP", "PM2", 20, since="2026-03-02"),
            OpenItem("GBP:PM1", "GBP", "PM1", 30, since="2026-03-01"),
        ],
        "discrepancies": [
            DiscrepancyRow("d-2", "excess", "payments:PM1", opened_at="2026-03-02T00:00:00.000Z"),
            DiscrepancyRow("d-1", "debit_failed", "invoices:inv-2", opened_at="2026-03-01T00:00:00.000Z"),
            DiscrepancyRow(
                "d-0",
                "debit_failed",
                "invoices:inv-2",
                opened_at="2026-02-01T00:00:00.000Z",
                closed_at="2026-02-02T00:00:00.000Z",
            ),
        ],
        "timers": [
            TimerRow("t-2", "2026-03-05T06:00:00.000Z"),
            TimerRow("t-1", "2026-03-03T06:00:00.000Z", "invoices:inv-2"),
        ],
        "commands": [
            CommandRow("cm-1", "gocardless.create_payment", about="invoices:inv-1", status="succeeded", asked_at="1"),
            CommandRow(
                "cm-2",
                "zoho.create_customer_payment",
                about="bookings:PM1:1",
                status="parked",
                asked_at="2",
                ended_at="3",
            ),
            CommandRow("cm-3", "zoho.create_expense", about="payouts:PO1", status="succeeded", asked_at="4"),
        ],
    }


def _entries() -> list[Entry]:
    return [
        Entry(
            "le-1",
            "2026-02-20",
            "Confirmed",
            "payments:PM1",
            [
                Line("clearing", "GBP", 1000, "PM1", "payment"),
                Line("receivables", "GBP", -900),
                Line("customer_credit", "GBP", -100),
            ],
        ),
        Entry(
            "le-2",
            "2026-03-01",
            "Payout",
            "payouts:PO1",
            [
                Line("bank", "GBP", 900),
                Line("fees", "GBP", 40),
                Line("input_vat", "GBP", 10),
                Line("clearing", "GBP", -950, "PO1", "payout"),
            ],
        ),
    ]


@pytest.fixture
def queries(store: Store) -> Queries:
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        state = batch.state("acme")
        for kind, rows in _rows().items():
            for row in rows:
                state.mapping(kind)[row.id] = row
        event = make.event(1)
        batch.record(0, event, make.decision(event, entries=tuple(_entries()), commands=(make.command("cm-9"),)))
        batch.state("other").invoices["inv-9"] = Invoice("inv-9", "INV-1", date="2026-02-01", currency="GBP")
        batch.record(1, make.event(2, "other"))
        batch.commit(2)
    return Queries(store)


def _ids(rows: list) -> list[str]:
    return [row.id for row in rows]


def test_status(queries: Queries) -> None:
    status = queries.status("acme")
    assert status.connection.gate == "open"
    assert status.invoices == {"collected": 1, "scheduled": 1, "none": 1, "hold": 1}
    assert status.payments == {"paid_out": 1, "failed": 1}
    assert status.payouts == {"reconciled": 1}
    assert status.open_discrepancies == {"excess": 1, "debit_failed": 1}
    assert (status.commands, status.unpublished) == ({("zoho", "waiting_publication"): 1}, 1)
    assert queries.status("nobody").connection == ConnectionRow("nobody")
    assert _ids(queries.connections()) == ["acme"]


def test_finding_an_invoice_by_id_or_number(queries: Queries) -> None:
    found = [queries.find_invoice("acme", text) for text in ("inv-3", "INV-2", "INV-9")]
    assert [invoice and invoice.id for invoice in found] == ["inv-3", "inv-2", None]


def test_the_history_of_an_invoice(queries: Queries) -> None:
    history = queries.invoice("acme", "inv-1")
    assert (_ids(history.invoices), _ids(history.payments), _ids(history.bookings)) == (
        ["inv-1"],
        ["PM1"],
        ["PM1:1", "PM1:2"],
    )
    assert (_ids(history.payouts), _ids(history.commands), _ids(history.discrepancies)) == (
        ["PO1"],
        ["cm-1", "cm-2"],
        ["d-2"],
    )
    assert [(entry.id, entry.event, entry.event_offset) for entry in history.entries] == [("le-1", "EV000001", 0)]
    assert [(line.account, line.amount_minor) for line in history.entries[0].lines] == [
        ("clearing", 1000),
        ("receivables", -900),
        ("customer_credit", -100),
    ]
    assert queries.invoice("acme", "nothing").invoices == []


def test_the_history_of_a_payment_and_of_a_payout(queries: Queries) -> None:
    payment = queries.payment("acme", "PM1")
    assert (_ids(payment.invoices), _ids(payment.payouts), _ids(payment.commands)) == (["inv-1"], ["PO1"], ["cm-2"])
    payout = queries.payout("acme", "PO1")
    assert (_ids(payout.items), _ids(payout.payments), _ids(payout.invoices)) == (["PO1:000000"], ["PM1"], ["inv-1"])
    assert (_ids(payout.commands), [entry.id for entry in payout.entries]) == (["cm-3"], ["le-2"])


def test_what_a_person_looks_at(queries: Queries) -> None:
    assert _ids(queries.discrepancies("acme")) == ["d-1", "d-2"]
    assert _ids(queries.discrepancies("acme", closed=True)) == ["d-0", "d-1", "d-2"]
    assert _ids(queries.discrepancies("acme", limit=1)) == ["d-1"]
    assert _ids(queries.parked("acme")) == ["cm-2"]
    assert _ids(queries.open_items("acme")) == ["GBP:PM1", "GBP:PM2"]
    assert [balance.amount_minor for balance in queries.balances("acme")] == [50]
    assert [entry.id for entry in queries.entries("acme")] == ["le-1", "le-2"]
    assert [entry.id for entry in queries.entries("acme", limit=1)] == ["le-2"]
    assert queries.discrepancies("other") == []


def test_rows_and_timers(queries: Queries) -> None:
    assert queries.row("payouts", "acme", "PO1") == _rows()["payouts"][0]
    assert queries.row("payouts", "other", "PO1") is None
    assert queries.next_timer("") == "2026-03-03T06:00:00.000Z"
    assert queries.next_timer("2026-03-03T06:00:00.000Z") == "2026-03-05T06:00:00.000Z"
    assert queries.next_timer("2026-03-05T06:00:00.000Z") is None
    assert queries.due_timers("2026-03-03T05:59:59.999Z", ["acme"]) == []
    assert [
        (connection, timer.id, timer.about)
        for connection, timer in queries.due_timers("2026-03-03T06:00:00.000Z", ["acme"])
    ] == [("acme", "t-1", "invoices:inv-2")]
    assert queries.due_timers("2026-03-03T06:00:00.000Z", ["other"]) == []


def test_the_month_table(queries: Queries) -> None:
    assert queries.months("acme") == [
        MonthSummary("2026-03", "EUR", invoices=1, invoiced_minor=700, open_minor=700),
        MonthSummary(
            "2026-02",
            "GBP",
            invoices=1,
            invoiced_minor=1000,
            paid_minor=1000,
            collected_minor=1000,
            clearing_minor=1000,
            clearing_end_minor=1000,
        ),
        MonthSummary(
            "2026-03",
            "GBP",
            invoices=1,
            invoiced_minor=500,
            paid_minor=300,
            open_minor=200,
            fees_minor=40,
            vat_minor=10,
            bank_minor=900,
            clearing_minor=-950,
            clearing_end_minor=50,
        ),
    ]
