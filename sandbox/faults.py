"""Faults: rules that spoil chosen API requests, before or after the simulator has committed its change.

The fault that matters most to a payments program is the one after the commit: the resource exists and the caller does
not know it. Rules are asked in the order given; a rule lets `skip` matching requests through, then strikes `times`
times, then is spent.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

BEFORE: Final = frozenset(
    {"500_before", "429_gocardless", "429_minute", "429_day", "429_concurrency", "token_death", "token_revoked"}
)
AFTER: Final = frozenset({"500_after_commit", "timeout_after_commit", "reset_after_commit"})
# Before or after, as the rule's `commit` says.
EITHER: Final = frozenset({"html_502"})
# These change the simulator's tokens; the request that met them then goes on and finds out.
TOKEN_EFFECTS: Final = frozenset({"token_death", "token_revoked"})

# More rules than this in one world is a scenario gone wrong; asking them all for each request would also cost time.
_RULES_MAX = 200
# A hold longer than any caller's deadline only keeps the run waiting.
_HOLD_MAX_S = 120.0


class FaultRule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One rule, as posted to `/_sandbox/faults`. `path` is a regular expression searched for in the path; empty means
    any.
    """

    api: str
    kind: str
    method: str = ""
    path: str = ""
    skip: int = 0
    times: int = 1
    hold_s: float = 0
    commit: bool = False
    seen: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        if self.kind not in BEFORE | AFTER | EITHER:
            raise ValueError(f"no fault is called {self.kind}")
        if not 0 <= self.hold_s <= _HOLD_MAX_S:
            raise ValueError(f"hold_s is between 0 and {_HOLD_MAX_S:g}")
        if self.skip < 0 or self.times < 0:
            raise ValueError("skip and times count from 0")
        re.compile(self.path)

    @property
    def after_commit(self) -> bool:
        """Say whether the simulator does its work before the fault strikes."""
        return self.kind in AFTER or (self.kind in EITHER and self.commit)

    def matches(self, api: str, method: str, path: str) -> bool:
        """Say whether the rule is about this request."""
        return self.api == api and self.method in ("", method) and re.search(self.path, path) is not None


class Faults:
    """All rules of a world."""

    def __init__(self) -> None:
        self.rules: list[FaultRule] = []

    def add(self, documents: Iterable[object]) -> None:
        """Add rules as they came in JSON. ValueError (msgspec.ValidationError is one): a rule is malformed, and none
        is added.
        """
        rules = [msgspec.convert(document, FaultRule) for document in documents]
        if len(self.rules) + len(rules) > _RULES_MAX:
            raise ValueError(f"at most {_RULES_MAX} rules")
        self.rules.extend(rules)

    def clear(self) -> None:
        """Forget all rules."""
        self.rules.clear()

    def take(self, api: str, method: str, path: str) -> FaultRule | None:
        """Give the rule that strikes this request, if one does, and count it."""
        for rule in self.rules:
            if rule.hits >= rule.times or not rule.matches(api, method, path):
                continue
            rule.seen += 1
            if rule.seen > rule.skip:
                rule.hits += 1
                return rule
        return None

    def state(self) -> list[dict[str, Any]]:
        """List the rules with `seen` (matching requests) and `hits` (strikes)."""
        return [msgspec.to_builtins(rule) for rule in self.rules]
