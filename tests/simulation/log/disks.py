"""Disks and handles over them, as the tests of this folder need them."""

import asyncio

from streams.log.interface import NewRecord, TopicPartition
from streams.log.topics import TopicSpec
from streams.simulation.log_disk import LogDisk
from streams.simulation.memory_log import MemoryLog

TP = TopicPartition("t", 0)
OTHER = TopicPartition("t", 1)
LONG_S = 3_600.0


def made_disk(*, atomic=True, **more) -> LogDisk:
    disk = LogDisk("incarnation-of-a-test", atomic=atomic, keeps_positions=atomic, **more)
    disk.ensure_topics([TopicSpec("t", "connection", 2, None, "a test"), TopicSpec("u", "connection", 1, None, "")])
    return disk


def made_log(disk, *, latency=None, **more) -> MemoryLog:
    """A handle that waits at seams as `latency` says: a function, or seconds by the seam's name."""
    if not callable(latency):
        seconds = latency or {}

        def latency(seam):
            return seconds.get(seam, 0.0)

    return MemoryLog(disk, now_ms=lambda: 1_000, latency=latency, **more)


async def started(disk, **more) -> MemoryLog:
    log = made_log(disk, **more)
    await log.start()
    return log


def records(*values, tp=TP):
    return [NewRecord(tp.topic, b"k", value.encode(), partition=tp.partition) for value in values]


async def values(log, tp=TP):
    return [record.value.decode() for record in await log.read(tp, 0)]


async def turns(count=5):
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)
