"""What the adapters of both APIs have in common: their modules `perform` and `pages`, as the executor and the poller
use them.

The type check holds each module to its protocol where they are listed (`streams/stages/executor.py`,
`streams/stages/poller.py`).
"""

from typing import Protocol

from adapters.http import Answer, Call
from adapters.verdicts import Step, Verdict
from domain.commands import Command


class Perform(Protocol):
    """How the commands of an API become calls, and what the answers mean."""

    def send_call(self, command: Command) -> Call:
        """The command's own call. Raises `ValueError` for a command of another API."""

    def look_up_call(self, command: Command) -> Call | None:
        """The search for an earlier effect of the command; None where sending it again harms nothing."""

    def verdict(self, command: Command, step: Step, call: Call, answer: Answer) -> Verdict:
        """What an answer to `call`, made in `step`, means for the command; `Retry(ABSENT)`: a look-up that found
        nothing.
        """


class Pages(Protocol):
    """How a list of an API is walked."""

    def first(self, kind: str, since: str = "") -> Call:
        """The first page. `since`: the instant the last complete walk began, "" reads all. Raises `KeyError` on a kind
        of another API.
        """

    def next_page(self, kind: str, call: Call, answer: Answer, since: str = "") -> Call | None:
        """The page after `call`; None: the last was reached, the cursor was passed, or no more pages may be asked
        for.
        """

    def is_page(self, kind: str, answer: Answer) -> bool:
        """Whether an answer is a page of the list."""

    def rows(self, kind: str, body: bytes) -> list[tuple[str, bytes]]:
        """Each row of a page in order, as (id, bytes to digest); the id is "" where a row has none."""
