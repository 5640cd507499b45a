"""One owner per connection and API, whatever the clocks say."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from domain.times import add_seconds
from projections.store.errors import LeaseLost, StoreFenced
from projections.store.store import Store, open_store
from projections.work.leases import Held, Lease, Leases
from tests.support import batch_records as make


@pytest.fixture
def leases(store: Store) -> Leases:
    return Leases(store, simulated=True)


@pytest.fixture
def shared_url(stored_url: str) -> str:
    """A new store on PostgreSQL, whose clock is everybody's."""
    return stored_url


def taken(found: Lease | Held) -> Lease:
    assert isinstance(found, Lease)
    return found


def test_a_lease_has_one_owner(leases: Leases, url: str) -> None:
    with open_store(url) as other_store:
        one = taken(leases.acquire("acme", "zoho", "one", make.NOW, 60))
        assert (one.epoch, one.until) == (1, add_seconds(make.NOW, 60))
        others = Leases(other_store, simulated=True)
        assert others.acquire("acme", "zoho", "two", add_seconds(make.NOW, 59), 60) == Held("one", one.until, 1)
        assert taken(others.acquire("acme", "gocardless", "two", make.NOW, 60)).epoch == 1
        assert taken(others.acquire("other", "zoho", "two", make.NOW, 60)).epoch == 1
        two = taken(others.acquire("acme", "zoho", "two", add_seconds(make.NOW, 60), 60))
        assert two.epoch == 2
        with pytest.raises(LeaseLost, match="acquire it anew"):
            leases.renew(one, make.NOW, 60)
        assert leases.acquire("acme", "zoho", "one", add_seconds(make.NOW, 61), 60) == Held("two", two.until, 59)


def test_what_is_left_of_anothers_lease_is_rounded_up(leases: Leases) -> None:
    leases.acquire("acme", "zoho", "one", "2026-03-02T09:00:00.000Z", 60)
    held = leases.acquire("acme", "zoho", "two", "2026-03-02T09:00:59.999Z", 60)
    assert isinstance(held, Held)
    assert held.left_s == 1


def test_a_lost_lease_is_a_lost_compare_and_set() -> None:
    assert issubclass(LeaseLost, StoreFenced)


def test_renewing_and_releasing(leases: Leases) -> None:
    one = taken(leases.acquire("acme", "zoho", "one", make.NOW, 60))
    later = add_seconds(make.NOW, 300)
    renewed = leases.renew(one, later, 60)
    assert (renewed.until, renewed.epoch) == (add_seconds(later, 60), 1), "it had lapsed, and nobody had taken it"
    leases.release(renewed, later)
    two = taken(leases.acquire("acme", "zoho", "two", make.NOW, 600))
    assert two.epoch == 2, "what was given back is nobody's, whatever the clock of the next says"
    leases.release(renewed, later)
    assert leases.renew(two, make.NOW, 600) == two


def test_taking_it_again_raises_the_epoch(leases: Leases) -> None:
    """The same process after a restart: what its former life still has under way must not pass for its own."""
    before = taken(leases.acquire("acme", "zoho", "one", make.NOW, 60))
    after = taken(leases.acquire("acme", "zoho", "one", make.NOW, 60))
    assert after.epoch == before.epoch + 1
    with pytest.raises(LeaseLost):
        leases.renew(before, make.NOW, 60)


def test_of_several_that_come_first_at_once_one_gets_it(url: str) -> None:
    """Also for a row that is not there yet, which nobody can lock."""
    names = [f"owner-{number}" for number in range(4)]
    stores = [open_store(url) for _ in names]
    line = threading.Barrier(len(names))

    def come(store: Store, name: str, connection: str) -> Lease | Held:
        line.wait(10)
        return Leases(store, simulated=True).acquire(connection, "zoho", name, make.NOW, 60)

    try:
        with ThreadPoolExecutor(len(names)) as threads:
            for connection in ("acme", "birch", "cedar", "dogwood", "elm"):
                found = list(threads.map(come, stores, names, [connection] * len(names)))
                (lease,) = [one for one in found if isinstance(one, Lease)]
                assert lease.epoch == 1
                assert {one.owner for one in found} == {lease.owner}
    finally:
        for store in stores:
            store.close()


# --- whose clock ------------------------------------------------------------------------------------------------------


def test_on_postgresql_the_databases_clock_counts_and_nobodys_own(shared_url: str) -> None:
    behind, ahead = "2001-01-01T00:00:00.000Z", "2099-01-01T00:00:00.000Z"
    with open_store(shared_url) as store:
        leases = Leases(store)
        one = taken(leases.acquire("acme", "zoho", "one", behind, 60))
        with store.read() as reader:
            now = reader.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
        assert one.until[:13] in {add_seconds(now.isoformat(), seconds)[:13] for seconds in (50, 60)}
        found = leases.acquire("acme", "zoho", "two", ahead, 60)
        assert isinstance(found, Held), "a clock that is decades ahead steals nothing"
        assert 0 < found.left_s <= 60
        assert leases.renew(one, ahead, 60).until < "2099"
        leases.release(one, ahead)
        assert taken(leases.acquire("acme", "zoho", "two", behind, 60)).epoch == 2, (
            "one that is ahead withholds nothing either"
        )


def test_on_postgresql_a_lease_lapses_by_the_databases_clock(shared_url: str) -> None:
    with open_store(shared_url) as store:
        leases = Leases(store)
        leases.acquire("acme", "zoho", "one", make.NOW, 0)
        assert taken(leases.acquire("acme", "zoho", "two", "2001-01-01T00:00:00.000Z", 60)).epoch == 2


def test_with_simulated_time_the_callers_clock_counts(shared_url: str) -> None:
    with open_store(shared_url) as store:
        lease = taken(Leases(store, simulated=True).acquire("acme", "zoho", "one", make.NOW, 60))
        assert (lease.until, lease.clock) == (add_seconds(make.NOW, 60), "caller")


def test_on_sqlite_the_callers_clock_counts(sqlite_url: str) -> None:
    with open_store(sqlite_url) as store:
        lease = taken(Leases(store).acquire("acme", "zoho", "one", make.NOW, 60))
        assert (lease.until, lease.clock) == (add_seconds(make.NOW, 60), "caller")
