"""One owner per connection and API, whatever the clocks say."""

import pytest

from domain.times import add_seconds
from projections.errors import StoreFenced
from projections.leases import Leases
from projections.store import Store, open_store


def test_a_lease_has_one_owner(store: Store, url: str, make) -> None:
    with open_store(url) as other_store:
        one = Leases(store).acquire("acme", "zoho", "one", make.now, 60)
        assert one is not None
        assert (one.epoch, one.after, one.until) == (1, "", add_seconds(make.now, 60))
        others = Leases(other_store)
        assert others.acquire("acme", "zoho", "two", add_seconds(make.now, 59), 60) is None
        assert others.acquire("acme", "gocardless", "two", make.now, 60) is not None
        assert others.acquire("other", "zoho", "two", make.now, 60) is not None
        two = others.acquire("acme", "zoho", "two", add_seconds(make.now, 60), 60)
        assert two is not None
        assert (two.epoch, two.after) == (2, one.until)
        with pytest.raises(StoreFenced, match="acquire it anew"):
            Leases(store).renew(one, make.now, 60)


def test_renewing_and_releasing(store: Store, make) -> None:
    leases = Leases(store)
    one = leases.acquire("acme", "zoho", "one", make.now, 60)
    assert one is not None
    later = add_seconds(make.now, 300)
    renewed = leases.renew(one, later, 60)
    assert (renewed.until, renewed.epoch) == (add_seconds(later, 60), 1)
    leases.release(renewed, later)
    two = leases.acquire("acme", "zoho", "two", later, 60)
    assert two is not None
    assert (two.after, two.epoch) == ("", 2)
    leases.release(renewed, later)
    assert leases.renew(two, later, 60) == two


def test_taking_it_again_raises_the_epoch(store: Store, make) -> None:
    """The same process after a restart: what its former life still has under way must not pass for its own."""
    leases = Leases(store)
    before = leases.acquire("acme", "zoho", "one", make.now, 60)
    after = leases.acquire("acme", "zoho", "one", make.now, 60)
    assert before is not None
    assert after is not None
    assert after.epoch == before.epoch + 1
    with pytest.raises(StoreFenced):
        leases.renew(before, make.now, 60)
