"""The Kafka engine where it has more to say than the contract: whose log it is, topics made elsewhere, groups, scans,
its own end.
"""

import asyncio
import threading

import pytest
from aiokafka import AIOKafkaConsumer, errors

from streams.log.engines import open_log
from streams.log.interface import (
    LogCorrupt,
    LogDenied,
    LogNotReady,
    LogUnavailable,
    NewRecord,
    TopicPartition,
    UnknownTopic,
)
from streams.log.kafka import KafkaLog
from streams.log.kafka.control import Control, topic
from streams.log.topics import TopicSpec
from streams.settings import Kafka

ONE_COPY = Kafka(replication=1, min_insync=1)


def spec(prefix: str, name: str = "events", partitions: int = 1) -> TopicSpec:
    return TopicSpec(f"{prefix}{name}", "connection", partitions, None, "a test")


@pytest.fixture
def opened(kafka_url, kafka_prefix):
    return lambda: KafkaLog.from_url(kafka_url, kafka=ONE_COPY, prefix=kafka_prefix)


def test_the_url_says_where_and_the_broker_url_is_for_faust():
    log = open_log("kafka://one:9092,two", prefix="p.")
    assert isinstance(log, KafkaLog)
    assert log.broker_url == "kafkalog://one:9092;kafkalog://two:9092"
    assert (log.prefix, log.keeps_positions) == ("p.", False)


async def test_the_last_control_record_says_whose_log_it_is_and_whether_to_work_on_it(opened, kafka_prefix):
    events, said = spec(kafka_prefix), topic(kafka_prefix)
    async with opened() as log:
        assert await log.read_control() is None
        assert log.incarnation.startswith("cluster-")
        await log.ensure_topics([events, said])
        with pytest.raises(LogNotReady, match=r"nothing says whose log this is.*topics apply"):
            await log.require_topics([events])
        moving = Control(state="moving", incarnation="aa", at="2026-03-01T10:00:00Z", source="sqlite")
        await log.write_control(moving)
        with pytest.raises(LogNotReady, match=r"being moved here since 2026-03-01T10:00:00Z.*move` again"):
            await log.require_topics([events])
        there = Control(
            state="open", incarnation="bb", ancestors=("cc", "dd"), at="2026-03-01T11:00:00Z", source="sqlite"
        )
        await log.write_control(there)
        await log.require_topics([events])
        assert (log.control, log.incarnation, log.ancestors) == (there, "bb", ("cc", "dd"))
    async with opened() as again:
        assert (again.incarnation, again.ancestors) == ("bb", ("cc", "dd"))
        await again.append([NewRecord(said.name, b"k", b"{}")])
        with pytest.raises(LogCorrupt, match="control record cannot be read"):
            await again.read_control()


async def test_a_topic_that_another_process_made_is_found_and_one_that_nobody_made_is_not_made_by_asking(
    opened, kafka_prefix
):
    late = spec(kafka_prefix, "late", 2)
    async with opened() as log, opened() as other:
        with pytest.raises(UnknownTopic, match="topics apply"):
            await log.append([NewRecord(late.name, b"k", b"v")])
        with pytest.raises(UnknownTopic):
            await log.end_offset(TopicPartition(late.name, 0))
        with pytest.raises(UnknownTopic):
            await asyncio.to_thread(list, log.scan(late.name, 0))
        await other.ensure_topics([late])
        (place,) = await log.append([NewRecord(late.name, b"k", b"v")])
        assert log.partitions(late.name) == 2
        assert await other.end_offsets([place.tp, TopicPartition(late.name, 1 - place.partition)]) == {
            place.tp: 1,
            TopicPartition(late.name, 1 - place.partition): 0,
        }


async def test_an_append_over_several_partitions_and_batches_keeps_the_order_in_each(opened, kafka_prefix):
    async with opened() as log:
        events = spec(kafka_prefix, partitions=3)
        await log.ensure_topics([events])
        records = [
            NewRecord(events.name, b"k", b"%d" % number + bytes(2_000), partition=number % 3) for number in range(3_000)
        ]
        places = await log.append(records)
        assert [place.partition for place in places] == [number % 3 for number in range(3_000)]
        assert [place.offset for place in places] == [number // 3 for number in range(3_000)]
        pages = list(log.scan(events.name, 1, 10, 990, batch=100))
        assert [len(page) for page in pages] == [100] * 9 + [80]
        assert [record.offset for page in pages for record in page] == list(range(10, 990))
        assert all(record.value == records[3 * record.offset + 1].value for page in pages for record in page)


async def test_the_largest_record_goes_through(opened, kafka_prefix):
    async with opened() as log:
        events = spec(kafka_prefix)
        await log.ensure_topics([events])
        value = bytes(log.limits.record_bytes - 1)
        await log.append([NewRecord(events.name, b"k", value)] * 3)
        assert [
            len(record.value) for record in await log.read(TopicPartition(events.name, 0), 1, max_bytes=2 * len(value))
        ] == [len(value)] * 2
        assert sum(len(page) for page in log.scan(events.name, 0)) == 3


async def test_a_scan_that_is_left_early_ends_its_thread(opened, kafka_prefix):
    async with opened() as log:
        events = spec(kafka_prefix)
        await log.ensure_topics([events])
        for _ in range(4):
            await log.append([NewRecord(events.name, b"k", bytes(10_000)) for _ in range(1_000)])
        before = threading.active_count()
        pages = log.scan(events.name, 0, batch=10)
        assert len(next(pages)) == 10
        assert threading.active_count() > before
        pages.close()
        assert threading.active_count() == before


async def test_waiters_that_were_given_up_hold_up_nobody(opened, kafka_prefix):
    async with opened() as log:
        events = spec(kafka_prefix, partitions=2)
        await log.ensure_topics([events])
        first, second = (TopicPartition(events.name, partition) for partition in range(2))
        waiters = [asyncio.create_task(log.wait({first: 0, second: 0}, 30)) for _ in range(8)]
        await asyncio.sleep(0.1)
        for waiter in waiters[1:]:
            waiter.cancel()
        await asyncio.gather(*waiters[1:], return_exceptions=True)
        async with asyncio.timeout(0.9):  # less than one long poll
            patient = asyncio.create_task(log.wait({second: 0}, 30))
            await log.append([NewRecord(events.name, b"k", b"v", partition=1)])
            assert await waiters[0]
            assert await patient
        assert not await log.wait({second: 5}, 0.2)


async def test_a_group_with_members_elsewhere_takes_positions_from_them_alone(opened, kafka_url, kafka_prefix):
    async with opened() as log:
        events, group = spec(kafka_prefix), f"{kafka_prefix}g"
        await log.ensure_topics([events])
        tp = TopicPartition(events.name, 0)
        await log.append([NewRecord(events.name, b"k", b"v")], positions={group: {tp: 1}})
        consumer = AIOKafkaConsumer(
            events.name,
            bootstrap_servers=kafka_url.removeprefix("kafka://").split(","),
            group_id=group,
            session_timeout_ms=6_000,
        )
        await consumer.start()
        try:
            with pytest.raises(LogUnavailable, match="only they may set its positions"):
                await log.commit(group, {tp: 0})
            assert await log.committed(group, tp) == 1
        finally:
            await consumer.stop()
        await log.commit(group, {tp: 0})
        assert await log.committed(group, tp) == 0


async def test_a_member_in_this_process_commits_for_the_log(opened, kafka_prefix):
    class Member:
        def __init__(self) -> None:
            self.told = []
            self.answer = True

        async def commit(self, positions) -> bool:
            self.told.append(dict(positions))
            return self.answer

    async with opened() as log:
        events, group, member = spec(kafka_prefix), f"{kafka_prefix}g", Member()
        await log.ensure_topics([events])
        tp = TopicPartition(events.name, 0)
        log.joined(group, member)
        await log.append([NewRecord(events.name, b"k", b"v")], positions={group: {tp: 1}})
        assert member.told == [{tp: 1}]
        assert await log.committed(group, tp) is None
        member.answer = False
        with pytest.raises(LogUnavailable, match="a rebalance is under way"):
            await log.commit(group, {tp: 1})
        log.left(group)
        await log.commit(group, {tp: 1})
        assert await log.committed(group, tp) == 1


async def test_a_stop_writes_what_waits_and_leaves_nothing_running(opened, kafka_prefix):
    events = spec(kafka_prefix)
    log = opened()
    await log.start()
    await log.ensure_topics([events])
    appends = [asyncio.create_task(log.append([NewRecord(events.name, b"k", b"%d" % number)])) for number in range(50)]
    await asyncio.sleep(0)
    await log.stop()
    places = [place for append in appends for place in await append]
    assert sorted(place.offset for place in places) == list(range(50))
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with log.hold_group("g"):
        pass


def test_a_fault_of_a_kafka_client_is_told_without_its_text():
    log = open_log("kafka://one:9092")
    told = log.told(errors.TopicAuthorizationFailedError("secret-topic"), "reading")
    assert type(told) is LogDenied
    assert "secret" not in str(told)
