"""Decisions leave in event order, each is forgotten once published, and none is forgotten unpublished."""

import pytest

from domain.codec import decode_decision
from projections.state.batch import take
from projections.store.errors import StoreFenced
from projections.store.store import Store
from projections.work.outbox import Outbox
from projections.work.queue import Queue
from tests.support import batch_records as make


def _decide(store: Store, offsets: list[int], next_offset: int, partition: int = 0) -> None:
    own = take(store, "core", "events", partition)
    with own.batch(own.position) as batch:
        for offset in offsets:
            event = make.event(1000 * partition + offset)
            batch.record(offset, event, make.decision(event, commands=(make.command(f"cm-{partition}-{offset}"),)))
        batch.commit(next_offset)


def test_decisions_come_in_event_order_and_whole(store: Store) -> None:
    _decide(store, [0, 1, 2], 3)
    _decide(store, [0], 1, partition=1)
    outbox = Outbox(store)
    assert [one.offset for one in outbox.unpublished(0, 2)] == [0, 1]
    assert outbox.backlog() == {0: 3, 1: 1}
    first = outbox.unpublished(0, 1)[0]
    decision = decode_decision(first.value)
    assert (decision.event, decision.connection, first.event, first.connection) == (
        "EV000000",
        "acme",
        "EV000000",
        "acme",
    )
    assert [command.id for command in decision.commands] == ["cm-0-0"]


def test_what_is_published_is_forgotten_but_not_how_far(store: Store) -> None:
    _decide(store, [0, 1, 5], 6)
    outbox = Outbox(store)
    assert outbox.last_published(0) is None
    batch = outbox.unpublished(0, 2)
    outbox.mark_published(batch)
    outbox.mark_published(batch)
    outbox.mark_published([])
    assert (outbox.last_published(0), [one.offset for one in outbox.unpublished(0, 9)]) == (1, [5])
    assert Queue(store).counts() == {("acme", "zoho", "ready"): 2, ("acme", "zoho", "waiting_publication"): 1}


def test_a_decision_of_an_earlier_event_that_comes_late_is_not_lost(store: Store) -> None:
    """A connection that was set aside catches up while the relay is under way with later decisions."""
    _decide(store, [10, 11], 12)
    outbox = Outbox(store)
    under_way = outbox.unpublished(0, 10)
    _decide(store, [4], 12)
    outbox.mark_published(under_way)
    assert [one.offset for one in outbox.unpublished(0, 10)] == [4]
    outbox.mark_published(outbox.unpublished(0, 10))
    assert outbox.last_published(0) == 11
    assert Queue(store).counts() == {("acme", "zoho", "ready"): 3}


def test_a_relay_of_an_older_generation_marks_nothing(store: Store) -> None:
    _decide(store, [0], 1)
    outbox = Outbox(store)
    pending = outbox.unpublished(0, 10)
    with store.write() as connection:
        store.set_meta(connection, "generation", "another")
    with pytest.raises(StoreFenced):
        outbox.mark_published(pending)
    assert outbox.unpublished(0, 10) == pending


def test_a_decision_larger_than_the_log_takes_is_found(store: Store) -> None:
    _decide(store, [0, 1, 2], 3)
    outbox = Outbox(store)
    size = max(len(one.value) for one in outbox.unpublished(0, 9))
    assert not outbox.oversize(size)
    assert outbox.oversize(size - 1)
    outbox.mark_published(outbox.unpublished(0, 9))
    assert not outbox.oversize(0)
