"""Ids come from causes: the same cause gives the same id, on every replay and in every process."""

from hashlib import sha256
from typing import Final

#: Hex digits kept of a digest. Lower than 32 (128 bits) and collisions become thinkable over a company's life; higher
#: only costs room (GoCardless's longest tolerated idempotency key is unknown; 64 in all is kept to).
_DIGITS: Final = 32

#: Between the parts of a cause, so that ("ab", "c") and ("a", "bc") differ. No part may hold it: it is not a printable
#: character.
_SEPARATOR: Final = "\x1f"


def digest(*parts: str) -> str:
    """Thirty-two hex digits that depend on every part and on where one ends and the next begins."""
    return sha256(_SEPARATOR.join(parts).encode()).hexdigest()[:_DIGITS]


def observation_id(delivery_id: str, resource: str, key: str) -> str:
    """Id of "this delivery showed this resource": Zoho's rows and both APIs' answers carry no event id of their own."""
    return f"ob-{digest(delivery_id, resource, key)}"


def outcome_id(command_id: str, call: int, answer_digest: str) -> str:
    """Id of a command's outcome: f(command, call number, digest of the answer)."""
    return f"oc-{digest(command_id, str(call), answer_digest)}"


def command_id(event_id: str, purpose: str) -> str:
    """Id of a command: the event that caused it and what it is for."""
    return f"cm-{digest(event_id, purpose)}"


def clock_id(connection: str, timer: str, at: str) -> str:
    """Id of "this due time was reached", so that two clocks that both notice make one event."""
    return f"ck-{digest(connection, timer, at)}"


def entry_id(event_id: str, number: int) -> str:
    """Id of a ledger entry: the event that caused it and its place in the decision."""
    return f"le-{digest(event_id, str(number))}"


def idempotency_key(environment: str, organization: str, purpose: str, attempt: int) -> str:
    """GoCardless's `Idempotency-Key`: a pure function of what the APIs call us and of the purpose (rule 18); 37
    characters.

    So a second installation for the same organisation sends the same keys: where this one debits an invoice, it is
    answered 409, and makes no second debit.
    """
    return f"zg{attempt:02d}-{digest(environment, organization, purpose, str(attempt))}"
