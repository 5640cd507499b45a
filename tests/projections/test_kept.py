"""What outlives a rebuild: sealed credentials, budgets, polls."""

from projections.store.store import Store
from projections.work.budgets import Budgets
from projections.work.polls import Poll, Polls
from projections.work.secrets import Secrets


def test_sealed_bytes_come_back_as_they_were(store: Store) -> None:
    secrets = Secrets(store)
    assert secrets.get("acme", "token") is None
    secrets.put("acme", "token", b"\x00\xffold")
    secrets.put("acme", "token", b"\x00\xffnew")
    secrets.put("other", "token", b"x")
    assert secrets.get("acme", "token") == b"\x00\xffnew"
    assert secrets.names() == [("acme", "token"), ("other", "token")]
    secrets.delete("acme", "token")
    assert secrets.get("acme", "token") is None


def test_budgets_are_kept(store: Store) -> None:
    budgets = Budgets(store)
    assert budgets.get("acme", "zoho") is None
    budgets.put("acme", "zoho", '{"day":1}')
    budgets.put("acme", "zoho", '{"day":2}')
    assert budgets.get("acme", "zoho") == '{"day":2}'


def test_a_poll_advances_with_the_digests_of_its_rows(store: Store) -> None:
    polls = Polls(store)
    assert polls.get("acme", "zoho.invoices") == Poll("acme", "zoho.invoices")
    poll = Poll("acme", "zoho.invoices", "2", "2026-03-02T09:00:00.000Z", "d1", "")
    seen = {f"{number}": b"%016d" % number for number in range(20)}
    polls.save(poll, seen)
    polls.save(Poll("acme", "gocardless.events", due_at="2026-03-01T09:00:00.000Z"))
    assert polls.get("acme", "zoho.invoices") == poll
    assert [one.kind for one in polls.all()] == ["gocardless.events", "zoho.invoices"]
    assert polls.digests("acme", "zoho.invoices", ["1", "19", "77"]) == {"1": seen["1"], "19": seen["19"]}
    assert polls.digests("other", "zoho.invoices", ["1"]) == {}
    polls.save(poll, {"1": b"changed_in_zoho_"})
    assert polls.digests("acme", "zoho.invoices", ["1", "2"]) == {"1": b"changed_in_zoho_", "2": seen["2"]}
