"""Text from outside, made fit to be kept: what both APIs' readers do alike."""

from typing import Final

import msgspec

#: What msgspec raises on bytes that are not the shape asked for; deep nesting is a `RecursionError`.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def clip(text: str, limit: int) -> str:
    """Free text, cut, without control characters or space around it: PostgreSQL refuses NUL, and a log line must stay
    one line.
    """
    cut = text[:limit]
    return (cut if cut.isprintable() else "".join(c if c.isprintable() else " " for c in cut)).strip()


def encodable(text: str) -> str:
    """A header's value as text that can be written: HTTP allows bytes in it that are no text at all."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def why(error: Exception) -> str:
    """One of `UNREADABLE` in words. The decoder's own words name fields and types; a `UnicodeDecodeError`'s could quote
    bytes.
    """
    if isinstance(error, msgspec.DecodeError):
        return str(error)
    return "nested too deep" if isinstance(error, RecursionError) else "not UTF-8"
