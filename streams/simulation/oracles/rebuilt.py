"""The oracle of the rebuild: a store made anew from the log alone is the live one. Asked of an intact log only."""

from pathlib import Path

from projections.store.store import Store
from streams.log.interface import Log
from streams.log.topics import Topics
from streams.operate import replay
from streams.simulation.oracles.breach import Breach

#: Rows that are named. Lower: less to go by. Higher: a page that nobody reads.
_SHOWN = 20


def rebuild_breaches(
    log: Log, topics: Topics, store: Store, now: str, folder: Path, empty: bytes = b""
) -> list[Breach]:
    """Rebuild beside the live store, in `folder`, up to where it is, and compare row by row; every table of
    projections, the ledger among them. Nobody writes to the store meanwhile. `empty`: as `verify` takes it.

    Raises:
        LogError, StoreError: the log or the store cannot be read, which is no breach of this promise.

    """
    found = replay.verify(log, topics, store, now, folder, limit=_SHOWN, empty=empty)
    breaches = []
    for one in found.differences:
        left, right = one.left or {}, one.right or {}
        names = [name for name in {**left, **right} if left.get(name) != right.get(name)]
        words = "; ".join(f"{name} is {left.get(name)!r} in the store, {right.get(name)!r} rebuilt" for name in names)
        connection = str({**left, **right}.get("connection", ""))
        breaches.append(Breach("rebuild_differs", connection, f"{one.table} {one.key}", words))
    return breaches
