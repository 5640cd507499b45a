import pytest

from domain import ledger
from domain.decisions import Entry
from domain.draft import Draft
from domain.envelope import Event
from domain.errors import LedgerError
from domain.refs import Ref
from domain.state import State


def entry(*lines, id_="le-1", date="2026-03-02"):
    return Entry(id_, date, "a text", Ref("payments", "PM1"), list(lines))


def into(amount, currency="GBP", item="PM1"):
    return ledger.debit(ledger.CLEARING, amount, currency, item=item, name="confirmed")


def out(amount, currency="GBP", account=ledger.RECEIVABLES):
    return ledger.credit(account, amount, currency)


@pytest.mark.parametrize(
    "lines",
    [
        (into(100), out(99)),
        (into(100), out(100, "EUR")),
        (into(100), into(50, "EUR"), out(150)),
        (into(100),),
        (ledger.debit(ledger.CLEARING, 100, "GBP"), out(100)),
        (ledger.debit(ledger.BANK, 100, "GBP", item="PM1"), out(100)),
    ],
)
def test_an_entry_that_does_not_balance_or_names_no_item_is_refused_before_anything_changes(lines):
    state = State("c1")
    ledger.post(state, entry(into(5), out(5)))
    before = list(state.rows())
    with pytest.raises(LedgerError):
        ledger.post(state, entry(*lines))
    assert list(state.rows()) == before


def test_balances_are_kept_per_account_and_currency():
    state = State("c1")
    ledger.post(state, entry(into(100), out(100), into(7, "EUR", "PM2"), out(7, "EUR")))
    ledger.post(state, entry(into(50), out(20), out(30, account=ledger.CUSTOMER_CREDIT)))
    assert ledger.balance(state, ledger.CLEARING, "GBP") == 150
    assert ledger.balance(state, ledger.CLEARING, "EUR") == 7
    assert ledger.balance(state, ledger.CUSTOMER_CREDIT, "GBP") == -30
    assert ledger.balance(state, ledger.FEES, "GBP") == 0


def test_an_open_item_shrinks_turns_and_goes():
    state = State("c1")
    ledger.post(state, entry(into(100), out(100)))
    ledger.post(state, entry(into(-40), out(-40), date="2026-03-03"))
    row = state.open_items["GBP:PM1"]
    assert (row.amount_minor, row.since, row.name) == (60, "2026-03-02", "confirmed")
    ledger.post(state, entry(into(-100), out(-100), date="2026-03-04"))
    row = state.open_items["GBP:PM1"]
    assert (row.amount_minor, row.since) == (-40, "2026-03-04")
    ledger.post(state, entry(into(40), out(40)))
    assert not state.open_items


def test_a_draft_leaves_out_lines_of_zero_and_entries_without_lines():
    state = State("c1")
    draft = Draft(state, Event("e-1", "x", "c1", "", "2026-03-02T09:00:00.000Z", "test", None))
    draft.entry("2026-03-02", "nothing", Ref("payments", "PM1"), [into(0), out(0)])
    draft.entry(
        "2026-03-02", "something", Ref("payments", "PM1"), [into(5), out(5), out(0, account=ledger.CUSTOMER_CREDIT)]
    )
    (made,) = draft.decision().entries
    assert len(made.lines) == 2
