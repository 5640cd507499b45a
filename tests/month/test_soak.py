"""The whole month, harried: what `make soak` runs."""

import asyncio

import pytest

from streams import failpoints
from streams.demo.month import Month
from tests.support import months

WHOLE = Month()

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def whole_month(tmp_path_factory):
    """How the month of the demo ends when nothing is killed."""
    return asyncio.run(months.calm_month(WHOLE, tmp_path_factory.mktemp("whole")))


def test_the_whole_month_closes_the_books(whole_month):
    assert sum(1 for status, _ in whole_month["zoho"]["invoices"].values() if status == "paid") == 296
    assert len(whole_month["gocardless"]["payouts"]) >= 12
    assert whole_month["open_commands"] == {}


async def test_it_ends_the_same_with_a_death_at_every_failpoint(whole_month, tmp_path):
    order = [
        f"{name}:{passage}"
        for passage in (1, 7, 40)
        for name in failpoints.NAMES
        if passage == 1 or not name.startswith("clock")
    ]
    found, reached = await months.failing_month(WHOLE, tmp_path, order)
    assert set(reached) == set(failpoints.NAMES)
    months.same(found, whole_month)


async def test_it_ends_the_same_with_thirty_kills_at_seeded_moments(whole_month, tmp_path):
    found = await months.harried_month(WHOLE, tmp_path, kills=30, seed=3, longest_s=2.5)
    months.same(found, whole_month)
