"""What holds for every history: nothing raises, the books balance, the order of arrival does not matter, the same log
decides the same.
"""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import events, ids, times
from tests.domain.made_ids import resolved
from tests.domain.strategies import DATA, INSTANTS, anything, facts_of_a_payment, lives, months
from tests.support.company import Company


def test_every_type_of_event_is_drawn():
    assert set(DATA) == set(events.TYPES)


# --- nothing raises ---------------------------------------------------------------------------------------------------


def run(company, steps):
    """Tell each step; after each, the books must balance."""
    for kind, what, seconds, happened_at in steps:
        company.now = times.add_seconds(company.now, seconds)
        if kind == "tell":
            type_, data = what
            company.tell(type_, resolved(data, company.state), happened_at=happened_at)
        elif kind == "due" and company.state.timers:
            at, timer = min((row.at, row.id) for row in company.state.timers.values())
            company.now = max(company.now, at)
            company.tell("clock.due_reached", events.DueReached(timer, at), id_=ids.clock_id("c1", timer, at))
        elif kind == "answer" and company.pending:
            company.answer(company.pending.pop(what % len(company.pending)))
        company.check_books()


def begin(company, start):
    """Where the history begins."""
    if start == "debit decided":
        company.ready()
        company.reach("2026-03-03T06:00:00.000Z", answer=False)
        company.answer(company.take("zoho.list_open_invoices"))
        company.answer(company.take("gocardless.read_mandate_payments"))
    elif start == "confirmed":
        company.confirmed()
    elif start == "scheduled":
        company.ready()
        company.invoice("2", due_date="2026-03-20")


@pytest.mark.parametrize("start", ["nothing", "scheduled", "debit decided", "confirmed"])
@settings(max_examples=110)
@given(steps=anything())
def test_no_sequence_of_events_raises_unbalances_or_decides_otherwise_in_a_rebuild(start, steps):
    company = Company()
    begin(company, start)
    run(company, steps)
    company.check_commands()
    company.check_replay()


# --- the order of arrival ---------------------------------------------------------------------------------------------


def end(company, payment):
    """What must not depend on the order. Dates, the split between receivables and credit, and the ids of causes may."""
    row = company.state.payments[payment]
    invoice = company.state.invoices["1"]
    owed = company.balance("receivables:GBP") + company.balance("customer_credit:GBP")
    items = {key: item.amount_minor for key, item in company.state.open_items.items()}
    counts = (row.status, row.reason, row.confirmed, row.reversed, row.booked, row.unbooked, len(row.facts))
    return counts, invoice.stage, invoice.reason, company.clearing(), owed, items, company.open_codes() - {"excess"}


def tell_all(company, payment, facts):
    for number, (action, at, retried) in facts:
        company.pay(
            payment,
            action,
            at,
            id_=f"EV{number}",
            cause="a_cause" if action == "failed" else "",
            will_attempt_retry=retried,
        )
        company.check_books()


@settings(max_examples=200)
@given(data=st.data(), life=lives)
def test_the_facts_of_a_payments_life_end_the_same_in_any_order_and_however_often(data, life):
    facts = [(number, (action, INSTANTS[number + 8], retried)) for number, (action, _, retried) in enumerate(life)]
    shuffled = data.draw(st.permutations(facts))
    again = data.draw(st.lists(st.sampled_from(facts), max_size=4))
    ends = []
    for order in (facts, [*shuffled, *again]):
        company = Company()
        payment = company.collect()
        tell_all(company, payment, order)
        ends.append(end(company, payment))
    assert ends[0] == ends[1]


@settings(max_examples=250)
@given(data=st.data(), facts=facts_of_a_payment)
def test_even_facts_that_make_no_sense_together_end_the_same_for_the_books_in_any_order(data, facts):
    told = [
        (number, (action, f"2026-03-1{day}T09:00:00.000Z", retried))
        for number, (action, day, retried) in enumerate(facts)
    ]
    ends = []
    for order in (told, data.draw(st.permutations(told))):
        company = Company()
        payment = company.collect()
        tell_all(company, payment, order)
        counts, _, _, *books, _ = end(company, payment)
        ends.append((counts, books))
        row = company.state.payments[payment]
        assert row.booked == row.confirmed
        assert row.unbooked == row.reversed
        assert row.confirmed - row.reversed in {0, 1}
    assert ends[0] == ends[1]


# --- months of business -----------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(month=months())
def test_the_books_balance_after_every_event_of_a_month_and_nothing_is_posted_twice(month):
    company = Company()
    company.open_gate()
    company.customer()
    for number in range(1, 4):
        company.invoice(str(number), amount_minor=number * 1_000)
    company.reach("2026-03-03T12:00:00.000Z")
    for kind, *what in month:
        company.now = times.add_seconds(company.now, 600)
        if kind == "fact":
            number, action, event_id = what
            company.pay(f"PM-{number}-1", action, id_=event_id)
        elif kind == "answer":
            if company.pending:
                company.answer(company.pending.pop(what[0] % len(company.pending)))
        elif kind == "refuse":
            if company.pending:
                company.outcome(
                    company.pending.pop(what[0] % len(company.pending)), what[1], reason=what[2], message="refused"
                )
        elif kind == "payout":
            tell_payout(company, *what)
        company.check_books()
    company.answer_all()
    company.check_books()
    company.check_commands()
    company.check_replay()
    check_once(company)


def tell_payout(company, key, parts, order):
    """The three facts of a payout, in the order drawn, each perhaps never."""
    items = []
    for number, kind, fee in parts:
        sign = 1 if kind == "payment_paid_out" else -1
        items.append(events.PayoutItem(kind, sign * number * 10_000, f"PM-{number}-1"))
        items.append(
            events.PayoutItem("gocardless_fee", -fee, f"PM-{number}-1", taxes=[events.PayoutTax("GB_VAT_1", fee // 6)])
        )
    total = sum(one.amount_tenths for one in items)
    for step in order:
        if step == "event":
            company.gc("payouts", "paid", links={"payout": key})
        elif step == "read":
            read = events.PayoutRead(
                key, "paid", total // 10, "GBP", company.now, arrival_date="2026-03-09", creditor_bank_account="BA1"
            )
            company.tell("gocardless.payout_read", read)
            company.world[f"gocardless.read_payout:{key}"] = [read]
        else:
            company.tell("gocardless.payout_items_read", events.PayoutItemsRead(key, 0, items, complete=True))


def check_once(company):
    """Each booking, payout and invoice's open debit is posted once, under one key."""
    for type_ in ("zoho.create_transfer", "zoho.create_expense", "zoho.refund_payment"):
        keys = Counter(one.key for one in company.asked(type_))
        assert all(times_ == 1 for times_ in keys.values()), keys
    postings = Counter(one.key for one in company.asked("zoho.create_customer_payment"))
    assert all(times_ <= 2 for times_ in postings.values()), postings  # the second one is unapplied, under the same key
    assert len(company.asked("gocardless.create_payment")) == 3
    for row in [one for one in company.state.payments.values() if one.claim == "ours"]:
        assert row.booked == row.confirmed
        assert row.unbooked == row.reversed
    assert not [key for key, row in company.state.payouts.items() if row.posted and row.stage == "seen"]
