"""Months on a cluster that take longer: two of each role, deaths by the dozen, brokers that die, the whole month."""

import asyncio

import pytest

from streams import failpoints
from streams.demo.month import Month
from tests.support import fleet, months

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


@pytest.fixture
def addresses(kafka_url, kafka_prefix, postgres_url):
    """A log and a store that several processes can share."""
    return fleet.on_cluster(kafka_url, postgres_url, prefix=kafka_prefix)


async def test_two_of_each_role_end_the_month_as_one_does(addresses, short_month, tmp_path):
    found, _ = await fleet.live_through(months.SHORT, tmp_path, addresses, fleet.PAIRS)
    months.same(found, short_month)


async def test_two_of_each_role_each_killed_twice(addresses, short_month, tmp_path):
    moments = fleet.seeded_moments(months.SHORT, fleet.PAIRS, 2, seed=2)
    found, deaths = await fleet.live_through(months.SHORT, tmp_path, addresses, fleet.PAIRS, moments=moments)
    assert sorted(deaths.killed) == sorted([*fleet.PAIRS, *fleet.PAIRS])
    months.same(found, short_month)


async def test_each_process_dies_at_every_failpoint_it_can_reach(addresses, short_month, tmp_path):
    order = fleet.by_process([f"{name}:{1 + place % 3}" for place, name in enumerate(failpoints.NAMES)])
    found, deaths = await fleet.live_through(months.SHORT, tmp_path, addresses, failpoints=order)
    assert sorted(deaths.reached) == sorted(failpoints.NAMES)
    months.same(found, short_month)


@pytest.mark.parametrize("seed", [8, 21])
async def test_each_process_is_killed_five_times(addresses, short_month, tmp_path, seed):
    moments = fleet.seeded_moments(months.SHORT, fleet.ROLES, 5, seed)
    found, deaths = await fleet.live_through(months.SHORT, tmp_path, addresses, moments=moments)
    assert sorted(deaths.killed) == sorted(5 * list(fleet.ROLES))
    months.same(found, short_month)


async def test_brokers_of_three_die_in_turn(start_cluster, postgres_url, short_month, tmp_path):
    plan = months.SHORT
    with start_cluster(3) as cluster:
        addresses = fleet.on_cluster(cluster.url, postgres_url, brokers=3)
        moments = fleet.seeded_moments(plan, ("0", "1", "2"), 2, seed=4)
        async with fleet.open_fleet(plan, tmp_path, addresses, fleet.ROLES) as (world, processes):
            dying = asyncio.create_task(fleet.brokers_die(cluster, world, moments))
            deaths = fleet.Deaths(processes)
            await months.live(plan, world, processes, deaths.revive, patience_s=fleet.PATIENCE_S)
            await dying
            await processes.stop()
            found = await months.ending(tmp_path, world)
    months.same(found, short_month)


async def test_a_database_that_goes_back_a_day_between_two_starts_doubles_nothing(
    addresses, postgres_server, short_month, tmp_path
):
    """All are dead meanwhile, and nothing in the database tells that it is a copy: the log does, which has decided more
    than it knows.
    """
    how = {"kill": tuple(fleet.ROLES), "nameless": True}
    found, deaths = await fleet.live_through_failover(tmp_path, addresses, postgres_server, **how)
    assert sorted(deaths.killed) == sorted(fleet.ROLES)
    assert "core.store_went_back" in (tmp_path / "worker-1.log").read_text()
    months.same(found, short_month)


async def test_the_whole_month_ends_as_on_one_machine(addresses, tmp_path):
    plan = Month()
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    wanted = await months.calm_month(plan, tmp_path / "one")
    found, _ = await fleet.live_through(plan, tmp_path / "many", addresses)
    months.same(found, wanted)


async def test_a_worker_takes_over_from_one_that_was_killed(addresses, tmp_path, capsys):
    """The figure in docs/kafka.md: from the kill to a record of every partition handled by the other worker."""
    roles = fleet.ROLES | {"worker-2": "worker"}
    seconds = await fleet.take_over_s(months.SHORT, tmp_path, addresses, roles)
    with capsys.disabled():
        print(f"\ntake-over after {seconds:.1f} s")  # noqa: T201 - the figure is what this is run for
    assert seconds < 60
