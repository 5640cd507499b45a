"""The files of an installation, looked at before anything is opened: what only looks makes no file, so that a mistyped
path is told and does not look like a new installation.
"""

from pathlib import Path
from typing import Final, Literal

from streams.cli.codes import CannotCreate, Unavailable
from streams.log.sqlite.schema import note_of_move
from streams.setting_paths import log_file, store_file
from streams.settings import Settings

Part = Literal["log", "store"]

_BEGIN: Final = "a new installation begins with `zoho-gocardless connect NAME`, and `zoho-gocardless run` makes its log"


def files(settings: Settings) -> dict[Part, Path]:
    """The files that an installation lies in; what is at Kafka or PostgreSQL has none."""
    found: dict[Part, Path | None] = {"log": log_file(settings.log), "store": store_file(settings.store)}
    return {part: path.absolute() for part, path in found.items() if path is not None}


def require(settings: Settings, *parts: Part) -> None:
    """Raises `Unavailable` when one of the parts is a file that is not there. Of a log that was moved a note stays, and
    opening it says where to.
    """
    found = files(settings)
    if "log" in found and note_of_move(found["log"]).exists():
        return
    for part, path in found.items():
        if part in parts and not path.exists():
            raise Unavailable("nothing is there", str(path), f"check the setting {part}; {_BEGIN}")


def require_folders(settings: Settings) -> None:
    """Raises `CannotCreate` when log or store would lie in a folder that is not there."""
    for part, path in files(settings).items():
        if not path.parent.is_dir():
            remedy = f"make it (mkdir -p {path.parent}), or correct the setting {part}"
            raise CannotCreate(f"the folder of the {part} is not there", str(path.parent), remedy)
