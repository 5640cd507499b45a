"""Switches: everything about GoCardless that a scenario may choose, and everything the reference could
not confirm.

Set with `POST /_sandbox/config {"gocardless": {...}}`; what is not named keeps its value
(a named one is replaced whole, with all that is inside it).
"""

import re
from typing import Any, Literal

import msgspec

from sandbox.gocardless.rates import read_rates

OUTCOMES = Literal["confirmed", "failed", "late_failure", "charged_back"]
PAYER = Literal["completes", "never", "exits"]


class Endpoint(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One webhook endpoint: every endpoint gets every event, signed with its own secret."""

    url: str
    secret: str


class OutcomeRule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What becomes of the payments it matches; the first rule that matches decides.

    A payment matches if all that is given fits: `metadata_match` (regular expressions on values), `reference`,
    `description` (regular expressions), `ordinal` (the nth payment created, from 1), `attempts` (only the first n
    submissions). `after_working_days`: how long after confirmation a late failure, or after the payout a chargeback,
    arrives.
    """

    outcome: OUTCOMES
    metadata_match: dict[str, str] = {}
    reference: str | None = None
    description: str | None = None
    ordinal: int | None = None
    attempts: int = 1
    cause: str = "refer_to_payer"
    reason_code: str | None = None
    will_attempt_retry: bool = False
    retry_after_days: int = 7
    after_working_days: int = 2

    def __post_init__(self) -> None:
        for pattern in (*self.metadata_match.values(), self.reference or "", self.description or ""):
            re.compile(pattern)
        if self.after_working_days < 1:
            raise ValueError("after_working_days starts at 1")


class PayerRule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How the payers of some billing requests behave; matched by regular expressions on the billing request's
    metadata values.
    """

    behaviour: PAYER
    metadata_match: dict[str, str] = {}
    delay_hours: float | None = None


class Payer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How payers treat the authorisation page they are sent to: what they do, and after how many hours (chosen by
    seed).
    """

    behaviour: PAYER = "completes"
    delay_hours_min: float = 1
    delay_hours_max: float = 30
    rules: list[PayerRule] = []


class Tariff(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The fees: share in basis points plus a fixed part, both before VAT; minimum and cap before VAT; in minor units.

    `fixed_tenths_minor` and the bounds are tenths of a minor unit, for fees are exact to the tenth. `invoiced`: fees
    are billed apart and no payout item bears one.
    """

    share_bp: int = 100
    fixed_tenths_minor: int = 200
    min_tenths_minor: int | None = None
    cap_tenths_minor: int | None = None
    surcharge_tenths_minor: int = 0
    invoiced: bool = False


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """All switches. Those marked UNCONFIRMED stand for behaviour that no source settles."""

    endpoints: list[Endpoint] = []
    # Token -> "read_write", "read_only" or "revoked". Empty: any bearer token is good.
    access_tokens: dict[str, Literal["read_write", "read_only", "revoked"]] = {}
    payment_outcomes: list[OutcomeRule] = []
    payer: Payer = msgspec.field(default_factory=Payer)
    tariff: Tariff = msgspec.field(default_factory=Tariff)
    rate_limit_per_minute: int = 1000
    balances_limit_per_minute: int = 60
    # Seconds: how long an event hides from GET /events, and how long its webhook takes (seen: 6 to 10).
    event_delay_s: tuple[float, float] = (1, 60)
    webhook_lag_s: tuple[float, float] = (6, 10)
    balances_age_s: float = 240
    # Live accounts without their own payment pages get 403 for creating customers, bank accounts and mandates.
    custom_payment_pages: bool = True
    # Standard packages refuse a payment reference on Bacs.
    bacs_payment_references: bool = False
    success_plus: bool = False
    amount_max: dict[str, int] = {}
    # Target/source -> rate as text ("GBP/EUR": GBP for one EUR); a pair that is not named has its rate of `rates`.
    exchange_rates: dict[str, str] = {}
    # UNCONFIRMED from here on.
    idempotency_scope: Literal["resource_type", "organisation"] = "resource_type"
    idempotency_days: int = 30
    idempotent_actions: bool = False
    unknown_filters: Literal["refuse", "ignore"] = "refuse"
    metadata_update: Literal["replace", "merge"] = "replace"
    removed_customer: Literal["resource_not_found", "customer_data_removed"] = "resource_not_found"
    get_flow: bool = False
    refunds_per_payment: int = 5
    refund_after_days: int = 7
    refund_bounce_restores: bool = False
    unpaid_failure_items: Literal["none", "net_zero"] = "none"
    tax_sign: Literal["item", "positive"] = "item"
    payout_rounding: Literal["half_up", "half_even"] = "half_up"

    def __post_init__(self) -> None:
        # A rate that cannot be used would be noticed when a payout is built, and stop time.
        read_rates(self.exchange_rates)


def changed(settings: Settings, document: dict[str, Any]) -> Settings:
    """Give the settings with `document` laid over them. msgspec.ValidationError (a ValueError): something is unknown
    or malformed.
    """
    return msgspec.convert({**msgspec.to_builtins(settings), **document}, Settings)
