"""Several workers of one group: partitions move, no record is passed, and a position never runs ahead of what was
handled.
"""

import asyncio
import secrets
import sys
from pathlib import Path

import pytest

from streams.log.engines import open_log
from streams.log.interface import NewRecord, TopicPartition
from streams.log.topics import TopicSpec
from streams.log.worker import HandlerSpec, Worker
from streams.settings import Kafka

PARTITIONS = 4


class Member:
    """A worker with its own log, as a process would have it, and what it has handled."""

    def __init__(self, url, topic, group):
        self.log = open_log(url, kafka=Kafka(session_timeout_s=6))
        self.values = []
        self.revoked = []
        self.hold = None
        self.began = asyncio.Event()
        self.topic, self.group = topic, group

    async def handle(self, batch):
        self.began.set()
        if self.hold is not None:
            await self.hold.wait()
        self.values += [record.value for record in batch.records]

    async def __aenter__(self):
        await self.log.start()
        spec = HandlerSpec("h", self.topic, self.handle, None, self.revoked.append)
        self.worker = Worker(self.log, self.group, [spec], commit_interval_s=0.02)
        await self.worker.start()
        return self

    async def __aexit__(self, *exc):
        await self.worker.stop()
        await self.log.stop()

    def partitions(self):
        return {tp.partition for tp in self.worker.assigned()}


async def until(condition, limit_s=30.0):
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what other processes do sets no event here
            await asyncio.sleep(0.02)


@pytest.fixture
async def group(kafka_url):
    """A topic and a group that no other test uses."""
    name = f"t-{secrets.token_hex(6)}"
    async with open_log(kafka_url) as log:
        await log.ensure_topics([TopicSpec(name, "connection", PARTITIONS, None, "a test")])
        yield kafka_url, name, f"g-{name}", log


def batch_of(topic, begin, end):
    return [NewRecord(topic, b"k", b"%d" % number, partition=number % PARTITIONS) for number in range(begin, end)]


async def test_a_second_worker_takes_its_share_and_gives_it_back(group):
    url, topic, name, log = group
    async with Member(url, topic, name) as first:
        assert first.partitions() == {0, 1, 2, 3}
        await log.append(batch_of(topic, 0, 200))
        await until(lambda: len(first.values) == 200)
        async with Member(url, topic, name) as second:
            await until(lambda: len(first.partitions()) == len(second.partitions()) == 2)
            assert first.partitions() | second.partitions() == {0, 1, 2, 3}
            assert {tp.partition for tp in first.revoked} == {0, 1, 2, 3}  # all are taken before they are shared anew
            await log.append(batch_of(topic, 200, 400))
            await until(lambda: len(first.values) + len(second.values) >= 400)
            assert second.values
        await until(lambda: first.partitions() == {0, 1, 2, 3})
        await log.append(batch_of(topic, 400, 600))
        await until(lambda: len(first.values) + len(second.values) >= 600)
        async with asyncio.timeout(20):
            await first.worker.until_idle()
    # Clean hand-overs: nothing is lost, and nothing is handled twice either.
    assert sorted(first.values + second.values, key=int) == [b"%d" % number for number in range(600)]
    for partition in range(PARTITIONS):
        assert await log.committed(name, TopicPartition(topic, partition)) == 150


async def test_a_hand_over_waits_for_a_running_handler_and_its_work_is_not_done_again(group):
    url, topic, name, log = group
    async with Member(url, topic, name) as first:
        first.hold = asyncio.Event()
        await log.append(batch_of(topic, 0, 8))
        await first.began.wait()
        joining = asyncio.create_task(Member(url, topic, name).__aenter__())
        await until(lambda: not first.worker._delivery.quiet.is_set())
        await asyncio.sleep(0.5)
        first.hold.set()
        second = await joining
        try:
            await until(lambda: len(first.values) + len(second.values) >= 8)
            async with asyncio.timeout(20):
                await asyncio.gather(first.worker.until_idle(), second.worker.until_idle())
            assert sorted(first.values + second.values, key=int) == [b"%d" % number for number in range(8)]
        finally:
            await second.__aexit__()


async def test_records_keep_flowing_through_many_rebalances(group):
    url, topic, name, log = group
    appended = 0
    others = []
    async with Member(url, topic, name) as first:
        for turn in range(6):
            await log.append(batch_of(topic, appended, appended + 100))
            appended += 100
            if turn % 2:
                await others[-1].__aexit__()
            else:
                others.append(await Member(url, topic, name).__aenter__())
        await until(lambda: first.partitions() == {0, 1, 2, 3})
        async with asyncio.timeout(30):
            await first.worker.until_idle()
        assert first.worker.failure is None
    handled = first.values + [value for other in others for value in other.values]
    assert set(handled) == {b"%d" % number for number in range(appended)}


async def test_more_workers_than_partitions_leave_one_idle_and_ready(kafka_url):
    topic = f"t-{secrets.token_hex(6)}"
    async with open_log(kafka_url) as log:
        await log.ensure_topics([TopicSpec(topic, "connection", 1, None, "a test")])
        async with Member(kafka_url, topic, f"g-{topic}") as first, Member(kafka_url, topic, f"g-{topic}") as second:
            await until(lambda: len(first.partitions()) + len(second.partitions()) == 1)
            await log.append([NewRecord(topic, b"k", b"1")])
            await until(lambda: first.values + second.values == [b"1"])


async def test_a_killed_workers_partitions_go_to_the_other_within_the_session(group):
    url, topic, name, log = group
    await log.append(batch_of(topic, 0, 40))
    script = Path(__file__).parents[1] / "contract" / "processes.py"
    words = (str(script), "work", url, topic, name, "-never-")
    killed = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.DEVNULL)
    async with Member(url, topic, name) as left:
        await until(lambda: len(left.partitions()) == 2)
        killed.kill()
        await killed.wait()
        await log.append(batch_of(topic, 40, 80))
        await until(lambda: left.partitions() == {0, 1, 2, 3})
        async with asyncio.timeout(30):
            await left.worker.until_idle()
        assert {int(value) for value in left.values} >= set(range(40, 80))
