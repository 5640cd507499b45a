"""What the first-run check can find: a closed vocabulary for each level, and the list that findings are gathered in.

```
stop    must be repaired   credentials, the organisation and its time zone, accounts, taxes, the vendor, rates, days,
                           an unfinished import
decide  must be accepted   the policy, several creditors, no verification, what else collects, fields that cannot
                           be seen, what is left out
ok      good to know       the organisation, the creditor, how much has been read
```
"""

from typing import Final, Literal, TypeVar

from domain.events import Finding
from domain.onboarding_facts import OF_ONE_LIST, Hindrance, Unread, Why
from domain.vocabulary import API_NAMES, Api

Level = Literal["stop", "decide", "ok"]

StopCode = Literal[
    "account",
    "account_twice",
    "books_from",
    "closed_through",
    "creditor",
    "creditor_taken",
    "currency",
    "gocardless_busy",
    "gocardless_credentials",
    "gocardless_refused",
    "gocardless_unreachable",
    "gocardless_unreadable",
    "import",
    "max_day",
    "max_day_count",
    "max_debit",
    "max_payer_month",
    "no_bank",
    "no_clearing",
    "opening_clearing",
    "organization",
    "rate",
    "tax",
    "time_zone",
    "vendor",
    "zoho_busy",
    "zoho_credentials",
    "zoho_refused",
    "zoho_unreachable",
    "zoho_unreadable",
]
DecideCode = Literal[
    "books_from",
    "creditors",
    "first_collection",
    "no_fees",
    "no_suspense",
    "no_tax",
    "no_webhooks",
    "pending_payments",
    "policy",
    "subscriptions",
    "unique_field",
    "verification",
]
OkCode = Literal["creditor", "first_collection", "import", "organization"]

#: What each hindrance is found as: the code, and the text. What is of one list has the list's name in its code.
UNREAD: Final[dict[tuple[Api, Why], tuple[StopCode, str]]] = {
    ("gocardless", "no_credentials"): ("gocardless_credentials", "{api}: {said}."),
    ("gocardless", "not_accepted"): (
        "gocardless_credentials",
        "{api} does not accept the access token ({said}): enter it again.",
    ),
    ("gocardless", "busy"): ("gocardless_busy", "{api} is asked too often just now: check again in a minute."),
    ("gocardless", "fault"): ("gocardless_unreachable", "{api} answered {said} to {name}: check again later."),
    ("gocardless", "unreachable"): (
        "gocardless_unreachable",
        "{api} cannot be reached ({said}): check the network, then again.",
    ),
    ("gocardless", "refused"): (
        "gocardless_refused",
        "{api} refuses to show {name} ({said}): give the access token the right to read it.",
    ),
    ("gocardless", "unreadable"): ("gocardless_unreadable", "{api} shows {name} in a form that is not documented."),
    ("zoho", "no_credentials"): ("zoho_credentials", "{api}: {said}."),
    ("zoho", "not_accepted"): ("zoho_credentials", "{api} does not accept the consent given: connect it again."),
    ("zoho", "busy"): (
        "zoho_busy",
        "{api} is asked too often just now: check again in a minute, or tomorrow when the day is spent.",
    ),
    ("zoho", "fault"): ("zoho_unreachable", "{api} answered {said} to {name}: check again later."),
    ("zoho", "unreachable"): ("zoho_unreachable", "{api} cannot be reached ({said}): check the network, then again."),
    ("zoho", "refused"): ("zoho_refused", "{api} refuses to show {name} ({said}): check the user's rights."),
    ("zoho", "unreadable"): ("zoho_unreadable", "{api} shows {name} in a form that is not documented."),
}

T = TypeVar("T")


class Findings:
    """What is found, in order. A code that is found again adds to its text, so that one code is one finding.

    `about` is appended to a code that can be found of several things: "no_bank" about "GBP" is "no_bank_GBP".
    """

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}

    def stop(self, code: StopCode, text: str, *, about: str | None = None, count: int = 0) -> None:
        """What must be repaired first."""
        self._add(code, about, "stop", text, count)

    def decide(self, code: DecideCode, text: str, *, about: str | None = None, count: int = 0) -> None:
        """What a person must accept."""
        self._add(code, about, "decide", text, count)

    def ok(self, code: OkCode, text: str, *, count: int = 0) -> None:
        """What is good to know."""
        self._add(code, None, "ok", text, count)

    def known(self, read: T | Unread) -> T | None:
        """What was read; None where it could not be, which is found."""
        if not isinstance(read, Unread):
            return read
        for one in read.hindrances:
            self._hindered(one)
        return None

    @property
    def all(self) -> list[Finding]:
        """Every finding, in the order of first appearance."""
        return list(self._found.values())

    @property
    def stopped(self) -> bool:
        """Whether anything must be repaired first."""
        return any(one.level == "stop" for one in self._found.values())

    def _hindered(self, one: Hindrance) -> None:
        code, text = UNREAD[one.api, one.why]
        about = one.name if one.why in OF_ONE_LIST else None
        self.stop(code, text.format(api=API_NAMES[one.api], name=one.name, said=one.said), about=about)

    def _add(self, code: str, about: str | None, level: Level, text: str, count: int) -> None:
        whole = code if about is None else f"{code}_{about}"
        held = self._found.get(whole)
        if held is None:
            self._found[whole] = Finding(whole, level, text, count)
        elif text not in held.text:
            self._found[whole] = Finding(whole, level, f"{held.text} {text}", held.count + count)
