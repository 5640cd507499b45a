from itertools import permutations

import pytest

from domain import events, lists
from domain.chargeable import successor, usable_mandate
from domain.state import Mandate, State
from tests.support.company import Company

AT = {
    "created": "2026-03-01T09:00:00.000Z",
    "submitted": "2026-03-02T09:00:00.000Z",
    "active": "2026-03-03T09:00:00.000Z",
}


def told(company, action, at, mandate="MD1", **links):
    company.gc("mandates", action, at=at, links={"mandate": mandate, **links})


@pytest.mark.parametrize("order", list(permutations(AT)))
def test_the_newest_word_wins_in_any_order(company, order):
    for action in order:
        told(company, action, AT[action])
    assert company.state.mandates["MD1"].status == "active"


def test_of_two_words_of_one_instant_the_later_state_wins():
    for order in (("submitted", "active"), ("active", "submitted")):
        company = Company()
        for action in order:
            told(company, action, AT["created"])
        assert company.state.mandates["MD1"].status == "active"


def test_an_unknown_mandate_is_read_once(company):
    told(company, "created", AT["created"])
    told(company, "submitted", AT["submitted"])
    assert [one.data.mandate for one in company.asked("gocardless.read_mandate")] == ["MD1"]
    company.answer_all()
    assert company.open_codes() == {"read_refused"}


def test_a_mandate_that_is_read_has_its_payer_read_too(company):
    company.mandate("MD1", "CU1", status="submitted")
    (read,) = company.asked("gocardless.read_payer")
    assert read.data.payer == "CU1"
    company.mandate("MD2", "CU1", status="active")
    assert len(company.asked("gocardless.read_payer")) == 1
    assert lists.newest(company.state, "mandates:CU1", 9) == ["MD2", "MD1"]


def test_a_replaced_mandate_hands_over_to_the_new_one(company):
    company.ready()
    replacement = events.MandateRead("MD9", "active", "bacs", "CU1", company.now)
    company.world["gocardless.read_mandate:MD9"] = [replacement]
    told(company, "replaced", "2026-03-02T10:00:00.000Z", new_mandate="MD9")
    company.answer_all()
    assert company.state.mandates["MD1"].status == "cancelled"
    company.reach("2026-03-03T12:00:00.000Z")
    (debit,) = company.asked("gocardless.create_payment")
    assert debit.data.mandate == "MD9"


def test_two_mandates_that_name_each_other_as_replacements_are_walked_to_an_end():
    state = State("acme")
    for key, other in (("MD1", "MD2"), ("MD2", "MD1")):
        state.mandates[key] = Mandate(key, status="cancelled", new_mandate=other)
    assert successor(state, "MD1").status == "cancelled"
    assert successor(state, "MD9") is None


def test_an_active_mandate_stands_before_a_newer_one_that_is_not(company):
    company.open_gate()
    company.customer()
    company.mandate("MD2", status="pending_submission")
    contact = company.state.contacts["c-1"]
    assert usable_mandate(company.state, contact, "GBP").id == "MD1"
    told(company, "cancelled", "2026-03-05T09:00:00.000Z")
    assert usable_mandate(company.state, contact, "GBP").id == "MD2"
    told(company, "blocked", "2026-03-05T09:00:00.000Z", "MD2")
    assert usable_mandate(company.state, contact, "GBP") is None
    assert usable_mandate(company.state, contact, "EUR") is None


def test_a_transferred_mandate_keeps_its_status(company):
    company.mandate()
    told(company, "transferred", "2026-03-05T09:00:00.000Z")
    assert company.state.mandates["MD1"].status == "active"


def test_a_mandate_lost_while_the_debit_waits_sends_no_debit(company):
    company.ready()
    told(company, "cancelled", "2026-03-02T10:00:00.000Z")
    company.reach("2026-03-20T12:00:00.000Z")
    assert company.state.invoices["1"].reason == "no_mandate"
    assert not company.asked("gocardless.create_payment")


def test_the_view_of_payments_is_fresh_only_after_the_last_page_and_asked_once_for_two_invoices(company):
    company.ready()
    company.invoice("2")
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    assert len(company.asked("gocardless.read_mandate_payments")) == 1
    view = company.take("gocardless.read_mandate_payments")
    assert view.data.since == "2026-01-02T00:00:00.000Z"
    company.answer(company.take("zoho.list_open_invoices"))
    page = events.MandatePaymentsRead("MD1", company.now, [], complete=False)
    company.tell("gocardless.mandate_payments_read", page)
    assert not company.asked("gocardless.create_payment")
    company.tell("gocardless.mandate_payments_read", events.MandatePaymentsRead("MD1", company.now, [], complete=True))
    assert {one.data.invoice for one in company.asked("gocardless.create_payment")} == {"1", "2"}
    assert "viewing:MD1" not in company.state.lists


def test_a_view_that_was_refused_is_asked_for_again(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.outcome(company.take("gocardless.read_mandate_payments"), "refused", reason="forbidden", http_status=403)
    assert "read_refused" in company.open_codes()
    company.reach("2026-03-03T08:00:00.000Z")
    assert len(company.asked("gocardless.create_payment")) == 1
    assert company.open_codes() == set()


def test_a_payment_found_in_the_view_is_not_made_a_second_time(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    metadata = {"zoho_invoice_id": "1", "command": "cm-of-an-earlier-life"}
    found = events.PaymentRead("PM9", "submitted", 12_000, "GBP", "MD1", "2026-02-27T09:00:00.000Z", metadata=metadata)
    company.tell(
        "gocardless.mandate_payments_read", events.MandatePaymentsRead("MD1", company.now, [found], complete=True)
    )
    row = company.state.invoices["1"]
    assert (row.stage, row.payment) == ("collecting", "PM9")
    assert not company.asked("gocardless.create_payment")
