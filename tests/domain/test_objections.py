"""What still stands in the way of a decided debit right before its call."""

import pytest

from domain import events, invoices, times


@pytest.fixture
def pending(company):
    """A company whose debit is decided and not sent."""
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    company.answer(company.take("gocardless.read_mandate_payments"))
    return company, company.take("gocardless.create_payment")


def close_gate(company):
    company.tell("operator.gate_closed", events.GateClosed("finance"))


def supersede(company):
    company.outcome(company.asked("gocardless.create_payment")[0], "withheld", reason="expired")


LATER = "2026-03-03T06:00:02.000Z"


@pytest.mark.parametrize(
    ("happens", "objection"),
    [
        (lambda company: None, ""),
        (lambda company: company.invoice("1", balance_minor=1, last_modified=LATER), "balance_changed"),
        (lambda company: company.invoice("1", currency="EUR", last_modified=LATER), "balance_changed"),
        (lambda company: company.invoice("1", status="void", last_modified=LATER), "not_open"),
        (lambda company: company.invoice("1", elsewhere=True, last_modified=LATER), "collected_elsewhere"),
        (lambda company: company.contact(status="inactive", last_modified=LATER), "contact_inactive"),
        (lambda company: company.mandate(status="cancelled"), "mandate_unusable"),
        (close_gate, "gate_closed"),
        (supersede, "superseded"),
    ],
)
def test_a_decided_debit_is_asked_about_once_more(pending, happens, objection):
    company, debit = pending
    happens(company)
    assert invoices.objection(company.state, debit, company.now) == objection


def test_a_debit_is_not_sent_after_its_end_and_other_commands_have_no_objection(pending):
    company, debit = pending
    assert invoices.objection(company.state, debit, debit.not_after) == ""
    assert invoices.objection(company.state, debit, times.add_seconds(debit.not_after, 1)) == "expired"
    sweep = company.asked("zoho.list_open_invoices")[0]
    close_gate(company)
    assert invoices.objection(company.state, sweep, "2030-01-01T00:00:00.000Z") == ""
