"""The main path and the two unhappy ones, through the pure rules."""

from domain import codec, events, routing
from domain.state import State


def item(type_, tenths, payment="", tax=None):
    taxes = [events.PayoutTax("GB_VAT_1", tax, "GBP")] if tax else []
    return events.PayoutItem(type_, tenths, payment, taxes=taxes)


def test_an_open_invoice_is_collected_paid_out_and_reconciled(company):
    payment = company.collect()
    assert payment == "PM-1-1"
    row = company.state.invoices["1"]
    assert (row.stage, row.attempt) == ("collecting", 1)
    company.gc("payments", "submitted", links={"payment": payment}, at="2026-03-04T16:00:00.000Z")
    company.gc("payments", "confirmed", links={"payment": payment}, at="2026-03-06T11:40:00.000Z")
    assert company.clearing() == 12_000
    company.answer_all()
    assert company.state.invoices["1"].balance_minor == 0
    assert company.state.invoices["1"].stage == "collected"
    company.now = "2026-03-09T09:30:00.000Z"
    company.payout(
        "PO1", [item("payment_paid_out", 120_000, payment), item("gocardless_fee", -1_440, payment, tax=240)], 11_856
    )
    posted = company.pending[:]
    assert sorted(one.type for one in posted) == ["zoho.create_expense", "zoho.create_transfer"]
    expense = next(one.data for one in posted if one.type == "zoho.create_expense")
    assert (expense.amount_minor, [(line.amount_minor, line.tax, line.tax_minor) for line in expense.lines]) == (
        144,
        [(144, "tax-20", 24)],
    )
    company.answer_all()
    assert company.state.payouts["PO1"].stage == "reconciled"
    assert company.clearing() == 0
    assert not company.state.open_items
    company.check_books()
    balances = {key: row.amount_minor for key, row in company.state.balances.items() if row.amount_minor}
    assert balances == {"receivables:GBP": -12_000, "bank:GBP": 11_856, "fees:GBP": 120, "input_vat:GBP": 24}
    assert not [row for row in company.state.discrepancies.values() if not row.closed_at]
    topics = [one.topic for _, decision in company.log for one in decision.publications]
    assert topics.count("reconciled-payouts") == 1
    assert topics.count("reconciled-payments") == 2


def test_a_debit_that_fails_before_it_is_confirmed_books_nothing_and_says_why(company):
    payment = company.collect()
    company.gc("payments", "failed", links={"payment": payment}, cause="insufficient_funds", will_attempt_retry=False)
    row = company.state.invoices["1"]
    assert (row.stage, row.reason) == ("failed", "insufficient_funds")
    assert (
        company.state.discrepancies["debit_failed:invoices:1"].text == "The debit for INV-1 failed: insufficient funds."
    )
    assert not company.state.balances
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    company.reach("2026-03-05T12:00:00.000Z")
    assert company.state.invoices["1"].payment == "PM-1-2"
    assert company.state.discrepancies["debit_failed:invoices:1"].closed_at


def test_a_debit_that_fails_after_it_was_confirmed_is_reversed_and_held(company):
    payment = company.collect()
    company.gc("payments", "confirmed", links={"payment": payment}, at="2026-03-06T11:40:00.000Z")
    company.answer_all()
    company.gc("payments", "failed", links={"payment": payment}, at="2026-03-09T11:40:00.000Z", cause="refer_to_payer")
    assert company.clearing() == 0
    unapply = company.take("zoho.unapply_payment")
    company.answer(unapply)
    refund = company.take("zoho.refund_payment")
    assert (refund.data.account, refund.data.amount_minor, refund.data.date) == (
        "acc-clearing-gbp",
        12_000,
        "2026-03-09",
    )
    company.answer(refund)
    assert company.state.invoices["1"].stage == "hold"
    assert company.state.bookings[f"{payment}:1"].stage == "reversed"
    company.check_books()
    # later news of the invoice alone does not send it again
    company.invoice("1", last_modified="2026-03-10T09:00:00.000Z")
    company.reach("2026-03-20T12:00:00.000Z")
    assert company.state.invoices["1"].stage == "hold"


def test_zoho_refuses_the_reversal_and_the_amount_goes_to_suspense(company):
    payment = company.collect()
    company.gc("payments", "confirmed", links={"payment": payment}, at="2026-03-06T11:40:00.000Z")
    company.answer_all()
    company.refuse["zoho.unapply_payment"] = ("locked", "the period is locked")
    company.gc("payments", "failed", links={"payment": payment}, at="2026-03-09T11:40:00.000Z", cause="refer_to_payer")
    company.answer_all()
    assert company.state.balances["suspense:GBP"].amount_minor == 12_000
    assert company.state.bookings[f"{payment}:1"].stage == "suspense"
    assert "reversal_refused:bookings:PM-1-1:1" in company.state.discrepancies
    company.check_books()


def test_a_contact_without_a_payer_is_invited_once_and_collected_after_the_mandate(company):
    company.open_gate()
    company.customer(linked=False)
    company.invoice("1")
    invite = company.take("gocardless.create_billing_request")
    assert (invite.data.scheme, invite.data.contact) == ("bacs", "c-1")
    company.invoice("2")
    assert not [one for one in company.pending if one.type == "gocardless.create_billing_request"]
    company.tell(
        "gocardless.billing_request_read",
        events.BillingRequestRead("BRQ1", "pending", company.now, "CU9", metadata={"zoho_contact_id": "c-1"}),
    )
    company.outcome(invite, resource="BRQ1")
    flow = company.take("gocardless.create_flow")
    company.tell("gocardless.flow_read", events.FlowRead("BRF1", "BRQ1", "https://pay.example.test/BRF1"))
    company.outcome(flow, resource="BRF1")
    company.gc(
        "billing_requests",
        "fulfilled",
        links={"billing_request": "BRQ1", "customer": "CU9", "mandate_request_mandate": "MD9"},
        metadata={"zoho_contact_id": "c-1"},
    )
    for command in [one for one in company.pending if one.type.startswith("gocardless.read")]:
        company.pending.remove(command)
        if command.type == "gocardless.read_mandate":
            company.tell(
                "gocardless.mandate_read", events.MandateRead("MD9", "pending_submission", "bacs", "CU9", company.now)
            )
        else:
            company.tell("gocardless.payer_read", events.PayerRead("CU9", company.now, "a1@example.test", "Name 1"))
        company.outcome(command, resource="x")
    company.reach("2026-03-03T12:00:00.000Z")
    assert {company.state.invoices[key].payment for key in ("1", "2")} == {"PM-1-1", "PM-2-1"}
    assert company.state.contacts["c-1"].match_by == "invitation"


def test_the_recorded_decisions_rebuild_the_same_state(company):
    payment = company.collect()
    company.gc("payments", "confirmed", links={"payment": payment}, at="2026-03-06T11:40:00.000Z")
    company.answer_all()
    company.gc("payments", "failed", links={"payment": payment}, at="2026-03-09T11:40:00.000Z", cause="refer_to_payer")
    company.answer_all()
    again = State("c1")
    for event, decision in company.log:
        event_again = codec.decode_event(codec.encode_event(event))
        recorded = None if decision.empty else codec.decode_decision(codec.encode_decision(decision))
        routing.restep(again, event_again, recorded)
    assert list(again.rows()) == list(company.state.rows())
    afresh = State("c1")
    for event, decision in company.log:
        assert codec.encode_decision(routing.step(afresh, event)) == codec.encode_decision(decision)
