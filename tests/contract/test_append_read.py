"""Appending and reading: order, offsets, keys, headers, time, positions, limits."""

import asyncio
import random
import time

import pytest
from aiokafka.partitioner import DefaultPartitioner

from streams.log.interface import (
    LogClosed,
    NewRecord,
    Position,
    ReadOutOfRange,
    Record,
    RecordTooLarge,
    TopicMismatch,
    TopicPartition,
    UnknownTopic,
)


def numbered(tp, count, start=0):
    return [NewRecord(tp.topic, b"k", str(number).encode()) for number in range(start, start + count)]


def values(records: list[Record]) -> list[int]:
    return [int(record.value) for record in records]


async def test_records_come_back_in_order_with_contiguous_offsets(log, tp):
    places = await log.append(numbered(tp, 5))
    places += await log.append(numbered(tp, 3, 5))
    assert places == [Position(tp.topic, 0, offset) for offset in range(8)]
    found = await log.read(tp, 0)
    assert values(found) == list(range(8))
    assert [record.position for record in found] == places
    assert (await log.start_offset(tp), await log.end_offset(tp)) == (0, 8)


async def test_calls_made_at_once_keep_their_own_order_and_leave_no_gap(log, tp):
    async def writer(first: int) -> list[Position]:
        places = []
        for number in range(20):
            places += await log.append(numbered(tp, 2, first + 2 * number))
        return places

    by_writer = await asyncio.gather(*(writer(1_000 * each) for each in range(10)))
    found = await log.read(tp, 0)
    assert [record.offset for record in found] == list(range(400))
    for each, places in enumerate(by_writer):
        assert [int(found[place.offset].value) for place in places] == list(range(1_000 * each, 1_000 * each + 40))
        assert all(places[2 * call + 1].offset == places[2 * call].offset + 1 for call in range(20))


async def test_bytes_headers_and_timestamps_travel_unchanged(log, tp):
    headers = (("type", b"payment.failed"), ("id", bytes(range(256))), ("type", b""))
    long = bytes(range(256)) * 400
    await log.append(
        [
            NewRecord(tp.topic, b"\x00\xff", b"", headers, timestamp_ms=1_700_000_000_123),
            NewRecord(tp.topic, b"k", None, (("empty", b""),)),
            NewRecord(tp.topic, b"k", long),
        ]
    )
    first, second, third = await log.read(tp, 0)
    assert (first.key, first.value, first.headers, first.timestamp_ms) == (b"\x00\xff", b"", headers, 1_700_000_000_123)
    assert (second.value, second.headers) == (None, (("empty", b""),))
    assert third.value == long
    assert third.headers == ()
    assert abs(second.timestamp_ms - time.time() * 1_000) < 60_000


# Of Kafka's own tests of its partitioner and its clients' (murmur2, seed 0x9747b28c), as (hash & 0x7fffffff).
VECTORS = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}


async def test_a_key_has_the_partition_of_kafkas_default_partitioner(engine, log):
    spec = engine.spec(partitions=7)
    await log.ensure_topics([spec])
    for key, hashed in VECTORS.items():
        assert log.partition_for(spec.name, key) == (hashed & 0x7FFFFFFF) % 7
    theirs = DefaultPartitioner()
    chance = random.Random(7)
    for length in range(200):
        key = chance.randbytes(length % 40)
        assert log.partition_for(spec.name, key) == theirs(key, list(range(7)), list(range(7)))


async def test_a_record_goes_to_its_keys_partition_or_to_the_one_it_names(engine, log):
    spec = engine.spec(partitions=5)
    await log.ensure_topics([spec])
    assert log.partitions(spec.name) == 5
    by_key, named = await log.append(
        [NewRecord(spec.name, b"connection-9", b"1"), NewRecord(spec.name, b"payment-3", b"2", partition=4)]
    )
    assert by_key.partition == log.partition_for(spec.name, b"connection-9")
    assert named.partition == 4
    (found,) = await log.read(named.tp, named.offset)
    assert (found.key, found.value) == (b"payment-3", b"2")


async def test_a_read_is_bounded_by_count_and_by_bytes_and_never_empty_for_bytes(log, tp):
    await log.append([NewRecord(tp.topic, b"k", bytes(1_000)) for _ in range(10)])
    assert len(await log.read(tp, 2, limit=3)) == 3
    assert len(await log.read(tp, 2, limit=9, max_bytes=2_500)) == 3
    assert len(await log.read(tp, 2, limit=9, max_bytes=1)) == 1
    assert await log.read(tp, 10) == []


async def test_a_read_outside_of_what_is_kept_says_so(log, tp):
    await log.append(numbered(tp, 3))
    with pytest.raises(ReadOutOfRange, match="offset 4 is not within 0 to 3"):
        await log.read(tp, 4)


async def test_reading_from_a_time_finds_the_first_record_at_or_after_it(log, tp):
    stamps = [1_000, 1_000, 2_000, 1_500, 3_000, 2_500, 4_000]
    await log.append([NewRecord(tp.topic, b"k", b"v", timestamp_ms=stamp) for stamp in stamps])
    for asked in (0, 1_000, 1_001, 2_000, 2_001, 3_000, 3_001, 4_000, 4_001):
        expected = next((offset for offset, stamp in enumerate(stamps) if stamp >= asked), len(stamps))
        assert await log.offset_at_time(tp, asked) == expected, asked


async def test_the_bulk_scan_gives_what_reads_give(log, tp):
    await log.append(numbered(tp, 25))
    pages = list(log.scan(tp.topic, 0, 3, batch=10))
    assert [len(page) for page in pages] == [10, 10, 2]
    assert [record for page in pages for record in page] == await log.read(tp, 3)
    assert values([record for page in log.scan(tp.topic, 0, 4, 6) for record in page]) == [4, 5]
    assert list(log.scan(tp.topic, 0, 25)) == []
    with pytest.raises(ReadOutOfRange):
        list(log.scan(tp.topic, 0, 26))
    with pytest.raises(ReadOutOfRange):
        list(log.scan(tp.topic, 0, 0, 26))


async def test_positions_of_a_group_are_its_own_and_outlive_a_restart(engine, log, tp):
    await log.append(numbered(tp, 3))
    assert await log.committed("g", tp) is None
    await log.commit("g", {tp: 2})
    await log.commit("other", {tp: 1})
    await log.commit("g", {tp: 3})
    await log.stop()
    async with engine.open() as again:
        assert (await again.committed("g", tp), await again.committed("other", tp)) == (3, 1)
        assert values(await again.read(tp, 0)) == [0, 1, 2]
        with pytest.raises(ValueError, match="offsets begin at 0"):
            await again.commit("g", {tp: -1})


async def test_positions_go_with_the_records_of_an_append(engine, log, tp):
    await log.append(numbered(tp, 2), positions={"g": {tp: 2}})
    assert await log.committed("g", tp) == 2
    if engine.atomic:
        missing = TopicPartition(tp.topic, 99)
        with pytest.raises(UnknownTopic):
            await log.append(numbered(tp, 2, 2), positions={"g": {tp: 4, missing: 1}})
        assert (await log.committed("g", tp), await log.end_offset(tp)) == (2, 2)


async def test_an_append_with_one_bad_record_writes_none(engine, log, tp):
    good = NewRecord(tp.topic, b"k", b"v")
    bad = {
        UnknownTopic: NewRecord("no-such-topic", b"k", b"v"),
        ValueError: NewRecord(tp.topic, None, b"v"),
        RecordTooLarge: NewRecord(tp.topic, b"k", bytes(log.limits.record_bytes + 1)),
    }
    for error, record in bad.items():
        with pytest.raises(error):
            await log.append([good, record, good])
    with pytest.raises(UnknownTopic):
        await log.append([good, NewRecord(tp.topic, b"k", b"v", partition=1)])
    with pytest.raises(RecordTooLarge):
        await log.append([good] * (log.limits.append_records + 1))
    assert await log.end_offset(tp) == 0


async def test_topics_are_made_once_and_keep_their_partition_count(engine, log):
    spec = engine.spec(partitions=3)
    await log.ensure_topics([spec])
    await log.ensure_topics([spec])
    assert log.partitions(spec.name) == 3
    other = type(spec)(spec.name, "connection", 4, None, "a test")
    with pytest.raises(TopicMismatch, match="has 3 partitions, 4 were asked for"):
        await log.ensure_topics([other])
    with pytest.raises(UnknownTopic, match="no-such-topic"):
        log.partitions("no-such-topic")
    with pytest.raises(UnknownTopic):
        await log.end_offset(TopicPartition(spec.name, 3))


async def test_the_incarnation_is_the_logs_own_and_stays(engine, log):
    first = log.incarnation
    assert len(first) >= 16
    async with engine.open() as again:
        assert (again.incarnation, again.ancestors) == (first, ())


async def test_a_wait_ends_by_itself_or_when_something_comes(log, tp):
    assert not await log.wait({tp: 0}, 0.01)
    waiter = asyncio.create_task(log.wait({tp: 0}, 20))
    await asyncio.sleep(0.01)
    assert not waiter.done()
    await log.append(numbered(tp, 1))
    assert await waiter
    assert await log.wait({tp: 0}, 0)
    assert not await log.wait({tp: 1}, 0.01)


async def test_a_stopped_log_says_so(engine, log, tp):
    await log.stop()
    await log.stop()
    with pytest.raises(LogClosed, match="not started"):
        await log.append(numbered(tp, 1))
    with pytest.raises(LogClosed, match="start it before use"):
        await log.read(tp, 0)
