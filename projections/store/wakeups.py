"""Wakeups between processes: what was committed on PostgreSQL wakes the executors of other processes at once.

`Store.wake` sends one within a transaction; `StoreWakeups` hears it. Whoever is woken looks into the store, and
whoever was not (the connection was lost just then) is woken as soon as it can hear again.
"""

import os
import threading
from collections.abc import Iterable
from select import select
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from projections.store.databases import postgresql_arguments
from projections.store.errors import StoreError

if TYPE_CHECKING:
    import psycopg

#: The channel of `NOTIFY`. A database holds one installation.
CHANNEL: Final = "zoho_gocardless"

#: Who can be woken: the loops of these names in every process.
NAMES: Final = ("executor.gocardless", "executor.zoho")

#: Seconds between two looks whether the connection is alive while it is silent. Lower: idle traffic. Higher: a lost one
#: is noticed later, and until then only the loops' own due times wake them.
_ALIVE_S: Final = 15.0
#: Seconds before the first and at most before any try to connect again. Lower: a server that is coming up is pressed.
#: Higher: executors of other processes sleep that much longer after it is back.
_AGAIN_S: Final = (0.2, 5.0)
#: Seconds that closing waits for the thread. Lower: one that is just connecting is left behind. Higher: a stop may
#: hang.
_CLOSE_S: Final = 1.0


class StoreWakeups:
    """Hears wakeups on a connection of its own, in a thread of its own. `fileno` is readable while somebody was woken.

    ```
    wakeups = open_wakeups(settings.store)
    loop.add_reader(wakeups.fileno(), lambda: [loops.wake(name) for name in wakeups.take()])
    ```
    """

    def __init__(self, url: sa.URL) -> None:
        self._url = url.set(drivername="postgresql+psycopg")
        self._heard, self._mark = os.pipe()
        self._ended, self._end = os.pipe()
        for end in (self._heard, self._mark):
            os.set_blocking(end, False)
        self._lock = threading.Lock()
        self._woken: set[str] = set()
        self._closing = threading.Event()
        self.connects = 0
        """How often it has connected."""
        self._thread = threading.Thread(target=self._run, name="store-wakeups", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """A file that is readable while somebody was woken and not taken; the same for as long as it is open."""
        return self._heard

    def take(self) -> set[str]:
        """Who was woken since the last call, of `NAMES`; all of them after each connect, as one may have been missed.
        Never waits.
        """
        with self._lock:
            if self._woken:
                os.read(self._heard, 1)
            woken, self._woken = self._woken, set()
        return woken

    def close(self) -> None:
        """Stop hearing. Safe to call twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        os.write(self._end, b".")
        self._thread.join(_CLOSE_S)
        if not self._thread.is_alive():
            for end in (self._heard, self._mark, self._ended, self._end):
                os.close(end)

    # --- the thread ---

    def _run(self) -> None:
        import psycopg  # noqa: PLC0415 - only PostgreSQL needs it

        first, longest = _AGAIN_S
        pause = first
        while not self._closing.is_set():
            before = self.connects
            try:
                self._listen()
            except (psycopg.Error, OSError):
                # What failed is told by the store itself, at its next call.
                pause = first if self.connects > before else min(pause * 2, longest)
                self._closing.wait(pause)

    def _listen(self) -> None:
        with self._connection() as connection:
            connection.add_notify_handler(lambda note: self._hear({note.payload} & set(NAMES)))
            connection.execute(f"LISTEN {CHANNEL}")
            self.connects += 1
            self._hear(NAMES)
            while not self._closing.is_set():
                select([connection.fileno(), self._ended], [], [], _ALIVE_S)
                if not self._closing.is_set():
                    connection.execute("SELECT 1")  # alive? and what has come is handed to the handler

    def _connection(self) -> "psycopg.Connection":
        import psycopg  # noqa: PLC0415 - as above

        _, given = self._url.get_dialect()().create_connect_args(self._url)
        return psycopg.connect(**{**postgresql_arguments(), **given}, autocommit=True)

    def _hear(self, names: Iterable[str]) -> None:
        with self._lock:
            if names and not self._woken:
                os.write(self._mark, b".")
            self._woken.update(names)


def open_wakeups(url: str) -> StoreWakeups | None:
    """The wakeups of a store; None for SQLite, which one process uses. Raises `StoreError` when it is no address of a
    database.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise StoreError("not a database URL", "the store's URL", "use sqlite:///path or postgresql://…") from None
    return StoreWakeups(parsed) if parsed.get_backend_name() == "postgresql" else None


__all__ = ["CHANNEL", "NAMES", "StoreWakeups", "open_wakeups"]
