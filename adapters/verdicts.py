"""What one answer of an API means for the command that asked: the only four things an executor can be told.

```
Verdict
├── Done      final: succeeded, or refused by the API (terminal)
├── Follow    not finished: one more call (the next page, the resource that an idempotency conflict names)
├── Retry     nothing happened; the same call again, not before `after_s` (throttled, token refreshed, the API down
│             before our write)
└── Unknown   it may have happened: look up first, then decide
```
"""

from dataclasses import dataclass
from typing import Final, Literal

from adapters.http import Call

#: Which call of a command an answer belongs to: its own, a search before a repeat, or a further read that an answer
#: asked for.
Step = Literal["send", "look_up", "follow"]

#: Why a look-up's answer is a `Retry`: nothing that the command made was found.
ABSENT: Final = "absent"


@dataclass(frozen=True, slots=True)
class Done:
    """Final. `kind` "succeeded" or "refused"; `found`: it was there before this call."""

    kind: Literal["succeeded", "refused"]
    resource_id: str = ""
    reason: str = ""
    message: str = ""
    found: bool = False


@dataclass(frozen=True, slots=True)
class Follow:
    """Send this call next; this answer is delivered to the log first. `found` is carried to the end."""

    call: Call
    found: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """Nothing happened. `scope`: what is closed until then: this command, or the whole API of the connection (minute,
    day, token).
    """

    reason: str
    after_s: float | None = None
    scope: Literal["command", "api"] = "command"


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have happened."""

    reason: str


Verdict = Done | Follow | Retry | Unknown
