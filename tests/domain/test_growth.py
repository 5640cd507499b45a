"""What one event costs does not grow with how much is open: rows read and written, and bytes decided, counted and not
timed.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain import routing
from domain.decisions import Timer
from tests.support.company import Company
from tests.support.growth import READS, Tally, counted, due_day, paid_out

FEW, MANY = 500, 2_000

#: By how much the cost of an event may be larger among many than among few: not at all, but for ids that are a digit
#: longer and the like.
ALLOWED = 1.5

WALKS = {
    "many due on one day, the mandate's payments read last": lambda company, number: due_day(company, number, READS),
    "many due on one day, the open invoices read last": lambda company, number: due_day(company, number, READS[::-1]),
    "a large payout after its bookings": lambda company, number: paid_out(company, number, "before"),
    "a large payout before its bookings": lambda company, number: paid_out(company, number, "after"),
    "a large payout that alone says what was confirmed": lambda company, number: paid_out(company, number, "by"),
}


@pytest.fixture(scope="module")
def walked():
    """The tallies of a walk among few and among many; each is walked once."""
    kept: dict[str, tuple[Tally, Tally]] = {}

    def walk(name: str) -> tuple[Tally, Tally]:
        if name not in kept:
            kept[name] = (WALKS[name](Company(), FEW), WALKS[name](Company(), MANY))
        return kept[name]

    return walk


def growth(few: list[int], many: list[int]) -> dict[str, float]:
    """By how much the costliest event, and the sum for each invoice, are larger among many."""
    return {"the costliest event": max(many) / max(few), "for each invoice": (sum(many) / MANY) / (sum(few) / FEW)}


@pytest.mark.parametrize("name", WALKS)
def test_the_rows_that_an_event_touches_do_not_grow_with_what_is_open(walked, name):
    few, many = walked(name)
    found = growth(few.rows, many.rows)
    print(  # noqa: T201 - the figure is for whoever reads the run
        f"rows, {name}: costliest event {max(few.rows)} → {max(many.rows)}, an invoice {sum(few.rows) // FEW} → {sum(many.rows) // MANY}"
    )
    assert {what: times for what, times in found.items() if times > ALLOWED} == {}


@pytest.mark.parametrize("name", WALKS)
def test_the_bytes_that_an_event_decides_do_not_grow_with_what_is_open(walked, name):
    few, many = walked(name)
    found = growth(few.bytes, many.bytes)
    print(  # noqa: T201 - the figure is for whoever reads the run
        f"bytes, {name}: largest {max(few.bytes)} → {max(many.bytes)}, an invoice {sum(few.bytes) // FEW} → {sum(many.bytes) // MANY}"
    )
    assert {what: times for what, times in found.items() if times > ALLOWED} == {}


#: Bytes of decisions an invoice that is due, and of the largest decision: what they are among a hundred, and some room.
BYTES_AN_INVOICE, BYTES_LARGEST = 1_100, 120_000


@settings(max_examples=25)
@given(number=st.integers(1, 700), late=st.booleans())
def test_however_many_are_due_an_invoice_adds_the_same_bytes_and_no_decision_is_larger(number, late):
    tally = due_day(Company(), number, READS if late else READS[::-1])
    assert max(tally.bytes) < BYTES_LARGEST
    assert sum(tally.bytes) < BYTES_AN_INVOICE * number + 10_000


def test_the_walk_goes_on_where_a_rule_has_put_something_off(company, monkeypatch):
    step = routing.step

    def putting_off(state, event):
        decision = step(state, event)
        puts_off = event.type == "zoho.contact_seen" or (
            event.type == "clock.due_reached" and event.data.timer == "rest:1"
        )
        timers = [Timer(f"rest:{1 + len(company.log) % 2}", event.learned_at, "contacts:c-1")] if puts_off else []
        return replace(decision, timers=[*decision.timers, *timers])

    monkeypatch.setattr(routing, "step", putting_off)
    tally = counted(company)
    tally.counting = True
    company.contact()
    assert [event.data.timer for event, _ in company.log if event.type == "clock.due_reached"] == ["rest:1", "rest:2"]
    assert len(tally.rows) == len(tally.bytes) == 3
