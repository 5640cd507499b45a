"""Never a debit without a ceiling (rule 15), and nothing old by itself."""

from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from domain import events, why
from domain.invoices import objection
from tests.support.company import POLICY

DAY = "2026-03-03"
NOON = f"{DAY}T12:00:00.000Z"


@dataclass
class Shown:
    """What a person was shown at the approval."""

    count: int
    minor: int


def opened(company, *, start="", shown=None, **rules):
    """A gate that a person opened, having seen a list; `start`: the day from which collection was accepted."""
    company.check()
    company.read_to_heads()
    company.tell("policy.set", events.PolicySet("finance", replace(POLICY, **rules)))
    first = ({"GBP": shown.count}, {"GBP": shown.minor}) if shown is not None else (None, None)
    company.tell("operator.gate_opened", events.GateOpened("finance", [], "", start, *first))
    company.answer_all()


def debits(company):
    return [one.data.invoice for one in company.asked("gocardless.create_payment")]


def held(company, key):
    row = company.state.invoices[key]
    return row.reason if row.stage == "hold" else ""


# --- what is old ------------------------------------------------------------------------------------------------------


def test_what_fell_due_before_the_accepted_day_is_held_until_it_is_accepted_by_itself(company):
    opened(company, start="2026-03-02")
    company.customer()
    company.invoice("old", due_date="2024-06-30")
    company.invoice("yesterday", due_date="2026-03-01")
    company.invoice("today", due_date="2026-03-02")
    company.reach("2026-03-05T12:00:00.000Z")
    assert debits(company) == ["today"]
    assert (held(company, "old"), held(company, "yesterday")) == ("due_before_start", "due_before_start")
    row = company.state.discrepancies["due_before_start:invoices:old"]
    assert (
        row.text
        == "INV-old fell due on 2024-06-30, before 2026-03-02, the day from which collection was accepted; it is held."
    )
    assert (row.amount_minor, row.currency) == (12_000, "GBP")
    said = why.invoice(company.state, "old")
    assert "it fell due before the day from which collection was accepted" in said.state
    assert said.todo == (row.remedy,)
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "old", "retry"))
    company.reach("2026-03-07T12:00:00.000Z")
    assert debits(company) == ["today", "old"]
    assert company.open_codes() == {"due_before_start"}, "the other one still waits"


def test_an_earlier_day_accepted_later_lets_what_was_held_go(company):
    opened(company, start="2026-03-02")
    company.customer()
    company.invoice("old", due_date="2024-06-30")
    assert held(company, "old") == "due_before_start"
    company.now = "2026-03-02T10:00:00.000Z"
    company.tell("operator.gate_opened", events.GateOpened("finance", collect_from="2024-01-01"))
    company.answer_all()
    company.reach("2026-03-04T12:00:00.000Z")
    assert debits(company) == ["old"]
    assert company.open_codes() == set()


def test_what_is_held_no_longer_waits_for_whatever_else_it_lacks(company):
    opened(company, start="2026-03-02")
    company.customer(linked=False)
    company.invoice("old", due_date="2024-06-30")
    company.now = "2026-03-02T10:00:00.000Z"
    company.tell("operator.gate_opened", events.GateOpened("finance", collect_from="2024-01-01"))
    company.answer_all()
    row = company.state.invoices["old"]
    assert (row.stage, row.reason) == ("waiting", "no_mandate")
    assert len(company.asked("gocardless.create_billing_request")) == 1
    assert company.open_codes() == set()


def test_an_old_invoice_that_is_paid_another_way_is_held_no_longer(company):
    opened(company, start="2026-03-02")
    company.customer()
    company.invoice("old", due_date="2024-06-30")
    company.invoice(
        "old", due_date="2024-06-30", status="paid", balance_minor=0, last_modified="2026-03-02T10:00:00.000Z"
    )
    assert company.state.invoices["old"].stage == "none"
    assert company.open_codes() == set()


def test_an_installation_whose_gate_was_opened_before_such_a_day_was_asked_for_goes_on_as_it_did(company):
    company.open_gate()
    company.customer()
    company.invoice("old", due_date="2024-06-30")
    company.reach(NOON)
    assert debits(company) == ["old"]


# --- a debit, a payer's month, a day ----------------------------------------------------------------------------------


def test_a_debit_above_the_largest_is_held_until_a_person_or_a_new_policy_lets_it_pass(company):
    opened(company, max_debit_minor={"GBP": 10_000})
    company.customer()
    company.invoice("1")
    company.invoice("2", amount_minor=11_000)
    company.reach(NOON)
    assert debits(company) == []
    assert held(company, "1") == held(company, "2") == "over_limit"
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "1", "retry"))
    company.tell("policy.set", events.PolicySet("finance", replace(POLICY, version=2, max_debit_minor={"GBP": 11_000})))
    company.answer_all()
    company.reach("2026-03-04T12:00:00.000Z")
    assert sorted(debits(company)) == ["1", "2"]
    assert company.open_codes() == set()


def test_what_one_payer_is_debited_in_a_month_has_a_ceiling(company):
    opened(company, max_payer_month_minor={"GBP": 25_000})
    company.customer(1)
    company.customer(2)
    for key in ("1", "2", "3"):
        company.invoice(key)
    company.invoice("other", contact="c-2")
    company.invoice("euro", currency="EUR")
    company.reach(NOON)
    assert sorted(debits(company)) == ["1", "2", "other"]
    assert held(company, "3") == "over_payer_month"
    row = company.state.discrepancies["payer_over_limit:invoices:3"]
    assert row.text == "INV-3 would take more than 250.00 GBP from payer CU1 in a month; it is held."
    company.tell("operator.invoice_released", events.InvoiceReleased("finance", "3", "retry"))
    company.reach("2026-03-04T12:00:00.000Z")
    assert "3" in debits(company)


def test_a_debit_that_was_not_made_after_all_counts_in_no_month_and_on_no_day(company):
    opened(company, max_payer_month_minor={"GBP": 12_000}, max_day_count={"GBP": 1})
    company.customer()
    company.invoice("1")
    company.reach(f"{DAY}T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    company.answer(company.take("gocardless.read_mandate_payments"))
    debit = company.take("gocardless.create_payment")
    assert company.state.debit_days[f"{DAY}:GBP"].count == 1
    company.outcome(debit, "withheld", reason="expired")
    assert (company.state.debit_days[f"{DAY}:GBP"].count, company.state.debit_days[f"{DAY}:GBP"].amount_minor) == (0, 0)
    assert company.state.payer_months["2026-03:CU1:GBP"].amount_minor == 0
    company.outcome(debit, "succeeded", "PM-late", call=2)
    assert company.state.debit_days[f"{DAY}:GBP"].amount_minor == 12_000, (
        "it was made after all: success beats every other outcome"
    )
    company.check_replay()


def many(company, count, **more):
    for number in range(count):
        company.invoice(f"{number:02d}", **more)


@pytest.mark.parametrize("rules", [{"max_day_count": {"GBP": 4}}, {"max_day_minor": {"GBP": 50_000}}])
def test_a_day_has_a_ceiling_of_the_policy_in_number_and_in_sum_and_one_person_is_told_once(company, rules):
    opened(company, **rules)
    company.customer()
    many(company, 7)
    company.reach(NOON)
    assert len(debits(company)) == 4
    assert {held(company, f"{number:02d}") for number in range(7)} == {"", "over_day"}
    assert [row.id for row in company.state.discrepancies.values()] == [f"day_over_limit:debit_days:{DAY}:GBP"]
    row = company.state.discrepancies[f"day_over_limit:debit_days:{DAY}:GBP"]
    assert f"`zoho-gocardless decide day {DAY} --currency GBP`" in row.remedy
    waiting = next(key for key, invoice in company.state.invoices.items() if invoice.stage == "hold")
    assert why.invoice(company.state, waiting).todo == (row.remedy,)


def test_what_a_day_held_waits_for_a_person_however_many_days_pass_and_goes_when_the_day_is_accepted(company):
    opened(company, max_day_count={"GBP": 4})
    company.customer()
    many(company, 7)
    company.reach(NOON)
    for day in ("2026-03-04", "2026-03-05", "2026-03-06"):
        company.tell("clock.day_began", events.DayBegan(day))
        company.answer_all()
        company.reach(f"{day}T12:00:00.000Z")
    assert len(debits(company)) == 4
    company.tell("operator.day_accepted", events.DayAccepted("finance", DAY, "GBP"))
    company.answer_all()
    company.reach("2026-03-08T12:00:00.000Z")
    assert len(set(debits(company))) == 7
    assert company.open_codes() == set()


def test_a_day_that_nobody_debited_on_cannot_be_accepted(company):
    opened(company)
    assert company.tell("operator.day_accepted", events.DayAccepted("finance", DAY, "GBP")).empty


def test_at_first_a_day_may_reach_the_list_that_a_person_was_shown(company):
    opened(company, start="2026-03-01", shown=Shown(2, 24_000))
    company.customer()
    many(company, 3)
    company.reach(NOON)
    assert len(debits(company)) == 2
    assert "2 debits or 240.00" in company.state.discrepancies[f"day_over_limit:debit_days:{DAY}:GBP"].text


def test_a_currency_that_was_not_in_the_list_waits_for_a_person_at_first(company):
    opened(company, start="2026-03-01", shown=Shown(2, 24_000))
    company.customer(scheme="sepa_core")
    company.invoice("1", currency="EUR")
    company.reach(NOON)
    assert (debits(company), held(company, "1")) == ([], "over_day")


def test_later_a_day_may_reach_three_times_the_largest_of_the_last_sixty(company):
    opened(company, start="2026-03-01", shown=Shown(1, 12_000))
    company.customer()
    company.invoice("first")
    company.reach(NOON)
    many(company, 5, due_date="2026-03-10")
    company.reach("2026-03-10T12:00:00.000Z")
    assert len(debits(company)) == 1 + 3
    for number in range(5):
        company.tell("operator.invoice_released", events.InvoiceReleased("finance", f"{number:02d}", "ignore"))
    company.invoice("much later", due_date="2026-06-30")
    company.invoice("and one more", due_date="2026-06-30")
    company.reach("2026-06-30T12:00:00.000Z")
    assert len(debits(company)) == 5, "no day of the last sixty is left: the list that was accepted counts again"


def test_a_gate_that_was_opened_without_a_list_has_a_ceiling_of_a_day_after_sixty_days(company):
    """As version 0.1.0 opened it: what its first days were like says little."""
    company.open_gate()
    company.customer()
    company.invoice("first")
    company.reach(NOON)
    many(company, 9, due_date="2026-04-20")
    company.reach("2026-04-20T12:00:00.000Z")
    assert len(debits(company)) == 1 + 9
    for number in range(30):
        company.invoice(f"later-{number:02d}", due_date="2026-05-20")
    company.reach("2026-05-20T12:00:00.000Z")
    assert len(debits(company)) == 1 + 9 + 27


def test_a_debit_that_was_decided_is_not_withheld_by_a_ceiling_that_it_fills(company):
    opened(company, max_day_count={"GBP": 1}, max_payer_month_minor={"GBP": 12_000})
    company.customer()
    company.invoice("1")
    company.reach(f"{DAY}T06:00:00.000Z", answer=False)
    company.answer(company.take("zoho.list_open_invoices"))
    company.answer(company.take("gocardless.read_mandate_payments"))
    assert objection(company.state, company.take("gocardless.create_payment"), company.now) == ""


def test_ceilings_hold_again_after_a_rebuild(company):
    opened(company, start="2026-03-01", shown=Shown(2, 24_000), max_payer_month_minor={"GBP": 24_000})
    company.customer()
    many(company, 5)
    company.reach(NOON)
    company.check_replay()
