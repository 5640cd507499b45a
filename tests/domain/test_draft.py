import pytest

from domain import commands, draft, refs
from domain.draft import Draft, apply
from domain.envelope import Event
from domain.refs import Ref
from domain.state import State

AT = "2026-03-02T09:00:00.000Z"
FACTS = {"name": "c-1"}


def made(state, *, id_="e-1", at=AT):
    return Draft(state, Event(id_, "x", "c1", at, at, "test", None))


def rebuilt(decision, before=()):
    state = State("c1")
    for one in (*before, decision):
        apply(state, one)
    return list(state.rows())


def test_a_mark_that_changes_nothing_is_not_recorded():
    state = State("c1")
    one = made(state)
    one.mark("contacts", "c-1", name="A", waiting_currencies=("GBP",))
    one.mark("contacts", "c-1", name="A", waiting_currencies=("GBP",))
    one.mark("contacts", "c-1", name="B", waiting_currencies=("GBP",))
    assert [mark.changes for mark in one.decision().marks] == [
        {"name": "A", "waiting_currencies": ["GBP"]},
        {"name": "B"},
    ]
    assert rebuilt(one.decision()) == list(state.rows())


def test_attempts_count_the_commands_of_a_purpose():
    state = State("c1")
    first = made(state).command(
        Ref("invoices", "1"), refs.purpose("read_invoice", "1"), commands.ReadInvoice("1"), priority=2
    )
    second = made(state, id_="e-2").command(
        Ref("invoices", "1"), refs.purpose("read_invoice", "1"), commands.ReadInvoice("1"), priority=2
    )
    other = made(state, id_="e-2").command(
        Ref("invoices", "2"), refs.purpose("read_invoice", "2"), commands.ReadInvoice("2"), priority=2
    )
    assert (first.attempt, second.attempt, other.attempt) == (1, 2, 1)
    assert len({first.id, second.id, other.id}) == 3


def test_one_event_asks_once_for_a_purpose():
    one = made(State("c1"))
    asked = [
        one.command(Ref("invoices", "1"), refs.purpose("read_invoice", "1"), commands.ReadInvoice("1"), priority=2)
        for _ in range(2)
    ]
    assert asked[0] is asked[1]
    assert one.decision().commands == asked[:1]
    assert one.attempts(refs.purpose("read_invoice", "1")) == 1


def test_a_discrepancy_is_recorded_when_it_opens_or_changes_and_keeps_the_day_it_opened():
    state = State("c1")
    made(state).open("needs_mandate", Ref("contacts", "c-1"), **FACTS)
    again = made(state, id_="e-2", at="2026-03-03T09:00:00.000Z")
    again.open("needs_mandate", Ref("contacts", "c-1"), **FACTS)
    assert again.decision().empty
    again.open("needs_mandate", Ref("contacts", "c-1"), amount_minor=5, **FACTS)
    row = state.discrepancies["needs_mandate:contacts:c-1"]
    assert (row.opened_at, row.amount_minor, row.event) == (AT, 5, "e-2")


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("steps", ["co", "oc", "oco", "coc", "ococ"])
def test_opening_and_closing_in_one_decision_ends_the_same_in_a_rebuild(held, steps):
    state = State("c1")
    before = []
    if held:
        earlier = made(state, id_="e-0", at="2026-03-01T09:00:00.000Z")
        earlier.open("needs_mandate", Ref("contacts", "c-1"), **FACTS)
        before = [earlier.decision()]
    one = made(state)
    for step in steps:
        if step == "o":
            one.open("needs_mandate", Ref("contacts", "c-1"), **FACTS)
        else:
            one.close("needs_mandate", Ref("contacts", "c-1"))
    row = state.discrepancies.get("needs_mandate:contacts:c-1")
    assert row is not None
    assert bool(row.closed_at) == (steps[-1] == "c")
    assert rebuilt(one.decision(), before) == list(state.rows())


def test_timers_are_set_moved_and_forgotten():
    state = State("c1")
    one = made(state)
    one.timer("t", "2026-03-03T09:00:00.000Z", Ref("invoices", "1"))
    one.timer("t", "2026-03-03T09:00:00.000Z", Ref("invoices", "1"))
    one.timer("t", "2026-03-04T09:00:00.000Z", Ref("invoices", "1"))
    one.timer("u", "2026-03-04T09:00:00.000Z", Ref("invoices", "1"))
    one.cancel_timer("u")
    one.cancel_timer("v")
    assert [(timer.id, timer.at) for timer in one.decision().timers] == [
        ("t", "2026-03-03T09:00:00.000Z"),
        ("t", "2026-03-04T09:00:00.000Z"),
        ("u", "2026-03-04T09:00:00.000Z"),
        ("u", ""),
    ]
    assert rebuilt(one.decision()) == list(state.rows())


def test_rules_that_keep_waking_one_another_are_stopped(monkeypatch):
    monkeypatch.setattr(draft, "MAX_TOUCHES", 10)
    one = made(State("c1"))
    for _ in range(10):
        one.touch("invoices", "1")
        assert one.take() == ("invoices", "1")
    with pytest.raises(RuntimeError, match="do not come to rest"):
        one.touch("invoices", "1")


def test_a_row_is_looked_at_once_however_often_it_is_touched():
    one = made(State("c1"))
    for key in ("1", "2", "1", ""):
        one.touch("invoices", key)
    assert [one.take(), one.take(), one.take()] == [("invoices", "1"), ("invoices", "2"), None]


def test_what_is_asked_once_is_not_asked_again():
    state = State("c1")
    purpose, data = refs.purpose("read_payer", "CU1"), commands.ReadPayer("CU1")
    first, second = made(state), made(state, id_="e-2")
    first.ask_once(Ref("payers", "CU1"), purpose, data)
    second.ask_once(Ref("payers", "CU1"), purpose, data)
    assert [one.purpose for one in first.decision().commands] == ["read_payer:CU1"]
    assert second.decision().empty


def test_a_row_that_remembers_asks_again_once_a_rule_has_cleared_it():
    state = State("c1")
    about, purpose, data = Ref("mandates", "MD1"), refs.purpose("read_mandate", "MD1"), commands.ReadMandate("MD1")
    asked = []
    for number, cleared in enumerate((False, False, True, False)):
        one = made(state, id_=f"e-{number}")
        if cleared:
            one.mark("mandates", "MD1", read_asked=False)
        one.ask_once(about, purpose, data, until_cleared=True)
        asked.append([command.attempt for command in one.decision().commands])
        assert state.mandates["MD1"].read_asked
    assert asked == [[1], [], [2], []]
