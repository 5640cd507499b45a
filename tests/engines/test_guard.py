"""The commit guard, and the limits of what it lets pass, under any order of what may happen."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.log.guard import CommitGuard
from streams.log.interface import LogCorrupt, Record, RecordBatch, TopicPartition

TP = TopicPartition("t", 0)


def batch(first: int, count: int = 1) -> RecordBatch:
    return RecordBatch(TP, [Record("t", 0, offset, 0, None, None) for offset in range(first, first + count)])


def test_a_batch_must_begin_exactly_where_the_last_one_ended():
    guard = CommitGuard()
    guard.resume(TP, 5)
    for wrong in (batch(4), batch(6), RecordBatch(TP, [batch(5).records[0], batch(7).records[0]])):
        with pytest.raises(LogCorrupt, match="not from 5"):
            guard.deliver(wrong)
    right = batch(5, 2)
    guard.deliver(right)
    assert not guard.is_free(TP)
    assert guard.committable() == {}
    guard.handled(right)
    assert guard.committable() == {TP: 7}
    guard.committed({TP: 7})
    assert guard.committable() == {}


def test_a_revoked_partition_is_nobodys():
    guard = CommitGuard()
    guard.resume(TP, 0)
    late = batch(0)
    guard.deliver(late)
    guard.revoke(TP)
    guard.handled(late)
    assert guard.position(TP) is None
    assert guard.committable() == {}
    assert not guard.is_free(TP)


class AnyOrder(RuleBasedStateMachine):
    """Deliveries, endings and new starts in any order: only what was handled since the last start counts."""

    def __init__(self) -> None:
        super().__init__()
        self.guard = CommitGuard()
        self.guard.resume(TP, 0)
        self.position = 0
        self.delivered: list[RecordBatch] = []
        self.current: RecordBatch | None = None

    @precondition(lambda self: self.current is None)
    @rule(count=st.integers(1, 5))
    def deliver(self, count: int) -> None:
        self.current = batch(self.position, count)
        self.delivered.append(self.current)
        self.guard.deliver(self.current)

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def a_handler_returns_perhaps_of_long_ago(self, data: st.DataObject) -> None:
        ended = data.draw(st.sampled_from(self.delivered))
        self.guard.handled(ended)
        if ended is self.current:
            self.position, self.current = ended.next_offset, None

    @rule(offset=st.integers(0, 20))
    def resume(self, offset: int) -> None:
        self.guard.resume(TP, offset)
        self.position, self.current = offset, None

    @invariant()
    def the_position_is_what_was_handled(self) -> None:
        assert self.guard.position(TP) == self.position
        assert self.guard.is_free(TP) == (self.current is None)
        assert self.guard.committable().get(TP, self.position) == self.position


TestAnyOrder = AnyOrder.TestCase
