"""Whoever lost a partition, or works in an older generation, writes nothing: shown with owners that are alive at the
same time.
"""

import threading
from collections.abc import Callable

import pytest

from domain.state import Balance, Payment
from projections.state.batch import OwnedPartition, take
from projections.state.rebuild import Rebuild, compare
from projections.store.errors import StoreFenced, StoreUnavailable
from projections.store.store import Store, open_store
from projections.work.outbox import Outbox
from projections.work.queue import Queue
from tests.support import batch_records as make

END = 60


def _fold(own: OwnedPartition, count: int) -> None:
    """Decide the next events: a row, a sum, an entry and a command each."""
    begin, end = own.position, min(own.position + count, END)
    with own.batch(begin) as batch:
        events = [(offset, make.event(offset)) for offset in range(begin, end)]
        batch.prepare([event for _, event in events])
        for offset, event in events:
            if batch.known(event):
                continue
            _evolve(batch.state("acme"), event.data.id)
            made = make.decision(event, commands=(make.command(f"cm-{offset}"),), entries=(make.entry(f"le-{offset}"),))
            batch.record(offset, event, made)
        batch.commit(end)


def _evolve(state, key: str) -> None:
    state.payments[key] = Payment(key, amount_minor=1000, currency="GBP")
    held = state.balances.get("clearing:GBP")
    state.balances["clearing:GBP"] = Balance(
        "clearing:GBP", "clearing", "GBP", 1000 + (held.amount_minor if held else 0)
    )


def _rebuild(store: Store) -> None:
    with Rebuild(store, "core", "events", make.NOW) as rebuild:
        events = [(offset, make.event(offset)) for offset in range(END)]
        rebuild.prepare([event for _, event in events])
        for offset, event in events:
            _evolve(rebuild.state("acme"), event.data.id)
            made = make.decision(event, commands=(make.command(f"cm-{offset}"),), entries=(make.entry(f"le-{offset}"),))
            rebuild.record(0, offset, event, made)
        rebuild.finish({0: END}, {0: END - 1})


@pytest.fixture
def as_it_should_be(tmp_path):
    """The store that the log of these tests gives."""
    with open_store(f"sqlite:///{tmp_path / 'right.db'}") as right:
        _rebuild(right)
        yield right


@pytest.fixture
def equal(as_it_should_be) -> Callable[[Store], bool]:
    return lambda store: compare(store, as_it_should_be) == []


def test_of_two_live_owners_each_batch_is_written_by_one(url: str, equal) -> None:
    """They pass the partition to and fro; whoever is behind is refused, and its caches are worth nothing any more."""
    with open_store(url) as one, open_store(url) as other:
        owners = [take(one, "core", "events", 0), take(other, "core", "events", 0)]
        refused = 0
        while max(own.position for own in owners) < END:
            for place, store in enumerate((one, other)):
                try:
                    _fold(owners[place], 3)
                except StoreFenced:
                    refused += 1
                    owners[place] = take(store, "core", "events", 0)
                    _fold(owners[place], 3)
        assert refused >= END // 6
        assert equal(one)


def test_two_owners_in_parallel_write_everything_once(url: str, equal) -> None:
    written, refused = [0, 0], [0, 0]
    together = threading.Barrier(2)

    def work(place: int) -> None:
        with open_store(url) as store:
            own = take(store, "core", "events", 0)
            together.wait()  # both have taken it now, so one of them is fenced off, however the threads are run
            while own.position < END:
                begin = own.position
                try:
                    _fold(own, 1)
                    written[place] += own.position - begin
                except StoreFenced:
                    refused[place] += 1
                    own = take(store, "core", "events", 0)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(written) == END
    assert sum(refused) >= 1
    with open_store(url) as store:
        assert equal(store)


def test_two_that_take_a_new_partition_at_once_both_get_it_in_turn(url: str) -> None:
    epochs: list[int] = []
    together = threading.Barrier(4)

    def work() -> None:
        with open_store(url) as store:
            together.wait()
            epochs.append(take(store, "core", "events", 7).epoch)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(epochs) == [1, 2, 3, 4]


def test_a_rebuild_beside_a_live_worker_refuses_its_next_commit(url: str, equal, rows_in) -> None:
    with open_store(url) as at_work, open_store(url) as rebuilding:
        own = take(at_work, "core", "events", 0)
        _fold(own, 20)
        outbox = Outbox(at_work)
        pending = outbox.unpublished(0, 100)
        with own.batch(own.position) as batch:
            event = make.event(20)
            _evolve(batch.state("acme"), event.data.id)
            batch.record(20, event, make.decision(event, commands=(make.command("cm-20"),)))
            _rebuild(rebuilding)
            with pytest.raises(StoreFenced):
                batch.commit(21)
        with pytest.raises(StoreFenced):
            outbox.mark_published(pending)
        with pytest.raises(StoreFenced):
            take(at_work, "core", "events", 0)
        assert equal(rebuilding)
        assert rows_in("outbox") == 0
        assert {state for _, _, state in Queue(rebuilding).counts()} == {"unknown"}
        assert take(rebuilding, "core", "events", 0).position == END


def test_a_rebuild_while_a_worker_commits_in_parallel_leaves_what_the_log_says(url: str, equal) -> None:
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        with open_store(url) as store:
            own = take(store, "core", "events", 0)
            try:
                while own.position < END - 1:
                    _fold(own, 1)
                    begun.set()
            except (StoreFenced, StoreUnavailable):
                ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(10)
    with open_store(url) as store:
        _rebuild(store)
        thread.join()
        assert equal(store)
        assert ended.is_set() or store.dialect == "sqlite"


def test_a_second_rebuild_refuses_the_first(url: str, equal) -> None:
    with open_store(url) as one, open_store(url) as other:
        first = Rebuild(one, "core", "events", make.NOW)
        event = make.event(0)
        first.prepare([event])
        _evolve(first.state("acme"), event.data.id)
        first.record(0, 0, event, None)
        _rebuild(other)
        with pytest.raises(StoreFenced):
            first.finish({0: 1}, {})
        assert equal(other)
