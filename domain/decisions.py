"""What one event made us decide: immutable, one record, taken as it stands by every later rebuild."""

from typing import Final, Literal

import msgspec

from domain.commands import Command

#: Version of the rules, written into each decision. Raised with every change of what is decided for the same facts.
#: 1: version 0.1.0. 2: bounded decisions, matching once both sides are read, ceilings, keys from what the APIs call us.
RULES_VERSION: Final = 2


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One side of an entry: `amount_minor` above zero debits, below zero credits. `item` names the open item it moves,
    if any.
    """

    account: str
    currency: str
    amount_minor: int
    item: str = ""
    item_name: str = ""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ledger entry; debits equal credits in every currency. `date` is a day of the organisation."""

    id: str
    date: str
    text: str
    about: str
    lines: list[Line]


class Opened(msgspec.Struct, frozen=True, omit_defaults=True):
    """A discrepancy opens (or is refreshed, when its id is open already)."""

    id: str
    code: str
    about: str
    text: str
    remedy: str
    amount_minor: int = 0
    currency: str = ""


class Timer(msgspec.Struct, frozen=True):
    """A due time is decided; `at` "" cancels it."""

    id: str
    at: str
    about: str = ""


class Mark(msgspec.Struct, frozen=True):
    """Fields of one row of state change; the row is made when it is not there."""

    kind: str
    key: str
    changes: dict[str, str | int | bool | list[str] | dict[str, list[int]] | None]


class ListChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A change of a list (`domain.lists`): a key joins at its end, or leaves it; or a walk begins that ends with its
    present last key.
    """

    list: str
    key: str = ""
    act: Literal["join", "leave", "walk"] = "join"


class Publication(msgspec.Struct, frozen=True):
    """A record for one of the public topics. The relay adds the version (the event's position)."""

    topic: str
    key: str
    value: msgspec.Raw


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that `event` made us decide. Empty lists are left out on the wire, and so is version 1 of the rules, which is
    what a record without it means for ever.
    """

    event: str
    connection: str
    at: str
    rules: int = 1
    policy: int = 0
    commands: list[Command] = []
    resends: list[str] = []
    entries: list[Entry] = []
    opened: list[Opened] = []
    closed: list[str] = []
    timers: list[Timer] = []
    marks: list[Mark] = []
    lists: list[ListChange] = []
    publications: list[Publication] = []

    @property
    def empty(self) -> bool:
        """Whether nothing was decided: then no record is written."""
        return not (
            self.commands
            or self.resends
            or self.entries
            or self.opened
            or self.closed
            or self.timers
            or self.marks
            or self.lists
            or self.publications
        )
