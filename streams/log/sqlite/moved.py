"""A log whose records were moved to another: it can be read, and takes nothing more, in any process and for good.

The mark is in the file, so a copy of it is marked as well. A note beside the file outlives it: where a moved log was,
none is made anew and no backup from before the move is restored.
"""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from streams.log.interface import TopicPartition
from streams.log.sqlite import rows, schema
from streams.log.sqlite.faults import telling

_TO: Final = "moved_to"
_AS: Final = "moved_as"
_ENDS: Final = (
    "SELECT topic, partition, coalesce((SELECT max(id) FROM records WHERE id >= number << 40 AND id < (number + 1) << "
    "40) + 1,"
    " number << 40) FROM partitions"
)


class Moved(NamedTuple):
    """Where the records live now: in words, and as which incarnation."""

    destination: str
    incarnation: str


def read_moved(db: sqlite3.Connection) -> Moved | None:
    """Where the records of this log were moved; None if they were not."""
    destination = schema.read_meta(db, _TO)
    return None if destination is None else Moved(destination, schema.read_meta(db, _AS) or "")


def mark_moved(
    path: Path, destination: str, *, incarnation: str = "", ends: Mapping[TopicPartition, int] | None = None
) -> bool:
    """Refuse all further appends: the records live at `destination` now, as `incarnation`. May be repeated.

    `ends`: the offsets up to which they were copied, of every partition that has records. If there is more by now,
    nothing is marked, and the answer is False: an append and the mark exclude each other.

    Raises:
        LogReadOnly, LogFull, LogCorrupt: as said.

    """
    path = path.absolute()
    with closing(schema.connect(path)) as db, telling(path, "marking as moved"):
        db.execute("BEGIN IMMEDIATE")
        if ends is not None and _found(db) != {tp: end for tp, end in ends.items() if end}:
            db.execute("ROLLBACK")
            return False
        schema.set_meta(db, _TO, destination)
        schema.set_meta(db, _AS, incarnation)
        db.execute("COMMIT")
    with telling(path, "leaving a note"):
        _leave_note(schema.note_of_move(path), destination)
    return True


def _found(db: sqlite3.Connection) -> dict[TopicPartition, int]:
    found = {TopicPartition(topic, partition): end & rows.OFFSET_MASK for topic, partition, end in db.execute(_ENDS)}
    return {tp: end for tp, end in found.items() if end}


def _leave_note(note: Path, destination: str) -> None:
    with note.open("w", encoding="utf-8") as file:
        file.write(f"{destination}\n")
        file.flush()
        os.fsync(file.fileno())
    schema.sync_folder(note.parent)
