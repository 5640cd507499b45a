"""`events`: look into the log, from a place or a time on, and along with it."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final

import click
import msgspec
from rich.console import Console

from adapters.headers import whole
from domain.times import TimeError, parse
from streams.cli.codes import NotFound
from streams.cli.command import CliCommand, Reply, Session, envelope
from streams.log.interface import Log, Record, TopicPartition
from streams.log.records import ID_HEADER, MAX_OFFSET, TYPE_HEADER, header
from streams.log.topics import TOPICS, Topics
from streams.operate.installation import opened_log

#: Records shown unless told. Higher: a screen nobody reads.
_LIMIT: Final = 50
#: Most that can be asked for at once. Higher: memory for all of them.
_MOST: Final = 100_000
#: Real seconds of one wait while following; then it waits again. Lower: idle wake-ups. Higher: nothing.
_WAIT_S: Final = 60.0
_CHUNK: Final = 1_000


class Seen(msgspec.Struct, frozen=True):
    """One record. `value` is decoded JSON, or text where it is none; `at` is the wall clock of its append."""

    topic: str
    partition: int
    offset: int
    at: str
    key: str
    type: str
    id: str
    value: Any


@click.command(cls=CliCommand)
@click.option(
    "--from", "start", metavar="OFFSET|TIME", help="Begin at this offset, or at this instant of the append (ISO 8601)."
)
@click.option("--partition", type=click.IntRange(0, 255), help="Only this partition.")
@click.option("--connection", help="Only records of this connection.")
@click.option("--type", "pattern", metavar="GLOB", help="Only records of these types, as in 'gocardless.payments.*'.")
@click.option("--topic", type=click.Choice([spec.name for spec in TOPICS]), default="events", show_default=True)
@click.option(
    "--limit",
    type=click.IntRange(1, _MOST),
    default=_LIMIT,
    show_default=True,
    help="At most so many; without --from the last.",
)
@click.option("--values", is_flag=True, help="Show the values too; they hold personal data. --json always does.")
@click.option(
    "--follow", is_flag=True, help="Go on with what is appended, until interrupted. With --json, an envelope a record."
)
def events(session: Session, limit: int, values: bool, follow: bool, topic: str, **asked: Any) -> Reply:
    """Look into the log: its last records, or those from an offset or a time on."""
    _check_start(asked["start"])
    return session.run(_events(session, topic, limit, asked, values=values, follow=follow))


def _check_start(start: str | None) -> None:
    """Refuse what is neither an offset nor an instant, before anything is opened."""
    if start is not None and whole(start, MAX_OFFSET) is None:
        try:
            parse(start)
        except TimeError as error:
            raise click.BadParameter(
                f"{error}: use an offset, or an instant such as 2026-03-02T09:00:00Z", param_hint="--from"
            ) from None


async def _events(
    session: Session, topic: str, limit: int, asked: dict[str, Any], *, values: bool, follow: bool
) -> Reply:
    settings = session.existing("log")
    topics = Topics(settings.topic_prefix, settings.partitions)
    async with opened_log(settings) as log:
        walk = _Walk(
            log, topics.prefix + topic, asked, session.connection(asked["connection"]) if asked["connection"] else ""
        )
        with session.progress("reading the log") as progress:
            records, ends = await walk.first(limit, progress)
        seen = [_seen(record) for record in records]
        if follow:
            await _follow(session, walk, seen, ends, values=values)
    return Reply({"records": seen}, lambda console: _show(console, seen, values=values) if not follow else None)


class _Walk:
    """What was asked for, over one topic."""

    def __init__(self, log: Log, topic: str, asked: dict[str, Any], connection: str) -> None:
        self.log = log
        self.topic = topic
        self._start: str | None = asked["start"]
        self._pattern: str = asked["pattern"] or ""
        self._key = connection.encode()
        count = log.partitions(topic)
        chosen: int | None = asked["partition"]
        if chosen is not None and chosen >= count:
            raise NotFound(f"no partition {chosen}", topic, f"it has the partitions 0 to {count - 1}")
        if chosen is None and connection:
            chosen = log.partition_for(topic, self._key)
        self.partitions = range(count) if chosen is None else range(chosen, chosen + 1)

    def wanted(self, record: Record) -> bool:
        """Whether a record is of the connection and the type asked for."""
        if self._key and record.key != self._key and not (record.key or b"").startswith(self._key + b":"):
            return False
        return not self._pattern or fnmatchcase(
            (header(record, TYPE_HEADER) or b"").decode(errors="replace"), self._pattern
        )

    async def first(
        self, limit: int, progress: Callable[[int], None]
    ) -> tuple[list[Record], dict[TopicPartition, int]]:
        """The records there are, by time of append, and where each partition ends."""
        walks, ends = [], {}
        for partition in self.partitions:
            tp = TopicPartition(self.topic, partition)
            end = ends[tp] = await self.log.end_offset(tp)
            walks.append(self._walk(partition, await self._begin(tp, end, limit), end, progress))
        merged = heapq.merge(*walks, key=lambda record: (record.timestamp_ms, record.partition, record.offset))
        if self._start is None:
            return list(deque(merged, maxlen=limit)), ends
        return [record for record, _ in zip(merged, range(limit), strict=False)], ends

    def _walk(self, partition: int, start: int, end: int, progress: Callable[[int], None]) -> Iterator[Record]:
        for records in self.log.scan(self.topic, partition, start, end, batch=_CHUNK):
            progress(len(records))
            yield from (record for record in records if self.wanted(record))

    async def _begin(self, tp: TopicPartition, end: int, limit: int) -> int:
        start = await self.log.start_offset(tp)
        if self._start is None:
            # With a filter the last that fit may lie anywhere.
            return start if self._pattern or self._key else max(start, end - limit)
        offset = whole(self._start, MAX_OFFSET)
        if offset is not None:
            return min(max(start, offset), end)
        return await self.log.offset_at_time(tp, int(parse(self._start).timestamp() * 1000))


async def _follow(
    session: Session, walk: _Walk, seen: list[Seen], ends: dict[TopicPartition, int], *, values: bool
) -> None:
    for one in seen:
        _say(session, one, values=values)
    while True:
        try:
            await walk.log.wait(ends, _WAIT_S)
        except asyncio.CancelledError:
            return
        for tp, offset in ends.items():
            for record in await walk.log.read(tp, offset):
                ends[tp] = record.offset + 1
                if walk.wanted(record):
                    _say(session, _seen(record), values=values)


def _say(session: Session, one: Seen, *, values: bool) -> None:
    if session.as_json:
        click.echo(envelope(session.name, one))
    else:
        _show(session.console, [one], values=values)


def _seen(record: Record) -> Seen:
    try:
        value = msgspec.json.decode(record.value or b"")
    except msgspec.DecodeError:
        value = (record.value or b"").decode(errors="replace")
    return Seen(
        record.topic,
        record.partition,
        record.offset,
        datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z"),
        (record.key or b"").decode(errors="replace"),
        (header(record, TYPE_HEADER) or b"").decode(errors="replace"),
        (header(record, ID_HEADER) or b"").decode(errors="replace"),
        value,
    )


def _show(console: Console, seen: list[Seen], *, values: bool) -> None:
    for one in seen:
        console.print(f"{one.topic}[{one.partition}]@{one.offset}  {one.at}  {one.key}  {one.type}  {one.id}".rstrip())
        if values:
            console.print(f"  {msgspec.json.encode(one.value).decode()}")
