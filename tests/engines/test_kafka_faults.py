"""What happens to appends and readers when brokers die, hang, refuse or are not what was expected. Real brokers, really
killed.
"""

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.log.interface import (
    Limits,
    LogDenied,
    LogError,
    LogOverloaded,
    LogUnavailable,
    LogVersion,
    NewRecord,
    Position,
    RecordTooLarge,
    TopicPartition,
)
from streams.log.kafka import KafkaLog
from streams.log.kafka.access import Access
from streams.log.kafka.brokers import check_versions
from streams.log.topics import TopicSpec
from streams.settings import Kafka
from tests.support import kafka_brokers
from tests.support.kafka_secured import Secured

T = TypeVar("T")
SECRET = "correct-horse"
ONE_COPY = Kafka(replication=1, min_insync=1)


@pytest.fixture(scope="module")
def cluster(start_cluster) -> Iterator[kafka_brokers.Cluster]:
    """One broker to be killed, behind a gate, with doors that want TLS and logins."""
    with start_cluster(1, gates=True, secured=Secured(users={"app": SECRET})) as started:
        yield started


@pytest.fixture(scope="module")
def three(start_cluster) -> Iterator[kafka_brokers.Cluster]:
    with start_cluster(3) as started:
        yield started


@asynccontextmanager
async def opened(url: str, kafka: Kafka = ONE_COPY, **how) -> AsyncIterator[KafkaLog]:
    async with KafkaLog(Access.from_url(url, kafka), **how) as log:
        yield log


async def made(log: KafkaLog, name: str, partitions: int = 1) -> TopicPartition:
    await log.ensure_topics([TopicSpec(name, "connection", partitions, None, "a test")])
    return TopicPartition(name, 0)


async def persistently(attempt: Callable[[], Awaitable[T]]) -> T:
    """As our callers do: again, until it is done."""
    while True:
        try:
            return await attempt()
        except LogUnavailable as fault:
            if not fault.retriable:
                raise


async def sent(log: KafkaLog, tp: TopicPartition, value: bytes) -> Position:
    """Where a record is, after as many tries as it took."""
    (place,) = await persistently(lambda: log.append([NewRecord(tp.topic, b"k", value, partition=tp.partition)]))
    return place


async def contents(log: KafkaLog, tp: TopicPartition) -> list[bytes]:
    return [record.value for page in await asyncio.to_thread(list, log.scan(*tp)) for record in page]


class Progress:
    """Counts, and wakes whoever waits for a count."""

    def __init__(self) -> None:
        self.count = 0
        self._marks: dict[int, asyncio.Event] = {}

    def step(self) -> None:
        self.count += 1
        if self.count in self._marks:
            self._marks[self.count].set()

    async def more(self, count: int, limit_s: float = 60.0) -> None:
        """Until that many steps more were made."""
        reached = self._marks[self.count + count] = asyncio.Event()
        async with asyncio.timeout(limit_s):
            await reached.wait()


# A broker dies


async def test_what_was_acknowledged_is_there_after_the_broker_was_killed_under_appends(cluster):
    async with opened(cluster.url, delivery_limit_s=2.0) as log:
        tp = await made(log, "killed-under-appends")
        acknowledged: dict[int, bytes] = {}
        progress, stop = Progress(), asyncio.Event()

        async def writer(name: str) -> int:
            number = 0
            while not stop.is_set():
                value = f"{name}-{number}".encode()
                place = await sent(log, tp, value)
                assert place.offset not in acknowledged
                acknowledged[place.offset] = value
                number += 1
                progress.step()
            return number

        writers = [asyncio.create_task(writer(name)) for name in "abcd"]
        await progress.more(200)
        await asyncio.to_thread(cluster.kill, 0)
        await asyncio.to_thread(cluster.up, 0)
        await progress.more(200, 20)
        stop.set()
        counts = await asyncio.gather(*writers)
        found = await contents(log, tp)
    assert {offset: found[offset] for offset in acknowledged} == acknowledged
    wanted = {
        f"{name}-{number}".encode() for name, count in zip("abcd", counts, strict=True) for number in range(count)
    }
    assert set(found) == wanted


async def test_an_append_fails_when_its_time_is_up_and_the_next_works_as_soon_as_the_broker_is_back(cluster):
    limits = Limits(record_bytes=1_000, append_bytes=2_000, pending_bytes=5_000)
    async with opened(cluster.url, delivery_limit_s=1.0, limits=limits) as log:
        tp = await made(log, "time-is-up")
        await log.append([NewRecord(tp.topic, b"k", b"before")])
        await asyncio.to_thread(cluster.kill, 0)
        for _ in range(2):  # the second time: nothing of the first is held any more
            began_s = time.monotonic()
            outcomes = await asyncio.gather(
                *(log.append([NewRecord(tp.topic, b"k", bytes(900))]) for _ in range(6)), return_exceptions=True
            )
            assert [type(outcome) for outcome in outcomes] == [LogUnavailable] * 5 + [LogOverloaded]
            assert 0.9 < time.monotonic() - began_s < 4
            assert all(outcome.retriable for outcome in outcomes)
            assert "cannot be reached" in outcomes[0].what
            assert "time-is-up[0]" in outcomes[0].where
        await asyncio.to_thread(cluster.up, 0)
        async with asyncio.timeout(10):
            place = await sent(log, tp, b"after")
        assert (await contents(log, tp))[place.offset] == b"after"


async def test_readers_and_waiters_go_on_after_the_broker_was_away(cluster):
    async with opened(cluster.url) as log:
        tp = await made(log, "readers-go-on")
        await log.append([NewRecord(tp.topic, b"k", b"0")])
        await log.commit("readers", {tp: 1})
        waiter = asyncio.create_task(persistently(lambda: log.wait({tp: 1}, 60)))
        await asyncio.to_thread(cluster.kill, 0)
        reading = asyncio.create_task(persistently(lambda: log.read(tp, 0)))
        asking = asyncio.create_task(persistently(lambda: log.committed("readers", tp)))
        await asyncio.to_thread(cluster.up, 0)
        assert [record.value for record in await reading] == [b"0"]
        assert await asking == 1
        await sent(log, tp, b"1")
        assert await waiter


async def test_a_partition_without_a_leader_fails_its_own_appends_only_and_is_well_afterwards(three):
    async with opened(three.url, delivery_limit_s=6.0) as log:
        tp = await made(log, "without-leader", 3)  # one copy of each, on three brokers
        orphan = next(each for each in range(3) if log._now.brokers.leader(TopicPartition(tp.topic, each)) == 2)
        others = [each for each in range(3) if each != orphan]
        await log.append([NewRecord(tp.topic, b"k", b"0", partition=each) for each in range(3)])
        await asyncio.to_thread(three.kill, 2)
        failing = asyncio.create_task(log.append([NewRecord(tp.topic, b"k", b"lost", partition=orphan)]))
        number = 0
        while not failing.done():
            number += 1
            await log.append([NewRecord(tp.topic, b"k", b"%d" % number, partition=each) for each in others])
            await asyncio.sleep(0.05)
        with pytest.raises(LogUnavailable) as failed:
            await failing
        assert failed.value.retriable
        assert f"without-leader[{orphan}]" in failed.value.where
        await asyncio.to_thread(three.up, 2)
        async with asyncio.timeout(20):
            await sent(log, TopicPartition(tp.topic, orphan), b"1")
        for each in others:
            await log.append([NewRecord(tp.topic, b"k", b"%d" % (number + 1), partition=each)])
        for each in others:
            assert await contents(log, TopicPartition(tp.topic, each)) == [b"%d" % value for value in range(number + 2)]
        assert [value for value in await contents(log, TopicPartition(tp.topic, orphan)) if value != b"lost"] == [
            b"0",
            b"1",
        ]


async def test_one_of_three_brokers_killed_costs_no_append_and_no_record_twice(three):
    async with opened(three.url, Kafka()) as log:
        tp = await made(log, "one-of-three", 3)
        places: list[Position] = []
        progress, stop = Progress(), asyncio.Event()

        async def writer(name: int) -> None:
            number = 0
            while not stop.is_set():
                values = [b"%d-%d" % (name, number + each) for each in range(3)]
                places.extend(
                    await log.append([NewRecord(tp.topic, b"k", value, partition=name % 3) for value in values])
                )
                number += 3
                progress.step()

        writers = [asyncio.create_task(writer(name)) for name in range(6)]
        await progress.more(100)
        await asyncio.to_thread(three.kill, 1)
        await progress.more(700, 40)
        stop.set()
        await asyncio.gather(*writers)
        found = {each: await contents(log, TopicPartition(tp.topic, each)) for each in range(3)}
        await asyncio.to_thread(three.up, 1)
    assert len(places) == sum(map(len, found.values()))
    for each, values in found.items():
        assert len(set(values)) == len(values)
        for name in (each, each + 3):
            own = [int(value.split(b"-")[1]) for value in values if value.startswith(b"%d-" % name)]
            assert own == list(range(len(own)))


# The network is cut


async def test_an_append_over_a_dead_connection_fails_in_time_and_the_next_takes_another(cluster):
    (gate,) = cluster.gates
    async with opened(cluster.gated_url, delivery_limit_s=1.5) as log:
        tp = await made(log, "dead-connection")
        await log.append([NewRecord(tp.topic, b"k", b"0")])
        gate.cut()
        began_s = time.monotonic()
        with pytest.raises(LogUnavailable) as failed:
            await log.append([NewRecord(tp.topic, b"k", b"1")])
        assert failed.value.retriable
        assert time.monotonic() - began_s < 4
        gate.mend()
        async with asyncio.timeout(10):
            place = await sent(log, tp, b"2")
        assert (await contents(log, tp))[place.offset] == b"2"


async def test_appends_that_their_callers_gave_up_hold_nothing_and_spoil_nothing(cluster):
    (gate,) = cluster.gates
    limits = Limits(record_bytes=1_000, append_bytes=2_000, pending_bytes=5_000)
    async with opened(cluster.gated_url, limits=limits) as log:
        tp = await made(log, "given-up")
        await log.append([NewRecord(tp.topic, b"k", b"0")])
        gate.cut()
        for _ in range(5):

            async def impatient() -> None:
                async with asyncio.timeout(0.1):
                    await log.append([NewRecord(tp.topic, b"k", bytes(900))])

            outcomes = await asyncio.gather(*(impatient() for _ in range(5)), return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [TimeoutError] * 5
        gate.mend()
        async with asyncio.timeout(10):
            places = [await sent(log, tp, b"%d" % number) for number in (1, 2)]
        found = await contents(log, tp)
        assert [found[place.offset] for place in places] == [b"1", b"2"]
        assert found.count(bytes(900)) <= 5  # those of the first batch, which was on its way


# A producer that the brokers no longer follow


async def test_a_producer_whose_numbers_do_not_fit_is_replaced(cluster):
    async with opened(cluster.url) as log:
        tp = await made(log, "numbers")
        await log.append([NewRecord(tp.topic, b"k", b"0")])
        log._now.producer._lanes[tp].sequence += 7  # as after a batch that was counted and not sent
        with pytest.raises(LogUnavailable, match="lost the thread of this producer"):
            await log.append([NewRecord(tp.topic, b"k", b"1")])
        await log.append([NewRecord(tp.topic, b"k", b"2")])
        assert await contents(log, tp) == [b"0", b"2"]


async def test_a_record_that_the_topic_does_not_take_is_told_and_the_next_goes_through(cluster):
    admin = AIOKafkaAdminClient(bootstrap_servers=list(cluster.servers))
    await admin.start()
    await admin.create_topics([NewTopic("small", 1, 1, topic_configs={"max.message.bytes": "2000"})])
    await admin.close()
    async with opened(cluster.url) as log:
        with pytest.raises(RecordTooLarge, match=r"max.message.bytes.*topics apply"):
            await log.append([NewRecord("small", b"k", bytes(3_000))])
        await log.append([NewRecord("small", b"k", b"fits")])
        assert await contents(log, TopicPartition("small", 0)) == [b"fits"]


# Not the brokers that were expected


async def refused(url: str, kafka: Kafka = ONE_COPY) -> LogError:
    with pytest.raises(LogError) as caught:
        async with opened(url, kafka, reach_limit_s=1.0):
            pass
    assert SECRET not in str(caught.value)
    return caught.value


async def test_nobody_at_the_address(unused_tcp_port):
    error = await refused(f"kafka://127.0.0.1:{unused_tcp_port}")
    assert type(error) is LogUnavailable
    assert error.retriable
    assert error.where == f"kafka://127.0.0.1:{unused_tcp_port}"
    assert "no broker answered within 1 s" in error.what


async def test_a_wrong_password_a_wrong_authority_and_the_wrong_protocol(cluster, monkeypatch):
    doors = cluster.doors
    monkeypatch.setenv("RIGHT", SECRET)
    monkeypatch.setenv("WRONG", "battery-staple")

    def login(password: str, mechanism: str = "SCRAM-SHA-512", **more: str) -> Kafka:
        return Kafka(sasl=mechanism, username="app", password=f"env:{password}", replication=1, min_insync=1, **more)

    tls = {"security": "tls", "ca": str(doors.ca)}
    async with opened(doors.url("SASL_SSL"), login("RIGHT", **tls)) as log:
        tp = await made(log, "behind-a-login")
        await log.append([NewRecord(tp.topic, b"k", b"0")])
        assert await contents(log, tp) == [b"0"]
    for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        error = await refused(doors.url("SASL_SSL"), login("WRONG", mechanism, **tls))
        assert type(error) is LogDenied, mechanism
        assert "refused the login" in error.what
    error = await refused(doors.url("SASL_SSL"), login("RIGHT", security="tls", ca=str(doors.other_ca)))
    assert type(error) is LogDenied
    assert "kafka.ca" in error.remedy
    for url, kafka in (
        (doors.url("SASL_PLAINTEXT"), ONE_COPY),
        (doors.url("SSL"), ONE_COPY),
        (cluster.url, Kafka(replication=1, min_insync=1, **tls)),
    ):
        error = await refused(url, kafka)
        assert type(error) is LogDenied, (url, kafka.security)
        assert "kafka.security" in error.remedy or "TLS" in error.remedy


async def test_a_broker_that_is_too_old_or_too_new():
    ended = asyncio.Event()

    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        apis = {
            0: (0, 2),
            1: (0, 3),
            2: (0, 1),
            3: (0, 2),
            8: (0, 2),
            9: (0, 1),
            10: (0, 0),
            18: (0, 0),
        }  # Kafka 0.10.1
        body = struct.pack(">hi", 0, len(apis)) + b"".join(
            struct.pack(">hhh", key, *versions) for key, versions in apis.items()
        )
        while head := await reader.read(4):
            request = await reader.readexactly(*struct.unpack(">i", head))
            writer.write(struct.pack(">i", 4 + len(body)) + request[4:8] + body)
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(old, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        error = await refused(f"kafka://127.0.0.1:{port}")
        await ended.wait()
    assert type(error) is LogVersion
    assert "of Produce it speaks at most version 2, 7 is needed" in error.what
    assert "2.1 or newer" in error.remedy
    spoken = {0: (9, 20), 1: (4, 30)}
    with pytest.raises(LogVersion, match="too new: of Produce it speaks version 9 at least"):
        check_versions(spoken, "kafka://b:9092")
