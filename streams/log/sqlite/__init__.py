"""The embedded engine: a log in one SQLite file, for one machine."""

from streams.log.sqlite.backup import backup, mark_restored, restore
from streams.log.sqlite.engine import SqliteLog
from streams.log.sqlite.moved import Moved, mark_moved

__all__ = ["Moved", "SqliteLog", "backup", "mark_moved", "mark_restored", "restore"]
