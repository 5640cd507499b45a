"""What holds where nobody chose is said once; what a record without a choice means stays as it was written."""

import msgspec
import pytest

from domain.policy import NO_POLICY, UNSAID, Policy, Rules
from domain.state import State


@pytest.mark.parametrize("choice", ["match_by_email", "invite"])
def test_where_nobody_chose_the_settings_and_the_time_before_a_policy_agree(choice):
    assert getattr(Rules(), choice) == getattr(NO_POLICY, choice) == UNSAID == "ask"
    assert State("c1").policy == NO_POLICY


def test_a_record_without_a_choice_means_what_it_was_written_for():
    held = msgspec.json.decode(b'{"version":3}', type=Policy)
    assert (held.match_by_email, held.invite) == ("auto", "ask")
    assert msgspec.json.encode(held) == b'{"version":3}'
    assert msgspec.json.decode(msgspec.json.encode(NO_POLICY), type=Policy) == NO_POLICY
