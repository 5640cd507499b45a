"""Waking readers in other processes after a commit: one named pipe for each open log, in a folder beside the file.

A pipe and not a socket (whose path has a length limit of 100 bytes on some systems) and not inotify (Linux only; and on
the write-ahead log it fires before the commit can be seen). A wakeup costs a microsecond a listener. It is a hint: who
misses one sees the records at the next poll.
"""

import asyncio
import errno
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

# A file system's clock may stand still for a jiffy: a folder that changed this recently may change again unseen.
_STILL_NS: Final = 50_000_000
# More than any sensible number of processes on one log; beyond, the others are left to their polls.
_MAX_LISTENERS: Final = 64
_DRAIN_BYTES: Final = 4_096


class LogWakeups:
    """Wakes all other open logs of the same file, and calls back when one of them does."""

    def __init__(self, path: Path) -> None:
        self._folder = path.with_name(f"{path.name}-wake")
        self._own: Path | None = None
        self._descriptors: list[int] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: dict[str, int] = {}
        self._folder_ns = -1

    def listen(self, loop: asyncio.AbstractEventLoop, on_wakeup: Callable[[], None]) -> bool:
        """Begin to listen; False where named pipes are not to be had, so that the caller polls often instead."""
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        hidden, own = self._folder / f".{name}", self._folder / name
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            os.mkfifo(hidden, 0o600)
            self._descriptors.append(os.open(hidden, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            # A writing end of our own: without one, the pipe would read as ended whenever no one else has it open.
            self._descriptors.append(os.open(hidden, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            hidden.rename(own)  # visible only once it has a reader, or it would be taken for a dead one
        except OSError:
            self.close()
            with suppress(OSError):
                hidden.unlink(missing_ok=True)
            return False
        self._own = own
        self._loop = loop
        loop.add_reader(self._descriptors[0], self._answer, on_wakeup)
        return True

    def _answer(self, on_wakeup: Callable[[], None]) -> None:
        with suppress(BlockingIOError):
            while len(os.read(self._descriptors[0], _DRAIN_BYTES)) == _DRAIN_BYTES:
                pass
        on_wakeup()

    def wake(self) -> None:
        """Wake the listeners in other processes. Never fails: it is a hint."""
        with suppress(OSError):
            self._look()
        for name, descriptor in list(self._listeners.items()):
            try:
                os.write(descriptor, b"\0")
            except BlockingIOError:
                continue  # full: it was woken often enough
            except OSError:
                self._forget(name)  # its process has died

    def _look(self) -> None:
        changed_ns = os.stat(self._folder).st_mtime_ns  # noqa: PTH116 - after each commit; Path.stat costs four times that
        if changed_ns == self._folder_ns:
            return
        names = {name for name in os.listdir(self._folder) if not name.startswith(".")}  # noqa: PTH208 - names are enough
        if self._own is not None:
            names.discard(self._own.name)
        for gone in self._listeners.keys() - names:
            os.close(self._listeners.pop(gone))
        for name in sorted(names - self._listeners.keys())[: _MAX_LISTENERS - len(self._listeners)]:
            self._open(name)
        still = time.time_ns() - changed_ns > _STILL_NS
        self._folder_ns = changed_ns if still else -1

    def _open(self, name: str) -> None:
        try:
            self._listeners[name] = os.open(self._folder / name, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as fault:
            if fault.errno == errno.ENXIO:  # no reader: its process has died
                with suppress(OSError):
                    (self._folder / name).unlink(missing_ok=True)

    def _forget(self, name: str) -> None:
        os.close(self._listeners.pop(name))
        with suppress(OSError):
            (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Stop listening and waking."""
        if self._loop is not None:
            self._loop.remove_reader(self._descriptors[0])
            self._loop = None
        for descriptor in (*self._descriptors, *self._listeners.values()):
            os.close(descriptor)
        self._descriptors.clear()
        self._listeners.clear()
        if self._own is not None:
            with suppress(OSError):
                self._own.unlink(missing_ok=True)
            self._own = None
