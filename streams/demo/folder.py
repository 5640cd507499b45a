"""The folder of a demo: marked before anything else is written, so that the next demo removes only what a demo has
made.

A real installation looks just like a demo's: settings, keyring, log, store. So what lies in a folder proves nothing;
the mark does. It holds the digest of the settings that the demo wrote: whoever has changed those since has made the
installation their own.
"""

import os
import secrets
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

MARKER: Final = ".zoho-gocardless-demo"
SETTINGS: Final = "settings.toml"

_FIRST_LINE: Final = "Made by `zoho-gocardless demo`: the next demo in this folder removes what this one made."
_DIGEST: Final = "settings.toml sha256 "

#: Longest mark that is read, bytes. Lower: a demo's own would not fit. Higher: a foreign file of that name is read for
#: nothing.
_MAX_MARKER: Final = 4_096

#: Every name that a demo makes, besides the mark.
NAMES: Final = (
    SETTINGS,
    "keys",
    "log.db",
    "log.db-shm",
    "log.db-wake",
    "log.db-wal",
    "log.db-zoho-gocardless.lock",
    "program.log",
    "sandbox.log",
    "store.db",
    "store.db-shm",
    "store.db-wal",
)


class DemoError(Exception):
    """The demo could not go on; the message says what was found, and where the program's own words are."""

    retriable = False


class FolderTakenError(DemoError):
    """The folder holds what no demo has marked as its own. Nothing was changed. `remedy`: what to do."""

    def __init__(self, what: str, where: Path, remedy: str) -> None:
        super().__init__(f"{what}; at {where}; {remedy}")
        self.what = what
        self.where = where
        self.remedy = remedy


def make_ready(folder: Path, say: Callable[[str], None]) -> None:
    """Make `folder` ready for a demo: new, or emptied of what the last demo made in it; marked. `say` is told what is
    removed, before.

    Raises:
        FolderTakenError: it holds something that no demo has marked, or is a link.
        OSError: the system refuses.

    """
    other = "choose another folder with --folder"
    if folder.is_symlink():
        raise FolderTakenError(
            "the folder is a link, which could lead to somebody's own", folder, f"name the folder itself, or {other}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(one.name for one in folder.iterdir())
    if found:
        digest = _marked(folder)
        if digest is None:
            what = f"the folder is not empty ({_some(found)}), and no demo has marked it as its own"
            remedy = (
                f"{other}; if it is a demo's of version 0.1.0, which left no mark, or nothing in it is needed, remove"
                " it yourself"
            )
            raise FolderTakenError(what, folder, remedy)
        _require_unchanged(folder, digest, other)
        _remove(folder, found, say)
    _write(folder, [])


def note_settings(folder: Path, text: str) -> None:
    """Remember the settings that are about to be written, where the folder is a demo's."""
    if _marked(folder) is not None:
        _write(folder, [_DIGEST + _digest(text.encode())])


def _marked(folder: Path) -> str | None:
    """The digest of the settings that a demo wrote here ("" before it had); None: no demo has marked the folder. A link
    is no mark.
    """
    path = folder / MARKER
    try:
        if not stat.S_ISREG(path.lstat().st_mode) or path.lstat().st_size > _MAX_MARKER:
            return None
        lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return None
    if lines[:1] != [_FIRST_LINE]:
        return None
    return next((line.removeprefix(_DIGEST) for line in lines if line.startswith(_DIGEST)), "")


def _write(folder: Path, lines: list[str]) -> None:
    """Written beside and moved over: never through a link, and whole or not at all."""
    draft = folder / f"{MARKER}.{secrets.token_hex(4)}"
    with draft.open("x", encoding="utf-8") as file:
        file.write("\n".join([_FIRST_LINE, *lines, ""]))
    draft.replace(folder / MARKER)


def _require_unchanged(folder: Path, digest: str, other: str) -> None:
    path = folder / SETTINGS
    if not path.exists() and not path.is_symlink():
        return
    if path.is_symlink() or not path.is_file() or _digest(path.read_bytes()) != digest:
        what = "settings.toml is not as the demo wrote it: the installation may be somebody's own by now"
        raise FolderTakenError(
            what, folder, f"move it away if it is needed, remove the folder if it is not, or {other}"
        )


def _remove(folder: Path, found: list[str], say: Callable[[str], None]) -> None:
    removed = [name for name in NAMES if name in found]
    kept = [name for name in found if name not in NAMES and not name.startswith(MARKER)]
    for name in removed:
        if _is_folder(folder / name) and name != "log.db-wake":
            raise FolderTakenError(
                f"{name} is a folder, which no demo makes", folder, "move it away, or choose another folder"
            )
    if removed:
        say(f"Removing what the last demo left in {folder}: {', '.join(removed)}.")
    if kept:
        say(f"Left as it is, since no demo made it: {_some(kept)}.")
    for name in removed:
        path = folder / name
        if not _is_folder(path):
            path.unlink()
            continue
        for one in path.iterdir():
            one.unlink()
        path.rmdir()


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)


def _some(names: list[str]) -> str:
    """A few of them: a folder may hold thousands."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _digest(value: bytes) -> str:
    return sha256(value).hexdigest()
