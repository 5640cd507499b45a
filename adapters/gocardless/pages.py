"""Lists: which page to ask for first, which next, when to stop, and how rows are compared with what came before.

GoCardless lists newest first and moves on by `after`. Rows that come meanwhile land in front, so a walk never misses an
older one; the next poll finds them. Events become visible some time after their `created_at`, so a poll reaches back.
No list shows later changes of an old row: only the events do. Source: GoCardless API reference, "Cursor pagination".
"""

from typing import Final

import msgspec

from adapters.gocardless import facts, wire
from adapters.gocardless.client import NOTE
from adapters.headers import MAX_COUNT, whole
from adapters.http import Answer, Call
from domain.errors import DomainError
from domain.times import add_seconds

#: Rows asked for per page: GoCardless's maximum. Lower: more calls. Higher: 400.
PER_PAGE: Final = 500

#: Pages of one walk. Lower: 18 months of a large merchant's events would not be read to their end. Higher: a list whose
#: end never comes would hold a poller for hours.
MAX_PAGES: Final = 400

#: Seconds a poll reaches back before its cursor. Lower than 15 minutes: events that become visible late are missed for
#: ever (other integrations use that figure). Higher: the same rows are read again at each poll.
OVERLAP_S: Final = 1800

#: The polls: kind → the list's name, which is also its path.
KINDS: Final = {
    "gocardless.events": "events",
    "gocardless.payouts": "payouts",
    "gocardless.payments": "payments",
    "gocardless.mandates": "mandates",
    "gocardless.customers": "customers",
}

# Notes that a walk carries from page to page in the query, for the pure translation of a later page. They do not
# travel.
PAGE: Final = f"{NOTE}page"
FIRST: Final = f"{NOTE}first"
DAMAGED: Final = f"{NOTE}damaged"

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


def first(kind: str, since: str = "") -> Call:
    """The first page. `since`: the instant the last complete walk began ("" reads all). Raises `KeyError` on an unknown
    kind.
    """
    query = {"limit": str(PER_PAGE)}
    if since:
        query["created_at[gte]"] = add_seconds(since, -OVERLAP_S)
    return Call("GET", f"/{KINDS[kind]}", query)


def next_page(kind: str, call: Call, answer: Answer, since: str = "") -> Call | None:  # noqa: ARG001 - both APIs' polls are asked alike
    """The page after `call`, or None: the last was reached, or `MAX_PAGES` is spent. Raises `WireError` when `answer`
    is no page.
    """
    return next_call(call, wire.page(answer.body, KINDS[kind]))


def next_call(call: Call, page: wire.Page, *, damaged: bool = False, most_pages: int = MAX_PAGES) -> Call | None:
    """The call for the page after `page`, with the notes brought forward; None at the end of the list or of
    `most_pages`.

    `damaged`: a row of this page could not be read, so the walk is not a complete view any more.
    """
    number = query_note(call, PAGE, 1)
    if not page.after or page.after == call.query.get("after") or number >= most_pages:
        return None
    query = {
        **call.query,
        "after": page.after,
        PAGE: str(number + 1),
        FIRST: str(query_note(call, FIRST, 0) + len(page.rows)),
    }
    if damaged:
        query[DAMAGED] = "1"
    return Call(call.method, call.path, query, call.body, call.headers)


def query_note(call: Call, name: str, default: int) -> int:
    """A number that an earlier page left for this one."""
    found = whole(call.query.get(name, ""), MAX_COUNT)
    return default if found is None else found


def is_page(kind: str, answer: Answer) -> bool:
    """Whether an answer is a page of the list: 200, with rows and cursors."""
    try:
        wire.page(answer.body, KINDS[kind])
    except wire.WireError:
        return False
    return answer.status == 200


def rows(kind: str, body: bytes) -> list[tuple[str, bytes]]:
    """Each row of a page in order, as (id, bytes to digest); the id is "" where a row cannot be read.

    The bytes hold what we read of a row, in a fixed order, so that a new field does not make an old row look new; of a
    row that cannot be read, all of it. Raises `WireError`: not a page.
    """
    found: list[tuple[str, bytes]] = []
    for raw in wire.page(body, KINDS[kind]).rows:
        try:
            found.append(_row(KINDS[kind], raw))
        except DomainError:
            found.append(("", bytes(raw)))
    return found


def _row(name: str, raw: msgspec.Raw) -> tuple[str, bytes]:
    if name == "events":
        event_id, happened_at, data = facts.gc_event(raw)
        return event_id, _encode((happened_at, data))
    read = facts.RESOURCES[name][1](raw)
    return read.id, _encode(read)
