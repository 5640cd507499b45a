"""Places where a test kills the process: `ZOHO_GOCARDLESS_FAILPOINT="core.before_commit:3"` dies at the third passage.

`kill -9` of ourselves is the most honest crash there is: no handler, no flush, no `finally` runs. Unarmed, a passage
costs one test of a name against "".
"""

import os
import signal
from collections.abc import Callable
from typing import Final

VARIABLE: Final = "ZOHO_GOCARDLESS_FAILPOINT"

#: Every named place, in the order a fact passes them. The crash harness walks this list, so a new place is tested by
#: being here.
NAMES: Final = (
    "gateway.before_append",
    "gateway.after_append",
    "poller.after_call",
    "poller.after_append",
    "poller.after_save",
    "translate.before_append",
    "translate.after_append",
    "core.before_commit",
    "core.after_commit",
    "relay.before_append",
    "relay.after_append",
    "relay.after_mark",
    "executor.after_intent",
    "executor.after_call",
    "executor.after_append",
    "executor.after_answered",
    "clock.before_append",
    "clock.after_append",
)

#: The same of the move to a cluster, in its order: it is no part of the running program.
MOVE: Final = (
    "move.after_control",
    "move.after_fillers",
    "move.after_batch",
    "move.after_records",
    "move.after_positions",
    "move.after_begin",
    "move.after_rows",
    "move.before_mark",
    "move.after_mark",
    "move.after_store_mark",
    "move.before_handover",
    "move.after_handover",
)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Armed:
    name = ""
    left = 0
    die: Callable[[], None] = staticmethod(_kill)


def arm(spec: str, die: Callable[[], None] = _kill) -> None:
    """Arm one place from "name" or "name:passage"; "" disarms. `die`: how; by `kill -9` of ourselves, unless this
    process is only simulated. Raises `ValueError` on a name that does not exist.
    """
    name, _, passage = spec.partition(":")
    if name and name not in (*NAMES, *MOVE):
        raise ValueError(f"{VARIABLE}: no failpoint {name!r}; there are {', '.join((*NAMES, *MOVE))}")
    _Armed.name, _Armed.left = name, int(passage or 1)
    _Armed.die = staticmethod(die)


def hit(name: str) -> None:
    """Die here, if this place is armed and its passage has come."""
    if _Armed.name == name:
        _Armed.left -= 1
        if _Armed.left == 0:
            _Armed.die()


arm(os.environ.get(VARIABLE, ""))
