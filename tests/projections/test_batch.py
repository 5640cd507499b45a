"""State, decision and position commit together or not at all; a second owner, a duplicate and a rule that raises change
nothing.
"""

import pytest
from msgspec.structs import replace

from domain.decisions import Decision
from domain.state import KINDS, Balance, Payment
from projections.state import batch as batches
from projections.state.batch import OwnedPartition, event_digest, take
from projections.store.errors import StoreFenced
from projections.store.store import Store
from projections.work.halts import Halts
from projections.work.outbox import Outbox
from projections.work.queue import Queue
from tests.support import batch_records as make
from tests.support.statements import noted


def _fold(own: OwnedPartition, numbers: range, *, commit: bool = True) -> None:
    """One payment row and one counter per event."""
    with own.batch(own.position) as batch:
        events = [make.event(number) for number in numbers]
        batch.prepare(events)
        for offset, event in zip(numbers, events, strict=True):
            state = batch.state(event.connection)
            state.payments[event.data.id] = Payment(event.data.id, amount_minor=1000, currency="GBP", read=True)
            held = state.balances.get("clearing:GBP")
            total = 1000 + (held.amount_minor if held else 0)
            state.balances["clearing:GBP"] = Balance("clearing:GBP", "clearing", "GBP", total)
            batch.record(offset, event, make.decision(event, entries=(make.entry(f"le-{offset}"),)))
        if commit:
            batch.commit(numbers.stop)


def _total(store: Store) -> int:
    with store.read() as reader:
        return int(reader.exec_driver_sql("SELECT coalesce(sum(amount_minor), 0) FROM balances").scalar() or 0)


def test_everything_is_written_with_the_position(store: Store, rows_in) -> None:
    own = take(store, "core", "events", 3)
    assert own.position == 0
    _fold(own, range(5))
    counts = {name: rows_in(name) for name in ("payments", "event_ids", "ledger_entries", "ledger_lines", "outbox")}
    assert counts == {"payments": 5, "event_ids": 5, "ledger_entries": 5, "ledger_lines": 10, "outbox": 5}
    assert _total(store) == 5000
    assert take(store, "core", "events", 3).position == 5
    assert take(store, "core", "events", 2).position == 0


def test_a_batch_that_is_not_committed_leaves_nothing_and_the_cache_is_right(store: Store, rows_in) -> None:
    own = take(store, "core", "events", 0)
    _fold(own, range(2))
    _fold(own, range(2, 4), commit=False)
    assert (rows_in("event_ids"), own.position, _total(store)) == (2, 2, 2000)
    _fold(own, range(2, 4))
    assert _total(store) == 4000


def test_an_error_in_the_commit_leaves_nothing_and_the_cache_is_right(store: Store, rows_in) -> None:
    own = take(store, "core", "events", 0)
    _fold(own, range(2))

    def fail(statement: str, _parameters: object) -> None:
        if "ledger_lines" in statement:
            raise OSError("failpoint")

    with noted(store, fail), pytest.raises(OSError, match="failpoint"):
        _fold(own, range(2, 4))
    assert (rows_in("event_ids"), own.position, _total(store)) == (2, 2, 2000)
    _fold(own, range(2, 4))
    assert _total(store) == 4000


def test_a_second_owner_fences_the_first(store: Store, rows_in) -> None:
    first = take(store, "core", "events", 0)
    _fold(first, range(2))
    second = take(store, "core", "events", 0)
    assert (second.position, second.epoch) == (2, first.epoch + 1)
    with pytest.raises(StoreFenced, match="taken this partition"):
        _fold(first, range(2, 4))
    assert rows_in("event_ids") == 2
    assert first.states == {}
    _fold(second, range(2, 4))
    assert _total(store) == 4000


def test_the_second_owner_reads_what_the_first_wrote_after_it_began(store: Store) -> None:
    first = take(store, "core", "events", 0)
    second = take(store, "core", "events", 0)
    _fold(second, range(3))
    with first.batch(0) as batch:
        assert batch.known(make.event(1))
        with pytest.raises(StoreFenced):
            batch.commit(3)
    assert _total(store) == 3000


def test_a_batch_begins_at_the_stored_position(store: Store) -> None:
    own = take(store, "core", "events", 0, start=7)
    assert own.position == 7
    for wrong in (6, 8):
        with pytest.raises(StoreFenced, match="seek"), own.batch(wrong):
            pass
    with own.batch(7) as batch, pytest.raises(ValueError, match="never goes back"):
        batch.commit(6)


def test_a_batch_is_committed_once(store: Store) -> None:
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        batch.commit(1)
        with pytest.raises(RuntimeError, match="once"):
            batch.commit(2)


def test_state_is_not_used_outside_of_its_batch(store: Store) -> None:
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        state = batch.state("acme")
    with pytest.raises(RuntimeError, match="outside"):
        state.payments.get("PM1")


def test_duplicates_are_known_from_before_and_from_the_same_batch(store: Store) -> None:
    own = take(store, "core", "events", 0)
    _fold(own, range(2))
    with own.batch(2) as batch:
        old, new, elsewhere = make.event(1), make.event(9), make.event(1, connection="other")
        batch.prepare([old, new])
        assert (batch.known(old), batch.known(new), batch.known(elsewhere)) == (True, False, False)
        batch.record(2, new)
        assert batch.known(new)
        with pytest.raises(ValueError, match="recorded before"):
            batch.record(3, new)
        assert batch.known_ids("acme", ["EV000000", "EV000009", "EV000777"]) == {"EV000000", "EV000009"}


def test_a_poll_can_ask_what_was_processed(store: Store) -> None:
    _fold(take(store, "core", "events", 0), range(2))
    assert batches.processed(store, "acme", ["EV000001", "EV000002"]) == {"EV000001"}
    assert batches.processed(store, "other", ["EV000001"]) == set()
    assert batches.processed(store, "acme", []) == set()


def test_a_digest_keeps_connection_and_id_apart() -> None:
    assert event_digest("a", "bc") != event_digest("ab", "c")
    assert len(event_digest("a", "b")) == 16


def test_the_decision_must_be_the_events_own(store: Store) -> None:
    own = take(store, "core", "events", 0)
    wrong = make.decision(make.event(2), entries=(make.entry("le-1"),))
    with own.batch(0) as batch, pytest.raises(ValueError, match="handed over"):
        batch.record(0, make.event(1), wrong)


def test_an_empty_decision_leaves_only_the_events_id(store: Store, rows_in) -> None:
    own = take(store, "core", "events", 0)
    event = make.event(1)
    with own.batch(0) as batch:
        batch.record(0, event, Decision(event.id, "acme", make.NOW))
        batch.commit(1)
    assert (rows_in("event_ids"), rows_in("outbox")) == (1, 0)


def test_a_rule_that_raises_takes_back_its_own_changes_only(store: Store) -> None:
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        state = batch.state("acme")
        state.payments["PM1"] = Payment("PM1", status="first")
        batch.record(0, make.event(1))
        state.payments["PM1"] = Payment("PM1", status="half done")
        state.payments["PM2"] = Payment("PM2")
        state.payments["PM1"] = Payment("PM1", status="half done twice")
        batch.freeze("acme", 1, "EV000002", "rule raised KeyError", make.NOW)
        assert batch.frozen("acme")
        assert (state.payments["PM1"].status, "PM2" in state.payments) == ("first", False)
        batch.state("other").payments["PM3"] = Payment("PM3")
        batch.record(2, make.event(3, connection="other"))
        batch.commit(3)
    assert [(one.connection, one.since_offset) for one in Halts(store).set_aside()] == [("acme", 1)]
    again = take(store, "core", "events", 0)
    assert again.frozen == own.frozen == {"acme": 1}
    with again.batch(3) as batch:
        assert batch.frozen("acme")
        assert not batch.frozen("other")
        assert batch.state("acme").payments["PM1"].status == "first"
        batch.record(1, make.event(2))
        batch.release("acme")
        assert not batch.frozen("acme")
        batch.commit(3)
    assert Halts(store).set_aside() == []
    assert again.frozen == {}


def test_changes_without_a_record_are_not_committed(store: Store, rows_in) -> None:
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        batch.state("acme").payments["PM1"] = Payment("PM1")
        batch.commit(1)
    assert rows_in("payments") == 0


def test_a_recorded_decision_is_not_published_again_and_its_commands_are_unknown(store: Store, rows_in) -> None:
    own = take(store, "core", "events", 0)
    event = make.event(1)
    with own.batch(0) as batch:
        batch.record(0, event, make.decision(event, commands=(make.command("cm-1"),)), recorded=True)
        batch.commit(1)
    assert rows_in("outbox") == 0
    queued = Queue(store).get("acme", "cm-1")
    assert queued is not None
    assert (queued.state, queued.due_at) == ("unknown", make.NOW)


def test_a_command_that_stands_for_one_that_was_given_up_ends_it(store: Store) -> None:
    own = take(store, "core", "events", 0)
    with own.batch(0) as batch:
        asked, again = make.event(0), make.event(2)
        batch.record(0, asked, make.decision(asked, commands=(make.command("cm-1"), make.command("cm-2"))))
        batch.record(1, make.outcome(1, "cm-1", "parked"))
        later = replace(make.command("cm-3"), supersedes="cm-1")
        batch.record(2, again, make.decision(again, commands=(later,)))
        batch.commit(3)
    found = {name: Queue(store).get("acme", name) for name in ("cm-1", "cm-2", "cm-3")}
    assert {name: one.state for name, one in found.items() if one is not None} == {
        "cm-1": "done",
        "cm-2": "waiting_publication",
        "cm-3": "waiting_publication",
    }


def test_outcomes_end_commands_and_a_resend_waits_for_publication(store: Store) -> None:
    own = take(store, "core", "events", 0)
    first, second = make.event(1), make.event(2)
    queue, outbox = Queue(store), Outbox(store)

    def states() -> dict[str, str]:
        found = {name: queue.get("acme", name) for name in ("cm-1", "cm-2")}
        return {name: one.state for name, one in found.items() if one}

    with own.batch(0) as batch:
        batch.record(0, first, make.decision(first, commands=(make.command("cm-1"), make.command("cm-2"))))
        batch.record(1, make.outcome(1, "cm-1"))
        batch.record(2, make.outcome(2, "cm-2", "parked"))
        batch.record(3, make.outcome(3, "cm-1", "parked"))
        batch.commit(4)
    assert states() == {"cm-1": "done", "cm-2": "parked"}
    with own.batch(4) as batch:
        batch.record(4, second, make.decision(second, resends=("cm-2",)))
        batch.commit(5)
    assert states() == {"cm-1": "done", "cm-2": "waiting_publication"}
    outbox.mark_published(outbox.unpublished(0, 10))
    assert states() == {"cm-1": "done", "cm-2": "ready"}


def test_deleted_rows_are_gone_and_may_come_back(store: Store, rows_in) -> None:
    own = take(store, "core", "events", 0)
    for number, wanted in enumerate([Payment("PM1"), None, Payment("PM1", status="again")]):
        with own.batch(number) as batch:
            payments = batch.state("acme").payments
            if wanted is None:
                del payments["PM1"]
            else:
                payments["PM1"] = wanted
            batch.record(number, make.event(number))
            batch.commit(number + 1)
        assert rows_in("payments") == (wanted is not None)


def test_statements_do_not_grow_with_the_events_of_a_batch(store: Store) -> None:
    own = take(store, "core", "events", 0)
    seen: list[str] = []
    with noted(store, lambda statement, _: seen.append(statement)):
        _fold(own, range(3))
        few = len(seen)
        seen.clear()
        _fold(own, range(3, 203))
    assert len(seen) == few < 12


def test_the_cache_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CACHED_ROWS", 10)
    own = take(store, "core", "events", 0)
    for start in range(0, 60, 6):
        _fold(own, range(start, start + 6))
    kept = sum(
        len(mapping._recent) + len(mapping._old) for state in own.states.values() for mapping in state.mappings.values()
    )
    assert kept <= 30
    assert _total(store) == 60_000


def test_no_hot_statement_reads_a_whole_table(sqlite_url: str) -> None:
    from projections.store.store import open_store

    with open_store(sqlite_url) as store:
        store._compiled = {}
        own = take(store, "core", "events", 0)
        _fold(own, range(2))
        command_event, resend = make.event(50), make.event(51)
        with own.batch(2) as batch:
            for kind in KINDS:
                batch.rows("acme").preload(kind, [f"k{number}" for number in range(40)])
                batch.state("acme").mapping(kind).get("k")
            batch.state("acme").payments.pop("PM000000")
            batch.record(2, command_event, make.decision(command_event, commands=(make.command("cm-1"),)))
            batch.record(3, make.outcome(1, "cm-1"))
            batch.record(4, resend, make.decision(resend, resends=("cm-1",)))
            batch.freeze("acme", 5, "EV", "raised", make.NOW)
            batch.commit(5)
        with own.batch(5) as batch:
            batch.release("acme")
            batch.commit(5)
        outbox = Outbox(store)
        outbox.mark_published(outbox.unpublished(0, 10))
        with store.read() as reader:
            plans = {}
            for name, text in store._compiled.items():
                parameters = tuple(0 for _ in range(text.count("?")))
                plans[name] = [row[3] for row in reader.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters)]
    assert {
        "advance",
        "known 16",
        "queue end",
        "queue resend",
        "queue publish 16",
        "published 16",
        "delete payments",
    } <= set(plans)
    assert {
        name: plan for name, plan in plans.items() if any("SCAN" in step or "TEMP B-TREE" in step for step in plan)
    } == {}
