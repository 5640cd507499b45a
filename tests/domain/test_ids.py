"""The vectors below are written out: a change of any of them would send an old command, or take in an old fact, a
second time.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ids

parts = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x1f"), max_size=6), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("made", "written"),
    [
        (ids.digest("a", "b"), "f04cdced9736a69da6103f08a4daaf8c"),
        (ids.observation_id("d-1", "invoice", "460"), "ob-38e95a64f1c75202b5cdc7ce79816c21"),
        (ids.outcome_id("cm-1", 2, "abc"), "oc-a8f2f6682c6982aa1d26e573a34b7226"),
        (ids.command_id("EV1", "debit:460"), "cm-09913e9cd18a98a358db8fe808ec69d2"),
        (ids.clock_id("c1", "debit:460", "2026-03-03T06:00:00.000Z"), "ck-1f48c5703628bbe3cde2d8c231aabdab"),
        (ids.entry_id("EV1", 0), "le-97a74c97ef82b316e03892a3bade689a"),
        (ids.idempotency_key("live", "700", "debit:460", 1), "zg01-804c8209bca1482b62b39fd9681d4d77"),
    ],
)
def test_the_vectors_never_change(made, written):
    assert made == written


@given(parts, parts)
def test_where_one_part_ends_matters(left, right):
    assert (ids.digest(*left) == ids.digest(*right)) == (left == right)


def test_attempts_organisations_and_environments_have_keys_of_their_own():
    places = [(environment, organization) for environment in ("live", "sandbox") for organization in ("1", "2")]
    keys = {ids.idempotency_key(*place, "debit:1", attempt) for place in places for attempt in range(1, 120)}
    assert len(keys) == 4 * 119


def test_a_key_is_short_enough_for_gocardless():
    assert len(ids.idempotency_key("e" * 200, "o" * 200, "p" * 200, 1)) == 37
    assert len(ids.idempotency_key("e", "o", "p", 10_000)) <= 64
    assert ids.idempotency_key("e", "o", "p", 1).isascii()


def test_calls_and_answers_of_a_command_have_outcomes_of_their_own():
    made = {ids.outcome_id("cm-1", call, answer) for call in (1, 2) for answer in ("a", "b")}
    assert len(made) == 4
