"""The records of one partition into another log: same order, same offsets, same everything; and the proof of it by
reading back.

A cluster gives offsets itself, so a partition whose beginning was trimmed is filled up with empty records first, which
are deleted again before anything is read. What is in the target already must be a beginning of the source; then the
copy goes on after it.
"""

import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from streams import failpoints
from streams.log.interface import MEBIBYTE, Log, LogError, NewRecord, Position, Record, TopicPartition
from streams.log.kafka import KafkaLog

#: Records and bytes of one page. Lower: more round trips. Higher: memory, a few times this.
_PAGE_RECORDS: Final = 1_000
_PAGE_BYTES: Final = 4 * MEBIBYTE

_AGAIN: Final = "start over under another --prefix; the old side is as it was"

Progress = Callable[[int], None]


class MoveRefused(LogError):  # noqa: N818 - named as the log's errors are: by the condition
    """The target is not empty, is somebody else's, or is not what was copied there."""


class Pair(NamedTuple):
    """A partition of the source and the one that it becomes. `retention_s`: after that long a cluster deletes a record;
    None for never.
    """

    source: TopicPartition
    target: TopicPartition
    retention_s: int | None


class Copied(msgspec.Struct, frozen=True):
    """A partition that is the same in both: its records [start, end), and their digest, SHA-256 over all of each
    record.
    """

    topic: str
    partition: int
    start: int
    end: int
    digest: str


async def copy(source: Log, target: KafkaLog, pair: Pair, progress: Progress) -> Copied:
    """Bring the target's partition to where the source's is now, from wherever an earlier call ended, and read both
    back.

    Raises:
        MoveRefused: what is there is no beginning of the source, or somebody else writes there.
        LogError: either log cannot be used just now; the same call goes on later.

    """
    start, stop = await source.start_offset(pair.source), await source.end_offset(pair.source)
    await _fill(target, pair.target, start)
    held = await target.end_offset(pair.target)
    if held > stop:
        raise _differs(pair.target, f"it has records up to {held}, the source only up to {stop}")
    if held > start:
        await _same(source, target, pair, start, held)
    async for page in _pages(source, pair.source, held, stop):
        records = [
            NewRecord(pair.target.topic, one.key, one.value, one.headers, pair.target.partition, one.timestamp_ms)
            for one in page
        ]
        _expect(await target.append(records), pair.target, page[0].offset)
        failpoints.hit("move.after_batch")
        progress(len(page))
    return await _same(source, target, pair, start, stop)


async def _fill(target: KafkaLog, tp: TopicPartition, start: int) -> None:
    """Have the partition begin at `start`, or beyond."""
    end = await target.end_offset(tp)
    while end < start:
        count = min(start - end, target.limits.append_records)
        _expect(await target.append([NewRecord(tp.topic, None, None, partition=tp.partition)] * count), tp, end)
        end += count
        failpoints.hit("move.after_fillers")
    if await target.start_offset(tp) < start:
        await target.trim(tp, start)


def _expect(places: Sequence[Position], tp: TopicPartition, first: int) -> None:
    if [place.offset for place in places] != list(range(first, first + len(places))):
        raise _differs(tp, f"what was to be at offset {first} came to {places[0].offset}: somebody else writes there")


async def _same(source: Log, target: Log, pair: Pair, start: int, stop: int) -> Copied:
    """Read [start, stop) of both; raise when they differ."""
    first = await target.start_offset(pair.target)
    if first > start:
        await _see_expired(source, pair, start, min(first, stop))
        start = min(first, stop)
    wanted = await digest(source, pair.source, start, stop)
    if await digest(target, pair.target, start, stop) != wanted:
        raise _differs(pair.target, f"its records from {start} to {stop} are not those of the source")
    return Copied(pair.target.topic, pair.target.partition, start, stop, wanted)


async def _see_expired(source: Log, pair: Pair, start: int, first: int) -> None:
    """What the cluster has deleted already must be older than the topic keeps records."""
    oldest_ms = None if pair.retention_s is None else (time.time() - pair.retention_s) * 1_000
    async for page in _pages(source, pair.source, start, first):
        for record in page:
            if oldest_ms is None or record.timestamp_ms >= oldest_ms:
                raise _differs(pair.target, f"the record at {record.offset} is gone, and its time was not over")


async def digest(log: Log, tp: TopicPartition, start: int, stop: int) -> str:
    """SHA-256, in hex, over offset, timestamp, key, value and headers of each record of [start, stop)."""
    sha = hashlib.sha256()
    encode = msgspec.msgpack.Encoder().encode
    async for page in _pages(log, tp, start, stop):
        for one in page:
            sha.update(encode((one.offset, one.timestamp_ms, one.key, one.value, one.headers)))
    return sha.hexdigest()


async def _pages(log: Log, tp: TopicPartition, start: int, stop: int) -> AsyncIterator[list[Record]]:
    while start < stop:
        page = (await log.read(tp, start, min(_PAGE_RECORDS, stop - start), _PAGE_BYTES))[: stop - start]
        if not page:
            raise _differs(tp, f"its records end at {start}, and {stop} was its end")
        yield page
        start += len(page)


def _differs(tp: TopicPartition, what: str) -> MoveRefused:
    return MoveRefused(what, f"{tp.topic}[{tp.partition}]", _AGAIN)
