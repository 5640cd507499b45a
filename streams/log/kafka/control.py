"""Whose log the topics under a prefix hold: the last record of the topic `control` says it.

Two installations on one prefix, or one that is being moved, would otherwise pass unnoticed: positions and stores are
bound to an incarnation, and the brokers' topics have none of their own.
"""

from typing import Final, Literal

import msgspec

from streams.log.interface import LogCorrupt
from streams.log.topics import TopicSpec

_PURPOSE: Final = "whose log this is: the last record counts"
_KEY: Final = b"control"


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """Whose log it is. `incarnation`: hex; `ancestors`: those it came from, newest first; `at`: RFC 3339, UTC;
    `source`: what wrote this, or where the records come from. "moving": another log is being copied here, and nobody
    works on this one.
    """

    state: Literal["open", "moving"]
    incarnation: str
    ancestors: tuple[str, ...] = ()
    at: str
    source: str


def topic(prefix: str) -> TopicSpec:
    """The control topic of an installation: one partition, kept for ever."""
    return TopicSpec(f"{prefix}control", "connection", 1, None, _PURPOSE)


def key() -> bytes:
    """The key of every control record."""
    return _KEY


def encode(control: Control) -> bytes:
    """As JSON."""
    return msgspec.json.encode(control)


def decode(value: bytes | None, where: str) -> Control:
    """What a control record says.

    Raises:
        LogCorrupt: it is none.

    """
    try:
        return msgspec.json.decode(value or b"", type=Control)
    except msgspec.DecodeError as fault:
        remedy = "something else wrote to this topic: use another topic_prefix, and look who may write to it"
        raise LogCorrupt(f"the last control record cannot be read ({fault})", where, remedy) from None
