"""Paths in the settings, and which of them do not begin at the root folder.

A relative path leads elsewhere from another folder: to an empty log, or to a store without credentials. So it is
refused, with the path to write. Version 0.1.0 took one: three slashes in the log's address as the root folder, every
other one as the folder in which the program was started. Where a file is there, it is still taken so.
"""

import os
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

_SQLITE: Final = "sqlite:///"
_FILE: Final = "file:"


def log_file(address: str) -> Path | None:
    """The file of an embedded log; None for another log."""
    if not address.startswith(_SQLITE):
        return None
    return Path("/" + unquote(address.removeprefix(_SQLITE).partition("?")[0]).lstrip("/"))


def store_file(address: str) -> Path | None:
    """The file of a SQLite store; None for another store."""
    return Path(address.removeprefix(_SQLITE).partition("?")[0]) if address.startswith(_SQLITE) else None


def corrected_log(address: str, base: Path) -> str:
    """The address to write instead of a relative one, in the folder `base`; "" when it may stay."""
    rest, mark, options = address.removeprefix(_SQLITE).partition("?")
    found = log_file(address)
    if found is None or not rest or rest.startswith("/") or found.exists():
        return ""
    return f"{_SQLITE}{quote(_whole(unquote(rest), base))}{mark}{options}"


def corrected_store(address: str, base: Path) -> str:
    """As `corrected_log`, of the store."""
    rest, mark, options = address.removeprefix(_SQLITE).partition("?")
    found = store_file(address)
    if found is None or not rest or found.is_absolute() or found.exists() or rest == ":memory:":
        return ""
    return f"{_SQLITE}{_whole(rest, base)}{mark}{options}"


def corrected_file(value: str, base: Path) -> str:
    """As `corrected_log`, of a setting that names a file as "file:PATH"."""
    return _FILE + found if value.startswith(_FILE) and (found := corrected(value[len(_FILE) :], base)) else ""


def corrected(value: str, base: Path) -> str:
    """As `corrected_log`, of a setting that is a path."""
    return "" if not value or Path(value).is_absolute() or Path(value).exists() else _whole(value, base)


def _whole(path: str, base: Path) -> str:
    """From the root folder on: where its first folder is there, only the slash is missing."""
    if path.startswith("~"):
        return str(Path(path).expanduser())
    first, slash, _ = path.partition("/")
    if slash and Path("/", first).is_dir() and first not in (".", ".."):
        return f"/{path}"
    return os.path.normpath(base / path)
