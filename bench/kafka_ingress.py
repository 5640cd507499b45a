"""Ingress on Kafka: signed webhooks of 250 events, acknowledged when the broker has them, beside a bare aiohttp and
aiokafka handler.

Ours is the gateway as it is, over the program's own producer. The bare one reads the body, compares one HMAC and awaits
aiokafka's `send_and_wait`, idempotent and with acks=all as ours is, in batches as large as ours (by itself aiokafka
makes them of 16 KiB, which would send each of these bodies alone). Each server has a process of its own, so has the
client; one real broker serves both. They take turns as in `ingress.py`. Aim: 0.8 of the bare one. Run: `python
bench/kafka_ingress.py [--rounds 7] [--seconds 1]`.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

import uvloop
from _kafka import ONE_BROKER, brokers, load, opened, prefix, servers_of
from aiokafka import AIOKafkaProducer
from ingress import answer, compare, handler, ours, show

from streams.log.engines import open_log
from streams.log.topics import Topics

PARTITIONS = 2
_BATCH_BYTES = 960 * 1024


async def serve_ours(url: str, topics: Topics) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_log(url, kafka=ONE_BROKER, prefix=topics.prefix) as log:
            await answer(await ours(log, Path(folder), topics))


async def serve_bare(url: str, topics: Topics) -> None:
    topic = topics.deliveries_gocardless.name
    producer = AIOKafkaProducer(
        bootstrap_servers=servers_of(url),
        acks="all",
        enable_idempotence=True,
        max_batch_size=_BATCH_BYTES,
        max_request_size=32 * _BATCH_BYTES,
    )
    async with producer:
        await answer(handler(lambda content: producer.send_and_wait(topic, content, key=b"acme")))


async def measure(url: str, named: str, rounds: int, seconds: float) -> None:
    async with opened(url, Topics(named, PARTITIONS)):
        rates = await compare(rounds, seconds, __file__, "--url", url, "--prefix", named, "--serve")
    show(rates, rounds)
    print(load())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    for hidden in ("--serve", "--url", "--prefix"):
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve = {"ours": serve_ours, "bare": serve_bare}[options.serve]
        uvloop.run(serve(options.url, Topics(options.prefix, PARTITIONS)))
        return
    with brokers() as url, prefix(url) as named:
        asyncio.run(measure(url, named, options.rounds, options.seconds))


if __name__ == "__main__":
    main()
