"""How a company's accounts at both APIs are set: every behaviour that a real account may have either way, what the
banks answer, what it costs, how its payers behave. Documents for the simulators' own settings, with their names.
"""

import random
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final

from sandbox.gocardless.schemes import CAUSES, SCHEME_OF_CURRENCY

#: Setting of the simulator of GoCardless → what an account may have.
GOCARDLESS: Final[Mapping[str, tuple[Any, ...]]] = {
    "rate_limit_per_minute": (1000, 1000, 120),
    "balances_limit_per_minute": (60, 10),
    "event_delay_s": ([1, 60], [0, 0], [1, 5]),
    "webhook_lag_s": ([6, 10], [0, 1], [30, 300]),
    "balances_age_s": (240, 0, 900),
    "custom_payment_pages": (True, False),
    "bacs_payment_references": (False, True),
    "success_plus": (False, True),
    "idempotency_scope": ("resource_type", "organisation"),
    "idempotent_actions": (False, True),
    "unknown_filters": ("refuse", "ignore"),
    "metadata_update": ("replace", "merge"),
    "removed_customer": ("resource_not_found", "customer_data_removed"),
    "get_flow": (False, True),
    "refunds_per_payment": (5, 1),
    "refund_after_days": (7, 0),
    "refund_bounce_restores": (False, True),
    "unpaid_failure_items": ("none", "net_zero"),
    "tax_sign": ("item", "positive"),
    "payout_rounding": ("half_up", "half_even"),
}
#: Setting of the simulator of GoCardless → why it is not drawn here.
NOT_DRAWN: Final[Mapping[str, str]] = {
    "endpoints": "whether webhooks are sent is the company's `webhooks`; where to, the run's",
    "access_tokens": "any token is good; that one dies is a fault",
    "payment_outcomes": "the company's `outcomes`",
    "payer": "the company's `payer`",
    "tariff": "the company's `tariff`",
    "amount_max": "the schemes' own: an account cannot have more",
    "exchange_rates": "the simulator's own: where none is named, each pair has one",
    "idempotency_days": "GoCardless's promise",
}

#: Switch of the simulator of Zoho Books → what an organisation may have.
SWITCHES: Final[Mapping[str, tuple[Any, ...]]] = {
    "list_staleness_s": (0, 0, 5, 60, 300),
    "modified_after_inclusive": (False, True),
    "payments_on_drafts": (True, False),
    "overdue_hides_partial": (True, False),
    "missing_rate": ("organization", "one"),
    "payment_moves_invoice_time": ("always", "create"),
    "invoice_payment_row_delete": ("application", "payment"),
    "throttle_status": (400, 429),
    "minute_limit": (0, 0, 30),
    "daily_limit": (0, 0, 0, 600),
    "concurrency_limit": (0, 0, 3),
    "names_unique": (False, True),
    "payment_key": ("payment", "customer_payment"),
    "webhook_ids_as_numbers": (False, True),
}

#: Days that the period is closed at the start, counted back from the first day; None: it is open.
_LOCKED_DAYS: Final = (None, None, None, 1, 15)

#: Of a failed debit; one that ends the mandate is rarer, as it ends all that follows.
_CAUSES: Final = tuple(sorted(name for name, cause in CAUSES.items() if not cause.ends_mandate and name != "other"))
_ENDINGS: Final = tuple(sorted(name for name, cause in CAUSES.items() if cause.ends_mandate))

#: Currencies whose banks can take a payment back long after.
_CHARGED_BACK: Final = ("GBP", "EUR", "USD")


def gocardless(rng: random.Random) -> dict[str, Any]:
    """Settings of the simulator of GoCardless."""
    return {name: rng.choice(values) for name, values in GOCARDLESS.items()}


def switches(rng: random.Random, first_day: date) -> dict[str, Any]:
    """Switches of the simulator of Zoho Books."""
    drawn = {name: rng.choice(values) for name, values in SWITCHES.items()}
    days = rng.choice(_LOCKED_DAYS)
    return {**drawn, "lock_date": "" if days is None else (first_day - timedelta(days=days)).isoformat()}


def zoho_webhook(rng: random.Random) -> dict[str, Any]:
    """How the webhooks of Zoho Books look, but for where they go."""
    modules = rng.choice((("invoice", "contact"), ("invoice", "contact", "customerpayment"), ()))
    return {
        "modules": list(modules),
        "body_type": rng.choice(("json", "json", "form")),
        "delay_s": list(rng.choice(((1, 5), (0, 0), (60, 600)))),
        "echo": rng.random() < 0.7,
    }


def creditor(rng: random.Random) -> dict[str, Any]:
    """What the creditor may do, beside where it is and what it is paid out in."""
    return {"name": "Simulated Supplies", "can_create_refunds": rng.random() < 0.6}


def payer(rng: random.Random) -> dict[str, Any]:
    """What payers do with an invitation."""
    least = rng.choice((0.5, 2, 20))
    return {
        "behaviour": rng.choices(("completes", "exits", "never"), (8, 1, 1))[0],
        "delay_hours_min": least,
        "delay_hours_max": least + rng.choice((0, 10, 60)),
    }


def tariff(rng: random.Random) -> dict[str, Any]:
    """What GoCardless keeps."""
    return {
        "share_bp": rng.choice((0, 100, 100, 145, 290)),
        "fixed_tenths_minor": rng.choice((0, 200, 200, 305)),
        "min_tenths_minor": rng.choice((None, None, 500)),
        "cap_tenths_minor": rng.choice((None, 4_000)),
        "surcharge_tenths_minor": rng.choice((0, 0, 5_005)),
        "invoiced": rng.random() < 0.1,
    }


def outcomes(rng: random.Random, invoices: list[tuple[str, str]]) -> tuple[dict[str, Any], ...]:
    """What becomes of the debits of some invoices, given as (number, currency); the others are confirmed."""
    drawn = []
    for number, currency in invoices:
        # Drawn for each invoice, so that what one has does not move what the next one has.
        chance = random.Random(rng.getrandbits(64))
        if chance.random() < 0.3:
            drawn.append({"metadata_match": {"zoho_invoice_number": f"^{number}$"}, **_outcome(chance, currency)})
    return tuple(drawn)


def _outcome(rng: random.Random, currency: str) -> dict[str, Any]:
    kinds = ["failed", "failed", "late_failure"] if currency != "SEK" else ["failed"]
    kind = rng.choice([*kinds, *(["charged_back"] if currency in _CHARGED_BACK else [])])
    if kind == "charged_back":
        return {"outcome": kind, "cause": "authorisation_disputed", "after_working_days": rng.randrange(1, 6)}
    cause = rng.choice(_ENDINGS) if rng.random() < 0.15 else rng.choice(_CAUSES)
    code = CAUSES[cause].codes.get(SCHEME_OF_CURRENCY[currency].name)
    return {
        "outcome": kind,
        "cause": cause,
        "reason_code": code,
        "attempts": rng.choice((1, 1, 2)),
        "will_attempt_retry": kind == "failed" and rng.random() < 0.3,
        "retry_after_days": rng.choice((2, 7)),
        "after_working_days": rng.randrange(1, 5),
    }
