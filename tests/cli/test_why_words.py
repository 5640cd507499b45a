"""`domain.why`: every stage of everything has words, and says what to do where a person is needed."""

import msgspec
import pytest

from domain import events, why
from tests.support.company import POLICY

LATER = "2026-03-10T09:00:00.000Z"


def words(company, key="1"):
    return why.invoice(company.state, key)


def test_an_unknown_thing_has_no_why(company):
    assert [ask(company.state, "nothing") for ask in why.ASK.values()] == [None] * 4


def test_the_way_of_an_invoice(company):
    company.customer()
    company.invoice("1")
    found = words(company)
    assert found.name == "INV-1"
    assert "nothing is collected before a person has opened the connection" in found.state
    assert "zoho-gocardless check" in found.todo[0]
    company.open_gate()
    company.invoice("1", last_modified=LATER)
    found = words(company)
    assert found.state.startswith("Owing 120.00 GBP. The debit is decided for 2026-03-03T06:00:00.000Z.")
    assert (found.until, found.todo) == ("2026-03-03T06:00:00.000Z", ())
    company.reach("2026-03-03T12:00:00.000Z", answer=False)
    found = words(company)
    assert (
        "being read again before the debit: Zoho's open invoices and the mandate's payments at GoCardless"
        in found.state
    )
    assert found.until == "2026-03-03T13:00:00.000Z" or found.until > "2026-03-03T06:00:00.000Z"
    company.answer(company.take("zoho.list_open_invoices"))
    company.answer(company.take("gocardless.read_mandate_payments"))
    assert "the debit (attempt 1) is decided, and GoCardless's answer awaited" in words(company).state
    company.answer_all()
    payment = company.state.invoices["1"].payment
    assert words(company).until == "2026-03-09"
    company.pay(payment, "confirmed", "2026-03-06T11:40:00.000Z")
    assert f"Collected: payment {payment} is confirmed." in words(company).state
    assert "Zoho has been asked to record it" in why.payment(company.state, payment).state
    company.answer_all()
    assert "it is recorded in Zoho" in why.payment(company.state, payment).state


def test_a_closed_gate_is_told_of_a_scheduled_invoice(company):
    company.ready()
    company.tell("operator.gate_closed", events.GateClosed("finance"))
    found = words(company)
    assert "But now nothing is collected before a person has opened the connection." in found.state
    assert found.todo


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"status": "void"}, "Nothing to collect: Zoho says it is void."),
        ({"elsewhere": True}, "another way of collecting it is under way in Zoho"),
    ],
)
def test_what_stands_in_the_way(company, changes, said):
    company.open_gate()
    company.customer()
    company.invoice("1", **changes)
    assert said in words(company).state


def test_a_contact_without_a_mandate(company):
    company.open_gate(msgspec.structs.replace(POLICY, invite="ask"))
    company.customer(linked=False)
    company.invoice("1")
    assert "its customer has no usable mandate in its currency" in words(company).state
    assert words(company).todo == ("Invite the customer: `zoho-gocardless decide match c-1 --invite`.",)
    found = why.contact(company.state, "c-1")
    assert "is matched with no payer at GoCardless" in found.state
    assert "It has no mandate that we know." in found.state
    assert "1 invoices wait for a mandate." in found.state
    company.tell("operator.match_approved", events.MatchApproved("finance", "c-1", invite=True))
    company.answer_all()
    assert "Its invitation BRQ-c-1 is pending." in why.contact(company.state, "c-1").state


def test_a_failed_debit_says_what_to_do(company):
    payment = company.collect()
    company.pay(payment, "failed", cause="insufficient_funds", will_attempt_retry=False)
    found = words(company)
    assert "the debit failed (insufficient funds)" in found.state
    assert found.todo[0].startswith("Retry it (`zoho-gocardless decide invoice INV-1 --retry`)")
    assert "It failed (insufficient funds)." in why.payment(company.state, payment).state
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "ignore"))
    assert words(company).state.endswith("Left alone: a person has said so.")


def test_a_payment_taken_back_is_on_hold(company):
    payment = company.confirmed()
    company.pay(payment, "charged_back", LATER, cause="authorisation_disputed")
    assert "On hold (authorisation disputed)" in words(company).state
    found = why.payment(company.state, payment)
    assert "it is being taken off its invoice in Zoho; taken back on 2026-03-10" in found.state
    company.answer_all()
    assert "its reversal is recorded" in why.payment(company.state, payment).state


def test_a_payment_that_is_not_ours(company):
    company.pay("PM-x", "created", "2026-03-01T00:00:00.000Z")
    assert "Its amount is being read" in why.payment(company.state, "PM-x").state
    company.answer_all()
    assert "It is not ours" in why.payment(company.state, "PM-x").state


def test_the_way_of_a_payout(company):
    payment = company.confirmed()
    company.now = "2026-03-09T09:30:00.000Z"
    company.gc("payouts", "paid", links={"payout": "PO1"})
    assert "it is being read from GoCardless" in why.payout(company.state, "PO1").state
    command = company.take("gocardless.read_payout")
    facts = {"arrival_date": "2026-03-09", "reference": "ACME-REF", "creditor_bank_account": "BA1"}
    company.tell("gocardless.payout_read", events.PayoutRead("PO1", "paid", 11_856, "GBP", company.now, **facts))
    company.outcome(command, resource="PO1")
    assert "its items are being read" in why.payout(company.state, "PO1").state
    items = [
        events.PayoutItem("payment_paid_out", 120_000, payment),
        events.PayoutItem("gocardless_fee", -1_440, payment),
    ]
    command = company.take("gocardless.read_payout_items")
    company.tell("gocardless.payout_items_read", events.PayoutItemsRead("PO1", 0, items, complete=True))
    company.outcome(command, resource="PO1")
    found = why.payout(company.state, "PO1")
    assert found.name == "ACME-REF"
    assert "waiting for Zoho's transfer to the bank (asked), Zoho's expense for the fees (asked)" in found.state
    company.answer_all()
    assert "Reconciled: gross 120.00, fees 1.44, net 118.56 GBP" in why.payout(company.state, "PO1").state
    assert "Paid out in PO1 (reconciled)" in why.payment(company.state, payment).state


def test_a_payout_that_does_not_foot_is_held(company):
    company.open_gate()
    company.payout("PO1", [events.PayoutItem("payment_paid_out", 120_000, "PM-y")], 5)
    company.answer_all()
    company.reach("2026-03-05T00:00:00.000Z")
    found = why.payout(company.state, "PO1")
    assert "Held, and nothing of it is posted: does not foot." in found.state
    assert found.todo == ("Compare it with GoCardless's dashboard; nothing of it is posted.",)


def test_a_payout_that_waits_for_a_payment_names_it(company):
    company.open_gate()
    company.payout("PO1", [events.PayoutItem("payment_paid_out", 120_000, "PM-z")], 12_000)
    assert "waiting for its payments to be known and booked: PM-z" in why.payout(company.state, "PO1").state
