"""What is no breach, and why. Each exemption is asked for with the ids of one record, and holds for that record alone.

- *Told*: an open discrepancy names the record. Zoho has no key for transfers, journals and refunds, so that one of them
  may be there twice after a lost answer; what is promised is that a person is told. A discrepancy about the same row
  that says something else tells nothing: see `ELSEWHERE`.
- *Done by a person*: somebody changed the record beside our program. A figure unlike ours is then no breach if the
  record is told as well.
"""

import re
from typing import Final

from domain import refs
from streams.simulation.oracles.evidence import Evidence

_WORDS: Final = re.compile(r"[\w:-]+")


#: Codes that say what became of money, and never why something has not been done.
ELSEWHERE: Final = frozenset(
    {
        "already_booked",
        "debit_failed",
        "debit_reversed",
        "duplicate_found",
        "excess",
        "fee_refund",
        "foreign_items",
        "unapplied",
    }
)


#: Codes of money that a person has seen and settled by hand at an API: only a person closes these while it is so.
SETTLED: Final = frozenset({"excess"})


def told(
    evidence: Evidence, *ids: str, besides: frozenset[str] = frozenset(), settled: frozenset[str] = frozenset()
) -> bool:
    """Whether an open discrepancy names one of these ids: it is about it, or has it in its text. `besides`: codes that
    do not count; `settled`: codes that count when they are closed, too.
    """
    wanted = [one for one in ids if one]
    for row in evidence.state.discrepancies.values():
        if (row.closed_at and row.code not in settled) or row.code in besides:
            continue
        words = [refs.split(row.about)[1], *(word.strip(":-") for word in _WORDS.findall(f"{row.text} {row.remedy}"))]
        if any(one in words for one in wanted):
            return True
    return False


def changed_beside_us(evidence: Evidence, *ids: str, since: str = "") -> bool:
    """Whether somebody touched one of these resources at or after an instant."""
    return any(one in act.touched for act in evidence.acts if act.at >= since for one in ids if one)


def excused(evidence: Evidence, *ids: str, through: str = "", settled: frozenset[str] = frozenset()) -> bool:
    """Whether a figure of a record may be unlike ours: somebody changed it, and an open discrepancy names it. `ids` are
    its names; `through`: a resource by which it is changed as well; `settled`: as in `told`.
    """
    return changed_beside_us(evidence, *ids, through) and told(evidence, *ids, settled=settled)
