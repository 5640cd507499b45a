"""A large payout over a real store: what one booking reads and writes there does not grow with the payments of its
payout.
"""

import pytest
from msgspec.structs import replace

from projections.state.mappings import RowMapping, RowSource
from streams.stages.core import Core
from tests.support.company import Company
from tests.support.growth import Tally, paid_out

FEW = 500

#: By how much an event may cost more among many.
ALLOWED = 1.5

#: Events appended in one go.
_AT_ONCE = 1_000

NUMBERS = [
    pytest.param(2_000, marks=pytest.mark.timeout(240)),
    pytest.param(20_000, marks=[pytest.mark.soak, pytest.mark.timeout(3_600)]),
]

#: When the bookings are made → the first event that is measured: the last booking's answer, or the payout itself.
MEASURED = {"after": "zoho.customer_payment_read", "before": "gocardless.payouts.paid"}


@pytest.fixture
def tally(monkeypatch):
    """Every row that the state reads from the database or writes to its mappings."""
    found = Tally()
    run, put = RowSource.run, RowMapping.__setitem__

    def counted_run(source, sql, parameters):
        rows = run(source, sql, parameters)
        found.touch(len(rows))
        return rows

    def counted_put(mapping, key, row):
        found.touch()
        put(mapping, key, row)

    monkeypatch.setattr(RowSource, "run", counted_run)
    monkeypatch.setattr(RowMapping, "__setitem__", counted_put)
    return found


async def costs(company, books, tally, bookings):
    """Rows that each measured event touches in a core that has nothing in memory."""
    told = [replace(event, connection="acme") for event, _ in books.log]
    first = len(told) - 1 - [event.type for event in reversed(told)].index(MEASURED[bookings])
    for start in range(0, first, _AT_ONCE):
        await company.context.tell(*told[start : min(start + _AT_ONCE, first)])
        await company.decide()
    found = []
    for event in told[first:]:
        await company.context.tell(event)
        tally.touched = 0
        await company.decide(core=Core(company.context))
        found.append(tally.touched)
    assert company.state("payouts")["PO1"].stage == "reconciled"
    return found


@pytest.mark.parametrize("bookings", MEASURED)
@pytest.mark.parametrize("number", NUMBERS)
async def test_what_an_event_of_a_payout_touches_does_not_grow_with_its_payments(make_company, tally, bookings, number):
    largest = []
    for payments in (FEW, number):
        books = Company()
        paid_out(books, payments, bookings)
        async with make_company() as company:
            largest.append(max(await costs(company, books, tally, bookings)))
    print(f"bookings {bookings} the payout: {largest[0]} rows among {FEW}, {largest[1]} among {number}")  # noqa: T201 - as a figure
    assert largest[1] <= ALLOWED * largest[0]
