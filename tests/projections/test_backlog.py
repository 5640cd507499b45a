"""Backlog: what waits in the store, counted without reading a table as a whole."""

import pytest
import sqlalchemy as sa

from projections import backlog
from projections.store.store import Store
from projections.store.tables import command_queue, outbox
from projections.work.polls import Poll, Polls

NOW = "2026-03-02T09:00:00.000Z"
EARLIER = "2026-03-02T08:58:30.000Z"
LATER = "2026-03-02T10:00:00.000Z"


@pytest.fixture
def put(store: Store):
    """Put commands into the queue as rows: each (connection, api, state, due_at)."""

    def fill(*commands: tuple[str, str, str, str | None]) -> None:
        rows = []
        for number, (connection, api, state, due_at) in enumerate(commands):
            row = dict.fromkeys((column.name for column in command_queue.columns), "")
            numbers = {"priority": 2, "calls": 0, "attempts": 0, "partition": 0, "event_offset": number}
            rows.append(
                {
                    **row,
                    **numbers,
                    "connection": connection,
                    "api": api,
                    "id": f"cm-{number}",
                    "state": state,
                    "due_at": due_at,
                }
            )
        with store.write() as writer:
            writer.execute(sa.insert(command_queue), rows)

    return fill


def test_an_empty_store_has_nothing_waiting(store: Store) -> None:
    found = backlog.read(store, {"acme"}, NOW)
    assert set(found.queue.values()) == {0}
    assert found.queue_overdue_s == {"gocardless": 0.0, "zoho": 0.0}
    assert (found.outbox, found.polls_overdue_s, found.set_aside, found.catch_ups) == (0, {}, 0, 0)


def test_commands_are_counted_by_api_and_state_and_the_oldest_due_one_is_timed(store: Store, put) -> None:
    put(
        ("acme", "zoho", "ready", EARLIER),
        ("birch", "zoho", "ready", NOW),
        ("acme", "zoho", "ready", LATER),
        ("acme", "zoho", "unknown", NOW),
        ("acme", "zoho", "sent", None),
        ("acme", "zoho", "done", None),
        ("acme", "gocardless", "ready", LATER),
        ("acme", "gocardless", "waiting_publication", None),
        ("gone", "gocardless", "ready", EARLIER),
        ("gone", "gocardless", "sent", None),
    )
    found = backlog.read(store, {"acme", "birch"}, NOW)
    assert found.queue == {
        ("gocardless", "waiting_publication"): 1,
        ("gocardless", "ready"): 1,
        ("gocardless", "unknown"): 0,
        ("gocardless", "sent"): 0,
        ("zoho", "waiting_publication"): 0,
        ("zoho", "ready"): 3,
        ("zoho", "unknown"): 1,
        ("zoho", "sent"): 1,
    }
    assert found.queue_overdue_s == {"gocardless": 0.0, "zoho": 90.0}


def test_a_count_stops_at_the_limit_and_begins_with_what_is_due_first(
    store: Store, put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "LIMIT", 3)
    monkeypatch.setattr(backlog, "_WAITING", backlog._waiting())
    put(*(("acme", "zoho", "ready", LATER) for _ in range(5)), ("acme", "zoho", "unknown", EARLIER))
    with store.write() as writer:
        rows = [
            {"partition": 0, "event_offset": n, "event": "EV", "connection": "acme", "decision": b"{}"}
            for n in range(5)
        ]
        writer.execute(sa.insert(outbox), rows)
    found = backlog.read(store, {"acme"}, NOW)
    assert (found.queue["zoho", "unknown"], found.queue["zoho", "ready"], found.outbox) == (1, 2, 3)
    assert found.queue_overdue_s["zoho"] == 90.0


def test_polls_are_overdue_by_list(store: Store) -> None:
    polls = Polls(store)
    polls.save(Poll("acme", "zoho.invoices", due_at=EARLIER))
    polls.save(Poll("birch", "zoho.invoices", due_at=LATER))
    polls.save(Poll("acme", "gocardless.events", due_at=LATER))
    polls.save(Poll("acme", "zoho.contacts"))
    polls.save(Poll("gone", "zoho.currencies", due_at=EARLIER))
    found = backlog.read(store, {"acme", "birch"}, NOW)
    assert found.polls_overdue_s == {"zoho.invoices": 90.0, "gocardless.events": 0.0, "zoho.contacts": 0.0}


def test_what_stands_still_is_counted(store: Store, put) -> None:
    put(("acme", "zoho", "ready", NOW))
    with store.write() as writer:
        store.require_catch_up(writer, "restored", NOW)
    assert backlog.read(store, {"acme"}, NOW).catch_ups == 2


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (backlog._WAITING.params(api="zoho"), "ix_command_queue_due"),
        (backlog._IN_STATE["sent"], "ix_command_queue_sent"),
        (backlog._IN_STATE["waiting_publication"], "ix_command_queue_waiting"),
    ],
    ids=["due", "sent", "waiting"],
)
def test_the_queue_is_read_by_its_indexes(store: Store, put, query: sa.Select[tuple[object, ...]], index: str) -> None:
    done = [("acme", "zoho", "done", None)] * 2_000
    put(
        *done,
        ("acme", "zoho", "ready", NOW),
        ("acme", "zoho", "sent", None),
        ("acme", "zoho", "waiting_publication", None),
    )
    statement = str(query.compile(dialect=store.engine.dialect, compile_kwargs={"literal_binds": True}))
    with store.write() as writer:
        if store.dialect == "postgresql":
            writer.exec_driver_sql("ANALYZE command_queue")
            plan = str(writer.exec_driver_sql(f"EXPLAIN {statement}").all())
            assert "Seq Scan on command_queue" not in plan, plan
        else:
            plan = str(writer.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all())
        assert index in plan, plan
