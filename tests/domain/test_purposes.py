"""What was asked for a purpose last: one read is under way at a time, and a later one stands for those given up."""

from msgspec.structs import replace

from domain import events
from domain.commands import Command, ReadInvoice
from domain.decisions import Decision
from domain.draft import apply
from domain.state import State


def test_a_view_that_was_given_up_is_asked_for_again_after_an_hour(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    for read in list(company.pending):
        company.outcome(read, "parked", reason="gave up")
    company.pending.clear()
    company.reach("2026-03-03T07:00:00.000Z", answer=False)
    assert sorted(company.pending_types) == ["gocardless.read_mandate_payments", "zoho.read_invoice"]
    company.answer_all()
    assert company.state.invoices["1"].stage == "collecting"
    company.check_commands()


def test_a_view_under_way_is_not_asked_for_again_however_long_an_api_is_away(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    for hour in range(7, 12):
        company.reach(f"2026-03-03T{hour:02}:00:00.000Z", answer=False)
    company.tell("clock.day_began", events.DayBegan("2026-03-04"))
    assert sorted(company.pending_types) == [
        "gocardless.read_mandate_payments",
        "zoho.list_open_invoices",
        "zoho.read_invoice",
    ]
    company.answer_all()
    assert company.state.invoices["1"].stage == "collecting"
    company.check_commands()


def test_a_read_that_was_given_up_waits_for_nobody_once_it_is_asked_for_again(company):
    company.ready()
    company.reach("2026-03-03T06:00:00.000Z", answer=False)
    first = company.take("gocardless.read_mandate_payments")
    company.outcome(first, "parked", reason="gave up")
    assert company.state.commands[first.id].status == "parked"
    company.reach("2026-03-03T07:00:00.000Z", answer=False)
    assert company.state.commands[first.id].status == "superseded"
    again = company.take("gocardless.read_mandate_payments")
    assert again.supersedes == first.id
    company.answer(again)
    company.answer_all()
    assert "read_refused" not in company.open_codes()
    company.tell("operator.replay_requested", events.ReplayRequested("finance", first.id))
    assert company.state.commands[first.id].status == "superseded"
    company.check_replay()


def test_a_record_of_an_earlier_version_that_says_nothing_of_it_supersedes_as_well():
    state = State("acme")
    for number, status in ((1, "parked"), (2, "open")):
        command = Command(f"cm-{number}", "invoices:1", "read_invoice:1", ReadInvoice("1"))
        apply(state, Decision(f"EV{number}", "acme", "2026-03-02T09:00:00.000Z", 1, 1, commands=[command]))
        state.commands[command.id] = replace(state.commands[command.id], status=status)
    assert [row.status for row in state.commands.values()] == ["superseded", "open"]


def test_a_read_that_is_given_up_after_a_later_one_was_asked_for_waits_for_nobody(company):
    company.ready()
    company.invoice("1", balance_minor=1, total_minor=5)
    company.invoice("1", balance_minor=2, total_minor=5)
    company.invoice("1", balance_minor=3, total_minor=5)
    *_, earlier, later = company.asked("zoho.read_invoice")
    company.outcome(earlier, "parked", reason="gave up")
    company.outcome(later, "parked", reason="gave up")
    assert [company.state.commands[one.id].status for one in (earlier, later)] == ["superseded", "parked"]
