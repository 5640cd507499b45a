"""What a person does beside a running program, or before it runs: every act is an event in the log, with who did it.

An act is tried out in memory first, by the very rules that will decide it: one that would change nothing is refused,
and says so, instead of vanishing.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from adapters.clock import Clock
from adapters.deliveries import Parked
from adapters.machine import MACHINE, Machine
from domain import codec, events, ids, refs, routing
from domain.decisions import Decision
from domain.envelope import Event
from domain.errors import UndecodableEventError
from domain.refs import Ref
from domain.state import CommandRow, DiscrepancyRow, State
from projections.queries import Queries
from projections.state.batch import processed
from projections.state.mappings import read_state
from projections.store.store import Store, open_store
from streams.log.interface import Log, LogLocked, Position, TopicPartition
from streams.log.records import TYPE_HEADER, header
from streams.log.topics import Topics
from streams.operate.installation import opened_clock, opened_log
from streams.operate.replay import Progress, no_progress
from streams.settings import Settings, group_of
from streams.stages.activity import Activity, Wakeups
from streams.stages.context import StageContext
from streams.stages.metrics import Metrics

#: How long to wait until a running program has taken an act in, seconds. Lower: "not yet" is said of what is only a
#: moment away. Higher: a person waits longer to hear that the program is stuck.
TAKEN_S: Final = 5.0
_LOOK_S: Final = 0.05

_PARKED_TYPE: Final = b"delivery.parked"


class Refused(Exception):  # noqa: N818 - named as the log's and the store's errors are: by the condition
    """An act that would change nothing. `what` says why."""

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"{what}; at {where}; {remedy}")
        self.what = what
        self.where = where
        self.remedy = remedy


class Told(msgspec.Struct, frozen=True):
    """An act in the log. `taken`: True, the running program has worked it in; False, it has not yet; None, no program
    runs here.
    """

    event: str
    type: str
    position: Position
    taken: bool | None


class Reread(msgspec.Struct, frozen=True):
    """A parked delivery that was read again. `events` it gives now, `new` of them appended; `unreadable`: pieces that
    still cannot be read, each as "where: reason". `closed`: its discrepancy is closed, since all of it could be read.
    """

    delivery: str
    events: int
    new: int
    unreadable: list[str]
    closed: bool


class ParkedItem(msgspec.Struct, frozen=True):
    """Something that could not be processed: `kind` "command" or "delivery"; `item` is what `replay` takes."""

    kind: str
    item: str
    connection: str
    about: str
    reason: str
    since: str


class Operator:
    """One person at one installation. Made by `operating`."""

    def __init__(self, settings: Settings, log: Log, store: Store, clock: Clock, machine: Machine = MACHINE) -> None:
        self.settings = settings
        self.log = log
        self.store = store
        self.clock = clock
        self.topics = Topics(settings.topic_prefix, settings.partitions)
        self.queries = Queries(store)
        self._token_hex = machine.token_hex
        self._context = StageContext(
            log, self.topics, store, clock, Wakeups(Activity(clock)), Metrics(), settings.connections, machine=machine
        )

    # --- acts ---

    def event(self, connection: str, type_: str, data: events.Data) -> Event:
        """An act of this moment. Each is a fact of its own, so its id is drawn."""
        now = self.clock.now()
        return Event(
            f"op-{ids.digest(connection, type_, now, self._token_hex(16))}",
            type_,
            connection,
            now,
            now,
            "operator",
            data,
        )

    def preview(self, event: Event) -> Decision:
        """What the rules would decide; nothing is kept."""
        with read_state(self.store, event.connection) as state:
            return routing.step(state, event)

    async def act(self, event: Event, *, refusal: str = "") -> Told:
        """Append an act; with `refusal`, only when it would change something.

        Raises:
            Refused: it would change nothing.

        """
        if refusal and self.preview(event).empty:
            raise Refused("nothing would change", event.connection, refusal)
        return (await self.tell([event]))[-1]

    async def tell(self, acts: list[Event]) -> list[Told]:
        """Append acts together, then wait a moment for a running program to take them in."""
        places = await self._context.tell(*acts)
        taken = await self._until_taken(acts[-1]) if self.running() else None
        return [Told(act.id, act.type, place, taken) for act, place in zip(acts, places, strict=True)]

    def running(self) -> bool:
        """Whether a program works on this log, on this machine: whether its lock is taken. On Kafka it cannot be told,
        and is assumed.
        """
        try:
            with self.log.hold_group(group_of(self.settings)):
                return not self.settings.log.startswith("sqlite:")
        except LogLocked:
            return True

    async def _until_taken(self, event: Event) -> bool:
        for _ in range(int(TAKEN_S / _LOOK_S)):
            if processed(self.store, event.connection, [event.id]):
                return True
            await asyncio.sleep(_LOOK_S)
        return False

    # --- what is parked ---

    def parked(self, connection: str) -> list[ParkedItem]:
        """Commands that were given up, and deliveries that could not be read in full."""
        found = [_parked_command(connection, row) for row in self.queries.parked(connection)]
        rows = self.queries.discrepancies(connection)
        return found + [_parked_delivery(connection, row) for row in rows if row.code == "delivery_parked"]

    async def resend(self, connection: str, command: CommandRow, by: str) -> Told:
        """Send a parked or refused command again, as it is, after a look-up.

        Raises:
            Refused: it is neither parked nor refused.

        """
        act = self.event(connection, "operator.replay_requested", events.ReplayRequested(by, command.id))
        return await self.act(
            act, refusal=f"command {command.id} is {command.status}: only a parked or refused one is sent again"
        )

    async def reread(self, connection: str, delivery: str, by: str, progress: Progress = no_progress) -> Reread | None:
        """Read a parked delivery again with the present code, append what is new, and close its discrepancy when all of
        it could be read. None: no such delivery was parked.
        """
        from streams.stages.translate import read  # noqa: PLC0415 - the translators cost a second that nothing else here needs

        place = await self._place_of(connection, delivery, progress)
        if place is None:
            return None
        record = (await self.log.read(TopicPartition(place.topic, place.partition), place.offset, 1))[0]
        found, _ = read(self._context, record)
        pieces, readable = list(found.parked), []
        for event in found.events:
            try:
                codec.encode_event(event)
                readable.append(event)
            except UndecodableEventError as error:
                pieces.append(Parked(event.id, str(error)))
        known = processed(self.store, connection, [event.id for event in readable])
        now = self.clock.now()
        # Understood only now: what they decide must not be dated back to a time whose debits are over.
        new = [msgspec.structs.replace(event, learned_at=now) for event in readable if event.id not in known]
        acts = list(new)
        if not pieces:
            about = Ref("deliveries", delivery)
            closed = events.DiscrepancyClosed(by, refs.discrepancy("delivery_parked", about), "read again in full")
            acts.append(self.event(connection, "operator.discrepancy_closed", closed))
        if acts:
            await self.tell(acts)
        unreadable = [f"{piece.where or 'the whole'}: {piece.reason}" for piece in pieces]
        return Reread(delivery, len(readable), len(new), unreadable, not pieces)

    async def _place_of(self, connection: str, delivery: str, progress: Progress) -> Position | None:
        """Where a parked delivery lies: the event that parked it says so."""
        partition = self.log.partition_for(self.topics.events.name, connection.encode())
        wanted = delivery.encode()
        for records in self.log.scan(self.topics.events.name, partition):
            progress(len(records))
            for record in records:
                if header(record, TYPE_HEADER) == _PARKED_TYPE and wanted in (record.value or b""):
                    event = codec.decode_event(record.value or b"")
                    data = event.data
                    if (
                        isinstance(data, events.DeliveryParked)
                        and data.delivery == delivery
                        and event.connection == connection
                    ):
                        return Position(self.topics.here(data.topic), data.partition, data.offset)
        return None

    # --- reading ---

    def state(self, connection: str) -> contextlib.AbstractContextManager[State]:
        """The state of a connection, to read from."""
        return read_state(self.store, connection)


def _parked_command(connection: str, row: CommandRow) -> ParkedItem:
    return ParkedItem("command", row.id, connection, row.about, row.reason, row.ended_at)


def _parked_delivery(connection: str, row: DiscrepancyRow) -> ParkedItem:
    delivery = refs.split(row.about)[1]
    return ParkedItem("delivery", delivery, connection, row.about, row.text, row.opened_at)


@contextlib.asynccontextmanager
async def operating(settings: Settings) -> AsyncIterator[Operator]:
    """Log, store and clock of an installation, beside a running program or without one."""
    async with opened_clock(settings) as clock, opened_log(settings) as log:
        with open_store(settings.store, now=clock.now()) as store:
            yield Operator(settings, log, store, clock)
