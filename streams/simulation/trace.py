"""What happened, in the order in which it did: bytes at the seams, and a digest of all of them.

Two runs of one seed and one version of the code give the same trace. No log lines are in it, no addresses of objects
and nothing of this machine.
"""

import asyncio
from collections import deque
from hashlib import blake2b
from typing import Final

#: Lines kept for people. Lower: what led to a failure is not to be seen. Higher: memory.
_KEPT: Final = 200_000


class Trace:
    """The trace of one run."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=_KEPT)
        self._digest = blake2b(digest_size=16)

    def note(self, kind: str, *parts: str) -> None:
        """Something happened just now."""
        line = f"{asyncio.get_running_loop().time():.6f} {kind} {' '.join(parts)}"
        self._digest.update(f"{line}\n".encode())
        self.lines.append(line)

    def bytes_seen(self, value: bytes) -> None:
        """Bytes that went through a seam: part of the digest, not of the lines."""
        self._digest.update(value)

    @property
    def digest(self) -> str:
        """Of all that was noted."""
        return self._digest.hexdigest()
