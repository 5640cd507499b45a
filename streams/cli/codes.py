"""How a command ends: the exit codes, and the errors that a command finds itself.

```
CommandError
├── NotFound       what was named is not known
├── Undecided      it cannot be done before a person has decided or repaired something
├── CannotCreate   something exists already, or may not be written
└── Unavailable    a part that is needed is not there
```
"""

from typing import ClassVar, Final

OK: Final = 0
PERSON: Final = 1
USAGE: Final = 2
SETTINGS: Final = 3
CREDENTIALS: Final = 4
NOT_FOUND: Final = 5
UNAVAILABLE: Final = 69
INTERNAL: Final = 70
CANNOT_CREATE: Final = 73
TEMPORARY: Final = 75
INTERRUPTED: Final = 130
READER_GONE: Final = 141

#: Exit code → what it means; `docs/cli.md` holds the same table, and a test holds the two together.
MEANINGS: Final[dict[int, str]] = {
    OK: "done; nothing is left for a person",
    PERSON: "done, and something is left for a person: a problem was found, or a decision is open",
    USAGE: "the command line is wrong",
    SETTINGS: "a setting is wrong or missing",
    CREDENTIALS: "a credential or a key is missing, or is not accepted",
    NOT_FOUND: "what was named is not known",
    UNAVAILABLE: "a part that is needed is not there, or cannot be used as it is",
    INTERNAL: "a stage failed, or a defect of this program",
    CANNOT_CREATE: "something cannot be made, or exists already",
    TEMPORARY: "not just now: the same command may succeed later",
    INTERRUPTED: "interrupted at the keyboard",
    READER_GONE: "whoever read the output ended first, as `head` does",
}


class CommandError(Exception):
    """An error that a command finds itself."""

    exit_code: ClassVar[int] = INTERNAL

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"{what}; at {where}; {remedy}")
        self.what = what
        self.where = where
        self.remedy = remedy


class NotFound(CommandError):  # noqa: N818 - named by the condition, as the log's and the store's errors are
    """What was named is not known."""

    exit_code = NOT_FOUND


class Undecided(CommandError):  # noqa: N818 - as above
    """It cannot be done before a person has decided or repaired something."""

    exit_code = PERSON


class CannotCreate(CommandError):  # noqa: N818 - as above
    """Something exists already, or may not be written."""

    exit_code = CANNOT_CREATE


class Unavailable(CommandError):  # noqa: N818 - as above
    """A part that is needed is not there."""

    exit_code = UNAVAILABLE
