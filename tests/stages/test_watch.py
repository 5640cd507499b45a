"""The watch: a worker that stands still with records waiting is told and ended, one that has nothing to do or cannot
help it is not.
"""

import asyncio
import secrets
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition as KafkaPartition

from streams.cli.explain import explain
from streams.log.engines import open_log
from streams.log.interface import LogUnavailable, NewRecord, Record, RecordBatch, TopicPartition
from streams.log.sqlite.transport import Consumer
from streams.log.topics import TopicSpec
from streams.log.worker import HandlerSpec, Worker
from streams.process.stall_watch import GROUP_LIMIT_S, HANDLER_LIMIT_S, SILENT_FACTOR, Stalled, Watch
from streams.stages.metrics import Metrics

A, B = TopicPartition("events", 0), TopicPartition("events", 1)
STALLED_AFTER_S = 120.0


def batch(tp=A, offset=3):
    return RecordBatch(tp, [Record(tp.topic, tp.partition, offset, 0, b"k", b"v")])


class WatchedWorker:
    """A log, a worker and a monotonic clock that the test moves by hand, under watch."""

    def __init__(self):
        self.now_s = 1_000.0
        self.ends = {A: 3, B: 0}
        self.positions = {A: 3, B: 0}
        self.batches = {}
        self.silent_s = None
        self.away = set()
        self.failure = None
        self.group = "g"
        self.handlers = (SimpleNamespace(topic="events"),)
        self.metrics = Metrics()
        self.watch = Watch(
            self, self, self.metrics, STALLED_AFTER_S, silent_s=lambda: self.silent_s, now=lambda: self.now_s
        )

    # what the watch asks of the log

    async def end_offset(self, tp):
        if tp in self.away:
            raise LogUnavailable("no leader", "events[0]", "wait")
        return self.ends[tp]

    # what the watch asks of the worker

    def assigned(self):
        return set(self.positions)

    def position(self, tp):
        return self.positions.get(tp)

    def handling(self, tp):
        return self.batches.get(tp)

    # what the test does

    async def pass_time(self, seconds, step_s=5.0):
        until = self.now_s + seconds
        while self.now_s < until:
            self.now_s += step_s
            if self.silent_s is not None:
                self.silent_s += step_s
            await self.watch.look()

    def gauge(self, name, **labels):
        return self.metrics.registry.get_sample_value(f"zoho_gocardless_{name}", labels or None)

    def consumer(self, name, tp):
        return self.gauge(f"consumer_{name}", topic=tp.topic, partition=str(tp.partition))


@pytest.fixture
def world():
    return WatchedWorker()


async def test_records_that_wait_and_are_not_fetched_are_a_stall(world):
    world.ends[A] = 10
    await world.pass_time(STALLED_AFTER_S - 5)
    assert world.watch.stalled is None
    with pytest.raises(
        Stalled, match=r"records wait at 3, the end is 10, and nothing was fetched for 120 s; at events\[0\]"
    ) as told:
        await world.pass_time(5)
    assert world.watch.stalled is told.value
    failure, exit_code = explain(told.value)
    assert (failure.code, failure.retriable, exit_code) == ("stalled", False, 70)


async def test_lag_and_stillness_are_gauges_and_go_with_the_partition(world):
    world.ends[A] = 10
    await world.pass_time(60)
    assert (world.consumer("lag_records", A), world.consumer("still_seconds", A)) == (7, 60)
    assert (world.consumer("lag_records", B), world.consumer("still_seconds", B)) == (0, 0)
    assert world.gauge("consumer_partitions") == 2
    assert world.watch.troubles() == ["events[0] has records waiting and has stood still for 60 s"]
    del world.positions[A]
    await world.pass_time(5)
    assert (world.consumer("lag_records", A), world.consumer("still_seconds", A)) == (None, None)
    assert world.gauge("consumer_partitions") == 1
    assert world.watch.troubles() == []


async def test_a_worker_that_moves_or_has_nothing_to_do_is_left_alone(world):
    await world.pass_time(3 * STALLED_AFTER_S)
    world.ends[A] = 1_000
    for position in range(4, 40):
        await world.pass_time(STALLED_AFTER_S - 10)
        world.positions[A] = position
    assert world.watch.stalled is None


async def test_every_partition_is_watched_by_itself(world):
    world.ends = {A: 1_000, B: 1}

    async def only_one_moves():
        for position in range(4, 40):
            await world.pass_time(10)
            world.positions[A] = position

    with pytest.raises(Stalled, match=r"at events\[1\]"):
        await only_one_moves()


async def test_a_handler_at_work_has_longer_but_not_for_ever(world):
    world.ends[A], world.batches[A] = 10, batch()
    await world.pass_time(HANDLER_LIMIT_S - 5)
    assert world.watch.troubles() != []
    with pytest.raises(Stalled, match="one batch has been handled for 600 s"):
        await world.pass_time(10)


async def test_a_partition_that_is_taken_and_given_back_without_progress_stands_still(world):
    world.ends[A] = 10
    await world.pass_time(STALLED_AFTER_S / 2)
    del world.positions[A]
    await world.pass_time(300)
    world.positions[A] = 3
    with pytest.raises(Stalled, match="nothing was fetched for 120 s"):
        await world.pass_time(STALLED_AFTER_S / 2)


async def test_a_partition_whose_end_is_unknown_counts_nothing_and_has_all_its_time_afterwards(world):
    world.ends[A] = 10
    await world.pass_time(STALLED_AFTER_S - 10)
    world.away = {A}
    await world.pass_time(SILENT_FACTOR * STALLED_AFTER_S * 2)
    assert world.gauge("log_silent_seconds") == 0, "the other partition answers"
    world.away = set()
    await world.pass_time(STALLED_AFTER_S - 5)
    with pytest.raises(Stalled, match="nothing was fetched"):
        await world.pass_time(5)


async def test_a_log_that_answers_nothing_ends_the_process_late(world):
    world.away = {A, B}
    await world.pass_time(SILENT_FACTOR * STALLED_AFTER_S - 5)
    assert world.gauge("log_silent_seconds") == SILENT_FACTOR * STALLED_AFTER_S - 5
    with pytest.raises(Stalled, match="the log has answered nothing for 600 s"):
        await world.pass_time(5)


async def test_a_log_that_comes_back_in_time_is_no_stall(world):
    world.away = {A, B}
    await world.pass_time(SILENT_FACTOR * STALLED_AFTER_S - 5)
    world.away = set()
    await world.pass_time(5)
    assert world.gauge("log_silent_seconds") == 0


async def test_an_answer_that_never_comes_is_a_log_that_does_not_answer(world, monkeypatch):
    async def never(tp):
        await asyncio.Event().wait()

    monkeypatch.setattr(world, "end_offset", never)
    world.watch._answer_s = 0.01
    await world.pass_time(10)
    assert world.gauge("log_silent_seconds") == 10


async def test_a_worker_without_partitions_is_well_while_its_group_answers(world):
    world.positions, world.silent_s = {}, 0.0
    for _ in range(100):
        await world.pass_time(5)
        world.silent_s = 0.0  # a heartbeat since the last look
    assert world.gauge("consumer_partitions") == 0
    with pytest.raises(Stalled, match=r"coordinator has not answered for 120 s, while the log does; at group g"):
        await world.pass_time(STALLED_AFTER_S + 5)
    assert world.gauge("group_silent_seconds") > STALLED_AFTER_S


async def test_a_group_is_not_to_blame_while_the_log_is_away(world):
    world.silent_s, world.away = 0.0, {A, B}
    await world.pass_time(SILENT_FACTOR * STALLED_AFTER_S - 5)
    world.away = set()
    await world.pass_time(GROUP_LIMIT_S)
    world.silent_s = 0.0
    await world.pass_time(5)
    assert world.watch.troubles() == []


async def test_time_in_which_the_loop_was_held_up_does_not_count(world):
    world.ends[A] = 10
    await world.pass_time(50)
    world.now_s += 3_600
    await world.watch.look()
    assert world.watch.stalled is None
    assert world.consumer("still_seconds", A) < 50 + 20


async def test_a_worker_that_has_failed_is_told_by_its_own_error(world):
    world.ends[A], world.failure = 10, RuntimeError("a stage raised")
    await world.pass_time(2 * STALLED_AFTER_S)
    assert world.watch.stalled is None


async def test_a_real_worker_that_stops_fetching_is_found(company, monkeypatch):
    topic = company.topics.events.name

    async def ignore(batch) -> None:
        """A handler that is content with anything."""

    async with Worker(company.log, "watched", [HandlerSpec("quick", topic, ignore)]) as worker:
        watch = Watch(company.log, worker, company.metrics, 0.2)
        running = asyncio.create_task(watch.run())
        await company.log.append([NewRecord(topic, b"acme", b"v")])
        async with asyncio.timeout(20):
            await worker.until_idle()
        await asyncio.sleep(0.4)
        assert not running.done()
        monkeypatch.setattr(Consumer, "_take", lambda *_: [])
        await company.log.append([NewRecord(topic, b"acme", b"v")])
        async with asyncio.timeout(20):
            with pytest.raises(Stalled, match="records wait at 1, the end is 2, and nothing was fetched"):
                await running


async def test_a_consumer_on_kafka_that_is_assigned_and_does_not_fetch_is_found(kafka_url):
    spec = TopicSpec(f"t-{secrets.token_hex(6)}", "connection", 2, None, "a test")
    tp = TopicPartition(spec.name, 0)

    async def ignore(batch) -> None:
        """A handler that is content with anything."""

    async with open_log(kafka_url) as log:
        await log.ensure_topics([spec])
        async with Worker(log, f"g-{spec.name}", [HandlerSpec("quick", spec.name, ignore)]) as worker:
            watch = Watch(log, worker, Metrics(), 4.0)
            running = asyncio.create_task(watch.run())
            await log.append([NewRecord(spec.name, b"k", b"v", partition=partition) for partition in (0, 1)])
            async with asyncio.timeout(30):
                await worker.until_idle()
            assert worker.assigned() == {tp, TopicPartition(spec.name, 1)}
            thread = worker._app.consumer._thread
            paused = KafkaPartition(*tp)
            thread.thread_loop.call_soon_threadsafe(thread._consumer.pause, paused)
            await log.append([NewRecord(spec.name, b"k", b"v", partition=partition) for partition in (0, 1)])
            async with asyncio.timeout(30):
                with pytest.raises(
                    Stalled,
                    match=rf"records wait at 1, the end is 2, and nothing was fetched for .* at {spec.name}\[0\]",
                ):
                    await running
            assert worker.position(TopicPartition(spec.name, 1)) == 2, "the other partition went on"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("running", "a stage failed: records wait at 2, the end is 3, and nothing was fetched for"),
        ("stopping", "the stages did not stop in time; the process ends all the same"),
    ],
)
async def test_a_process_that_stalls_ends_with_70_even_if_what_hung_hangs_at_the_stop(tmp_path, how, said):
    words = [sys.executable, str(Path(__file__).with_name("stalling.py")), str(tmp_path), how]
    program = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        handled, told = await program.communicate()
    assert program.returncode == 70, told.decode()
    assert said in told.decode()
    assert handled.split() == [b"0", b"1"]
