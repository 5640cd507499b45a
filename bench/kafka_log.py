"""The log on Kafka by itself: how long one durable append takes, beside aiokafka's producer, and how soon a worker has
what another process appended, beside the aim of 10 ms.

Appends one after the other, one small record each, acknowledged by all replicas in step: ours and aiokafka's idempotent
producer take turns over one broker. The wake-up is measured as `log_wakeup.py` does it for the embedded log. Run:
`python bench/kafka_log.py [--records 500] [--rounds 5]`.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import uvloop
from _kafka import ONE_BROKER, brokers, load, opened, prefix, servers_of
from aiokafka import AIOKafkaProducer
from log_wakeup import TOPIC, measure, percentile, show

from streams.log.interface import NewRecord
from streams.log.topics import Topics

#: Ours may take so many times what aiokafka takes.
AIM = 1.25
VALUE = b"x" * 300


async def timed(records: int, append: Callable[[], Awaitable[object]]) -> list[float]:
    """Milliseconds of each append, in rising order."""
    times: list[float] = []
    for _ in range(records):
        began_s = time.perf_counter()
        await append()
        times.append((time.perf_counter() - began_s) * 1_000)
    return sorted(times)


async def appends(url: str, named: str, records: int, rounds: int) -> None:
    topics = Topics(named, 1)
    topic = topics.events.name
    producer = AIOKafkaProducer(bootstrap_servers=servers_of(url), acks="all", enable_idempotence=True)
    ours: list[list[float]] = []
    bare: list[list[float]] = []
    async with opened(url, topics) as log, producer:
        for number in range(rounds + 1):
            mine = await timed(records, lambda: log.append([NewRecord(topic, b"acme", VALUE)]))
            beside = await timed(records, lambda: producer.send_and_wait(topic, VALUE, key=b"acme"))
            if number:  # the first is to warm up
                ours.append(mine)
                bare.append(beside)
    for name, rows in (("ours", ours), ("aiokafka", bare)):
        p50, p99 = (statistics.median(percentile(row, percent) for row in rows) for percent in (50, 99))
        print(f"one append, durable, {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    ratio = statistics.median(
        percentile(mine, 50) / percentile(beside, 50) for mine, beside in zip(ours, bare, strict=True)
    )
    print(f"aim {AIM:g} times aiokafka's p50: ratio {ratio:.2f} ({'met' if ratio <= AIM else 'missed'})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with brokers() as url, prefix(url) as named:
        uvloop.run(appends(url, named, options.records, options.rounds))
        show(*asyncio.run(measure(url, options.records, f"{named}{TOPIC.name}", ONE_BROKER)))
    print(load())


if __name__ == "__main__":
    main()
