"""The envelope of an event: what every fact in the log says about itself."""

from typing import Any

import msgspec

from domain.vocabulary import RuleKind


class Event(msgspec.Struct, frozen=True):
    """One immutable fact in the total order of a connection.

    `id` is the only authority for duplicates. `happened_at` and `learned_at` are instants (`domain.times`); `subject`
    names whose personal data it holds ("contact:…", "payer:…", "" for none); `data` is a struct of `domain.events`,
    chosen by `type`.
    """

    id: str
    type: str
    connection: str
    happened_at: str
    learned_at: str
    source: str
    data: Any
    subject: str = ""
    causation_id: str = ""
    correlation_id: str = ""
    schema: int = 1


class UnknownData(msgspec.Struct, frozen=True):
    """Data of a type or schema that this version does not know: kept whole, counted, decided again by a later
    version.
    """

    raw: msgspec.Raw


#: A row, or what one event alone says, whose rule must look again.
Touch = tuple[RuleKind, str]

#: What folding an event has changed, or whose rules must look again because of it.
Touched = tuple[Touch, ...]
