"""How soon a waiting agent has a record that another process appended: p50 and p99 beside the aim of 10 ms.

The wake-up runs from the moment the record is durable and its writer knows it, to the agent's first line; it holds the
notice to the other process, the read and Faust's delivery. The whole way, from before the append and its fsync, is told
beside. Run: `python bench/log_wakeup.py [--records 500] [--url sqlite:///absolute/path.db]`.
"""

import argparse
import asyncio
import sys
import tempfile
import time

import msgspec

from streams.log.engines import open_log
from streams.log.interface import NewRecord, RecordBatch
from streams.log.topics import Topics
from streams.log.worker import HandlerSpec, Worker
from streams.settings import Kafka

AIM_MS = 10.0
PAUSE_S = 0.005  # between records, so that the agent has gone back to waiting
TOPIC = Topics("bench.").events
#: Records before the first that counts: connections are made, and code is loaded.
_WARM = 5


async def write(url: str, topic: str, records: int) -> None:
    """Append, and print when each append was begun and when it was durable, in nanoseconds of the system's clock."""
    async with open_log(url) as log:
        for number in range(records + _WARM):
            await asyncio.sleep(PAUSE_S)
            began_ns = time.monotonic_ns()
            await log.append([NewRecord(topic, b"connection", b"record")])
            if number >= _WARM:
                print(began_ns, time.monotonic_ns())


async def measure(
    url: str, records: int, topic: str = TOPIC.name, kafka: Kafka | None = None
) -> tuple[list[float], list[float]]:
    """Milliseconds of the wake-ups, and of the whole way from before the append; each in rising order."""
    spec = msgspec.structs.replace(TOPIC, name=topic)
    seen_ns: list[int] = []

    async def handle(batch: RecordBatch) -> None:
        now_ns = time.monotonic_ns()
        seen_ns.extend(now_ns for _ in batch.records)

    async with open_log(url, kafka=kafka) as log:
        await log.ensure_topics([spec])
        async with Worker(log, f"{topic}.bench", [HandlerSpec("wakeup", topic, handle)]) as worker:
            await worker.until_idle()
            seen_ns.clear()
            writer = await asyncio.create_subprocess_exec(
                *(sys.executable, __file__, "--writer", "--url", url, "--topic", topic, "--records", str(records)),
                stdout=asyncio.subprocess.PIPE,
            )
            said, _ = await writer.communicate()
            await worker.until_idle()
    times = [(int(began), int(durable)) for began, durable in (line.split() for line in said.splitlines())]
    seen_ns = seen_ns[_WARM:]
    wakeups = sorted((seen - durable) / 1e6 for seen, (_, durable) in zip(seen_ns, times, strict=True))
    whole = sorted((seen - began) / 1e6 for seen, (began, _) in zip(seen_ns, times, strict=True))
    return wakeups, whole


def percentile(values: list[float], percent: int) -> float:
    return values[min(len(values) * percent // 100, len(values) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=500)
    parser.add_argument("--url")
    parser.add_argument("--topic", default=TOPIC.name, help=argparse.SUPPRESS)
    parser.add_argument("--writer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = options.url or f"sqlite://{folder}/log.db"
        if options.writer:
            asyncio.run(write(url, options.topic, options.records))
            return
        wakeups, whole = asyncio.run(measure(url, options.records))
    show(wakeups, whole)


def show(wakeups: list[float], whole: list[float]) -> None:
    p50, p99 = percentile(wakeups, 50), percentile(wakeups, 99)
    print(f"wake-up of an agent by another process ({len(wakeups)} records): p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    print(f"aim p99 {AIM_MS:g} ms: ratio {p99 / AIM_MS:.2f} ({'met' if p99 <= AIM_MS else 'missed'})")
    print(f"with the durable append before it: p50 {percentile(whole, 50):.2f} ms, p99 {percentile(whole, 99):.2f} ms")


if __name__ == "__main__":
    main()
