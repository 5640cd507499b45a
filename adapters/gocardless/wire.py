"""GoCardless's JSON as it really comes: unknown fields skipped, null for absent, rows read one by one, errors in each
of their shapes.

Bodies hold one resource, or a list with cursors, under the plural name of the resource; GoCardless's own clients also
accept the resource under `data`, or bare. Source: GoCardless API reference, "Making requests", "Cursor pagination" and
"Errors" (version 2015-07-06).
"""

import json
import re
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec

from adapters.texts import UNREADABLE, clip, why
from domain.currencies import exponent
from domain.errors import AmountError, DomainError
from domain.money import MAX_MINOR
from domain.times import believable_day, believable_instant

S = TypeVar("S", bound="Row")

#: A scalar as text, wherever it may come as a number.
Loose = str | int | None
Texts = dict[str, str | int | bool | None] | None

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
_WORD: Final = re.compile(r"[A-Za-z0-9_]{1,64}\Z")

#: Most links of a resource, and most pairs of metadata. Lower: new kinds of links would not fit (26 are known; metadata
#: has 3 at most). Higher: one hostile event would outgrow the largest record of the log.
_MAX_PAIRS: Final = 50

_MAX_NAME: Final = 100
_MAX_TEXT: Final = 500


class WireError(DomainError):
    """A body or a row that is not what GoCardless documents. The message names fields and shapes, never values."""


class Row(msgspec.Struct, frozen=True):
    """Base of what is read."""


class Identity(Row, frozen=True):
    """The id of a resource that cannot be read otherwise."""

    id: Loose = None


class Tagged(Row, frozen=True):
    """A resource of which only its id and metadata are asked."""

    id: Loose = None
    metadata: Texts = None


class Details(Row, frozen=True):
    """Why an event happened: `cause` is stable, `description` may change at any time."""

    origin: str | None = None
    cause: str | None = None
    description: str | None = None
    scheme: str | None = None
    reason_code: str | None = None
    will_attempt_retry: bool | None = None


class EventRow(Row, frozen=True):
    """An event, of a webhook or a list."""

    id: Loose = None
    created_at: str | None = None
    resource_type: str | None = None
    action: str | None = None
    links: dict[str, Loose] | None = None
    details: Details | None = None
    resource_metadata: Texts = None


class PaymentRow(Row, frozen=True):
    """A payment."""

    id: Loose = None
    created_at: str | None = None
    charge_date: str | None = None
    amount: int | None = None
    amount_refunded: int | None = None
    currency: str | None = None
    status: str | None = None
    reference: str | None = None
    description: str | None = None
    metadata: Texts = None
    links: dict[str, Loose] | None = None


class MandateRow(Row, frozen=True):
    """A mandate."""

    id: Loose = None
    created_at: str | None = None
    status: str | None = None
    scheme: str | None = None
    reference: str | None = None
    next_possible_charge_date: str | None = None
    metadata: Texts = None
    links: dict[str, Loose] | None = None


class CustomerRow(Row, frozen=True):
    """A customer: the payer."""

    id: Loose = None
    created_at: str | None = None
    email: str | None = None
    given_name: str | None = None
    family_name: str | None = None
    company_name: str | None = None
    country_code: str | None = None
    metadata: Texts = None


class MandateRequest(Row, frozen=True):
    """The part of a billing request that asks for a mandate."""

    currency: str | None = None
    links: dict[str, Loose] | None = None


class BillingRequestRow(Row, frozen=True):
    """A billing request."""

    id: Loose = None
    created_at: str | None = None
    status: str | None = None
    mandate_request: MandateRequest | None = None
    metadata: Texts = None
    links: dict[str, Loose] | None = None


class FlowRow(Row, frozen=True):
    """A billing request flow."""

    id: Loose = None
    authorisation_url: str | None = None
    expires_at: str | None = None
    links: dict[str, Loose] | None = None


class Fx(Row, frozen=True):
    """Foreign exchange; there, with the rest null, when there is none."""

    fx_currency: str | None = None
    fx_amount: int | None = None
    exchange_rate: str | None = None


class PayoutRow(Row, frozen=True):
    """A payout."""

    id: Loose = None
    created_at: str | None = None
    amount: int | None = None
    deducted_fees: int | None = None
    currency: str | None = None
    status: str | None = None
    arrival_date: str | None = None
    reference: str | None = None
    payout_type: str | None = None
    fx: Fx | None = None
    links: dict[str, Loose] | None = None


class TaxRow(Row, frozen=True):
    """A tax inside an item's amount."""

    tax_rate_id: Loose = None
    amount: Loose = None
    currency: str | None = None


class ItemRow(Row, frozen=True):
    """A row of a payout."""

    type: str | None = None
    amount: Loose = None
    taxes: list[TaxRow] | None = None
    links: dict[str, Loose] | None = None


class _Cursors(Row, frozen=True):
    after: Loose = None


class _Meta(Row, frozen=True):
    cursors: _Cursors


class _ErrorItem(Row, frozen=True):
    reason: str | None = None
    field: str | None = None
    message: str | None = None
    links: dict[str, Loose] | None = None


class _Error(Row, frozen=True):
    type: str | None = None
    message: str | None = None
    errors: list[_ErrorItem] | None = None


class Problem(msgspec.Struct, frozen=True):
    """What an error answer says. `reason` is GoCardless's own word (or the field that is wrong, or the error's type);
    `resource_id` is the one that an idempotency conflict names. `theirs`: the fault is in GoCardless, so nothing
    follows for the request.
    """

    reason: str
    message: str
    resource_id: str = ""
    theirs: bool = False


class Page(msgspec.Struct, frozen=True):
    """A list: its rows, unread, and the cursor of the next older page ("" on the last)."""

    rows: list[msgspec.Raw]
    after: str


_decoders: Final[dict[type[Row], msgspec.json.Decoder[Any]]] = {
    shape: msgspec.json.Decoder(shape)
    for shape in (
        Identity,
        Tagged,
        EventRow,
        PaymentRow,
        MandateRow,
        CustomerRow,
        BillingRequestRow,
        FlowRow,
        PayoutRow,
        ItemRow,
        _Meta,
        _Error,
    )
}
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_text: Final = msgspec.json.Decoder(str).decode

#: Words that say the server gave up, whatever the status (they come with 5xx; an outcome is not known after any of
#: them).
_THEIRS: Final = frozenset({"internal_server_error", "request_timed_out", "query_timed_out"})

#: Characters of an error's text that are looked at. Lower: less of it could be shown. Higher: time spent on text that
#: is cut off anyway.
_SAID: Final = 800

#: What makes a word personal: an address, or a number long enough to be an account's.
_PERSONAL: Final = re.compile(r"@|\d{5}")


def read(raw: bytes | msgspec.Raw, shape: type[S]) -> S:
    """One row. Raises `WireError`."""
    try:
        row: S = _decoders[shape].decode(raw)
    except UNREADABLE as error:
        raise WireError(why(error)) from None
    return row


def members(body: bytes) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, unread. Raises `WireError`."""
    try:
        return _members(body)
    except UNREADABLE as error:
        repaired = _repaired(body)
        if repaired is None:
            raise WireError(why(error)) from None
        return _members(repaired)


def _repaired(body: bytes) -> bytes | None:
    """JSON that only half a surrogate pair (cut from an emoji) or a NaN spoils, made readable: one row must not spoil
    the others.
    """
    try:
        value = json.loads(body, parse_constant=lambda _: None)
        repaired = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        _members(repaired)
    except (ValueError, RecursionError):
        return None
    return repaired


def rows(body: bytes, name: str) -> list[msgspec.Raw]:
    """The rows of the list `name`, unread. Raises `WireError`."""
    found = members(body)
    if name not in found and "data" not in found:
        raise WireError(f"the body holds no {name}")
    try:
        return _elements(found.get(name, found.get("data", b"")))
    except UNREADABLE as error:
        raise WireError(f"{name}: {why(error)}") from None


@lru_cache(maxsize=1)  # of a page it is asked whether it is one, what follows, and for its rows
def page(body: bytes, name: str) -> Page:
    """A page of the list `name`. Raises `WireError`; also without cursors, because a list must not be taken as complete
    by mistake.
    """
    found = members(body)
    if "meta" not in found:
        raise WireError("the page has no cursors")
    after = read(found["meta"], _Meta).cursors.after
    return Page(rows(body, name), "" if after is None else str(after))


def resource(body: bytes, name: str) -> msgspec.Raw | bytes:
    """The one resource of a body, unread: under its name, under "data", or bare. Raises `WireError`."""
    found = members(body)
    inner = found.get(name, found.get("data"))
    if inner is not None:
        return inner
    if "id" in found:
        return body
    raise WireError(f"the body holds no {name}")


def problem(body: bytes) -> Problem | None:
    """What an error body says, in any shape seen: an object under `error`, a bare one, a bare word. None: not an error
    of the API.
    """
    try:
        found = members(body)
        inner: msgspec.Raw | bytes | None = found.get("error", body if {"type", "errors"} & found.keys() else None)
        if inner is None:
            return None
        if bytes(inner).lstrip()[:1] == b'"':
            return Problem(_reason(_text(inner)), "")
        error = read(inner, _Error)
    except (WireError, *UNREADABLE):
        return None
    item = error.errors[0] if error.errors else _ErrorItem()
    said = f"{item.field}: {item.message}" if item.field and item.message else item.message or error.message or ""
    reason = _reason(item.reason or item.field or error.type or "")
    conflicting = str((item.links or {}).get("conflicting_resource_id") or "")
    return Problem(
        reason,
        clip(_impersonal(said), 200),
        conflicting if _ID.match(conflicting) else "",
        theirs=error.type == "gocardless" or reason in _THEIRS,
    )


# --- one field --------------------------------------------------------------------------------------------------------


def require_id(value: Loose, what: str) -> str:
    """An id: opaque, but never anything that could change the path of a call. Raises `WireError`."""
    text = "" if value is None else str(value)
    if _ID.match(text) is None:
        raise WireError(f"{what} is missing or not an id")
    return text


def require_word(value: str | None, what: str) -> str:
    """A word of GoCardless's vocabulary, known to us or not. Raises `WireError`."""
    if value is None or _WORD.match(value) is None:
        raise WireError(f"{what} is missing or not a word")
    return value


def links(value: dict[str, Loose] | None) -> dict[str, str]:
    """Links by name, without the empty ones. Raises `WireError`."""
    found = {name: target for name, target in (value or {}).items() if target not in (None, "")}
    if len(found) > _MAX_PAIRS:
        raise WireError("too many links")
    return {require_word(name, "the name of a link"): require_id(target, "a link") for name, target in found.items()}


def link(value: dict[str, Loose] | None, name: str) -> str:
    """One link, "" when it is not there. Raises `WireError` when it is not an id."""
    target = (value or {}).get(name)
    return "" if target in (None, "") else require_id(target, f"links.{name}")


def metadata(value: Texts) -> dict[str, str]:
    """Metadata as text. GoCardless allows three strings of 500 characters. Raises `WireError` when there is far
    more.
    """
    found = {clip(name, _MAX_NAME): _as_text(content) for name, content in (value or {}).items() if content is not None}
    if len(found) > _MAX_PAIRS:
        raise WireError("too much metadata")
    return found


def _as_text(value: str | int | bool | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return clip(str(value), _MAX_TEXT)


def instant(value: str | None, what: str) -> str:
    """A time in our one form. Raises `WireError`."""
    try:
        return believable_instant(value or "")
    except DomainError as error:
        raise WireError(f"{what} is missing or not an instant: {error}") from None


def some_instant(value: str | None, what: str) -> str:
    """A time, or "" when there is none. Raises `WireError`."""
    return instant(value, what) if value else ""


def some_day(value: str | None, what: str) -> str:
    """A day, or "" when there is none. Raises `WireError`."""
    try:
        return believable_day(value) if value else ""
    except DomainError as error:
        raise WireError(f"{what} is not a day: {error}") from None


def currency(value: str | None) -> str:
    """A currency we know the minor unit of. Raises `WireError` or `UnknownCurrencyError`."""
    if not value:
        raise WireError("currency is missing")
    exponent(value)
    return value


def amount_minor(value: int | None, what: str, *, below_zero: bool = False) -> int:
    """An amount in minor units. Raises `AmountError`."""
    if value is None:
        raise AmountError(f"{what} is missing")
    if abs(value) > MAX_MINOR or (value < 0 and not below_zero):
        raise AmountError(f"{what} is out of bounds")
    return value


def text(value: str | None) -> str:
    """Free text, cut to what GoCardless documents."""
    return clip(value or "", _MAX_TEXT)


def _impersonal(said: str) -> str:
    """A text without its personal words; the last word of a longer one may be half of such a word, and is left out."""
    words = said[:_SAID].split()
    if len(said) > _SAID:
        words = words[:-1]
    return " ".join("…" if _PERSONAL.search(word) else word for word in words)


def _reason(value: str) -> str:
    return value if _WORD.match(value) else "unspecified"
