"""A partition without a leader for longer than an append may take: nothing is lost, nothing is published out of order,
nobody has to help.
"""

import asyncio
import re
import time
from collections import Counter

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.support import kafka_site
from tests.support.kafka_site import measured

pytestmark = pytest.mark.timeout(300)

#: The one broker that is killed holds the only copy of these; the group, the events and the rest are on the other two.
ON_THE_LOST = ("deliveries.gocardless", "decisions")
LOST = 2


@pytest.fixture
def cluster(start_cluster):
    with start_cluster(3) as started:
        yield started


async def place_topics(cluster, topics):
    """Each topic with one copy, on the broker that the test wants."""
    admin = AIOKafkaAdminClient(bootstrap_servers=list(cluster.servers))
    await admin.start()
    try:
        names = {f"{topics.prefix}{name}": LOST for name in ON_THE_LOST}
        made = [NewTopic(one.name, -1, -1, replica_assignments={0: [names.get(one.name, 0)]}) for one in topics]
        await admin.create_topics(made)
    finally:
        await admin.close()


def commands(site):
    """How many commands are in each state."""
    with site.store.read() as reader:
        return Counter(row[0] for row in reader.exec_driver_sql("SELECT state FROM command_queue").all())


def unpublished(site):
    with site.store.read() as reader:
        return reader.exec_driver_sql("SELECT count(*) FROM outbox").scalar()


async def replaced(site, role):
    """How many producers a process has given up."""
    async with site.session.get(f"{role.url}/metrics") as answer:
        found = re.search(r"^zoho_gocardless_producer_replacements_total (\S+)$", await answer.text(), re.MULTILINE)
    return float(found[1])


async def outage(site, cluster, gateway, worker, *, lasts_s):
    """Events before, during and after. Gives their ids, and how long the first publication took once the broker was
    back.
    """
    sender = kafka_site.Sender(site, gateway.url)
    await asyncio.gather(*(sender.gocardless(f"EV1{number:02d}") for number in range(10)))
    before = [f"EV1{number:02d}" for number in range(10)]
    await site.decided(before)
    await kafka_site.until(lambda: commands(site) == {"ready": 10})

    cluster.kill(LOST)
    began_s = time.monotonic()
    sender = kafka_site.Sender(site, gateway.url)
    waiting = [asyncio.create_task(sender.gocardless(f"EV2{number:02d}")) for number in range(5)]
    # What does not come through the gateway: the events are on a broker that lives.
    during = [f"EV3{number:02d}" for number in range(10)]
    for one in during:
        await site.context.tell(site.seen(one.replace("EV", "PM"), id_=one))
    await asyncio.wait_for(sender.refused.wait(), 10)
    await kafka_site.until(lambda: unpublished(site) == 10)

    async def both_replaced():
        return time.monotonic() - began_s >= lasts_s and await replaced(site, gateway) and await replaced(site, worker)

    await kafka_site.until(both_replaced, lasts_s + 60)
    assert {status for status, _ in sender.answers} == {503}
    assert max(seconds for _, seconds in sender.answers) < 8
    assert unpublished(site) == 10
    assert commands(site) == {"ready": 10, "waiting_publication": 10}, (
        "nothing may be sent whose decision is not published"
    )
    assert gateway.running
    assert worker.running

    await asyncio.to_thread(cluster.up, LOST)
    back_s = time.monotonic()
    await asyncio.gather(*waiting)
    after = [f"EV2{number:02d}" for number in range(5)]
    await site.decided([*during, *after])
    return [*before, *during, *after], time.monotonic() - back_s


async def whole(site, sent):
    """Every event once, every decision published in the order of its event, every command released."""
    await kafka_site.until(site.all_handled)
    assert set(sent) == set(await site.decisions())
    for offsets in (await site.published()).values():
        assert offsets == sorted(offsets)
        assert len(offsets) == len(sent)
    assert commands(site) == {"ready": len(sent)}


async def test_gateway_and_relay_replace_their_producers_and_go_on_by_themselves(cluster, settle_at):
    site = settle_at(cluster.url, partitions=1)
    await place_topics(cluster, site.topics)
    async with site:
        gateway = await site.start("gateway", delivery_limit_s=3)
        worker = await site.start("worker", delivery_limit_s=3)
        sent, recovered_s = await outage(site, cluster, gateway, worker, lasts_s=9)
        measured("all decided after the leader is back, s", round(recovered_s, 2))
        await whole(site, sent)
        assert recovered_s < 30
        assert (gateway.running, worker.running) == (True, True)
        assert (await worker.stop(), await gateway.stop()) == (0, 0)


@pytest.mark.soak
async def test_the_same_with_the_times_of_the_field(cluster, settle_at):
    site = settle_at(cluster.url, partitions=1)
    await place_topics(cluster, site.topics)
    async with site:
        gateway, worker = await site.start("gateway"), await site.start("worker")
        sent, _ = await outage(site, cluster, gateway, worker, lasts_s=100)
        await whole(site, sent)
