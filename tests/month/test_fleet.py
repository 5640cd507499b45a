"""A month on a broker and PostgreSQL, its roles in processes of their own: it ends as it does on one machine, whoever
is killed.
"""

import pytest

from tests.support import fleet, months

#: Seconds of the machine that one of these may take when it is busy with other things; alone, each takes under two
#: minutes.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def addresses(kafka_url, kafka_prefix, postgres_url):
    """A log and a store that several processes can share."""
    return fleet.on_cluster(kafka_url, postgres_url, prefix=kafka_prefix)


async def test_the_month_over_three_processes_ends_as_on_one_machine(addresses, short_month, tmp_path):
    found, deaths = await fleet.live_through(months.SHORT, tmp_path, addresses)
    months.same(found, short_month)
    assert found.planted == short_month.planted
    assert deaths.killed == []


async def test_it_ends_the_same_when_each_process_is_killed_once(addresses, short_month, tmp_path):
    moments = fleet.seeded_moments(months.SHORT, fleet.ROLES, 1, seed=5)
    found, deaths = await fleet.live_through(months.SHORT, tmp_path, addresses, moments=moments)
    assert sorted(deaths.killed) == sorted(fleet.ROLES)
    months.same(found, short_month)


async def test_a_database_that_goes_back_a_day_under_running_processes_doubles_nothing(
    addresses, postgres_server, short_month, tmp_path
):
    """A failover to a standby that lagged. Nobody is told: each process notices by itself, and ends to be started
    again.
    """
    found, deaths = await fleet.live_through_failover(tmp_path, addresses, postgres_server)
    assert set(deaths.ended) == set(fleet.ROLES)
    months.same(found, short_month)
