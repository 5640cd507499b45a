"""The embedded engine: a log in one SQLite file, for one machine."""

from streams.engines.sqlite.backup import backup, mark_moved, mark_restored, restore
from streams.engines.sqlite.engine import SqliteLog

__all__ = ["SqliteLog", "backup", "mark_moved", "mark_restored", "restore"]
