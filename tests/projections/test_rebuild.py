"""A rebuild gives the same projections as the run it repeats, fences the past off, and lets nothing be sent before a
look.
"""

from pathlib import Path

import pytest

from domain.decisions import Decision
from domain.envelope import Event
from domain.state import Balance, Payment, State
from projections.state import rebuild as rebuilds
from projections.state.batch import take
from projections.state.rebuild import Rebuild, compare
from projections.store.errors import StoreFenced, StoreIsBackup
from projections.store.store import Store, open_store
from projections.work.halts import Halts
from projections.work.outbox import Outbox
from projections.work.queue import Queue
from projections.work.secrets import Secrets
from tests.support import batch_records as make

Logged = list[tuple[int, Event, Decision | None]]


def _evolve(state: State, event: Event) -> None:
    key = getattr(event.data, "id", "") or event.data.command
    state.payments[key] = Payment(key, booked=1)
    if key.endswith("3"):
        del state.payments[key]
    held = state.balances.get("clearing:GBP")
    state.balances["clearing:GBP"] = Balance("clearing:GBP", "clearing", "GBP", 1 + (held.amount_minor if held else 0))


def _log(count: int) -> Logged:
    """Events of two connections, every third with a command, every seventh the outcome of one, one of them twice."""
    found: Logged = []
    for number in range(count):
        connection = "acme" if number % 2 else "other"
        event = make.event(number, connection)
        decision = None
        if number % 3 == 0:
            decision = make.decision(
                event, commands=(make.command(f"cm-{number}"),), entries=(make.entry(f"le-{number}"),)
            )
        elif number % 7 == 0:
            asked = next(offset for offset in range(number, -1, -1) if offset % 3 == 0 and offset % 2 == number % 2)
            event = make.outcome(number, f"cm-{asked}", "parked" if number % 14 else "succeeded", connection)
        found.append((number, event, decision))
    found.append((count, found[5][1], None))
    return found


@pytest.fixture
def live(store: Store) -> tuple[Store, Logged]:
    log = _log(100)
    own = take(store, "core", "events", 0)
    for start in range(0, len(log), 16):
        part = log[start : start + 16]
        with own.batch(start) as batch:
            for offset, event, decision in part:
                if not batch.known(event):
                    _evolve(batch.state(event.connection), event)
                    batch.record(offset, event, decision)
            batch.commit(part[-1][0] + 1)
    outbox = Outbox(store)
    outbox.mark_published(outbox.unpublished(0, 1000))
    return store, log


def _repeat(store: Store, log: Logged) -> None:
    with Rebuild(store, "core", "events", make.NOW) as rebuild:
        for start in range(0, len(log), 30):
            rebuild.prepare([event for _, event, _ in log[start : start + 30]])
            for offset, event, decision in log[start : start + 30]:
                if not rebuild.known(event) and not rebuild.frozen(event.connection, offset):
                    _evolve(rebuild.state(event.connection), event)
                    rebuild.record(0, offset, event, decision)
        rebuild.finish({0: len(log)}, {0: 99})


def test_a_rebuild_elsewhere_is_equal(live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, log = live
    monkeypatch.setattr(rebuilds, "_FLUSH_EVENTS", 40)
    monkeypatch.setattr(rebuilds, "_WRITE_ROWS", 7)
    with open_store(f"sqlite:///{tmp_path / 'again.db'}") as again:
        _repeat(again, log)
        assert compare(store, again) == []
        own = take(again, "core", "events", 0)
        assert (own.position, Outbox(again).last_published(0), Outbox(again).backlog()) == (101, 99, {})


def test_compare_names_each_row_that_differs(live, tmp_path: Path) -> None:
    store, log = live
    with open_store(f"sqlite:///{tmp_path / 'again.db'}") as again:
        _repeat(again, log)
        with again.write() as connection:
            connection.exec_driver_sql("UPDATE balances SET amount_minor = amount_minor + 1 WHERE connection = 'acme'")
            connection.exec_driver_sql("DELETE FROM payments WHERE id = 'PM000001'")
            connection.exec_driver_sql("INSERT INTO purposes (connection, id, count) VALUES ('zzz', 'p', 1)")
        found = {(one.table, one.key): (one.left is not None, one.right is not None) for one in compare(store, again)}
        assert found == {
            ("payments", ("acme", "PM000001")): (True, False),
            ("balances", ("acme", "clearing:GBP")): (True, True),
            ("purposes", ("zzz", "p")): (False, True),
        }
        assert len(compare(store, again, limit=2)) == 2


def test_a_rebuild_in_place_fences_owners_and_makes_commands_unknown(live) -> None:
    store, log = live
    Secrets(store).put("acme", "token", b"sealed")
    owner = take(store, "core", "events", 0)
    ended = {key: count for key, count in Queue(store).counts().items() if key[2] in ("done", "parked")}
    assert sum(ended.values()) == 10
    _repeat(store, log)
    with owner.batch(owner.position) as batch, pytest.raises(StoreFenced):
        batch.commit(owner.position)
    counts = Queue(store).counts()
    assert {key: count for key, count in counts.items() if key[2] in ("done", "parked")} == ended
    assert {state for _, _, state in counts} == {"done", "parked", "unknown"}
    assert {(one.connection, one.api, one.reason) for one in Halts(store).catch_ups()} == {
        (connection, api, "rebuilt") for connection in ("acme", "other") for api in ("gocardless", "zoho")
    }
    assert Queue(store).claim(make.NOW, "acme", "zoho", 10) == []
    assert Secrets(store).get("acme", "token") == b"sealed"


def test_a_rebuild_that_broke_off_is_begun_again(live, url: str) -> None:
    store, log = live
    with Rebuild(store, "core", "events", make.NOW) as rebuild:
        rebuild.prepare([log[0][1]])
        rebuild.record(0, 0, log[0][1], None)
    with pytest.raises(StoreIsBackup):
        open_store(url)
    with open_store(url, rebuilding=True) as again:
        _repeat(again, log)
    with open_store(url) as whole:
        assert take(whole, "core", "events", 0).position == 101


def test_a_second_rebuild_fences_the_first(live, url: str) -> None:
    store, log = live
    first = Rebuild(store, "core", "events", make.NOW)
    with open_store(url, rebuilding=True) as other:
        _repeat(other, log)
        with pytest.raises(StoreFenced):
            first.finish({0: 0}, {})
        assert take(other, "core", "events", 0).position == 101


def test_a_connection_that_is_set_aside_stays_so(live) -> None:
    store, log = live
    own = take(store, "core", "events", 0)
    with own.batch(own.position) as batch:
        batch.freeze("acme", 50, "EV000050", "rule raised", make.NOW)
        batch.commit(own.position)
    _repeat(store, log)
    own = take(store, "core", "events", 0)
    assert own.frozen == {"acme": 50}
    with own.batch(own.position) as batch:
        assert (
            batch.known(make.event(49, "acme")),
            batch.known(make.event(51, "acme")),
            batch.known(make.event(52, "other")),
        ) == (
            False,  # an outcome had this offset
            False,
            True,
        )


def test_a_rule_that_raises_in_a_rebuild_leaves_nothing(store: Store) -> None:
    with Rebuild(store, "core", "events", make.NOW) as rebuild:
        rebuild.prepare([make.event(1)])
        rebuild.state("acme").payments["PM1"] = Payment("PM1")
        rebuild.record(0, 0, make.event(1), None)
        rebuild.state("acme").payments["PM1"] = Payment("PM1", status="half")
        rebuild.state("acme").payments["PM2"] = Payment("PM2")
        rebuild.discard()
        rebuild.finish({0: 1}, {})
    own = take(store, "core", "events", 0)
    with own.batch(1) as batch:
        assert dict(batch.state("acme").payments) == {"PM1": Payment("PM1")}
