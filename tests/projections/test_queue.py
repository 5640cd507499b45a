"""The queue: what may be sent, in which order, and what a late answer, a lost owner or a restart can not do."""

import msgspec
import pytest

from domain.commands import Command
from projections.state.batch import take
from projections.store.errors import LeaseLost, StoreFenced
from projections.store.store import Store
from projections.work.halts import Halts
from projections.work.leases import Lease, Leases
from projections.work.outbox import Outbox
from projections.work.queue import Queue, Queued
from tests.support import batch_records as make
from tests.support.statements import noted

SOON = "2026-03-02T09:00:10.000Z"
LATER = "2026-03-02T10:00:00.000Z"


@pytest.fixture
def ask(store: Store):
    """Decide and publish commands, each by an event of its own, all for one connection."""
    own = take(store, "core", "events", 0)

    def decide(*commands: Command, connection: str = "acme", publish: bool = True, at: str = make.NOW) -> None:
        begin = own.position
        with own.batch(begin) as batch:
            for number, command in enumerate(commands):
                event = make.event(begin + number, connection)
                batch.record(begin + number, event, make.decision(event, commands=(command,), at=at))
            batch.commit(begin + len(commands))
        if publish:
            outbox = Outbox(store)
            outbox.mark_published(outbox.unpublished(0, 100))

    decide.own = own  # type: ignore[attr-defined]  # a handle for tests that go on
    return decide


@pytest.fixture
def lease(store: Store) -> Lease:
    held = Leases(store, simulated=True).acquire("acme", "zoho", "one", make.NOW, 60)
    assert isinstance(held, Lease)
    return held


def _ids(claims: list[Queued]) -> list[str]:
    return [claim.command.id for claim in claims]


def test_nothing_is_sent_before_it_is_published(store: Store, ask) -> None:
    ask(make.command("cm-1"), publish=False)
    queue = Queue(store)
    assert queue.claim(LATER, "acme", "zoho", 10) == []
    assert queue.next_due("zoho", "") is None
    outbox = Outbox(store)
    outbox.mark_published(outbox.unpublished(0, 10))
    assert _ids(queue.claim(make.NOW, "acme", "zoho", 10)) == ["cm-1"]
    assert queue.next_due("zoho", "") == make.NOW


def test_priority_then_due_time_then_limit(store: Store, ask) -> None:
    ask(make.command("sweep", 3), make.command("read", 2), make.command("money", 1), at=make.NOW)
    ask(make.command("early", 2), at="2026-03-02T08:00:00.000Z")
    ask(make.command("future", 1), at=LATER)
    queue = Queue(store)
    assert _ids(queue.claim(make.NOW, "acme", "zoho", 10)) == ["money", "early", "read", "sweep"]
    assert _ids(queue.claim(make.NOW, "acme", "zoho", 2)) == ["money", "early"]
    assert queue.claim(make.NOW, "acme", "gocardless", 10) == []
    assert [queue.next_due("zoho", after) for after in ("", "2026-03-02T08:00:00.000Z", make.NOW, LATER)] == [
        "2026-03-02T08:00:00.000Z",
        make.NOW,
        LATER,
        None,
    ]
    assert queue.next_due("gocardless", "") is None


def test_connections_that_wait_longest_come_first(store: Store, ask) -> None:
    ask(make.command("cm-1"), connection="late", at=SOON)
    ask(make.command("cm-2"), connection="early", at=make.NOW)
    queue = Queue(store)
    assert queue.due_connections(LATER, "zoho") == ["early", "late"]
    assert queue.due_connections(make.NOW, "zoho") == ["early"]
    assert queue.due_connections(LATER, "gocardless") == []


def test_an_intent_is_counted_and_taken_once(store: Store, ask, lease) -> None:
    ask(make.command("cm-1"))
    queue = Queue(store)
    claims = queue.claim(make.NOW, "acme", "zoho", 10)
    granted = queue.record_intents(lease, make.NOW, SOON, claims)
    assert [(one.state, one.calls, one.deadline_at) for one in granted] == [("sent", 1, SOON)]
    assert queue.get("acme", "cm-1") == granted[0]
    assert queue.record_intents(lease, make.NOW, SOON, claims) == []
    assert queue.claim(LATER, "acme", "zoho", 10) == []


def test_no_intent_without_the_lease(store: Store, ask, lease) -> None:
    ask(make.command("cm-1"))
    queue = Queue(store)
    claims = queue.claim(make.NOW, "acme", "zoho", 10)
    with pytest.raises(LeaseLost, match="not held"):
        queue.record_intents(lease, lease.until, LATER, claims)
    successor = Leases(store, simulated=True).acquire("acme", "zoho", "two", lease.until, 60)
    assert isinstance(successor, Lease)
    with pytest.raises(LeaseLost, match="not held"):
        queue.record_intents(lease, make.NOW, SOON, claims)
    queued = queue.get("acme", "cm-1")
    assert queued is not None
    assert queued.calls == 0


def test_no_intent_after_a_rebuild_elsewhere(store: Store, ask, lease) -> None:
    ask(make.command("cm-1"))
    queue = Queue(store)
    claims = queue.claim(make.NOW, "acme", "zoho", 10)
    with store.write() as connection:
        store.set_meta(connection, "generation", "another")
    with pytest.raises(StoreFenced, match="rebuilt") as caught:
        queue.record_intents(lease, make.NOW, SOON, claims)
    assert not isinstance(caught.value, LeaseLost), "this one ends the process"


def test_retry_unknown_answered(store: Store, ask, lease) -> None:
    ask(make.command("cm-1"))
    queue = Queue(store)
    [one] = queue.record_intents(lease, make.NOW, SOON, queue.claim(make.NOW, "acme", "zoho", 1))
    assert queue.retry_at("acme", "cm-1", one.calls, SOON, "429")
    assert queue.claim(make.NOW, "acme", "zoho", 1) == []
    [again] = queue.claim(SOON, "acme", "zoho", 1)
    assert (again.state, again.calls, again.attempts, again.last_error) == ("ready", 1, 1, "429")
    [two] = queue.record_intents(lease, SOON, LATER, [again])
    assert queue.unknown("acme", "cm-1", two.calls, LATER, "timeout")
    [doubtful] = queue.claim(LATER, "acme", "zoho", 1)
    assert (doubtful.state, doubtful.calls, doubtful.attempts) == ("unknown", 2, 2)
    [three] = queue.record_intents(
        msgspec.structs.replace(lease), SOON, LATER, [msgspec.structs.replace(doubtful)]
    ) or [None]
    assert three is None  # it was not due yet at that time
    lease = Leases(store, simulated=True).renew(lease, SOON, 7200)
    [three] = queue.record_intents(lease, LATER, LATER, [doubtful])
    assert queue.answered("acme", "cm-1", three.calls)
    assert queue.counts() == {("acme", "zoho", "answered"): 1}


def test_a_late_answer_moves_nothing_backwards(store: Store, ask, lease) -> None:
    ask(make.command("cm-1"))
    queue = Queue(store)
    [one] = queue.record_intents(lease, make.NOW, SOON, queue.claim(make.NOW, "acme", "zoho", 1))
    with ask.own.batch(ask.own.position) as batch:
        batch.record(ask.own.position, make.outcome(1, "cm-1"))
        batch.commit(ask.own.position + 1)
    assert not queue.answered("acme", "cm-1", one.calls)
    assert not queue.retry_at("acme", "cm-1", one.calls, SOON, "late")
    assert not queue.unknown("acme", "cm-1", one.calls, SOON, "late")
    assert queue.counts() == {("acme", "zoho", "done"): 1}
    assert queue.next_due("zoho", "") is None


def test_a_success_ends_what_waits_for_a_retry(store: Store, ask, lease) -> None:
    ask(make.command("cm-1"))
    queue = Queue(store)
    [one] = queue.record_intents(lease, make.NOW, SOON, queue.claim(make.NOW, "acme", "zoho", 1))
    assert queue.unknown("acme", "cm-1", one.calls, SOON, "timeout")
    with ask.own.batch(ask.own.position) as batch:
        batch.record(ask.own.position, make.outcome(1, "cm-1"))
        batch.commit(ask.own.position + 1)
    assert queue.claim(LATER, "acme", "zoho", 1) == []


def test_a_successor_looks_up_what_the_former_owner_had_begun(store: Store, ask, lease) -> None:
    ask(make.command("cm-1"), make.command("cm-2"))
    queue = Queue(store)
    queue.record_intents(lease, make.NOW, SOON, queue.claim(make.NOW, "acme", "zoho", 1))
    successor = Leases(store, simulated=True).acquire("acme", "zoho", "two", lease.until, 6000)
    assert isinstance(successor, Lease)
    with pytest.raises(LeaseLost):
        queue.abandoned(lease, make.NOW, LATER)
    assert queue.abandoned(successor, lease.until, LATER) == 1
    assert _ids(queue.claim(lease.until, "acme", "zoho", 10)) == ["cm-2"], "what was not begun waits for nothing"
    assert [(one.command.id, one.state) for one in queue.claim(LATER, "acme", "zoho", 10)] == [
        ("cm-2", "ready"),
        ("cm-1", "unknown"),
    ]


def test_begun_calls_are_found_though_no_due_time_tells_of_them(store: Store, ask, lease) -> None:
    ask(make.command("cm-1"), make.command("cm-2"))
    ask(make.command("cm-3"), connection="birch")
    queue = Queue(store)
    assert queue.begun("zoho") == []
    one, two = queue.record_intents(lease, make.NOW, SOON, queue.claim(make.NOW, "acme", "zoho", 2))
    assert queue.begun("zoho") == ["acme"]
    assert queue.begun("gocardless") == []
    birch = Leases(store, simulated=True).acquire("birch", "zoho", "one", make.NOW, 60)
    assert isinstance(birch, Lease)
    queue.record_intents(birch, make.NOW, SOON, queue.claim(make.NOW, "birch", "zoho", 1))
    assert queue.begun("zoho") == ["acme", "birch"]
    queue.answered("acme", "cm-1", one.calls)
    queue.unknown("acme", "cm-2", two.calls, LATER, "timeout")
    assert queue.begun("zoho") == ["birch"]


def test_a_connection_that_is_set_aside_sends_no_money(store: Store, ask) -> None:
    ask(make.command("debit", 0), make.command("money", 1), make.command("read", 2))
    own = ask.own
    with own.batch(own.position) as batch:
        batch.freeze("acme", own.position, "EV", "rule raised", make.NOW)
        batch.commit(own.position + 1)
    queue = Queue(store)
    assert queue.claim(make.NOW, "acme", "gocardless", 10) == []
    assert _ids(queue.claim(make.NOW, "acme", "zoho", 10)) == ["read"]


def test_nothing_is_sent_before_the_api_was_caught_up_with(store: Store, ask) -> None:
    ask(make.command("debit", 0), make.command("read", 2))
    with store.write() as connection:
        store.require_catch_up(connection, "restored", SOON)
    queue = Queue(store)
    assert queue.claim(LATER, "acme", "zoho", 10) == []
    Halts(store).caught_up("acme", "zoho")
    assert [(one.command.id, one.state) for one in queue.claim(LATER, "acme", "zoho", 10)] == [("read", "unknown")]
    assert queue.claim(LATER, "acme", "gocardless", 10) == []


def test_questions_of_the_queue_use_its_indexes(sqlite_url: str) -> None:
    from projections.store.store import open_store

    with open_store(sqlite_url) as store:
        seen: list[tuple[str, object]] = []
        queue = Queue(store)
        held = Leases(store).acquire("acme", "zoho", "one", make.NOW, 60)
        assert isinstance(held, Lease)

        def note(statement: str, parameters: object) -> None:
            if "command_queue" in statement:
                seen.append((statement, parameters))

        with noted(store, note):
            queue.claim(make.NOW, "acme", "zoho", 10)
            queue.due_connections(make.NOW, "zoho")
            queue.begun("zoho")
            queue.next_due("zoho", make.NOW)
            queue.abandoned(held, make.NOW, make.NOW)
            queue.answered("acme", "cm", 1)
        with store.read() as reader:
            plans = {
                text: [row[3] for row in reader.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", tuple(values))]
                for text, values in seen
            }
    assert len(plans) == 7
    for text, plan in plans.items():
        assert not any("SCAN" in step and "USING" not in step for step in plan), text
        assert all("ix_command_queue" in step or "PRIMARY KEY" in step or "TEMP B-TREE" in step for step in plan), (
            text,
            plan,
        )
