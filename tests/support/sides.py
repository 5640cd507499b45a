"""Both sides of a move, as a test sees them: all of each record, and all rows."""

import asyncio
import contextlib

import sqlalchemy as sa

from projections.store.store import open_store
from projections.store.tables import metadata
from streams.log.interface import TopicPartition
from streams.log.kafka import KafkaLog
from streams.log.sqlite import SqliteLog
from streams.log.topics import Topics
from streams.settings import Kafka

KAFKA = Kafka(replication=1, min_insync=1)


class Side:
    """A log as the test sees it: all of each record, by partition, under the topic's name without its prefix."""

    def __init__(self, url, prefix=""):
        self.url, self.prefix = url, prefix

    @contextlib.asynccontextmanager
    async def log(self):
        made = (
            KafkaLog.from_url(self.url, kafka=KAFKA, prefix=self.prefix)
            if self.url.startswith("kafka")
            else SqliteLog.from_url(self.url)
        )
        async with made as log:
            yield log

    def run(self, work):
        async def inside():
            async with self.log() as log:
                return await work(log)

        return asyncio.run(inside())

    def records(self):
        async def work(log):
            found = {}
            for spec in Topics("", 2):
                for number in range(2):
                    tp = TopicPartition(self.prefix + spec.name, number)
                    at, rows = await log.start_offset(tp), []
                    first, end = at, await log.end_offset(tp)
                    while at < end:
                        page = await log.read(tp, at)
                        rows += [(one.offset, one.timestamp_ms, one.key, one.value, one.headers) for one in page]
                        at += len(page)
                    found[spec.name, number] = (first, end, rows)
            return found

        return self.run(work)

    def committed(self, group, topic, number):
        return self.run(lambda log: log.committed(group, TopicPartition(self.prefix + topic, number)))


def rows_of(url):
    """Every row of the copied tables, as it stands."""
    with open_store(url, moving=True) as store, store.read() as reader:
        return {
            table.name: sorted(map(tuple, reader.execute(sa.select(table))), key=repr)
            for table in metadata.sorted_tables
        }
