"""From a delivery of GoCardless to events: a webhook, a page of a poll, an answer to a call. Pure and total: any bytes
give a translation.

What cannot be read becomes a parked piece, and the rest goes on. GoCardless's own events keep their id, whichever way
they come; what we read ourselves is an observation of this delivery. The outcome of a command comes last, after what
its answer showed.
"""

from collections.abc import Callable
from hashlib import sha256
from itertools import groupby
from typing import Any, Final, TypeVar

from adapters.deliveries import CallInfo, DeliveryMeta, PageInfo, Parked, Translation
from adapters.gocardless import facts, pages, perform, wire
from adapters.gocardless.webhook import MAX_BODY_BYTES
from adapters.http import Answer, Call
from adapters.verdicts import Done, Step
from domain import commands, events, ids, refs
from domain.envelope import Event
from domain.errors import DomainError
from domain.vocabulary import narrowed

#: Parked pieces named one by one. Lower: a person sees less of what is wrong. Higher: a hostile body of a million bad
#: rows would be answered with a million records.
MAX_PARKED: Final = 100

T = TypeVar("T")

_SOURCES: Final = {"webhook": "webhook", "page": "poll", "answer": "answer"}


def translate(meta: DeliveryMeta, body: bytes) -> Translation:
    """What a delivery says. Never raises, whatever the bytes are."""
    found = _Found(meta)
    if meta.same_as:
        pass
    elif meta.kind == "webhook":
        _webhook(found, body)
    elif meta.kind == "page" and meta.page is not None:
        _page(found, meta.page, body)
    elif meta.kind == "answer" and meta.call is not None:
        _answer(found, meta.call, body)
    else:
        found.park("", "the delivery does not say what it is")
    if meta.page is not None and meta.page.tell_head:
        found.observed("poll.head_reached", meta.page.kind, events.HeadReached(meta.page.kind, meta.page.as_of), "")
    return found.translation()


class _Found:
    """Collects what one delivery says."""

    def __init__(self, meta: DeliveryMeta) -> None:
        self._meta = meta
        self._events: list[Event] = []
        self._parked: list[Parked] = []
        self._more = 0

    @property
    def headers(self) -> dict[str, str]:
        """The delivery's headers, names in lower case."""
        return {name.lower(): value for name, value in self._meta.headers.items()}

    def park(self, where: str, reason: str) -> None:
        if len(self._parked) < MAX_PARKED:
            self._parked.append(Parked(where, reason[:300]))
        else:
            self._more += 1

    def own(self, event_id: str, happened_at: str, data: events.GcEvent) -> None:
        """One of GoCardless's own events."""
        about = data.links.get(data.resource_type.removesuffix("s"), "")
        self._add(event_id, events.gc_type(data.resource_type, data.action), happened_at, data, "", about)

    def observed(self, type_: str, key: str, data: events.Data, correlation_id: str) -> None:
        """Something we read: it holds at the time of the delivery."""
        subject = refs.subject("payer", correlation_id) if type_ == "gocardless.payer_read" else ""
        self._add(
            ids.observation_id(self._meta.id, type_, key), type_, self._meta.received_at, data, subject, correlation_id
        )

    def outcome(self, info: CallInfo, body: bytes, done: Done) -> None:
        digest = ids.digest(str(info.status), sha256(body).hexdigest())
        data = events.Outcome(
            info.command.id,
            info.call,
            done.kind,
            resource_id=done.resource_id,
            reason=done.reason,
            message=done.message,
            http_status=info.status,
            found=done.found,
        )
        event_id = ids.outcome_id(info.command.id, info.call, digest)
        self._add(event_id, "command.outcome", self._meta.received_at, data, "", done.resource_id or info.command.about)

    def translation(self) -> Translation:
        if self._more:
            self._parked.append(Parked("", f"{self._more} further pieces cannot be read"))
            self._more = 0
        return Translation(self._events, self._parked)

    def _add(self, event_id: str, type_: str, happened_at: str, data: Any, subject: str, correlation_id: str) -> None:
        meta = self._meta
        self._events.append(
            Event(
                event_id,
                type_,
                meta.connection,
                happened_at,
                meta.received_at,
                _SOURCES[meta.kind],
                data,
                subject=subject,
                causation_id=meta.id,
                correlation_id=correlation_id,
                schema=events.SCHEMA,
            )
        )


def _webhook(found: _Found, body: bytes) -> None:
    if len(body) > MAX_BODY_BYTES:
        found.park("", f"the body of {len(body)} bytes exceeds {MAX_BODY_BYTES}")
        return
    try:
        raws = wire.rows(body, "events")
    except wire.WireError as error:
        found.park("", str(error))
        return
    for place, raw in enumerate(raws):
        _own_event(found, f"events[{place}]", raw)


def _own_event(found: _Found, where: str, raw: facts.Raw) -> None:
    read = _try(found, where, facts.gc_event, raw)
    if read is not None:
        found.own(*read)


def _page(found: _Found, info: PageInfo, body: bytes) -> None:
    name = pages.KINDS.get(info.kind)
    if name is None or info.status != 200:
        found.park("", "not a page of a list that is polled")
        return
    try:
        raws = wire.page(body, name).rows
    except wire.WireError as error:
        found.park("", str(error))
        return
    # The newest event is listed first; events enter the log as they happened, so that a booking takes its date from the
    # fact it rests on.
    for place in sorted(range(len(raws)) if info.fresh is None else set(info.fresh), reverse=name == "events"):
        where = f"{name}[{place}]"
        if not 0 <= place < len(raws):
            found.park(where, "the page has no such row")
        elif name == "events":
            _own_event(found, where, raws[place])
        else:
            _resource(found, where, name, raws[place])


def _resource(found: _Found, where: str, name: str, raw: facts.Raw) -> None:
    type_, reader = facts.RESOURCES[name]
    data = _try(found, where, reader, raw)
    if data is not None:
        found.observed(type_, data.id, data, data.id)


def _answer(found: _Found, info: CallInfo, body: bytes) -> None:
    command = info.command
    if type(command.data) not in perform.NAMES:
        found.park("", f"{command.type} is not a command for GoCardless")
        return
    call = Call("POST" if info.method == "POST" else "GET", info.path, info.query)
    if 200 <= info.status < 300:
        _shown(found, info, call, body)
    verdict = perform.verdict(
        command, narrowed(info.step, Step, "follow"), call, Answer(info.status, found.headers, body)
    )
    if isinstance(verdict, Done):
        found.outcome(info, body, verdict)


def _shown(found: _Found, info: CallInfo, call: Call, body: bytes) -> None:
    """What a good answer shows: one resource, a page of a walk, or of a look-up what names the command."""
    data, name = info.command.data, perform.NAMES[type(info.command.data)]
    try:
        if perform.searches(info.command, call):
            page = wire.page(body, name)
            for place in perform.claimed(info.command, page)[0]:
                _resource(found, f"{name}[{place}]", name, page.rows[place])
            return
        if isinstance(data, commands.ReadPayoutItems):
            _items(found, data.payout, call, wire.page(body, name))
        elif isinstance(data, commands.ReadMandatePayments):
            _payments(found, data.mandate, info.as_of, call, wire.page(body, name))
        else:
            _resource(found, name, name, wire.resource(body, name))
    except wire.WireError as error:
        found.park("", str(error))


def _items(found: _Found, payout: str, call: Call, page: wire.Page) -> None:
    """The items of a page, at their positions: an item that cannot be read leaves a gap, and the view incomplete."""
    first = pages.query_note(call, pages.FIRST, 0)
    read = [_try(found, f"payout_items[{place}]", facts.payout_item, raw) for place, raw in enumerate(page.rows)]
    complete = _complete(call, page) and None not in read
    runs = [list(run) for there, run in groupby(enumerate(read, start=first), lambda row: row[1] is not None) if there]
    for run in runs or [[]]:
        start = run[0][0] if run else first
        items = [item for _, item in run if item is not None]
        shown = events.PayoutItemsRead(payout, start, items, complete)
        found.observed("gocardless.payout_items_read", f"{payout}:{start}", shown, payout)


def _payments(found: _Found, mandate: str, as_of: str, call: Call, page: wire.Page) -> None:
    """The payments of a mandate on a page. A debit goes out on this view, so one that cannot be read leaves it
    incomplete.
    """
    read = [_try(found, f"payments[{place}]", facts.payment, raw) for place, raw in enumerate(page.rows)]
    complete = _complete(call, page) and None not in read
    shown = events.MandatePaymentsRead(mandate, as_of, [payment for payment in read if payment is not None], complete)
    found.observed("gocardless.mandate_payments_read", mandate, shown, mandate)


def _complete(call: Call, page: wire.Page) -> bool:
    return not page.after and not pages.query_note(call, pages.DAMAGED, 0)


def _try(found: _Found, where: str, reader: Callable[[facts.Raw], T], raw: facts.Raw) -> T | None:
    try:
        return reader(raw)
    except DomainError as error:
        found.park(where, str(error))
        return None
