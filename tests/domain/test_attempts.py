"""The number of a debit and its key (rules 2 and 18): two that know the same of GoCardless and of the books send the
same key.
"""

import pytest

from domain import events
from domain.attempts import next_number
from tests.support.company import Company

START = "2026-03-02T09:00:00.000Z"


def stage(company, key="1"):
    row = company.state.invoices[key]
    return row.stage, row.reason


def decided_debit(company, key="1"):
    """A debit that is decided and not answered yet."""
    company.ready(key)
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    company.answer(company.take("gocardless.read_mandate_payments"))
    return company.take("gocardless.create_payment")


def test_two_connections_of_the_same_books_send_the_same_key_and_those_of_others_another(company):
    first = decided_debit(company)
    renamed = Company()
    renamed.state.connection = "another-name"
    assert decided_debit(renamed).key == first.key
    others = Company()
    others.check(organization_id="org2")
    others.check = lambda: None
    assert decided_debit(others).key != first.key


@pytest.mark.parametrize(("kind", "attempt"), [("withheld", 1), ("refused", 1), ("parked", 2)])
def test_a_debit_counts_unless_it_was_surely_not_made(company, kind, attempt):
    debit = decided_debit(company)
    company.now = "2026-03-03T07:00:00.000Z"
    company.outcome(debit, kind, reason="expired")
    if kind != "withheld":
        company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    company.reach("2026-03-04T12:00:00.000Z")
    again = company.asked("gocardless.create_payment")[-1]
    assert (again.id == debit.id, again.attempt) == (False, attempt)
    assert (again.key == debit.key) == (attempt == 1)


def test_a_refusal_in_which_a_payment_shows_itself_counts(company):
    debit = decided_debit(company)
    company.outcome(debit, "refused", "PM-odd", reason="unreadable")
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    company.reach("2026-03-04T12:00:00.000Z")
    assert company.asked("gocardless.create_payment")[-1].attempt == 2


def test_every_debit_that_gocardless_shows_counts_whoever_made_it(company):
    company.ready()
    for number in (1, 2):
        metadata = {"zoho_invoice_id": "1", "command": f"cm-of-another-{number}"}
        read = events.PaymentRead(f"PM-{number}", "cancelled", 12_000, "GBP", "MD1", START, metadata=metadata)
        company.tell("gocardless.payment_read", read)
        company.tell("gocardless.payment_read", read)
    assert next_number(company.state, company.state.invoices["1"]) == 3


def test_a_key_that_leads_to_a_debit_that_has_ended_is_shown_and_the_next_one_has_the_next_key(company):
    """Fault B17: a 409 whose payment is cancelled left the invoice "collecting" for ever."""
    debit = decided_debit(company)
    metadata = {"zoho_invoice_id": "1", "command": "cm-of-another-installation"}
    company.tell(
        "gocardless.payment_read",
        events.PaymentRead("PM1", "cancelled", 12_000, "GBP", "MD1", START, metadata=metadata),
    )
    company.outcome(debit, resource="PM1", found=True)
    assert stage(company) == ("failed", "cancelled")
    assert company.open_codes() == {"debit_failed"}
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    company.reach("2026-03-04T12:00:00.000Z")
    again = company.asked("gocardless.create_payment")[-1]
    assert (again.attempt, again.key == debit.key) == (2, False)


def test_a_key_that_leads_to_a_debit_under_way_takes_that_one_in(company):
    debit = decided_debit(company)
    metadata = {"zoho_invoice_id": "1", "command": "cm-of-another-installation"}
    company.tell(
        "gocardless.payment_read",
        events.PaymentRead("PM1", "submitted", 12_000, "GBP", "MD1", START, metadata=metadata),
    )
    company.outcome(debit, resource="PM1", found=True)
    assert stage(company) == ("collecting", "")
    assert company.state.invoices["1"].payment == "PM1"
    company.pay("PM1", "confirmed", "2026-03-06T11:40:00.000Z")
    company.answer_all()
    assert len(company.asked("zoho.create_customer_payment")) == 1
    assert stage(company)[0] == "collected"
