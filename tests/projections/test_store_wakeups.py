"""What one process commits wakes the executors of another at once; who was deaf for a while counts as woken."""

import contextlib
from select import select
from time import monotonic

import psycopg
import pytest

from projections.state.batch import take
from projections.store import wakeups as store_wakeups
from projections.store.errors import StoreError
from projections.store.store import Store, open_store
from projections.store.wakeups import NAMES, StoreWakeups, open_wakeups
from projections.work.outbox import Outbox
from tests.support import batch_records as make
from tests.support import postgres_servers
from tests.support.servers_found import Missing


def _heard(wakeups: StoreWakeups, within_s: float = 5.0) -> set[str]:
    """What is heard until all are, or the time is up: those of one transaction may come one after the other."""
    heard: set[str] = set()
    until_s = monotonic() + within_s
    while heard != set(NAMES) and (left_s := until_s - monotonic()) > 0:
        select([wakeups.fileno()], [], [], left_s)
        heard |= wakeups.take()
    return heard


@pytest.fixture
def wakeups(stored_url: str):
    with contextlib.closing(open_wakeups(stored_url)) as opened:
        assert _heard(opened) == set(NAMES)  # it has just begun to hear
        yield opened


@pytest.fixture
def store(stored_url: str):
    with open_store(stored_url) as opened:
        yield opened


def test_a_publication_wakes_the_executors(store: Store, wakeups: StoreWakeups) -> None:
    own = take(store, "core", "events", 0)
    event = make.event(0)
    with own.batch(0) as batch:
        batch.record(0, event, make.decision(event, commands=(make.command("cm-1"),)))
        batch.commit(1)
    assert _heard(wakeups, 0.1) == set()
    outbox = Outbox(store)
    waiting = outbox.unpublished(0, 9)
    outbox.mark_published(waiting)
    assert _heard(wakeups) == set(NAMES)
    outbox.mark_published(waiting)
    assert _heard(wakeups, 0.1) == set()


def test_what_is_due_with_the_commit_wakes_them_too(store: Store, wakeups: StoreWakeups) -> None:
    own = take(store, "core", "events", 0)
    event = make.event(0)
    with own.batch(0) as batch:
        batch.record(0, event, make.decision(event, commands=(make.command("cm-1"),)), recorded=True)
        batch.commit(1)
    assert _heard(wakeups) == set(NAMES)
    with own.batch(1) as batch:
        batch.freeze("acme", 1, "EV", "raised", make.NOW)
        batch.commit(2)
    assert _heard(wakeups, 0.1) == set()
    with own.batch(2) as batch:
        batch.release("acme")
        batch.commit(2)
    assert _heard(wakeups) == set(NAMES)


def test_only_what_is_committed_wakes(store: Store, wakeups: StoreWakeups) -> None:
    with contextlib.suppress(ZeroDivisionError), store.write() as connection:
        store.wake(connection, "executor.zoho")
        raise ZeroDivisionError
    assert _heard(wakeups, 0.1) == set()
    with store.write() as connection:
        store.wake(connection, "executor.zoho")
        store.wake(connection, "unheard of")
    assert _heard(wakeups) == {"executor.zoho"}
    assert wakeups.take() == set()
    assert select([wakeups.fileno()], [], [], 0)[0] == []


def test_a_connection_that_was_lost_is_made_again_and_counts_as_rung(
    stored_url: str, store: Store, wakeups: StoreWakeups
) -> None:
    with psycopg.connect(stored_url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query = 'SELECT 1'"
        )
    assert _heard(wakeups) == set(NAMES)
    assert wakeups.connects == 2
    with store.write() as connection:
        store.wake(connection, "executor.gocardless")
    assert _heard(wakeups) == {"executor.gocardless"}


def test_a_server_that_comes_back_is_heard_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_wakeups, "_AGAIN_S", (0.02, 0.1))
    try:
        server = postgres_servers.Server.start()
    except Missing as missing:
        pytest.skip(f"no PostgreSQL to be killed here: {missing}")
    with server, contextlib.closing(open_wakeups(server.url("postgres"))) as wakeups:
        assert _heard(wakeups) == set(NAMES)
        server.kill()
        assert _heard(wakeups, 0.3) == set()
        server.up()
        assert _heard(wakeups) == set(NAMES)


def test_it_can_be_closed_while_nothing_answers_and_twice() -> None:
    wakeups = open_wakeups("postgresql://postgres@127.0.0.1:1/nowhere")
    wakeups.close()
    wakeups.close()
    assert not wakeups._thread.is_alive()


def test_sqlite_has_no_bell_and_rings_none(sqlite_url: str) -> None:
    assert open_wakeups(sqlite_url) is None
    with open_store(sqlite_url) as store, store.write() as connection:
        store.wake(connection, "executor.zoho")
    with pytest.raises(StoreError, match="not a database URL"):
        open_wakeups("nonsense")
