"""Handlers over a log: batches, where they resume, and that no position ever passes an unhandled record."""

import asyncio

import pytest

from streams.log.batch_worker import BatchWorker, HandlerSpec, WorkerFailed
from streams.log.interface import NewRecord, ReadOutOfRange, TopicPartition, UnknownTopic


class Seen:
    """A handler that remembers, and can fail, wait or be cancelled at a value."""

    def __init__(self) -> None:
        self.batches = []
        self.values = []
        self.fail_at = None
        self.hold = None
        self.began = asyncio.Event()

    async def __call__(self, batch) -> None:
        self.began.set()
        self.batches.append(batch)
        for record in batch.records:
            if record.value == self.fail_at:
                raise RuntimeError("no")
        if self.hold is not None:
            await self.hold.wait()
        self.values += [record.value for record in batch.records]


@pytest.fixture
def seen() -> Seen:
    return Seen()


def records(tp, *values):
    return [NewRecord(tp.topic, b"k", value) for value in values]


@pytest.fixture
def worker_of(engine):
    def make(log, tp, handle, **more) -> BatchWorker:
        spec = HandlerSpec("contract", tp.topic, handle, more.pop("resume_at", None))
        return engine.worker(log, "g", [spec], commit_interval_s=0.02, **more)

    return make


async def until_idle(worker: BatchWorker) -> None:
    async with asyncio.timeout(20):
        await worker.until_idle()


async def test_consecutive_records_come_as_one_batch_and_a_single_one_at_once(log, tp, seen, worker_of):
    await log.append(records(tp, *(b"%d" % number for number in range(50))))
    async with worker_of(log, tp, seen) as worker:
        await until_idle(worker)
        assert [len(batch.records) for batch in seen.batches] == [50]
        assert (seen.batches[0].tp, seen.batches[0].first_offset, seen.batches[0].next_offset) == (tp, 0, 50)
        await log.append(records(tp, b"alone"))
        await until_idle(worker)
    assert [len(batch.records) for batch in seen.batches] == [50, 1]
    assert seen.values == [*(b"%d" % number for number in range(50)), b"alone"]


async def test_a_long_backlog_comes_in_bounded_batches_each_partition_in_order(engine, log, seen, worker_of):
    spec = engine.spec(partitions=3)
    await log.ensure_topics([spec])
    for partition in range(3):
        await log.append([NewRecord(spec.name, b"k", b"%d" % number, partition=partition) for number in range(2_500)])
    async with worker_of(log, TopicPartition(spec.name, 0), seen) as worker:
        await until_idle(worker)
    for partition in range(3):
        own = [batch for batch in seen.batches if batch.tp.partition == partition]
        assert [batch.first_offset for batch in own] == [0, *(batch.next_offset for batch in own)][: len(own)]
        assert own[-1].next_offset == 2_500
        assert max(len(batch.records) for batch in own) <= 1_000


async def test_what_was_handled_does_not_come_again(log, tp, seen, worker_of):
    await log.append(records(tp, b"1", b"2"))
    async with worker_of(log, tp, seen) as worker:
        await until_idle(worker)
    await log.append(records(tp, b"3"))
    async with worker_of(log, tp, seen) as worker:
        await until_idle(worker)
        assert worker.position(tp) == 3
    assert seen.values == [b"1", b"2", b"3"]
    assert await log.committed("g", tp) == 3


async def test_the_store_says_where_to_resume_and_the_batch_begins_exactly_there(log, tp, seen, worker_of):
    await log.append(records(tp, *(b"%d" % number for number in range(10))))
    await log.commit("g", {tp: 9})

    async def stored(asked: TopicPartition) -> int:
        assert asked == tp
        return 4

    async with worker_of(log, tp, seen, resume_at=stored) as worker:
        await until_idle(worker)
    assert seen.batches[0].first_offset == 4
    assert seen.values == [b"%d" % number for number in range(4, 10)]


async def test_a_store_without_a_position_leaves_it_to_the_log(log, tp, seen, worker_of):
    await log.append(records(tp, b"0", b"1", b"2"))
    await log.commit("g", {tp: 2})

    async def stored(_: TopicPartition) -> None:
        return None

    async with worker_of(log, tp, seen, resume_at=stored) as worker:
        await until_idle(worker)
    assert seen.values == [b"2"]


async def test_a_resume_beyond_the_log_is_refused(log, tp, seen, worker_of):
    await log.append(records(tp, b"0"))

    async def stored(_: TopicPartition) -> int:
        return 7

    worker = worker_of(log, tp, seen, resume_at=stored)
    with pytest.raises(ReadOutOfRange, match="would resume at 7, the log has 0 to 1"):
        await worker.start()
    assert seen.batches == []
    async with worker_of(log, tp, seen) as well:  # the group was let go
        await until_idle(well)


async def test_a_store_that_cannot_answer_stops_the_start(log, tp, seen, worker_of):
    async def stored(_: TopicPartition) -> int:
        raise ConnectionError("database away")

    with pytest.raises(WorkerFailed) as failed:
        await worker_of(log, tp, seen, resume_at=stored).start()
    assert isinstance(failed.value.__cause__, ConnectionError)


async def test_a_record_whose_handler_raised_is_never_passed(log, tp, seen, worker_of):
    seen.fail_at = b"bad"
    await log.append(records(tp, b"1", b"2"))
    worker = worker_of(log, tp, seen)
    await worker.start()
    await until_idle(worker)
    await log.append(records(tp, b"bad", b"4"))
    with pytest.raises(WorkerFailed, match=r"handler contract raised RuntimeError at .*@2") as failed:
        async with asyncio.timeout(20):
            await worker.run_until_failed()
    assert (failed.value.handler, failed.value.tp, failed.value.offset) == ("contract", tp, 2)
    assert isinstance(failed.value.__cause__, RuntimeError)
    assert worker.failure is failed.value
    assert not await worker.idle()
    await log.append(records(tp, b"5"))
    assert await log.committed("g", tp) == 2

    seen.fail_at = None
    async with worker_of(log, tp, seen) as again:
        await until_idle(again)
    assert seen.values == [b"1", b"2", b"bad", b"4", b"5"]
    assert await log.committed("g", tp) == 5


async def test_after_a_failure_nothing_more_is_handed_to_any_handler(engine, log, seen):
    first, second = engine.spec(), engine.spec()
    await log.ensure_topics([first, second])
    other = Seen()
    seen.fail_at = b"bad"
    worker = engine.worker(
        log, "g", [HandlerSpec("one", first.name, seen), HandlerSpec("two", second.name, other)], commit_interval_s=0.02
    )
    await worker.start()
    await log.append([NewRecord(first.name, b"k", b"bad")])
    with pytest.raises(WorkerFailed):
        await until_idle(worker)
    await log.append([NewRecord(first.name, b"k", b"later"), NewRecord(second.name, b"k", b"later")])
    await asyncio.sleep(0.1)
    await worker.stop()
    assert len(seen.batches) == 1
    assert other.batches == []
    assert (await log.committed("g", TopicPartition(first.name, 0)) or 0) == 0


async def test_a_record_whose_handler_was_cancelled_is_never_passed(log, tp, seen, worker_of):
    await log.append(records(tp, b"1", b"2"))

    async def cancelled(batch) -> None:
        raise asyncio.CancelledError

    worker = worker_of(log, tp, cancelled)
    await worker.start()
    with pytest.raises(WorkerFailed, match="was cancelled"):
        async with asyncio.timeout(20):
            await worker.run_until_failed()
    assert (await log.committed("g", tp) or 0) == 0
    async with worker_of(log, tp, seen) as again:
        await until_idle(again)
    assert seen.values == [b"1", b"2"]


async def test_a_stop_lets_the_running_handler_end_and_keeps_its_work(log, tp, seen, worker_of):
    seen.hold = asyncio.Event()
    await log.append(records(tp, b"1"))
    worker = worker_of(log, tp, seen)
    await worker.start()
    await seen.began.wait()
    await log.append(records(tp, b"2"))
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    seen.hold.set()
    await stopping
    assert seen.values == [b"1"]
    assert await log.committed("g", tp) == 1
    assert worker.failure is None
    async with worker_of(log, tp, seen) as again:
        await until_idle(again)
    assert seen.values == [b"1", b"2"]


async def test_a_stop_cuts_off_a_stuck_handler_and_its_record_comes_again(log, tp, seen, worker_of):
    seen.hold = asyncio.Event()
    await log.append(records(tp, b"1"))
    worker = worker_of(log, tp, seen, stop_grace_s=0.05)
    await worker.start()
    await seen.began.wait()
    await worker.stop()
    assert seen.values == []
    assert (await log.committed("g", tp) or 0) == 0
    seen.hold = None
    async with worker_of(log, tp, seen) as again:
        await until_idle(again)
    assert seen.values == [b"1"]


async def test_lag_and_idle_count_what_is_not_handled(log, tp, seen, worker_of):
    seen.hold = asyncio.Event()
    worker = worker_of(log, tp, seen)
    assert not await worker.idle()
    await worker.start()
    assert await worker.idle()
    assert await worker.idle(tp)
    await log.append(records(tp, b"1", b"2"))
    assert not await worker.idle()
    assert not await worker.idle(tp)
    assert await worker.lag() == {"contract": {tp: 2}}
    seen.hold.set()
    await until_idle(worker)
    assert await worker.lag() == {"contract": {tp: 0}}
    assert await worker.idle(tp)
    await worker.stop()
    assert not await worker.idle()


async def test_a_worker_may_be_started_again_and_runs_until_it_is_stopped(log, tp, seen, worker_of):
    worker = worker_of(log, tp, seen)
    for number in range(2):
        await worker.start()
        running = asyncio.create_task(worker.run_until_failed())
        await log.append(records(tp, b"%d" % number))
        await until_idle(worker)
        await worker.stop()
        await running
    assert seen.values == [b"0", b"1"]


async def test_a_worker_that_cannot_work_says_why(engine, log, tp, seen, worker_of):
    with pytest.raises(ValueError, match="same topic or name"):
        engine.worker(log, "g", [HandlerSpec("a", tp.topic, seen), HandlerSpec("b", tp.topic, seen)])
    with pytest.raises(WorkerFailed, match="not running"):
        await worker_of(log, tp, seen).until_idle()
    with pytest.raises(UnknownTopic, match="no-such-topic"):
        await engine.worker(log, "g", [HandlerSpec("a", "no-such-topic", seen)]).start()


async def test_handlers_of_one_worker_may_append_to_each_other(engine, log, seen):
    first, second = engine.spec(), engine.spec()
    await log.ensure_topics([first, second])

    async def forward(batch) -> None:
        await log.append([NewRecord(second.name, record.key, record.value) for record in batch.records])

    async with engine.worker(
        log, "g", [HandlerSpec("one", first.name, forward), HandlerSpec("two", second.name, seen)]
    ) as worker:
        await log.append([NewRecord(first.name, b"k", b"%d" % number) for number in range(30)])
        await until_idle(worker)
    assert seen.values == [b"%d" % number for number in range(30)]
