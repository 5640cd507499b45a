"""A gateway whose broker hangs, or is gone: 503 within eight seconds, a process that lives and stays small, and
afterwards all is there once.
"""

import asyncio
import os
import time
from collections import Counter

import pytest

from tests.support import installation, kafka_site
from tests.support.kafka_site import measured

pytestmark = pytest.mark.timeout(240)

#: What a sender is promised.
ANSWERED_WITHIN_S = 8.0
#: Once the brokers answer again.
WORKS_AGAIN_WITHIN_S = 5.0


def burst(sender, prefix, deliveries=20, invoices=5):
    """Many senders at once, each delivery with three events; all ids of events, and of invoices."""
    ids = [[f"EV{prefix}{number:03d}{letter}" for letter in "abc"] for number in range(deliveries)]
    numbers = [f"{prefix}{number:03d}" for number in range(invoices)]
    tasks = [asyncio.create_task(sender.gocardless(*each)) for each in ids]
    tasks += [asyncio.create_task(sender.zoho(number)) for number in numbers]
    return [one for each in ids for one in each], numbers, tasks


async def healthy(site, gateway):
    began_s = time.monotonic()
    async with site.session.get(f"{gateway.url}/health") as answer:
        assert answer.status == 200
    return time.monotonic() - began_s


async def outage(site, gateway, how, away, back):
    """Many senders at a gateway whose broker is taken away and given back. Gives the ids of events, and of invoices,
    that they sent.
    """
    away(0)
    sender = kafka_site.Sender(site, gateway.url)
    try:
        ids, numbers, tasks = burst(sender, "2" if how == "paused" else "3")
        await kafka_site.until(lambda: len(sender.answers) >= len(tasks), 30)
        assert await healthy(site, gateway) < 1
        assert {status for status, _ in sender.answers} == {503}, how
        measured(f"503, broker {how}, slowest s", round(sender.slowest_s(), 2))
        assert sender.slowest_s() < ANSWERED_WITHIN_S, how
    finally:
        await asyncio.to_thread(back, 0)
    began_s = time.monotonic()
    async with asyncio.timeout(60):
        await sender.took.wait()
        measured(f"first 2xx after a broker {how} is back, s", round(time.monotonic() - began_s, 2))
        await asyncio.gather(*tasks)
    measured(f"all acknowledged after a broker {how} is back, s", round(time.monotonic() - began_s, 2))
    assert time.monotonic() - began_s < WORKS_AGAIN_WITHIN_S, how
    assert {status for status, _ in sender.answers} <= {200, 204, 503}
    return ids, numbers


async def test_what_was_sent_while_the_broker_was_away_is_there_once(own_cluster, settle_at):
    async with settle_at() as site:
        gateway = await site.start("gateway")
        sent, invoices = [], []

        calm = kafka_site.Sender(site, gateway.url)
        ids, numbers, tasks = burst(calm, "1")
        await asyncio.gather(*tasks)
        sent, invoices = sent + ids, invoices + numbers
        assert {status for status, _ in calm.answers} == {200, 204}

        for how, away, back in (
            ("paused", own_cluster.pause, own_cluster.resume),
            ("killed", own_cluster.kill, own_cluster.up),
        ):
            ids, numbers = await outage(site, gateway, how, away, back)
            sent, invoices = sent + ids, invoices + numbers

        assert gateway.running
        await site.start("worker")
        await site.decided(sent)
        await kafka_site.until(site.all_handled)
        decided = Counter(await site.decisions())
        assert {one: decided[one] for one in sent} == dict.fromkeys(sent, 1)
        assert sorted(site.state("payments")) == sorted(one.replace("EV", "PM") for one in sent)
        assert sorted(site.state("invoices")) == sorted(invoices)


async def test_an_outage_under_load_does_not_fill_the_memory(own_cluster, settle_at):
    async with settle_at() as site:
        gateway = await site.start("gateway", append_timeout_s=0.5)
        sender = kafka_site.Sender(site, gateway.url)
        await sender.gocardless("EV1")
        own_cluster.kill(0)
        try:
            body = os.urandom(1024 * 1024)
            headers = {"Webhook-Signature": installation.sign("secret-of-acme", body)}
            sizes = []
            for _ in range(6):
                statuses = await asyncio.gather(
                    *(sender.once("/webhooks/gocardless/acme", body, headers) for _ in range(40))
                )
                assert set(statuses) == {503}
                sizes.append(gateway.memory_bytes() // 2**20)
            measured("MiB after each 40 MiB that were refused", sizes)
            assert sizes[-1] - sizes[1] < 80
            used_s = gateway.processor_s()
            await asyncio.sleep(1)
            assert gateway.processor_s() - used_s < 0.1, "it waits, and does not turn in circles"
        finally:
            await asyncio.to_thread(own_cluster.up, 0)
        await sender.gocardless("EV2")
        assert gateway.running
