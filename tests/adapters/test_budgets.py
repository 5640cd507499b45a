"""The budgets keep both APIs' limits in every window, and keep money-bearing writes a way through."""

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.budgets import (
    BACKOFF_CAP_S,
    GOCARDLESS,
    ZOHO,
    Go,
    Limits,
    Spent,
    Wait,
    backoff_s,
    close,
    learn_day,
    may_go,
)
from domain.times import instant, parse

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
DEBIT, MONEY, READ, SWEEP = range(4)


def at(milliseconds: int) -> str:
    return instant(START + timedelta(milliseconds=milliseconds))


def drain(
    limits: Limits, spent: Spent, priority: int, when: str, calls: int = 10_000
) -> tuple[int, Spent, Wait | None]:
    for number in range(calls):
        verdict = may_go(limits, spent, at=when, in_flight=0, priority=priority)
        if isinstance(verdict, Wait):
            return number, spent, verdict
        spent = verdict.spent
    return calls, spent, None


@pytest.mark.parametrize(("limits", "documented"), [(GOCARDLESS, 1000), (ZOHO, 100)])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_minute_ever_holds_more_calls_than_the_api_documents(limits: Limits, documented: int, seed: int) -> None:
    chance = random.Random(seed)
    spent, now_ms, went = Spent(day_limit=10**6, day_left=10**6, day_ends="9"), 0, []
    for _ in range(documented * 3):
        now_ms += chance.choice([0, 0, 0, 1, limits.interval_ms, 10 * limits.interval_ms])
        verdict = may_go(limits, spent, at=at(now_ms), in_flight=0, priority=chance.choice([DEBIT, SWEEP]))
        if isinstance(verdict, Go):
            spent = verdict.spent
            went.append(now_ms)
        else:
            now_ms = max(now_ms, (parse(verdict.until) - START) // timedelta(milliseconds=1))
    assert len(went) > documented // 2
    oldest = 0
    for newest, moment in enumerate(went):
        while went[oldest] <= moment - 60_000:
            oldest += 1
        assert newest - oldest + 1 <= documented


@pytest.mark.parametrize("limits", [GOCARDLESS, ZOHO])
def test_sweeps_stop_first_then_reads_then_money(limits: Limits) -> None:
    spent, went = Spent(), []
    for priority in (SWEEP, READ, MONEY, DEBIT):
        count, spent, wait = drain(limits, spent, priority, at(0))
        went.append(count)
        assert wait is not None
        assert wait.reason == "minute"
    assert all(count > 0 for count in went)
    assert sum(went) == limits.burst


def test_a_wait_names_the_instant_from_which_the_call_may_go() -> None:
    _, spent, wait = drain(ZOHO, Spent(), READ, at(0))
    assert wait is not None
    early = instant(parse(wait.until) - timedelta(milliseconds=1))
    assert isinstance(may_go(ZOHO, spent, at=early, in_flight=0, priority=READ), Wait)
    assert isinstance(may_go(ZOHO, spent, at=wait.until, in_flight=0, priority=READ), Go)


def test_after_a_pause_the_burst_is_back_and_no_more() -> None:
    _, spent, _ = drain(ZOHO, Spent(), DEBIT, at(0))
    count, _, _ = drain(ZOHO, spent, DEBIT, at(10 * 60_000))
    assert count == ZOHO.burst


def test_a_clock_that_went_back_costs_one_burst_at_most() -> None:
    ahead = Spent(
        arrival_ms=(datetime(2030, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    )
    verdict = may_go(ZOHO, ahead, at=at(0), in_flight=0, priority=DEBIT)
    assert verdict == Wait("minute", at(ZOHO.interval_ms))


def test_calls_at_once_are_bounded_and_debits_keep_a_place() -> None:
    def verdict(in_flight: int, priority: int) -> Go | Wait:
        return may_go(ZOHO, Spent(), at=at(0), in_flight=in_flight, priority=priority)

    assert verdict(2, SWEEP) == verdict(3, READ) == verdict(4, DEBIT) == Wait("at_once", "")
    assert isinstance(verdict(3, DEBIT), Go)


def test_the_day_runs_out_for_sweeps_first_and_begins_again_at_its_end() -> None:
    spent = learn_day(Spent(), limit=1000, left=301, ends=at(3_600_000))
    count, spent, wait = drain(ZOHO, spent, SWEEP, at(0))
    assert (count, wait) == (1, Wait("day", at(3_600_000)))
    assert isinstance(may_go(ZOHO, spent, at=at(0), in_flight=0, priority=READ), Go)
    spent = learn_day(spent, limit=1000, left=0, ends=at(3_600_000))
    assert may_go(ZOHO, spent, at=at(0), in_flight=0, priority=DEBIT) == Wait("day", at(3_600_000))
    verdict = may_go(ZOHO, spent, at=at(3_600_000), in_flight=0, priority=SWEEP)
    assert isinstance(verdict, Go)
    assert (verdict.spent.day_left, verdict.spent.day_ends) == (999, at(3_600_000 + 86_400_000))


def test_the_day_s_limit_is_what_the_api_says_it_is() -> None:
    spent = learn_day(Spent(), limit=10_000, left=9_000, ends=at(1000))
    verdict = may_go(ZOHO, spent, at=at(1000), in_flight=0, priority=DEBIT)
    assert isinstance(verdict, Go)
    assert (verdict.spent.day_limit, verdict.spent.day_left) == (10_000, 9_999)


def test_gocardless_has_no_day() -> None:
    verdict = may_go(GOCARDLESS, Spent(), at=at(0), in_flight=0, priority=SWEEP)
    assert isinstance(verdict, Go)
    assert verdict.spent.day_ends == ""


def test_closed_is_closed_for_all_until_its_end() -> None:
    spent = close(close(Spent(), at(5000), "minute"), at(1000), "token")
    assert may_go(ZOHO, spent, at=at(4999), in_flight=0, priority=DEBIT) == Wait("minute", at(5000))
    verdict = may_go(ZOHO, spent, at=at(5000), in_flight=0, priority=SWEEP)
    assert isinstance(verdict, Go)
    assert (verdict.spent.closed_until, verdict.spent.closed_why) == ("", "")


@given(st.integers(0, 2**45), st.integers(0, 100_000), st.sampled_from(["", "2026-03-02T10:00:00.000Z"]))
def test_the_state_survives_its_row(arrival_ms: int, day_left: int, ends: str) -> None:
    spent = Spent(arrival_ms, 2000, day_left, ends, ends, "day")
    assert msgspec.json.decode(msgspec.json.encode(spent), type=Spent) == spent


@given(st.integers(-5, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_is_full_jitter_under_a_growing_ceiling(attempt: int, draw: float) -> None:
    wait_s = backoff_s(attempt, draw)
    assert 0 <= wait_s < BACKOFF_CAP_S
    assert wait_s <= backoff_s(attempt + 1, draw)


def test_backoff_doubles_its_ceiling() -> None:
    assert [backoff_s(attempt, 0.5) for attempt in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]
    assert backoff_s(1, 0.0) == 0.0
