"""Where the sandbox of this user was last started: `sandbox` leaves its address in a file, and the commands below it
read it.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

#: Longest file that is read, bytes. Lower: two addresses do not fit. Higher: a file that is none of ours is read whole.
_BYTES_MAX: Final = 4096


class SandboxAddresses(msgspec.Struct, frozen=True):
    """Both addresses of a sandbox, and its process."""

    gocardless: str
    zoho: str
    process: int


@contextlib.contextmanager
def noted(gocardless: str, zoho: str) -> Iterator[None]:
    """Leave the addresses of a sandbox for others of this user while it runs. Where no file can be written, it goes
    without.
    """
    mine = SandboxAddresses(gocardless, zoho, os.getpid())
    with contextlib.suppress(OSError):
        _write(mine)
    try:
        yield
    finally:
        # Another one that was started since has left its own.
        if last() == mine:
            with contextlib.suppress(OSError):
                _file().unlink()


def last() -> SandboxAddresses | None:
    """The addresses of the sandbox that was started last; None when none runs, or the file is not this user's."""
    try:
        held = os.open(_file(), os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    with open(held, "rb") as file:  # noqa: PTH123 - opened without following a link, which a Path cannot
        if os.fstat(held).st_uid != _user():
            return None
        try:
            return msgspec.json.decode(file.read(_BYTES_MAX), type=SandboxAddresses)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


def _write(addresses: SandboxAddresses) -> None:
    """Write a new file and put it in place of the old one, so that nobody reads half of it, and no link is followed."""
    new = _file().with_suffix(f".{os.getpid()}")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - private from the first byte
        file.write(msgspec.json.encode(addresses))
    new.replace(_file())


def _file() -> Path:
    folder = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(folder) / f"zoho-gocardless-sandbox-{_user()}.json"


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0
