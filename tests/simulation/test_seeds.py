"""Whole runs from seeds, with everything that goes wrong drawn from them: none breaks a promise that is not known to be
broken.

Two hundred short ones with each run of the tests; months in a soak. A seed that breaks prints its story and the command
that plays it again.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

import pytest

from streams.simulation.silence import silent
from streams.simulation.simulation import simulate
from streams.simulation.spec import PlanSpec
from streams.simulation.story import story

#: Runs that one test lives.
_AT_ONCE = 8
#: Real seconds for one run. Higher than what any takes, on a machine that does other things too.
_LIMIT_S = 300.0


def broken(spec):
    """The story of a run that breaks, "" of one that does not."""
    with silent():
        report = simulate(spec.plan(), limit_s=_LIMIT_S)
    return story(spec, report) if report.breaches else ""


def short(seed):
    """Some days of a small company, and time enough to come to rest: for a debit, its payout, and a day's quota."""
    return PlanSpec(seed=seed, days=4, invoices=4, heal_days=9)


@pytest.mark.parametrize("first", range(0, 200, _AT_ONCE))
def test_no_promise_is_broken(first):
    assert [told for seed in range(first, first + _AT_ONCE) if (told := broken(short(seed)))] == []


@pytest.mark.soak
def test_no_promise_is_broken_in_ten_thousand_months():
    count = int(os.environ.get("SIMULATED_MONTHS", "10000"))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        stories = pool.map(broken, (PlanSpec(seed=seed) for seed in range(count)), chunksize=4)
        assert list(islice((told for told in stories if told), 3)) == []
