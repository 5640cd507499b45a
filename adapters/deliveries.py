"""A delivery: bytes that came from outside, kept whole, with what we know about how they came.

In the log a delivery is one record: value = the body exactly as received; header "meta" = `DeliveryMeta` as JSON;
header "id".
"""

from typing import Final, Literal

import msgspec

from domain.commands import Command
from domain.envelope import Event
from domain.vocabulary import Api

#: Record header that holds the meta.
META_HEADER: Final = "meta"


class CallInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which call of ours a body answers. `step`: "send" (the command's own call), "look_up" (a search before a repeat),
    "follow" (a further read the answer asked for: the next page, the resource an idempotency conflict names). `call`
    counts the calls of the command from 1. `status` is the HTTP status. `fresh`: as in `PageInfo`, where the answer is
    a page of a list.
    """

    command: Command
    call: int
    step: str
    method: str
    path: str
    query: dict[str, str]
    status: int
    as_of: str
    fresh: list[int] | None = None


class PageInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which poll a body is a page of. `kind` "gocardless.events", "zoho.invoices", "zoho.contacts", "zoho.currencies",
    … ; `page` from 1; `as_of` the instant the first page was asked for; `complete` on the last page; `fresh` the
    positions of rows that differ from what was delivered before (None: all are fresh). `tell_head`: with this page the
    list was read to its end, and the rules do not know yet that it ever was.
    """

    kind: str
    page: int
    as_of: str
    complete: bool
    status: int = 200
    fresh: list[int] | None = None
    tell_head: bool = False


class DeliveryMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """`id` is derived from the cause: webhook → connection, instant, the receiver's run and its counter in it; answer →
    command, call, step, calls sent so far, digest of the body; page → connection, kind, `as_of`, page, digest of the
    rows. `secret` names which webhook secret verified it, never the secret. `same_as`: the body is left out because it
    equals that of an earlier page with this digest.
    """

    id: str
    connection: str
    api: Api
    kind: Literal["webhook", "answer", "page"]
    received_at: str
    headers: dict[str, str] = {}
    content_type: str = ""
    secret: str = ""
    module: str = ""
    call: CallInfo | None = None
    page: PageInfo | None = None
    same_as: str = ""


class Parked(msgspec.Struct, frozen=True):
    """A piece of a delivery that could not be understood: `where` in it ("events[3].links"), and why. No values, no
    personal data.
    """

    where: str
    reason: str


class Translation(msgspec.Struct, frozen=True):
    """What a delivery says: events in the order of the body, and the pieces that could not be read (the rest goes
    on).
    """

    events: list[Event]
    parked: list[Parked]


_meta_decoder: Final = msgspec.json.Decoder(DeliveryMeta)
_encoder: Final = msgspec.json.Encoder(order="deterministic")


def encode_meta(meta: DeliveryMeta) -> bytes:
    """The meta as JSON, for the record's header."""
    return _encoder.encode(meta)


def decode_meta(value: bytes) -> DeliveryMeta:
    """The meta from its header. Raises `msgspec.DecodeError`."""
    return _meta_decoder.decode(value)
