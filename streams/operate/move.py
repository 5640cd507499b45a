"""The move of an embedded installation to a cluster: log to Kafka, store to PostgreSQL, with one owner of the APIs at
every moment.

| step | what says so, durably | who may run |
|---|---|---|
| claim | the target's control record: "moving", from this source | the old side, after a move that was broken off |
| records, positions | the offsets at the brokers; every record is read back and compared | the same |
| rows | the store's fact `filling`; every row is read back and compared | the same |
| mark | the old log says that it was moved, then the old store does | nobody |
| handover | the target's control record: "open" | the new side |

The mark is made only if nothing was appended since the last comparison. Whatever kills this, the same call goes on:
before the mark it compares what is there and copies the rest (rows from the beginning), after it it finishes. The lock
of the old log is held throughout.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa

from adapters.clock import SystemClock
from projections import transfer
from projections.store.errors import StoreMoved
from projections.store.store import Store, open_store
from projections.transfer import Filling, Waiting
from streams import failpoints
from streams.log.interface import LogMoved, TopicPartition, UnknownTopic
from streams.log.kafka import KafkaLog, control, provision
from streams.log.kafka.control import Control
from streams.log.sqlite import SqliteLog, mark_moved, place
from streams.log.topics import Topics
from streams.operate import move_records
from streams.operate.move_records import Copied, MoveRefused, Pair
from streams.settings import Settings, SettingsError, group_of
from streams.stages.translate import STAGE as TRANSLATE

#: Rows that are looked at when stores differ. Lower: nothing. Higher: a person is told of no more than the first.
_DIFFERENCES: Final = 10

#: How to show progress: what is done, how many there are if that is known → told how many more.
Watch = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]


class Moved(msgspec.Struct, frozen=True):
    """What a move did. `partitions` and `rows` (by table) are empty when an earlier call had copied them. `waiting`:
    what was under way. `groups`: whose positions came along.
    """

    destination: str
    incarnation: str
    partitions: list[Copied]
    rows: dict[str, int]
    groups: list[str]
    waiting: Waiting | None


class _Grown(Exception):  # noqa: N818 - never shown: what was appended meanwhile is copied as well
    pass


async def move(settings: Settings, to: Settings, now: str, watch: Watch) -> Moved:
    """Move the installation of `settings` to where `to` says. `now`: the instant of the installation's clock.

    Raises:
        SettingsError: `settings` are not of an embedded installation, or `to` not of a cluster.
        MoveRefused: the target is not empty, or not this move's.
        LogLocked: the program runs.
        LogMoved, StoreMoved: it was moved elsewhere.
        TopicMismatch: the cluster does not allow what is needed; nothing was changed.
        LogError, StoreError: either side cannot be used just now; the same call goes on later.

    """
    path = _embedded(settings)
    source, target = SqliteLog.from_url(settings.log), KafkaLog.from_url(to.log, kafka=to.kafka, prefix=to.topic_prefix)
    async with contextlib.AsyncExitStack() as stack:
        # Not the log's own way to hold a group, which refuses one that was moved: a move that was broken off is
        # finished here.
        stack.enter_context(place.hold_group(path, group_of(settings)))
        await stack.enter_async_context(source)
        await stack.enter_async_context(target)
        return await _Move(settings, to, source, target, now, watch, stack).run()


def _embedded(settings: Settings) -> Path:
    if urlsplit(settings.log).scheme != "sqlite":
        raise SettingsError("log: only an embedded installation is moved; use the settings that it runs with")
    if sa.make_url(settings.store).drivername != "sqlite":
        raise SettingsError("store: only a SQLite store is moved; use the settings that it runs with")
    path = SqliteLog.from_url(settings.log).path
    for file in (path, Path(str(sa.make_url(settings.store).database))):
        if not file.exists():
            raise MoveRefused("there is nothing to move", str(file), "check log and store in the settings")
    return path


class _Move:
    """One call. Nothing of it is remembered but in the two logs and the two stores."""

    def __init__(
        self,
        settings: Settings,
        to: Settings,
        source: SqliteLog,
        target: KafkaLog,
        now: str,
        watch: Watch,
        stack: contextlib.AsyncExitStack,
    ) -> None:
        self._settings = settings
        self._to = to
        self._source = source
        self._target = target
        self._now = now
        self._watch = watch
        self._stack = stack
        self._ours = Topics(settings.topic_prefix, settings.partitions)
        self._theirs = Topics(to.topic_prefix, to.partitions)
        prefix = f", topic_prefix {to.topic_prefix!r}" if to.topic_prefix else ""
        self._destination = f"{target.access.where}{prefix}"
        self._where = f"{control.topic(to.topic_prefix).name} on {target.access.where}"

    async def run(self) -> Moved:
        self._old = self._stack.enter_context(open_store(self._settings.store, now=self._now, moving=True))
        moved = self._source.moved()
        if moved is None:
            said = await self._claim()
            done = await self._carry(said)
        else:
            said = await self._claimed(moved.incarnation, moved.destination)
            done = await self._carry_on(said)
        await self._hand_over(said)
        return done

    # --- claim ---

    async def _claim(self) -> Control:
        """See that the target is empty, or an earlier call's; make it ours."""
        if to := transfer.moved_to(self._old):
            raise StoreMoved("the store was moved, and the log beside it was not", self._old.where, f"use {to}")
        self._old.bind_log(self._source.incarnation)
        await self._source.require_topics(self._ours)
        await self._see_alone()
        said = self._target.control
        if said is not None and said.state == "open":
            raise self._refused("the topics there are an installation's, and in use")
        if said is not None and said.source != self._source.incarnation:
            raise self._refused("another log is being moved there")
        planned = await provision.plan(self._target.access, self._theirs, self._target.kafka)
        if said is None:
            await self._see_empty()
        for one in planned.contradictions:
            raise MoveRefused(one.what, one.topic, one.remedy)
        self._new = self._open_target()
        at = SystemClock().now()
        await provision.apply(self._target.access, planned, at, opens=False)
        await self._target.ensure_topics(provision.all_specs(self._theirs))
        if said is None:
            ancestors = (self._source.incarnation, *self._source.ancestors)
            said = Control(
                state="moving",
                incarnation=secrets.token_hex(16),
                ancestors=ancestors,
                at=at,
                source=self._source.incarnation,
            )
            await self._target.write_control(said)
        await self._see_claim(said)
        failpoints.hit("move.after_control")
        return said

    async def _see_claim(self, said: Control) -> None:
        if await self._target.read_control() != said:
            raise self._refused("somebody else has claimed the topics")

    async def _see_alone(self) -> None:
        """All of the file is moved, and nobody could go on with the rest."""
        ours = {spec.name for spec in self._ours}
        for tp in self._source.topic_partitions():
            if tp.topic not in ours and await self._source.end_offset(tp):
                what = f"the log holds the topic {tp.topic} as well, which is none of this installation"
                raise MoveRefused(
                    what,
                    str(self._source.path),
                    "check topic_prefix; what else is in the file would be stopped with it",
                )

    async def _see_empty(self) -> None:
        for spec in self._theirs:
            with contextlib.suppress(UnknownTopic):
                parts = [
                    TopicPartition(spec.name, partition) for partition in range(self._target.partitions(spec.name))
                ]
                if any((await self._target.end_offsets(parts)).values()):
                    raise self._refused(f"the topic {spec.name} is not empty")

    def _refused(self, what: str) -> MoveRefused:
        return MoveRefused(what, self._where, "move to topics of their own: use another --prefix")

    def _open_target(self) -> Store:
        store = self._stack.enter_context(open_store(self._to.store, now=self._now, moving=True))
        filling = transfer.filling_of(store)
        if filling is None and not transfer.is_empty(store):
            raise MoveRefused(
                "the database is not empty", store.where, "move into an empty one: CREATE DATABASE …, then --store"
            )
        if filling is not None and filling.source != self._source.incarnation:
            raise MoveRefused(
                "another installation is being moved into this database", store.where, "move into an empty one"
            )
        return store

    # --- carry ---

    async def _carry(self, said: Control) -> Moved:
        while True:
            partitions = await self._records()
            groups = await self._positions()
            await self._see_claim(said)
            with contextlib.suppress(_Grown):
                rows, under_way = await self._rows(
                    said, {self._pairs()[n].source: one.end for n, one in enumerate(partitions)}
                )
                return Moved(self._destination, said.incarnation, partitions, rows, groups, under_way)

    def _pairs(self) -> list[Pair]:
        return [
            Pair(TopicPartition(ours.name, partition), TopicPartition(theirs.name, partition), theirs.retention_s)
            for ours, theirs in zip(self._ours, self._theirs, strict=True)
            for partition in range(ours.partitions)
        ]

    async def _records(self) -> list[Copied]:
        total = 0
        for pair in self._pairs():
            begin = max(await self._target.end_offset(pair.target), await self._source.start_offset(pair.source))
            total += max(await self._source.end_offset(pair.source) - begin, 0)
        with self._watch("records", total) as progress:
            copied = [await move_records.copy(self._source, self._target, pair, progress) for pair in self._pairs()]
        failpoints.hit("move.after_records")
        return copied

    async def _positions(self) -> list[str]:
        """The position of every group, under its name there."""
        theirs = {pair.source: pair.target for pair in self._pairs()}
        groups = []
        for group, places in self._source.all_positions().items():
            name = self._to.topic_prefix + group.removeprefix(self._ours.prefix)
            await self._target.commit(name, {theirs[tp]: offset for tp, offset in places.items() if tp in theirs})
            groups.append(name)
        failpoints.hit("move.after_positions")
        return groups

    async def _rows(self, said: Control, ends: dict[TopicPartition, int] | None) -> tuple[dict[str, int], Waiting]:
        """Copy the store, and mark both old ones. `ends` None: the log is marked already.

        Raises:
            _Grown: there is more in the log by now; nothing is marked.

        """
        filling = Filling(self._source.incarnation, said.incarnation)
        under_way = transfer.waiting(self._old)
        with self._old.write() as ours:
            transfer.begin(self._new, filling)
            failpoints.hit("move.after_begin")
            with self._watch("rows", None) as progress:
                rows = transfer.copy(ours, self._new, self._theirs.here, _each(progress))
            for one in transfer.differences(self._old, self._new, self._theirs.here, _DIFFERENCES):
                what = f"a row of {one.table} is not what it was"
                raise MoveRefused(what, self._new.where, "see that nobody else writes there; run it again")
            transfer.finish(self._new, filling, self._translated(), self._now, self._settings.connections)
            failpoints.hit("move.before_mark")
            if not mark_moved(self._source.path, self._destination, incarnation=said.incarnation, ends=ends):
                raise _Grown
            failpoints.hit("move.after_mark")
            transfer.mark_moved(ours, self._old, self._new.where)
        failpoints.hit("move.after_store_mark")
        return rows, under_way

    def _translated(self) -> Iterable[tuple[str, str, int, int]]:
        """How far deliveries are translated: on a cluster the store says it too."""
        read = {spec.name for spec in (self._ours.deliveries_gocardless, self._ours.deliveries_zoho)}
        for tp, offset in self._source.all_positions().get(group_of(self._settings), {}).items():
            if tp.topic in read:
                yield TRANSLATE, self._theirs.here(tp.topic), tp.partition, offset

    # --- after the mark ---

    async def _claimed(self, incarnation: str, destination: str) -> Control:
        """The control record of the move that marked the log."""
        said = self._target.control
        if said is None or said.incarnation != incarnation:
            raise LogMoved(
                "the records of this log were moved",
                str(self._source.path),
                f"use {destination}; to finish it, name that as --to",
            )
        return said

    async def _carry_on(self, said: Control) -> Moved:
        self._new = self._stack.enter_context(open_store(self._to.store, now=self._now, moving=True))
        rows: dict[str, int] = {}
        under_way = None
        self._see_filling(said)
        if not transfer.moved_to(self._old):
            rows, under_way = await self._rows(said, None)
        return Moved(self._destination, said.incarnation, [], rows, [], under_way)

    def _see_filling(self, said: Control) -> None:
        filling = transfer.filling_of(self._new)
        meant = transfer.log_of(self._new) if filling is None else filling.incarnation
        if meant != said.incarnation:
            what = "the records are in the cluster already, and this database is not the one that was being filled"
            raise MoveRefused(what, self._new.where, "name the same --store as before")

    async def _hand_over(self, said: Control) -> None:
        transfer.arrived(self._new, Filling(self._source.incarnation, said.incarnation))
        failpoints.hit("move.before_handover")
        if said.state == "moving":
            await self._see_claim(said)
            at = SystemClock().now()
            opened = msgspec.structs.replace(said, state="open", at=at, source=f"move from {self._source.incarnation}")
            await self._target.write_control(opened)
        failpoints.hit("move.after_handover")


def _each(progress: Callable[[int], None]) -> Callable[[int], None]:
    def told(count: int) -> None:
        progress(count)
        failpoints.hit("move.after_rows")

    return told
