"""Every error of every room as one line: what, where, what to do. `docs/errors.md` has a section for each code."""

import errno
import re
from typing import Final

import msgspec

from adapters.errors import (
    AdapterError,
    ClockError,
    CredentialError,
    EnvelopeError,
    KeyringError,
    TransportError,
    UnknownKeyError,
    VaultError,
)
from domain.errors import DomainError
from projections.store.errors import StoreError, StoreForeignLog, StoreUnavailable
from streams.cli.codes import (
    CANNOT_CREATE,
    CREDENTIALS,
    INTERNAL,
    NOT_FOUND,
    PERSON,
    SETTINGS,
    TEMPORARY,
    UNAVAILABLE,
    CommandError,
)
from streams.log.interface import LogDenied, LogError, LogReadOnly, LogUnavailable, TopicMismatch
from streams.operate.acts import Refused
from streams.operate.backup import NoBackup
from streams.operate.replay import ReplayStopped
from streams.process.stall_watch import Stalled
from streams.settings import SettingsError


class Failure(msgspec.Struct, frozen=True):
    """An error as people and programs are told it: the `error` of the JSON envelope. `retriable`: the same command may
    succeed later.
    """

    code: str
    what: str
    where: str
    remedy: str
    retriable: bool

    @property
    def line(self) -> str:
        """All of it in one line."""
        return f"error[{self.code}]: {self.what}; at {self.where}; {self.remedy}"


def code_of(error: type[BaseException]) -> str:
    """The stable code of a class of errors: `LogFull` → "log_full", `SettingsError` → "settings"."""
    name = error.__name__.removesuffix("Error")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


_EXITS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (NoBackup, NOT_FOUND),
    (ReplayStopped, INTERNAL),
    (Stalled, INTERNAL),
    (TopicMismatch, SETTINGS),
    (LogReadOnly, CANNOT_CREATE),
    (LogDenied, CREDENTIALS),
    (StoreForeignLog, UNAVAILABLE),
    (StoreUnavailable, TEMPORARY),
    (SettingsError, SETTINGS),
    (VaultError, CREDENTIALS),
    (CredentialError, CREDENTIALS),
    (TransportError, TEMPORARY),
    (ClockError, UNAVAILABLE),
    (Refused, PERSON),
)


def explain(error: BaseException) -> tuple[Failure, int]:
    """What to tell about an error, and the exit code. Nothing of its text is told where that could hold a value from
    outside.
    """
    if isinstance(error, CommandError):
        return _parts(error), error.exit_code
    if isinstance(error, LogError | StoreError | Refused):
        return _parts(error), _exit(error)
    if isinstance(error, SettingsError):
        return _settings(error), SETTINGS
    if isinstance(error, AdapterError):
        where, remedy = _OF_ADAPTERS.get(type(error), _OF_ADAPTERS[CredentialError])
        return Failure(code_of(type(error)), str(error), where, remedy, error.retriable), _exit(error)
    if isinstance(error, DomainError):
        return Failure("rules", str(error), "the rules", "report this with the event it happened at", False), INTERNAL
    if isinstance(error, OSError):
        return _system(error)
    return Failure(
        "internal",
        f"a defect: {type(error).__name__}",
        "this program",
        "run it again with --debug, and report it",
        False,
    ), INTERNAL


def _parts(error: CommandError | LogError | StoreError | Refused) -> Failure:
    retriable = bool(getattr(error, "retriable", False))
    return Failure(code_of(type(error)), error.what, error.where, error.remedy, retriable)


def _exit(error: Exception) -> int:
    found = next((code for kind, code in _EXITS if isinstance(error, kind)), None)
    if found is not None:
        return found
    return TEMPORARY if isinstance(error, LogUnavailable) and error.retriable else UNAVAILABLE


def _settings(error: SettingsError) -> Failure:
    where, _, rest = str(error).partition(": ")
    what, _, remedy = rest.partition("; ")
    return Failure(
        "settings", what or str(error), where if rest else "the settings", remedy or "correct the settings", False
    )


_OF_ADAPTERS: Final[dict[type[AdapterError], tuple[str, str]]] = {
    CredentialError: (
        "the credentials",
        "enter it with `zoho-gocardless connect NAME`, then check with `zoho-gocardless check NAME`",
    ),
    TransportError: ("the network", "check the network and the address, then try again"),
    ClockError: ("the clock", "start the sandbox and the program again, or remove the setting clock"),
    **dict.fromkeys(
        (VaultError, KeyringError, UnknownKeyError, EnvelopeError),
        ("the keyring", "check the setting keys; a new key is made with `zoho-gocardless keys new`"),
    ),
}


def _system(error: OSError) -> tuple[Failure, int]:
    where = str(error.filename or "the system")
    if error.errno == errno.EADDRINUSE:
        failure = Failure(
            "address_in_use",
            "another process has this port",
            where,
            "stop it, or choose another port in [gateway]",
            False,
        )
        return failure, UNAVAILABLE
    if error.errno == errno.ENOENT and error.filename:
        return Failure("system", "nothing is there", where, "check the path", False), UNAVAILABLE
    what = f"the system refused: {error.strerror or type(error).__name__}"
    return Failure("system", what, where, "check that it exists and that this user may use it", False), UNAVAILABLE
