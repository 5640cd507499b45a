"""What the contract suite runs in processes of their own, to be killed: `processes.py COMMAND URL TOPIC ...`.

Every line printed is one fact that the test may rely on: it was true when it was printed.
"""

import asyncio
import os
import signal
import sys
import time

from streams.log.engines import open_log
from streams.log.interface import NewRecord, RecordBatch, TopicPartition


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def append(url: str, topic: str, name: str, count: str) -> None:
    """Append `count` records one by one, ten at a time in flight; say where each is."""
    async with open_log(url) as log:

        async def one(number: int) -> None:
            value = f"{name}-{number}".encode()
            (place,) = await log.append([NewRecord(topic, name.encode(), value)])
            say(place.partition, place.offset, value.decode())

        for first in range(0, int(count), 10):
            await asyncio.gather(*(one(number) for number in range(first, min(first + 10, int(count)))))


async def flood(url: str, topic: str, name: str) -> None:
    """Append until killed; say what was acknowledged."""
    await append(url, topic, name, str(10**9))


async def ping(url: str, topic: str, count: str) -> None:
    """Append one record for each line that comes in, with the time just before as its value."""
    async with open_log(url) as log:
        say("ready")
        for _ in range(int(count)):
            await asyncio.to_thread(sys.stdin.readline)
            await log.append([NewRecord(topic, b"k", str(time.monotonic_ns()).encode())])


async def work(url: str, topic: str, group: str, die_at: str) -> None:
    """Handle records, say each; at the value `die_at`, kill this very process in the middle of the handler."""
    from streams.log.worker import HandlerSpec, Worker

    async def handle(batch: RecordBatch) -> None:
        for record in batch.records:
            value = (record.value or b"").decode()
            say("began", record.offset, value)
            if value == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            say("handled", record.offset, value)

    async with open_log(url) as log:
        worker = Worker(log, group, [HandlerSpec("contract", topic, handle)], commit_interval_s=0.02)
        await worker.start()
        end = await log.end_offset(TopicPartition(topic, 0))
        if die_at == "-":
            await worker.until_idle()
            say("idle", end)
            await worker.stop()
        else:
            await worker.run_until_failed()


if __name__ == "__main__":
    _, command, *arguments = sys.argv
    asyncio.run({"append": append, "flood": flood, "ping": ping, "work": work}[command](*arguments))
