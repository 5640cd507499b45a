"""How much one record, one page and one decision may hold: drawn small, so that a dozen invoices meet bounds that in
production only thousands do.
"""

import contextlib
import random
from collections.abc import Iterator
from typing import Final

import msgspec

from adapters.gocardless import pages as gocardless
from adapters.zoho import pages as zoho
from domain import codec, draft
from streams.log.interface import Limits

#: Share of the bounds that is drawn small. Lower: few runs meet them. Higher: few runs have production's.
_SMALL: Final = 0.3


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one run: bytes of a record of the log and of a decision, keys of a list that one event wakes, rows of a
    page.
    """

    record_bytes: int = Limits().record_bytes
    decision_bytes: int = codec.MAX_DECISION_BYTES
    wake_at_once: int = draft.WAKE_AT_ONCE
    gocardless_rows: int = gocardless.PER_PAGE
    zoho_rows: int = zoho.PER_PAGE

    @property
    def limits(self) -> Limits:
        """As a log is given them."""
        return Limits(record_bytes=self.record_bytes)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the program keeps to them; afterwards to its own again."""
        places = (
            (codec, "MAX_DECISION_BYTES", self.decision_bytes),
            (draft, "WAKE_AT_ONCE", self.wake_at_once),
            (gocardless, "PER_PAGE", self.gocardless_rows),
            (zoho, "PER_PAGE", self.zoho_rows),
        )
        before = [getattr(module, name) for module, name, _ in places]
        for module, name, value in places:
            setattr(module, name, value)
        try:
            yield
        finally:
            for (module, name, _), value in zip(places, before, strict=True):
                setattr(module, name, value)


#: Small ones: what one page and one decision hold is a third of a record. Lower: a page of rows with many lines would
#: not fit. Higher: it takes more invoices to meet them.
SMALL: Final = Bounds(record_bytes=40_000, decision_bytes=36_000, wake_at_once=2, gocardless_rows=10, zoho_rows=4)


def draw_bounds(rng: random.Random) -> Bounds:
    """Production's, or small ones."""
    return SMALL if rng.random() < _SMALL else Bounds()
