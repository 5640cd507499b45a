"""Acts: what people, banks and other tools do beside the program. Each is drawn as a document, so that a run can be
written down and run again, and is then performed on the simulators' objects, by their own rules.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from sandbox.world import World

Document = dict[str, Any]
Draw = Callable[[random.Random, World], Document | None]
T = TypeVar("T")


class ActSpec(msgspec.Struct, frozen=True):
    """One kind of act. `name` is stable: stories hold it.

    `draw` gives a document, or None where there is nothing to do it on just now. `perform` does it and gives the ids
    that it touched; it raises what the simulator raises. `words` says it in a story, before it is performed, also where
    what it names is gone.
    """

    name: str
    draw: Draw
    perform: Callable[[World, Document], tuple[str, ...]]
    words: Callable[[World, Document], str]


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One act that was tried. `touched`: ids of invoices, customer payments, contacts, payers, mandates, payments,
    payouts and whatever else it named or changed. `refused`: the simulator's own words, "" when it was done.
    """

    at: datetime
    name: str
    document: Document
    touched: tuple[str, ...]
    words: str
    refused: str = ""


def pick(rng: random.Random, rows: Sequence[T]) -> T | None:
    """One of them; None where there are none."""
    return rng.choice(rows) if rows else None


def unique(ids: Iterable[str]) -> tuple[str, ...]:
    """Each id once, in the order of the first."""
    return tuple(dict.fromkeys(one for one in ids if one))
