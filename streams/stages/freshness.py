"""Which rows of a page differ from what was delivered before: so that the log grows with what happens, not with how
often we look.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from projections.work.polls import DIGEST_BYTES, Polls


class Compared(NamedTuple):
    """A page compared: positions of its fresh rows, the digest of each row to remember once the page is durable, and of
    the whole.
    """

    fresh: list[int]
    digests: dict[str, bytes]
    whole: str


def digests_of(rows: Sequence[tuple[str, bytes]]) -> dict[str, bytes]:
    """The digest of each row, by id."""
    return {key: blake2b(value, digest_size=DIGEST_BYTES).digest() for key, value in rows}


def whole_digest(digests: dict[str, bytes]) -> str:
    """The digest of a page."""
    return blake2b(
        b"".join(key.encode() + digest for key, digest in digests.items()), digest_size=DIGEST_BYTES
    ).hexdigest()


def compare(polls: Polls, connection: str, kind: str, rows: Sequence[tuple[str, bytes]]) -> Compared:
    """Compare a page's rows with those remembered for a kind of list."""
    digests = digests_of(rows)
    before = polls.digests(connection, kind, list(digests))
    fresh = [place for place, (key, _) in enumerate(rows) if before.get(key) != digests[key]]
    return Compared(fresh, digests, whole_digest(digests))
