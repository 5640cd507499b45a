"""Ids of the simulated organisation: eighteen digits, always text, in no order of time (reference 2.1).

An id is a digest of (seed, kind, cause): the same call in the same world gets the same id whatever else was made
before it, so concurrent calls cannot swap ids. A cause that occurs again gets the next occurrence.
"""

from collections import Counter
from functools import lru_cache
from hashlib import blake2b

# Twelve digits after the organisation's prefix; 10**12 keeps chance collisions below one in a million for a million
# records.
_SPACE = 10**12


class Identity:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._seen: Counter[tuple[str, str]] = Counter()
        self._used: set[str] = set()
        # Shown in every row of every list; an id costs a digest.
        self.fixed = lru_cache(maxsize=65536)(self._at)
        self.prefix = str(100_000 + self.digest("prefix", "") % 900_000)
        self.organization_id = str(600_000_000 + self.digest("organization", "") % 300_000_000)

    def digest(self, kind: str, cause: str) -> int:
        """A 64-bit number that depends on the seed, the kind and the cause alone."""
        text = f"{self._seed}\0{kind}\0{cause}".encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest())

    def hex(self, kind: str, cause: str, size_bytes: int = 16) -> str:
        """Hexadecimal text of 2 * size_bytes digits, for tokens and links."""
        return blake2b(f"{self._seed}\0{kind}\0{cause}".encode(), digest_size=size_bytes).hexdigest()

    def new(self, kind: str, cause: str) -> str:
        """A fresh id for one record of `kind` made because of `cause`."""
        occurrence = self._seen[(kind, cause)]
        self._seen[(kind, cause)] += 1
        found = self._at(kind, f"{cause}\0{occurrence}")
        while found in self._used:
            occurrence += 1_000_000
            found = self._at(kind, f"{cause}\0{occurrence}")
        self._used.add(found)
        return found

    def peek(self, kind: str, cause: str) -> str:
        """The id that `new` will give next for this kind and cause."""
        return self._at(kind, f"{cause}\0{self._seen[(kind, cause)]}")

    def _at(self, kind: str, cause: str) -> str:
        """The id of (kind, cause). As `fixed`: of a part of a record that needs no table of its own."""
        return f"{self.prefix}{self.digest(kind, cause) % _SPACE:012d}"
