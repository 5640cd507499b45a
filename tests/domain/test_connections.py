import pytest
from msgspec.structs import replace

from domain import events
from tests.support.company import POLICY


def finding(code, level):
    return events.Finding(code, level, "a text")


def test_the_gate_stays_closed_until_check_policy_and_a_person_agree(company):
    def opened(**more):
        company.tell("operator.gate_opened", events.GateOpened("finance", **more))
        row = company.state.discrepancies.get("gate_refused:connections:c1")
        return company.state.own.gate, row.text if row and not row.closed_at else ""

    assert opened() == ("closed", "The connection was not opened: the first-run check has not been run.")
    company.check(finding("old_invoices", "decide"), finding("no_vat", "stop"), finding("fine", "ok"))
    assert opened() == ("closed", "The connection was not opened: no policy is set.")
    company.tell("policy.set", events.PolicySet("finance", POLICY))
    assert opened(accepted=["old_invoices"]) == ("closed", "The connection was not opened: the check found no_vat.")
    company.check(finding("old_invoices", "decide"))
    assert opened() == ("closed", "The connection was not opened: not yet accepted: old_invoices.")
    assert not company.asked("zoho.list_open_invoices")
    assert opened(accepted=["old_invoices"]) == ("open", "")
    assert len(company.asked("zoho.list_open_invoices")) == 1


def test_opening_an_open_gate_asks_for_no_second_sweep_while_one_is_under_way(company):
    company.check()
    company.tell("policy.set", events.PolicySet("finance", POLICY))
    for _ in range(3):
        company.tell("operator.gate_opened", events.GateOpened("finance"))
    assert len(company.asked("zoho.list_open_invoices")) == 1
    sweep = company.take("zoho.list_open_invoices")
    company.outcome(sweep, "parked", reason="unreachable")
    assert company.open_codes() == {"read_refused"}
    company.tell("operator.gate_opened", events.GateOpened("finance"))
    company.answer_all()
    assert company.open_codes() == set()
    assert len(company.asked("zoho.list_open_invoices")) == 2


def test_facts_are_booked_while_the_gate_is_closed_and_nothing_is_debited(company):
    payment = company.collect()
    company.tell("operator.gate_closed", events.GateClosed("finance"))
    company.invoice("2")
    company.pay(payment, "confirmed", "2026-03-06T11:40:00.000Z")
    company.reach("2026-03-20T12:00:00.000Z")
    assert company.clearing() == 12_000
    assert len(company.asked("gocardless.create_payment")) == 1


def test_a_policy_of_a_lower_or_equal_version_is_ignored_and_shown(company):
    company.open_gate(replace(POLICY, version=3))
    company.tell("policy.set", events.PolicySet("finance", replace(POLICY, version=3)))
    assert company.open_codes() == set()
    company.tell("policy.set", events.PolicySet("finance", replace(POLICY, version=2)))
    assert company.state.policy.version == 3
    assert company.open_codes() == {"policy_ignored"}


def test_rates_of_the_check_and_of_later_reads_are_kept_together(company):
    company.check()
    company.tell("zoho.currencies_read", events.CurrenciesRead({"USD": "0.79"}))
    company.tell("zoho.currencies_read", events.CurrenciesRead({"EUR": "0.86"}))
    assert company.state.own.rates == {"EUR": "0.86", "USD": "0.79"}


def test_a_day_never_goes_back(company):
    for day in ("2026-03-03", "2026-03-02", "2026-03-03"):
        company.tell("clock.day_began", events.DayBegan(day))
    assert company.state.own.today == "2026-03-03"


@pytest.mark.parametrize(
    "day", ["9999-99-99", "", "tomorrow", "20260303", "9999-12-31", "0001-01-01", "2026-03-04", "9998-12-30"]
)
def test_a_day_that_is_none_or_has_begun_nowhere_yet_changes_nothing(company, day):
    company.now = "2026-03-02T23:59:59.999Z"
    company.tell("clock.day_began", events.DayBegan("2026-03-02"))
    company.tell("clock.day_began", events.DayBegan(day))
    assert company.state.own.today == "2026-03-02"
    company.tell("clock.day_began", events.DayBegan("2026-03-03"))
    assert company.state.own.today == "2026-03-03", "in Auckland it has begun"


def test_the_opening_clearing_balance_is_posted_once(company):
    opening = replace(POLICY, books_from="2026-03-01", opening_clearing_minor={"GBP": 5_000, "EUR": 700})
    company.open_gate(opening)
    assert company.clearing("GBP") == 5_000
    assert company.state.open_items["EUR:opening"].amount_minor == 700
    company.tell("operator.gate_closed", events.GateClosed("finance"))
    company.tell("operator.gate_opened", events.GateOpened("finance"))
    assert company.clearing("GBP") == 5_000
    company.check_books()


def test_every_day_the_open_invoices_are_read_again(company):
    company.open_gate()
    company.now = "2026-03-03T00:00:00.000Z"
    company.tell("clock.day_began", events.DayBegan("2026-03-03"))
    assert company.take("zoho.list_open_invoices").about == "connections:c1"
    company.tell("operator.gate_closed", events.GateClosed("finance"))
    company.tell("clock.day_began", events.DayBegan("2026-03-04"))
    assert company.pending == []
