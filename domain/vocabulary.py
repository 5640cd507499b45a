"""Closed vocabularies: every value that a status of ours may have. A misspelt one fails the type check.

What GoCardless and Zoho Books call things is theirs and stays text: they add values without asking. What lies in the
log stays text too, and is narrowed after decoding (`narrowed`): a value that this version does not know must never make
a record undecodable.
"""

from typing import Any, Final, Literal, TypeVar, get_args

#: The two sides, and what people call them.
Api = Literal["gocardless", "zoho"]
APIS: Final[tuple[Api, ...]] = get_args(Api)
API_NAMES: Final[dict[Api, str]] = {"gocardless": "GoCardless", "zoho": "Zoho Books"}

Environment = Literal["", "sandbox", "live"]
Gate = Literal["closed", "open"]
Match = Literal["none", "ambiguous", "proposed", "linked", "invited"]

#: Where an invoice's collection stands.
InvoiceStage = Literal[
    "none", "waiting", "scheduled", "viewing", "collecting", "collected", "failed", "hold", "ignored"
]

#: Whose a payment is; "unknown" while a read is under way.
Claim = Literal["ours", "foreign", "unknown"]

#: How far a booking is in Zoho: "suspense" is a reversal that Zoho refused, "opening" one that belongs to the opening
#: balance.
BookingStage = Literal["asked", "posted", "unapplying", "refunding", "reversed", "refused", "suspense", "opening"]

PayoutStage = Literal["seen", "posting", "reconciled", "held"]

#: What the items of a payout are walked for: "counting" adds them up; "awaiting" waits until each one's payment is
#: known and booked; "posting" takes each out of clearing; "recording" waits until Zoho has each payment; "publishing"
#: publishes each; "" is the end.
Walk = Literal["counting", "awaiting", "posting", "recording", "publishing", ""]

#: How a command ended; "superseded": a read that was given up and asked for again since; "unknown": an end that this
#: version does not know.
CommandStatus = Literal["open", "succeeded", "refused", "withheld", "parked", "superseded", "unknown"]

#: Codes of the catalogue of discrepancies (`domain.discrepancies`).
Code = Literal[
    "account_missing",
    "already_booked",
    "amount_mismatch",
    "collected_elsewhere",
    "command_parked",
    "contact_ambiguous",
    "day_over_limit",
    "debit_failed",
    "debit_over_limit",
    "debit_refused",
    "debit_reversed",
    "delivery_parked",
    "due_before_start",
    "duplicate_found",
    "excess",
    "facts_left_out",
    "fee_refund",
    "foreign_items",
    "gate_refused",
    "link_conflict",
    "match_proposed",
    "needs_mandate",
    "not_understood",
    "payer_over_limit",
    "payer_taken",
    "payout_breach",
    "payout_unsupported",
    "policy_ignored",
    "posting_refused",
    "read_refused",
    "reversal_refused",
    "two_resources",
    "unapplied",
]

#: Kinds of rows, as `domain.state` has them.
RowKind = Literal[
    "connections",
    "contacts",
    "payers",
    "billing_requests",
    "lists",
    "elements",
    "mandates",
    "invoices",
    "payments",
    "bookings",
    "payouts",
    "payout_items",
    "balances",
    "open_items",
    "discrepancies",
    "timers",
    "commands",
    "purposes",
    "debit_counts",
    "debit_days",
    "payer_months",
]

#: What a rule looks at again: rows of these kinds, and what one event alone says ("contact_ties", "outcomes", …).
RuleKind = Literal[
    "connections",
    "contacts",
    "contact_ties",
    "billing_requests",
    "mandates",
    "invoices",
    "invoice_ties",
    "payments",
    "payouts",
    "lists",
    "crowded_payments",
    "outcomes",
    "conflicts",
    "replays",
    "closings",
    "parked",
    "unknown",
]

T = TypeVar("T", bound=str)


def narrowed(value: str, allowed: Any, otherwise: T) -> T:
    """A text of the log as a value of a closed vocabulary; `otherwise` where it is none of it."""
    found: T = value if value in get_args(allowed) else otherwise  # type: ignore[assignment] # membership was just asked
    return found


#: The text that separates values in words.
_BETWEEN: Final = ", "


def in_words(allowed: Any) -> str:
    """All values of a vocabulary, for a column's comment; the empty one is left to the reader."""
    return _BETWEEN.join(str(one) for one in get_args(allowed) if one)
