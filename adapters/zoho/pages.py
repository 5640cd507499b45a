"""Polls: which page to ask for first, which next, when to stop, and how rows are compared with what came before.

Every list is read in pages of 200 (the most Zoho gives) in an order in which a change during the walk cannot open a gap
at the front: by creation, oldest first, so that new rows land at the end; or, for contacts since an instant, by
modification, newest first, so that a moved row is at worst seen twice. Source: Zoho Books API v3, introduction
(pagination) and the list operation of each resource.
"""

from typing import Final

import msgspec

from adapters.headers import MAX_COUNT, whole
from adapters.http import Answer, Call
from adapters.zoho import wire
from domain.errors import DomainError
from domain.times import add_seconds, parse

#: Rows asked for per page: Zoho's maximum. Lower: more calls of a small daily budget. Higher: Zoho gives 200 all the
#: same.
PER_PAGE: Final = 200

#: Pages of one walk. Lower than a company's open invoices / 200: its view would never be complete, and nothing would be
#: collected. Higher: a list whose end never comes (an ignored parameter) would use up the day's calls.
MAX_PAGES: Final = 200

#: Seconds a poll reaches back before its cursor. Lower than a few minutes: Zoho's whole-second times, rows that share a
#: second and clocks that differ would lose edits. Higher: the same rows are read again at each poll.
OVERLAP_S: Final = 600

#: The polls: kind → path, member that holds the rows, field that is a row's id.
KINDS: Final[dict[str, tuple[str, str, str]]] = {
    "zoho.invoices": ("/invoices", "invoices", "invoice_id"),
    "zoho.open_invoices": ("/invoices", "invoices", "invoice_id"),
    "zoho.contacts": ("/contacts", "contacts", "contact_id"),
    "zoho.currencies": ("/settings/currencies", "currencies", "currency_code"),
}

#: What of a row is read at all: its digest covers this, so that `due_days` or a new link in it do not make an old row
#: look new.
_SHAPES: Final[dict[str, type[wire.Row]]] = {
    "zoho.invoices": wire.InvoiceRow,
    "zoho.open_invoices": wire.InvoiceRow,
    "zoho.contacts": wire.ContactRow,
    "zoho.currencies": wire.CurrencyRow,
}

_encode: Final = msgspec.json.Encoder(order="deterministic", enc_hook=str).encode


def first(kind: str, since: str = "") -> Call:
    """The first page. `since`: the instant the last complete walk began ("" reads all). Raises `KeyError` on an unknown
    kind.
    """
    path = KINDS[kind][0]
    query = {"page": "1", "per_page": str(PER_PAGE)}
    if kind == "zoho.currencies":
        return Call("GET", path, query)
    query |= {"sort_column": "created_time", "sort_order": "A"}
    if kind == "zoho.open_invoices":
        query |= {"filter_by": "Status.Unpaid"}
    elif since and kind == "zoho.invoices":
        query |= {"last_modified_time": _zoho_time(add_seconds(since, -OVERLAP_S))}
    elif since:  # contacts have no such filter: newest change first, and `next_page` stops at the cursor
        query |= {"sort_column": "last_modified_time", "sort_order": "D"}
    return Call("GET", path, query)


def next_page(kind: str, call: Call, answer: Answer, since: str = "") -> Call | None:
    """The page after `call`, or None: the last was reached, the cursor was passed, or `MAX_PAGES` is spent.

    `answer` must be a page (`is_page`). Raises `WireError` when it is not.
    """
    found = wire.body(answer.body)
    raws = found.rows(KINDS[kind][1])
    page = page_of(call)
    if page >= MAX_PAGES or not raws or not found.has_more(len(raws), PER_PAGE):
        return None
    if call.query.get("sort_order") == "D" and since and _all_before(raws, add_seconds(since, -OVERLAP_S)):
        return None
    return page_call(call, page + 1)


def page_call(call: Call, page: int) -> Call:
    """The same call for another page."""
    return Call(call.method, call.path, {**call.query, "page": str(page)}, call.body, call.headers)


def page_of(call: Call) -> int:
    """Which page a call asks for, from 1."""
    found = whole(call.query.get("page", ""), MAX_COUNT)
    return 1 if found is None else found


def is_page(kind: str, answer: Answer) -> bool:
    """Whether an answer is a page of the list: code 0 and rows, whatever the status says."""
    try:
        found = wire.body(answer.body)
        return found.code == 0 and answer.status == 200 and found.rows(KINDS[kind][1]) is not None
    except wire.WireError:
        return False


def rows(kind: str, body: bytes) -> list[tuple[str, bytes]]:
    """Each row of a page in order, as (id, bytes to digest); the id is "" where a row has none.

    The bytes hold the fields that we read, in a fixed order; of a row that cannot be read, all of it. Raises
    `WireError`: not a page.
    """
    _, member, key = KINDS[kind]
    found: list[tuple[str, bytes]] = []
    for raw in wire.body(body).rows(member):
        try:
            wire.members(raw)  # the translator asks for them as well: what it cannot read was not delivered
            row = wire.read(raw, _SHAPES[kind])
            found.append((str(getattr(row, key)), _encode(row)))
        except wire.WireError:
            found.append(("", bytes(raw)))
    return found


def _all_before(raws: list[msgspec.Raw], cursor: str) -> bool:
    """Whether no contact of the page was changed at or after the cursor; one that cannot be told counts as changed."""
    for raw in raws:
        try:
            changed = wire.instant(wire.read(raw, wire.ContactRow).last_modified_time, "last_modified_time")
        except DomainError:
            return False
        if changed >= cursor:
            return False
    return True


def _zoho_time(at: str) -> str:
    """An instant in the form of Zoho's queries: whole seconds, offset without a colon."""
    return f"{parse(at):%Y-%m-%dT%H:%M:%S}+0000"
