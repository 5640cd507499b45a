"""The embedded engine: a log in one SQLite file, for one machine."""

from streams.engines.sqlite.backup import backup, mark_restored, restore
from streams.engines.sqlite.engine import SqliteLog
from streams.engines.sqlite.moved import Moved, mark_moved

__all__ = ["Moved", "SqliteLog", "backup", "mark_moved", "mark_restored", "restore"]
