"""What an oracle is given for one connection: both simulators' truth, our store's rows, the log, and what people did.

All of it is read once; an oracle reads plain values and changes nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from adapters import budgets
from domain import codec, times
from domain.commands import Command
from domain.decisions import Decision
from domain.envelope import Event
from domain.errors import UndecodableEventError
from domain.state import KINDS, State
from domain.vocabulary import APIS
from projections.state.mappings import RowSource
from projections.store.store import Store
from projections.store.tables import budgets as budget_rows
from projections.store.tables import command_queue, ledger_lines, outbox
from projections.work.halts import CatchUp, Halts, SetAside
from projections.work.polls import Poll, Polls
from streams.log.interface import Log
from streams.log.records import event_offset
from streams.log.topics import Topics
from streams.settings import Settings

Document = Mapping[str, Any]

_PUBLIC: Final = ("reconciled-payments", "reconciled-payouts", "discrepancies")


class Act(msgspec.Struct, frozen=True):
    """What somebody did beside our program: when (an instant as `domain.times` writes it), what
    ("zoho.delete_payment"), and to which resources.
    """

    at: str
    name: str
    touched: tuple[str, ...] = ()


class QueueRow(msgspec.Struct, frozen=True):
    """A command in the queue that is not done. `due_at` "" while nothing is to be done."""

    api: str
    state: str
    due_at: str
    asked_at: str
    deadline_at: str
    last_error: str
    command: Command


class LedgerLine(msgspec.Struct, frozen=True):
    """One side of an entry. `entry` is the entry's place: the event's offset, and its number among that event's."""

    entry: tuple[int, int]
    account: str
    currency: str
    amount_minor: int
    item: str


class PublicRecord(msgspec.Struct, frozen=True):
    """A public record as the log has it, in the order in which they were published."""

    topic: str
    key: str
    value: Document


Events = Callable[[], Iterator[tuple[int, Event]]]
Decisions = Callable[[], Iterator[tuple[int, Decision]]]
PublicRecords = Callable[[], Iterator[PublicRecord]]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one connection.

    `gocardless`, `zoho`: the simulators' state documents, with nothing in them of another connection. `queue`: commands
    that are not done; `queue_done`: how many are. `day_limits`: calls a day by API, as the API said last.
    `calls_a_day`: (API, day) → calls of our program, those for tokens left out. `events`, `decisions` (with the offset
    of the event) and `public` read the log anew with each call; None where the log is not intact.
    """

    connection: str
    settings: Settings
    now: str
    gocardless: Document
    zoho: Document
    state: State
    lines: tuple[LedgerLine, ...]
    queue: tuple[QueueRow, ...]
    queue_done: int
    unpublished: int
    polls: tuple[Poll, ...]
    set_aside: tuple[SetAside, ...]
    catch_ups: tuple[CatchUp, ...]
    day_limits: Mapping[str, int]
    acts: tuple[Act, ...] = ()
    calls_a_day: Mapping[tuple[str, str], int] = {}
    events: Events | None = None
    decisions: Decisions | None = None
    public: PublicRecords | None = None


def gather(
    store: Store,
    log: Log | None,
    *,
    connection: str,
    settings: Settings,
    gocardless: Document,
    zoho: Document,
    now: str,
    acts: Sequence[Act] = (),
    calls_a_day: Mapping[tuple[str, str], int] | None = None,
) -> Evidence:
    """Read the store, and give the log to be read. `log` None: it is not intact, and what needs it is not asked.

    Raises:
        StoreError: the store cannot be read.

    """
    halts = Halts(store)
    topics = Topics(settings.topic_prefix, settings.partitions)
    queue, done = _queue(store, connection)
    return Evidence(
        connection=connection,
        settings=settings,
        now=times.normalise(now),
        gocardless=gocardless,
        zoho=zoho,
        state=_state(store, connection),
        lines=_lines(store, connection),
        queue=queue,
        queue_done=done,
        unpublished=_unpublished(store, connection),
        polls=tuple(one for one in Polls(store).all() if one.connection == connection),
        set_aside=tuple(one for one in halts.set_aside() if one.connection == connection),
        catch_ups=tuple(one for one in halts.catch_ups() if one.connection == connection),
        day_limits=_day_limits(store, connection),
        acts=tuple(Act(times.normalise(one.at), one.name, tuple(one.touched)) for one in acts),
        calls_a_day=dict(calls_a_day or {}),
        events=None if log is None else lambda: _events(log, topics, connection),
        decisions=None if log is None else lambda: _decisions(log, topics, connection),
        public=None if log is None else lambda: _public(log, topics, connection),
    )


def _state(store: Store, connection: str) -> State:
    source = RowSource(store)
    with store.read() as reader:
        source.begin(reader)
        try:
            return State(connection, {kind: dict(source.all(kind, connection)) for kind in KINDS})
        finally:
            source.end()


def _lines(store: Store, connection: str) -> tuple[LedgerLine, ...]:
    c = ledger_lines.c
    query = (
        sa.select(c.event_offset, c.number, c.account, c.currency, c.amount_minor, c.item)
        .where(c.connection == connection)
        .order_by(c.event_offset, c.number, c.line)
    )
    with store.read() as reader:
        return tuple(LedgerLine((offset, number), *rest) for offset, number, *rest in reader.execute(query))


def _queue(store: Store, connection: str) -> tuple[tuple[QueueRow, ...], int]:
    c = command_queue.c
    own = c.connection == connection
    columns = (c.api, c.state, c.due_at, c.asked_at, c.deadline_at, c.last_error, c.command)
    query = sa.select(*columns).where(own, c.state != "done").order_by(c.asked_at, c.id)
    done = sa.select(sa.func.count()).select_from(command_queue).where(own, c.state == "done")
    with store.read() as reader:
        rows = tuple(
            QueueRow(api, state, due_at or "", asked_at, deadline_at, error, msgspec.json.decode(command, type=Command))
            for api, state, due_at, asked_at, deadline_at, error, command in reader.execute(query)
        )
        return rows, int(reader.execute(done).scalar_one())


def _unpublished(store: Store, connection: str) -> int:
    query = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.connection == connection)
    with store.read() as reader:
        return int(reader.execute(query).scalar_one())


def _day_limits(store: Store, connection: str) -> dict[str, int]:
    """What the API has said of a day; else what its smallest plan allows; for one without a day, what the minute
    allows.
    """
    limits = {"gocardless": budgets.GOCARDLESS, "zoho": budgets.ZOHO}
    found: dict[str, int] = {
        api: limits[api].day or 86_400_000 // limits[api].interval_ms + limits[api].burst for api in APIS
    }
    c = budget_rows.c
    with store.read() as reader:
        for api, row in reader.execute(sa.select(c.api, c.state).where(c.connection == connection)):
            found[api] = budgets.decode(row).day_limit or found[api]
    return found


def _events(log: Log, topics: Topics, connection: str) -> Iterator[tuple[int, Event]]:
    for partition in range(topics.partitions):
        for records in log.scan(topics.events.name, partition):
            for record in records:
                try:
                    event = codec.decode_event(record.value or b"")
                except UndecodableEventError:
                    continue
                if event.connection == connection:
                    yield record.offset, event


def _decisions(log: Log, topics: Topics, connection: str) -> Iterator[tuple[int, Decision]]:
    """Each event's first decision, which is the one that counts (design rule 3)."""
    for partition in range(topics.partitions):
        seen: dict[int, None] = {}
        for records in log.scan(topics.decisions.name, partition):
            for record in records:
                offset = event_offset(record)
                if offset is None or offset in seen or (record.key or b"").decode() != connection:
                    continue
                seen[offset] = None
                yield offset, codec.decode_decision(record.value or b"")


def _public(log: Log, topics: Topics, connection: str) -> Iterator[PublicRecord]:
    head = f"{connection}:"
    for topic in _PUBLIC:
        for partition in range(topics.partitions):
            for records in log.scan(topics.prefix + topic, partition):
                for record in records:
                    key = (record.key or b"").decode()
                    if key.startswith(head):
                        yield PublicRecord(topic, key[len(head) :], msgspec.json.decode(record.value or b"{}"))
