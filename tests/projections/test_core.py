"""The core over rows gives what the core over dictionaries gives, and each event's rows are read ahead."""

import pytest

from domain import events, routing
from domain.envelope import Event
from domain.policy import Accounts, Policy
from domain.reads import rows_named
from domain.state import KINDS, State
from projections.state.batch import take
from projections.state.rebuild import Rebuild, compare
from projections.store.store import Store, open_store
from tests.support import batch_records as make

_DAY = "2026-03-02"


def _story(now: str) -> list[Event]:
    """A customer with a mandate and an invoice, a payment that is confirmed, and its payout."""
    accounts = Accounts(clearing={"GBP": "a1"}, suspense={"GBP": "a2"}, bank={"BA1": "a3"}, fees="a4")
    told: list[tuple[str, events.Data]] = [
        ("connection.checked", events.ConnectionChecked([], "org-1", "GBP", "Europe/London", "CR1", "sandbox")),
        ("policy.set", events.PolicySet("finance", Policy(version=1, accounts=accounts))),
        ("operator.gate_opened", events.GateOpened("finance")),
        (
            "zoho.contact_read",
            events.ContactFacts(
                "co-1", "Acme Ltd", "active", "customer", now, email="Pay@acme.example", currency="GBP"
            ),
        ),
        ("gocardless.payer_read", events.PayerRead("CU1", now, email="pay@acme.example", name="Acme Ltd")),
        ("gocardless.mandate_read", events.MandateRead("MD1", "active", "bacs", "CU1", now)),
        (
            "zoho.invoice_read",
            events.InvoiceFacts(
                "inv-1", "INV-1", "co-1", "sent", "GBP", 1000, 1000, _DAY, _DAY, now, line_items=[], as_of=now
            ),
        ),
        ("zoho.invoices_listed", events.InvoicesListed("open", now, 1, ["inv-1"], complete=True)),
        ("clock.day_began", events.DayBegan(_DAY)),
        ("gocardless.payment_read", events.PaymentRead("PM1", "confirmed", 1000, "GBP", "MD1", now, charge_date=_DAY)),
        (
            "gocardless.payments.confirmed",
            events.GcEvent("payments", "confirmed", {"payment": "PM1"}, "bank", "payment_confirmed"),
        ),
        ("gocardless.payouts.paid", events.GcEvent("payouts", "paid", {"payout": "PO1"})),
        (
            "gocardless.payout_read",
            events.PayoutRead("PO1", "paid", 970, "GBP", now, 30, _DAY, "REF", creditor_bank_account="BA1"),
        ),
        (
            "gocardless.payout_items_read",
            events.PayoutItemsRead(
                "PO1",
                0,
                [
                    events.PayoutItem("payment_paid_out", 10_000, "PM1"),
                    events.PayoutItem("gocardless_fee", -300, "PM1"),
                ],
                complete=True,
            ),
        ),
        ("zoho.something_new", events.InvoiceGone("inv-9")),
    ]
    return [Event(f"EV{number:03d}", kind, "acme", now, now, "test", data) for number, (kind, data) in enumerate(told)]


@pytest.mark.parametrize("size", [1, 4, 100])
def test_rows_and_dictionaries_end_in_the_same_state(store: Store, size: int) -> None:
    story = _story(make.NOW)
    memory = State("acme")
    own = take(store, "core", "events", 0)
    for start in range(0, len(story), size):
        with own.batch(start) as batch:
            part = story[start : start + size]
            batch.prepare(part)
            for number, event in enumerate(part):
                decision = routing.step(batch.state("acme"), event)
                assert decision == routing.step(memory, event)
                batch.record(start + number, event, decision)
            batch.commit(start + len(part))
    own.clear()
    with own.batch(own.position) as batch:
        assert list(batch.state("acme").rows()) == list(memory.rows())
    assert len(list(memory.rows())) > 15


def test_a_rebuild_from_recorded_decisions_is_equal(sqlite_url: str, tmp_path) -> None:
    story = _story(make.NOW)
    with open_store(sqlite_url) as live, open_store(f"sqlite:///{tmp_path / 'again.db'}") as again:
        own = take(live, "core", "events", 0)
        recorded = []
        with own.batch(0) as batch:
            for offset, event in enumerate(story):
                recorded.append(routing.step(batch.state("acme"), event))
                batch.record(offset, event, recorded[-1])
            batch.commit(len(story))
        with Rebuild(again, "core", "events", make.NOW) as rebuild:
            rebuild.prepare(story)
            for offset, (event, decision) in enumerate(zip(story, recorded, strict=True)):
                routing.restep(rebuild.state("acme"), event, None if decision.empty else decision)
                rebuild.record(0, offset, event, decision)
            rebuild.finish({0: len(story)}, {0: len(story) - 1})
        assert compare(live, again) == []


def test_what_events_name_are_rows() -> None:
    filled = [
        *_story(make.NOW),
        make.outcome(1, "cm-1"),
        Event("e", "clock.due_reached", "acme", "", "", "", events.DueReached("t", "")),
        Event(
            "e",
            "gocardless.mandate_payments_read",
            "acme",
            "",
            "",
            "",
            events.MandatePaymentsRead("MD1", "", [], complete=True),
        ),
    ]
    named = {(event.type, kind): key for event in filled for kind, key in rows_named(event)}
    assert {kind for _, kind in named} <= set(KINDS)
    assert named["gocardless.payout_items_read", "payout_items"] == "PO1:000001"
    assert named["zoho.contact_read", "lists"] == "payers:email:pay@acme.example"
    assert named["command.outcome", "commands"] == "cm-1"
    assert all(key for key in named.values())


def test_reading_ahead_saves_single_reads(store: Store) -> None:
    facts = [
        events.InvoiceFacts(f"inv-{number}", f"{number}", f"co-{number}", "sent", "GBP", 1, 1, _DAY, _DAY, make.NOW)
        for number in range(40)
    ]
    told = [
        Event(f"EV{number}", "zoho.invoice_seen", "acme", make.NOW, make.NOW, "test", data)
        for number, data in enumerate(facts)
    ]
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        batch.prepare(told)
        own.source._cursor.close()  # whatever asks the database from here on fails
        state = batch.state("acme")
        for event in told:
            assert not batch.known(event)
            assert state.invoices.get(event.data.id) is None
            assert state.contacts.get(event.data.customer_id) is None
