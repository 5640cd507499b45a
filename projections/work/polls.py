"""How far each poll is, and what each polled row looked like: so that only changes become events. Outlives a
rebuild.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import msgspec
import sqlalchemy as sa

from projections.store.select_in import among, chunks
from projections.store.store import Store
from projections.store.tables import poll_rows, polls

#: Bytes of a row's digest. Lower: two versions of a row could be taken for one. Higher: only room.
DIGEST_BYTES: Final = 16


class Poll(msgspec.Struct, frozen=True):
    """One poll. `cursor` "" begins anew; `due_at` when to poll next; `digest` of the last page; `head_at`: when the
    last complete walk to the head began, "" before the first.
    """

    connection: str
    kind: str
    cursor: str = ""
    due_at: str = ""
    digest: str = ""
    head_at: str = ""


class Polls:
    """Polls in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, connection: str, kind: str) -> Poll:
        """How far a poll is; a new one when it has never run."""
        sql = self._store.sql("poll", _one, ("connection", "kind"))
        rows = self._store.rows(sql, (connection, kind))
        return Poll(*rows[0]) if rows else Poll(connection, kind)

    def of(self, connection: str, kinds: Sequence[str]) -> list[Poll]:
        """How far the polls of these kinds are, in their order; as `get`, at once."""
        rows = self._store.rows(self._store.sql("polls of", _of, ("connection",)), (connection,))
        held = {row[1]: row for row in rows}
        return [Poll(*held[kind]) if kind in held else Poll(connection, kind) for kind in kinds]

    def all(self) -> list[Poll]:
        """Every poll that has run, by due time."""
        with self._store.read() as reader:
            return [
                Poll(*row)
                for row in reader.execute(sa.select(polls).order_by(polls.c.due_at, polls.c.connection, polls.c.kind))
            ]

    def save(self, poll: Poll, rows: Mapping[str, bytes] | None = None) -> None:
        """Advance a poll, once its delivery is durable, with the digests of the rows that the delivery showed. One
        transaction.
        """
        assert all(len(digest) == DIGEST_BYTES for digest in (rows or {}).values()), "a digest is whole"
        values = msgspec.structs.astuple(poll)
        if not rows:
            self._store.write_one(self._store.upsert(polls), values)
            return
        with self._store.direct_write() as writer:
            writer.exec_driver_sql(self._store.upsert(polls), values)
            shown = [(poll.connection, poll.kind, key, digest) for key, digest in rows.items()]
            self._store.put(writer, poll_rows, shown)

    def digests(self, connection: str, kind: str, ids: list[str]) -> dict[str, bytes]:
        """What these rows looked like when they were last seen; ids never seen are left out."""
        asked = [
            (
                self._store.sql(f"digests {size}", partial(_digests, self._store, size)),
                (connection, kind, *parameters),
            )
            for size, parameters in chunks(self._store, ids)
        ]
        found = {key: bytes(digest) for key, digest in self._store.rows_of(asked)}
        assert all(len(digest) == DIGEST_BYTES for digest in found.values()), "a digest is whole"
        return found


def _one() -> sa.ClauseElement:
    c = polls.c
    return sa.select(polls).where(c.connection == sa.bindparam("connection"), c.kind == sa.bindparam("kind"))


def _of() -> sa.ClauseElement:
    return sa.select(polls).where(polls.c.connection == sa.bindparam("connection"))


def _digests(store: Store, size: int) -> sa.ClauseElement:
    c = poll_rows.c
    own = sa.and_(c.connection == sa.bindparam("connection"), c.kind == sa.bindparam("kind"))
    return sa.select(c.id, c.digest).where(own, among(store, c.id, size))
