"""Faust's producer over a log of ours, whichever engine: appends past Faust's own buffer, which polls."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from faust.transport import base
from faust.types.tuples import TP, RecordMetadata

from streams.log.interface import Log, NewRecord
from streams.log.topics import TopicSpec


class FaustProducer(base.Producer):  # type: ignore[misc]  # Faust ships no types that mypy can follow
    """What Faust asks of a producer."""

    @property
    def _log(self) -> Log:
        log: Log = self.app.delivery.log
        return log

    async def _append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
    ) -> Any:
        pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
        timestamp_ms = round((time.time() if timestamp is None else timestamp) * 1_000)
        record = NewRecord(topic, key, value, tuple(pairs), partition, timestamp_ms)
        (place,) = await self._log.append([record])
        return RecordMetadata(topic, place.partition, TP(topic, place.partition), place.offset, timestamp_ms / 1_000, 0)

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        *,
        transactional_id: str | None = None,  # noqa: ARG002 - no transactions of Faust's
    ) -> Any:
        return asyncio.ensure_future(self._append(topic, key, value, partition, timestamp, headers))

    async def send_and_wait(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        *,
        transactional_id: str | None = None,  # noqa: ARG002 - as above
    ) -> Any:
        return await self._append(topic, key, value, partition, timestamp, headers)

    async def flush(self) -> None:
        """Nothing to flush: what is sent is durable when its future resolves."""

    async def create_topic(self, topic: str, partitions: int, replication: int, **_: Any) -> None:  # noqa: ARG002 - the log's affair
        await self._log.ensure_topics([TopicSpec(topic, "connection", partitions, None, "made by the application")])

    def key_partition(self, topic: str, key: bytes) -> Any:
        return TP(topic, self._log.partition_for(topic, key))

    def supports_headers(self) -> bool:
        return True
