"""Bulk replay from Kafka: events a second of the log through the rules, beside a bare aiokafka reader of the same
topics.

The log is that of `replay.py`: a company's months for many connections, with the decisions published. Ours scans events
and decisions and puts them through the rules over dictionaries, as a rebuild does. The bare one reads the same records
with aiokafka's consumer, decodes each with `json.loads` and folds it into one dict. Both count events alone; they take
turns over one real broker, and medians are shown. Run: `python bench/kafka_replay.py [--connections 40] [--invoices 50]
[--rounds 3]`.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import uvloop
from _kafka import brokers, load, opened, prefix, servers_of
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from replay import months, rules, write

from streams.gc_pause import without_collector
from streams.log.interface import Log
from streams.log.topics import Topics

AIM = 0.5
PARTITIONS = 4
#: Records of one poll of the bare reader. More gave nothing.
_POLL = 5_000


async def bare(url: str, topics: Topics) -> int:
    """Read, decode, fold: nothing else."""
    counts: dict[str, int] = {topics.events.name: 0, topics.decisions.name: 0}
    state: dict[tuple[str, str], Any] = {}
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers_of(url), auto_offset_reset="earliest", max_partition_fetch_bytes=2 * 1024 * 1024
    )
    async with consumer:
        tps = [KafkaPartition(topic, partition) for topic in counts for partition in range(PARTITIONS)]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        left = sum(ends.values())
        while left:
            for tp, records in (await consumer.getmany(timeout_ms=1_000, max_records=_POLL)).items():
                for record in records:
                    found = json.loads(record.value)
                    state[found["connection"], found.get("id") or found["event"]] = found
                counts[tp.topic] += len(records)
                left -= len(records)
    return counts[topics.events.name]


def bare_rate(url: str, topics: Topics) -> float:
    """Events a second, on a loop of its own as ours is in a thread of its own."""
    return timed(lambda: uvloop.run(bare(url, topics)))


def timed(work: Callable[[], int]) -> float:
    with without_collector():
        began_s = time.perf_counter()
        return work() / (time.perf_counter() - began_s)


async def compare(log: Log, url: str, topics: Topics, rounds: int) -> None:
    ours: list[float] = []
    beside: list[float] = []
    for _ in range(rounds):
        beside.append(await asyncio.to_thread(bare_rate, url, topics))
        ours.append(await asyncio.to_thread(timed, lambda: rules(log, topics)))
    print(f"bare reader (aiokafka, json.loads, dict): {statistics.median(beside):,.0f} events/s")
    print(f"rules over dictionaries: {statistics.median(ours):,.0f} events/s")
    ratio = statistics.median(one / other for one, other in zip(ours, beside, strict=True))
    print(f"aim {AIM:g} of the bare reader: ratio {ratio:.2f} ({'met' if ratio >= AIM else 'missed'})")
    print(load())


async def measure(url: str, named: str, connections: int, invoices: int, rounds: int) -> None:
    topics = Topics(named, PARTITIONS)
    async with opened(url, topics) as log:
        count = await write(log, months(invoices), connections, topics)
        print(f"{count:,} events, {connections} connections, {invoices} invoices each", flush=True)
        await compare(log, url, topics, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=40)
    parser.add_argument("--invoices", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with brokers() as url, prefix(url) as named:
        asyncio.run(measure(url, named, options.connections, options.invoices, options.rounds))


if __name__ == "__main__":
    main()
