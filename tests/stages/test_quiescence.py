"""Settled: nothing is on its way between processes, and every loop of this one has looked since. Real log, real store."""

import asyncio
from types import SimpleNamespace

import pytest

from projections.store.errors import StoreFenced, StoreUnavailable
from projections.store.tables import outbox, positions
from streams.log.interface import LogCorrupt, LogUnavailable, TopicPartition
from streams.process.quiescence import Quiescence
from streams.stages.activity import Activity, Wakeups

DELIVERIES = "deliveries.gocardless"


class Other:
    """A second process of the installation: two loops, and its own `Quiescence`. Use it as a context."""

    def __init__(self, company):
        self.company = company
        self.activity = Activity(company.clock)
        self.wakeups = Wakeups(self.activity)
        self.quiescence = Quiescence(company.log, company.topics, company.store, self.wakeups)
        self.turns = {"clock": 0, "executor.zoho": 0}
        self._loops = []

    def _turn(self, name):
        async def turn():
            self.turns[name] += 1

        return turn

    async def __aenter__(self):
        self._loops = [asyncio.create_task(self.wakeups.loop(name, self._turn(name))) for name in self.turns]
        await self.until_quiet()
        return self

    async def __aexit__(self, *exc):
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def until_quiet(self):
        for _ in range(5):
            await asyncio.sleep(0)
        assert self.activity.quiet()

    async def looked(self):
        """Fingerprint, after one turn of every loop that settling asks for."""
        before = dict(self.turns)
        assert await self.quiescence() is None
        assert not self.quiescence.under_way
        assert not self.activity.quiet(), "loops are to look"
        await self.until_quiet()
        assert self.turns == {name: count + 1 for name, count in before.items()}
        found = await self.quiescence()
        assert found is not None
        return found


@pytest.fixture
async def other(company):
    async with Other(company) as made:
        yield made


def at(company, stage, tp, offset, epoch=1):
    """Write how far a stage has come."""
    with company.store.write() as connection:
        row = (stage, tp.topic, tp.partition, offset, company.store.generation, epoch)
        connection.exec_driver_sql(company.store.upsert(positions), row)


async def delivered(company):
    """A delivery, as the gateway appends it."""
    return (await company.log.append([company.webhook(b"{}")]))[0]


async def test_an_empty_installation_is_quiet_once_its_loops_have_looked(other):
    found = await other.looked()
    assert await other.quiescence() == found
    assert other.activity.quiet()
    assert other.turns == {"clock": 2, "executor.zoho": 2}


async def test_two_processes_that_see_the_same_say_the_same(company, other):
    async with Other(company) as second:
        assert await other.looked() == await second.looked()


async def test_a_process_without_loops_has_nothing_that_must_look(company, other):
    wakeups = Wakeups(Activity(company.clock))
    assert await Quiescence(company.log, company.topics, company.store, wakeups)() == await other.looked()


async def test_every_delivery_must_be_translated(company, other):
    before = await other.looked()
    place = await delivered(company)
    assert await other.quiescence() is None
    assert other.quiescence.under_way == f"{DELIVERIES}/{place.partition}"
    assert other.activity.quiet(), "nothing is to be looked at before it has arrived"
    at(company, "translate", place.tp, 1)
    after = await other.looked()
    assert after != before


async def test_every_event_must_be_decided(company, other):
    before = await other.looked()
    (place,) = await company.context.tell(company.seen("PM1"))
    assert await other.quiescence() is None
    assert other.quiescence.under_way == f"events/{place.partition}"
    await company.decide()
    # Decided, and not published: the outbox says so.
    assert await other.quiescence() is None
    assert other.quiescence.under_way == "outbox"
    with company.store.write() as connection:
        connection.execute(outbox.delete())
    assert await other.looked() != before


async def test_a_publication_is_something_to_look_at(company, other):
    before = await other.looked()
    record = company.webhook(b"{}")
    await company.log.append([type(record)(topic=company.topics.decisions.name, key=b"acme", value=b"{}")])
    assert await other.looked() != before


async def test_other_stages_and_topics_do_not_matter(company, other):
    found = await other.looked()
    at(company, "look", TopicPartition(company.topics.events.name, 0), 7)
    at(company, "core", TopicPartition("of-another-prefix.events", 0), 7)
    assert await other.quiescence() == found


async def test_a_new_owner_of_a_partition_is_something_to_look_at(company, other):
    place = await delivered(company)
    at(company, "translate", place.tp, 1)
    tp = TopicPartition(company.topics.events.name, 0)
    at(company, "core", tp, 0, epoch=1)
    before = await other.looked()
    at(company, "core", tp, 0, epoch=2)
    assert await other.looked() != before


async def test_what_changes_while_loops_look_is_looked_at_again(company, other):
    assert await other.quiescence() is None
    place = await delivered(company)
    at(company, "translate", place.tp, 1)
    await other.until_quiet()
    await other.looked()
    assert other.turns == {"clock": 3, "executor.zoho": 3}


async def test_a_publication_between_the_two_reads_is_still_on_its_way(company, other):
    """The store is read first: else the log as it was before would be told beside the store as it is after."""
    await company.context.tell(company.seen("PM1"))
    await company.decide()
    log = company.log

    class Meanwhile:
        async def end_offsets(self, tps):
            ends = await log.end_offsets(tps)
            with company.store.write() as connection:
                connection.execute(outbox.delete())
            return ends

    quiescence = Quiescence(Meanwhile(), company.topics, company.store, other.wakeups)
    assert await quiescence() is None
    assert quiescence.under_way == "outbox"
    assert other.activity.quiet()


def failing(company, wakeups, *, log=None, store=None):
    """A `Quiescence` whose log or store raises."""

    async def end_offsets(_tps):
        raise log

    def read():
        raise store

    broken = SimpleNamespace(end_offsets=end_offsets) if log else company.log
    return Quiescence(broken, company.topics, SimpleNamespace(read=read) if store else company.store, wakeups)


@pytest.mark.parametrize(
    "error",
    [
        {"log": LogUnavailable("no leader", "events/0", "wait")},
        {"store": StoreUnavailable("gone", "the store", "try again")},
    ],
    ids=["log", "store"],
)
async def test_what_cannot_be_read_just_now_is_not_quiet(company, other, error):
    quiescence = failing(company, other.wakeups, **error)
    assert await quiescence() is None
    assert quiescence.under_way == type(*error.values()).__name__


@pytest.mark.parametrize(
    "error",
    [{"log": LogCorrupt("torn", "events/0", "restore")}, {"store": StoreFenced("rebuilt", "the store", "restart")}],
)
async def test_what_can_never_be_read_is_raised(company, other, error):
    with pytest.raises(type(*error.values())):
        await failing(company, other.wakeups, **error)()
