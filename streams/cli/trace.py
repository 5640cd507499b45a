"""The trail of one thing: each event about it, what was decided, and the delivery it came from, down to the signed
bytes.

Found by walking the connection's partition of the log, so it shows what is there, not what the store remembers.
"""

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, Final

import msgspec

from adapters.deliveries import DeliveryMeta
from adapters.gocardless import webhook as gocardless
from adapters.zoho import webhook as zoho
from domain import codec
from domain.decisions import Decision, Line
from domain.envelope import Event
from domain.errors import UndecodableEventError
from domain.money import format_minor
from streams.log.interface import Log, Record
from streams.log.records import ID_HEADER, event_offset, header, read_delivery
from streams.log.topics import Topics
from streams.operate.replay import Progress

#: The headers that hold a signature.
SIGNATURES: Final = (gocardless.HEADER, zoho.HEADER)

#: Lists name hundreds of resources; they are part of the trail of one of them only when something was decided about it.
_LISTS: Final = frozenset({"zoho.invoices_listed", "gocardless.mandate_payments_read"})


class Place(msgspec.Struct, frozen=True):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


class Source(msgspec.Struct, frozen=True):
    """The delivery an event came from. A webhook has the header its signature stood in, the signature, and the name of
    the secret that verified it; an answer the call it answers; a page the list it is of. `sha256` and `size_bytes` are
    of the body as it came.
    """

    place: Place
    id: str
    kind: str
    received_at: str
    size_bytes: int
    sha256: str
    signature_header: str = ""
    signature: str = ""
    secret: str = ""
    call: str = ""
    page: str = ""
    body: str = ""


class Step(msgspec.Struct, frozen=True):
    """One event: `decided` in words; `data` is the event's own."""

    place: Place
    id: str
    type: str
    happened_at: str
    learned_at: str
    source: str
    said: str
    decided: list[str]
    data: Any
    delivery: Source | None = None


class Trail:
    """The trail of the things with these ids, in one connection."""

    def __init__(self, log: Log, topics: Topics, connection: str, keys: Iterable[str], progress: Progress) -> None:
        self._log = log
        self._topics = topics
        self._connection = connection
        self._partition = log.partition_for(topics.events.name, connection.encode())
        # An id stands as a JSON string, or ends one ("debit:460…").
        self._named = re.compile(b'[":](?:' + b"|".join(re.escape(key.encode()) for key in keys if key) + b')"')
        self._progress = progress

    def steps(self, *, bodies: bool) -> list[Step]:
        """All of it, oldest first; with `bodies`, the deliveries' bodies as text."""
        decisions = dict(self._decisions())
        found = [(record, event) for record, event in self._events(decisions)]
        sources = self._sources({event.causation_id for _, event in found if event.causation_id}, bodies=bodies)
        return [
            _step(record, event, _told(decisions.get(record.offset), self._named), sources.get(event.causation_id))
            for record, event in found
        ]

    def _decisions(self) -> Iterator[tuple[int, Decision]]:
        """The first record for each event, of those that name one of the ids."""
        seen: set[int] = set()
        for record in self._walk(self._topics.decisions.name):
            value = record.value or b""
            offset = event_offset(record)
            if offset is not None and offset not in seen and self._named.search(value):
                seen.add(offset)
                yield offset, codec.decode_decision(value)

    def _events(self, decisions: dict[int, Decision]) -> Iterator[tuple[Record, Event]]:
        for record in self._walk(self._topics.events.name):
            decided = record.offset in decisions
            if not decided and not self._named.search(record.value or b""):
                continue
            try:
                event = codec.decode_event(record.value or b"")
            except UndecodableEventError:
                continue
            if event.connection == self._connection and (decided or event.type not in _LISTS):
                yield record, event

    def _sources(self, wanted: set[str], *, bodies: bool) -> dict[str, Source]:
        found: dict[str, Source] = {}
        for topic in (self._topics.deliveries_gocardless.name, self._topics.deliveries_zoho.name):
            for record in self._walk(topic):
                key = (header(record, ID_HEADER) or b"").decode(errors="replace")
                if key in wanted and key not in found:
                    found[key] = _source(record, *read_delivery(record), bodies=bodies)
                if len(found) == len(wanted):
                    return found
        return found

    def _walk(self, topic: str) -> Iterator[Record]:
        for records in self._log.scan(topic, self._partition):
            self._progress(len(records))
            yield from records


def place_of(record: Record) -> Place:
    """Where a record lies."""
    return Place(record.topic, record.partition, record.offset)


def _source(record: Record, meta: DeliveryMeta, body: bytes, *, bodies: bool) -> Source:
    shown = next((name for name in SIGNATURES if name in meta.headers), "")
    call, page = meta.call, meta.page
    return Source(
        place_of(record),
        meta.id,
        meta.kind,
        meta.received_at,
        len(body),
        sha256(body).hexdigest(),
        shown,
        meta.headers.get(shown, ""),
        meta.secret,
        f"{call.method} {call.path} → {call.status} ({call.step}, call {call.call} of {call.command.id})"
        if call is not None
        else "",
        f"{page.kind} page {page.page} as of {page.as_of}" if page is not None else "",
        body.decode(errors="replace") if bodies else "",
    )


def _step(record: Record, event: Event, decided: list[str], source: Source | None) -> Step:
    return Step(
        place_of(record),
        event.id,
        event.type,
        event.happened_at,
        event.learned_at,
        event.source,
        _said(event.data),
        decided,
        msgspec.json.decode(msgspec.json.encode(event.data)),
        source,
    )


def _said(data: Any) -> str:
    """The part of an event that tells most, without personal data."""
    names = (
        "command",
        "action",
        "cause",
        "status",
        "kind",
        "resource_id",
        "reason",
        "timer",
        "number",
        "by",
        "balance_minor",
        "amount_minor",
    )
    return ", ".join(
        f"{name.removesuffix('_minor')} {value}"
        for name in names
        if (value := getattr(data, name, "")) not in ("", None)
    )


def _told(decision: Decision | None, named: re.Pattern[bytes]) -> list[str]:
    """What was decided about the things asked for; an event about many (a list) decides about each of them."""
    if decision is None:
        return []

    def mine(parts: list[Any]) -> list[Any]:
        return [part for part in parts if named.search(msgspec.json.encode(part))]

    return _decided(
        msgspec.structs.replace(
            decision,
            commands=mine(decision.commands),
            resends=mine(decision.resends),
            entries=mine(decision.entries),
            opened=mine(decision.opened),
            closed=mine(decision.closed),
            timers=mine(decision.timers),
            marks=mine(decision.marks),
            publications=mine(decision.publications),
        )
    )


def _decided(decision: Decision) -> list[str]:
    """A decision in words, one line for each thing decided."""
    found = [f"asked: {one.type} for {one.about}, attempt {one.attempt} ({one.id})" for one in decision.commands]
    found += [f"sent again: {one}" for one in decision.resends]
    for entry in decision.entries:
        sides = ", ".join(_side(line) for line in entry.lines)
        found.append(f"booked on {entry.date}: {entry.text}: {sides}")
    found += [f"discrepancy opened: {one.text}" for one in decision.opened]
    found += [f"discrepancy closed: {one}" for one in decision.closed]
    found += [f"due time {one.id}: {one.at or 'cancelled'}" for one in decision.timers]
    for mark in decision.marks:
        changed = {
            name: value
            for name, value in mark.changes.items()
            if name in {"stage", "reason", "match", "payment"} and value
        }
        if changed:
            found.append(f"{mark.kind}:{mark.key} " + ", ".join(f"{name} {value}" for name, value in changed.items()))
    found += [f"published: {one.topic} {one.key}" for one in decision.publications]
    return found


def _side(line: Line) -> str:
    amount = format_minor(abs(line.amount_minor), line.currency)
    return f"{'Dr' if line.amount_minor > 0 else 'Cr'} {line.account} {amount} {line.currency}"
