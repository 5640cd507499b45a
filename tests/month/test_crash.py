"""`kill -9` anywhere: the same month ends the same, in both simulators, the ledger and the public topics."""

import pytest

from streams import failpoints
from tests.support import months


def test_the_calm_month_closes_the_books(short_month):
    assert short_month["open_commands"] == {}
    assert sum(1 for status, _ in short_month["zoho"]["invoices"].values() if status == "paid") == 14
    clearing = {key: amount for key, amount in short_month["balances"].items() if key.startswith("clearing")}
    assert set(clearing.values()) == {0}


def test_what_was_planted_struck(short_month):
    assert short_month.planted == {
        "gocardless ^/payments$ 500_after_commit": 1,
        "zoho /customerpayments$ 500_after_commit": 1,
        "gocardless payments.confirmed duplicate": 1,
        "gocardless payments.submitted reorder": 1,
        "gocardless payouts.paid drop": 1,
    }


@pytest.mark.timeout(240)
async def test_the_program_dies_at_every_named_failpoint(short_month, tmp_path):
    order = [f"{name}:{1 + place % 3}" for place, name in enumerate(failpoints.NAMES)]
    found, reached = await months.failing_month(months.SHORT, tmp_path, order)
    assert reached == list(failpoints.NAMES)
    months.same(found, short_month)


@pytest.mark.timeout(240)
async def test_the_program_dies_at_seeded_moments(short_month, tmp_path):
    found = await months.harried_month(months.SHORT, tmp_path, kills=8, seed=11, longest_s=2.5)
    months.same(found, short_month)
