"""A store that is older than the log's decisions: found in whatever partition, dealt with once, and nothing is sent
before a look.
"""

from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from projections.state.batch import OwnedPartition, take
from projections.state.store_behind_log import went_back
from projections.store.errors import StoreFenced
from projections.store.store import Store, open_store
from projections.work.halts import Halts
from projections.work.outbox import Outbox
from projections.work.queue import Queue
from tests.support import batch_records as make

LATER = "2026-03-02T10:00:00.000Z"


def _decide(own: OwnedPartition, count: int, connection: str = "acme") -> None:
    with own.batch(own.position) as batch:
        state = batch.state(connection)
        state.connections[connection] = state.own
        for offset in range(own.position, own.position + count):
            event = make.event(offset, connection)
            batch.record(offset, event, make.decision(event, commands=(make.command(f"cm-{offset}"),)))
        batch.commit(own.position + count)


def _required(store: Store) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in Halts(store).catch_ups():
        assert one.reason == "restored"
        found.setdefault(one.connection, set()).add(one.required_at)
    return found


def test_what_may_be_forgotten_is_looked_up_first(store: Store) -> None:
    own = take(store, "core", "events", 0)
    _decide(own, 3)
    outbox = Outbox(store)
    outbox.mark_published(outbox.unpublished(0, 2))
    assert len(Queue(store).claim(make.NOW, "acme", "zoho", 9)) == 2
    generation = store.generation
    assert went_back(own, 5, ["acme", "newcomer"], LATER)
    assert own.generation == store.generation != generation
    assert _required(store) == {"acme": {LATER}, "newcomer": {LATER}}
    assert Queue(store).counts() == {("acme", "zoho", "unknown"): 2, ("acme", "zoho", "waiting_publication"): 1}
    assert Queue(store).claim(LATER, "acme", "zoho", 9) == []


def test_the_log_is_not_ahead_of_the_store(store: Store) -> None:
    own = take(store, "core", "events", 0)
    _decide(own, 3)
    generation = store.generation
    assert not went_back(own, 2, ["acme"], LATER)
    assert not went_back(own, -1, [], LATER)
    assert (store.generation, _required(store)) == (generation, {})


def test_who_finds_it_goes_on_and_all_others_are_fenced(url: str) -> None:
    with open_store(url) as finder, open_store(url) as other:
        elsewhere = take(other, "core", "events", 2)
        _decide(elsewhere, 1, "third")
        mine = take(finder, "core", "events", 1)
        _decide(mine, 2, "second")
        found = take(finder, "core", "events", 0)
        lost = take(finder, "core", "events", 3)
        take(other, "core", "events", 3)
        assert went_back(found, 7, ["acme"], LATER, [found, mine, lost])
        _decide(found, 4)
        _decide(mine, 2, "second")
        Outbox(finder).mark_published(Outbox(finder).unpublished(0, 9))
        for fenced in (elsewhere, lost):
            with pytest.raises(StoreFenced):
                _decide(fenced, 1, "third")
        with pytest.raises(StoreFenced):
            take(other, "core", "events", 2)
        with pytest.raises(StoreFenced):
            Outbox(other).mark_published(Outbox(other).unpublished(2, 9))
        assert (take(finder, "core", "events", 0).position, take(finder, "core", "events", 1).position) == (4, 4)


def test_it_is_dealt_with_once(url: str) -> None:
    """The same setback is found by another partition, by the same one after a crash in the midst of catching up; a new
    one is new.
    """
    with open_store(url) as store:
        first, second = take(store, "core", "events", 0), take(store, "core", "events", 1)
        _decide(first, 2)
        assert went_back(first, 9, ["acme"], LATER, [second])
        generation = store.generation
        Halts(store).caught_up("acme", "zoho")
        Halts(store).caught_up("acme", "gocardless")
        assert not went_back(second, 4, ["acme"], LATER)
        assert _required(store) == {}
        _decide(first, 3)
    with open_store(url) as store:
        again = take(store, "core", "events", 0)
        assert (again.position, store.generation) == (5, generation)
        assert not went_back(again, 9, ["acme"], LATER)
        assert not went_back(take(store, "core", "events", 2), 3, ["unknown before"], LATER)
        assert _required(store) == {"unknown before": {LATER}}
        assert store.generation == generation
        assert went_back(again, 12, ["acme"], LATER)
        assert store.generation != generation


def test_of_an_owner_that_is_fenced_already_nothing_is_believed(store: Store) -> None:
    own = take(store, "core", "events", 0)
    take(store, "core", "events", 0)
    generation = store.generation
    with pytest.raises(StoreFenced):
        went_back(own, 5, ["acme"], LATER)
    assert (store.get_meta("generation"), _required(store)) == (generation, {})


# --- another copy of the data on PostgreSQL ---


@pytest.fixture
def failed_over(postgres_server: Any, postgres_url: str):
    """Puts an older copy in the place of a database, as a failover to a standby that lagged does."""
    copies: list[str] = []

    def rename(url: str, name: str) -> None:
        with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as admin:
            admin.execute(f'ALTER DATABASE "{sa.make_url(url).database}" RENAME TO "{name}"')

    class FailOver:
        def keep(self) -> None:
            """What the standby has."""
            copies.append(postgres_server.copy(postgres_url))

        def happen(self) -> None:
            name = sa.make_url(postgres_url).database
            postgres_server.drop(postgres_url)
            rename(copies[-1], name)

    return FailOver()


def test_a_database_that_failed_over_is_told_by_everyone(failed_over, postgres_url: str) -> None:
    with open_store(postgres_url, now=make.NOW) as store:
        assert not store.replaced
        own = take(store, "core", "events", 0)
        _decide(own, 2)
        outbox = Outbox(store)
        outbox.mark_published(outbox.unpublished(0, 9))
        generation = store.generation
    failed_over.keep()
    with open_store(postgres_url, now=make.NOW) as running, open_store(postgres_url, now=make.NOW) as executor:
        own = take(running, "core", "events", 0)
        _decide(own, 3)
        queue = Queue(executor)
        claims = queue.claim(make.NOW, "acme", "zoho", 9)
        failed_over.happen()
        with pytest.raises(StoreFenced, match="failed over"):
            queue.claim(make.NOW, "acme", "zoho", 9)
        with pytest.raises(StoreFenced, match="failed over"):
            _decide(own, 1)
        assert len(claims) == 2
    with open_store(postgres_url) as looking:
        assert looking.replaced
        assert (looking.generation, _required(looking)) == (generation, {})
    with open_store(postgres_url, now=LATER) as store:
        assert store.replaced
        assert store.generation != generation
        assert _required(store) == {"acme": {LATER}}
        assert Queue(store).counts() == {("acme", "zoho", "unknown"): 2}
        own = take(store, "core", "events", 0)
        assert own.position == 2
        with open_store(postgres_url, now=LATER) as second:
            assert (second.replaced, second.generation) == (False, store.generation)
            # The core finds the decisions that the log has beyond the position: that is this setback, and no other.
            assert not went_back(own, 4, ["acme"], LATER)
            assert take(second, "core", "events", 1).generation == store.generation
