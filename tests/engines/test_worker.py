"""The worker over the embedded log: what Faust must not do, and what it must do quickly."""

import asyncio
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from faust import App
from faust.exceptions import ImproperlyConfigured
from faust.types.enums import ProcessingGuarantee

from streams.log.interface import LogLocked, NewRecord, TopicPartition
from streams.log.sqlite.transport import Transport
from streams.log.topics import TopicSpec
from streams.log.worker import HandlerSpec, Worker, WorkerFailed


async def ignore(batch) -> None:
    """A handler that is content with anything."""


def listening() -> int:
    """How many TCP ports this process listens on."""
    own = {str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.exists()}
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(row[3] == "0A" and f"socket:[{row[9]}]" in own for row in rows)


async def test_a_start_does_not_wait_for_tables_open_a_port_or_leave_folders(log, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ports, before = listening(), set(tmp_path.iterdir())
    began_s = time.perf_counter()
    async with Worker(log, "g", [HandlerSpec("quick", "t", ignore)]):
        took_s = time.perf_counter() - began_s
        assert listening() == ports
        assert {each.name for each in set(tmp_path.iterdir()) - before} == {"log.db-g.lock"}
    assert took_s < 0.9, "Faust's table manager alone sleeps a second"


async def test_a_second_worker_of_a_group_is_refused_and_one_of_another_group_is_not(log):
    await log.append([NewRecord("t", b"k", b"v")])
    async with Worker(log, "g", [HandlerSpec("first", "t", ignore)]):
        with pytest.raises(LogLocked):
            await Worker(log, "g", [HandlerSpec("second", "t", ignore)]).start()
        async with Worker(log, "h", [HandlerSpec("third", "t", ignore)]) as other, asyncio.timeout(20):
            await other.until_idle()
    assert await log.committed("h", TopicPartition("t", 0)) == 1


async def test_a_cancelled_agent_does_not_lose_the_batch_it_had(log, tp):
    began = asyncio.Event()

    async def stuck(batch) -> None:
        began.set()
        await asyncio.Event().wait()

    await log.append([NewRecord("t", b"k", b"v")])
    worker = Worker(log, "g", [HandlerSpec("stuck", "t", stuck)], commit_interval_s=0.01)
    await worker.start()
    await began.wait()
    (agent,) = worker._app.agents.values()
    for actor in list(agent._actors):
        actor.actor_task.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(WorkerFailed, match="was cancelled"):
            await worker.until_idle()
    await asyncio.sleep(0.05)
    await worker.stop()
    assert (await log.committed("g", tp) or 0) == 0


def test_a_stock_app_and_exactly_once_are_refused():
    with pytest.raises(ImproperlyConfigured, match=r"runs under streams\.log\.worker only"):
        Transport(["sqlite:///x.db"], App("stock", broker="sqlite:///x.db", autodiscover=False))
    once = SimpleNamespace(conf=SimpleNamespace(processing_guarantee=ProcessingGuarantee.EXACTLY_ONCE))
    with pytest.raises(ImproperlyConfigured, match="no exactly_once"):
        Transport(["sqlite:///x.db"], once)


async def test_fausts_own_producer_and_offsets_speak_for_the_log(log, tp):
    await log.ensure_topics([TopicSpec("other", "connection", 3, None, "a test")])
    async with Worker(log, "g", [HandlerSpec("quick", "t", ignore)]) as worker:
        producer, consumer = worker._app.producer, worker._app.consumer
        place = await producer.send_and_wait("other", b"k", b"v", None, 12.5, {"id": b"1"})
        assert place.partition == log.partition_for("other", b"k") == producer.key_partition("other", b"k").partition
        sent = await producer.send("other", b"k", b"w", 2, None, None)
        assert (await sent).partition == 2
        (record,) = await log.read(TopicPartition("other", place.partition), place.offset, limit=1)
        assert (record.value, record.timestamp_ms, record.headers) == (b"v", 12_500, (("id", b"1"),))
        await producer.create_topic("made", 2, 1)
        assert log.partitions("made") == consumer.topic_partitions("made") == 2
        assert consumer.highwater(tp) == (await consumer.highwaters(tp))[tp] == 0
        assert await consumer.earliest_offsets(tp) == {tp: 0}
        assert await consumer.position(tp) == 0
        assert consumer.key_partition("other", b"k") == place.partition


ABANDON = """
import asyncio, sys
from streams.log.worker import HandlerSpec, Worker
from streams.log.sqlite import SqliteLog
from streams.log.interface import NewRecord
from streams.log.topics import TopicSpec
async def handle(batch): pass
async def main():
    log = SqliteLog(sys.argv[1])
    await log.start()
    await log.ensure_topics([TopicSpec("t", "connection", 1, None, "a test")])
    worker = Worker(log, "g", [HandlerSpec("quick", "t", handle)])
    await worker.start()
    await log.append([NewRecord("t", b"k", b"v")])
    await worker.until_idle()
    raise SystemExit(70)
asyncio.run(main())
"""


async def test_a_program_that_ends_without_a_stop_does_end(path):
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", ABANDON, path, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(60):
        _, said = await program.communicate()
    assert program.returncode == 70, said
