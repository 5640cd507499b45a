"""Scheme facts: currency, days, limits and failure codes of each bank debit scheme.

Days are working days of the scheme's calendar, counted from D0, the creation deadline's day (support article
360001018705; guides, not promises): a request before 16:00 in London on a working day belongs to that day. Schemes
that are not lines of working days (betalingsservice, the instant ones) are not simulated.
"""

from datetime import date, datetime, time
from typing import Final

import msgspec

from sandbox.calendars import add_working_days, london_day, london_time, working_day_on_or_after

CUT_OFF: Final = time(16, 0)


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every payment of one scheme. Amounts in minor units.

    `submit_days`, `charge_days`, `confirm_days`, `payout_days`: after D0, with an active mandate. `mandate_days`:
    after the mandate's D0, the day it becomes active; None: mandates are submitted and activated together with their
    first payment. `reference_max`: longest payment reference, 0 where none is offered.
    """

    name: str
    country: str
    currency: str
    submit_days: int
    charge_days: int
    confirm_days: int
    payout_days: int
    mandate_days: int | None
    reference_max: int
    amount_max: int
    notice_days: int


SCHEMES: Final = {
    scheme.name: scheme
    for scheme in (
        Scheme(
            name="bacs", country="GB", currency="GBP", submit_days=1, charge_days=3, confirm_days=4, payout_days=5,
            mandate_days=2, reference_max=10, amount_max=500_000, notice_days=3,
        ),
        Scheme(
            name="sepa_core", country="DE", currency="EUR", submit_days=1, charge_days=3, confirm_days=4, payout_days=6,
            mandate_days=None, reference_max=140, amount_max=500_000, notice_days=3,
        ),
        Scheme(
            name="ach", country="US", currency="USD", submit_days=1, charge_days=2, confirm_days=4, payout_days=5,
            mandate_days=None, reference_max=10, amount_max=500_000, notice_days=2,
        ),
        Scheme(
            name="pad", country="CA", currency="CAD", submit_days=0, charge_days=3, confirm_days=5, payout_days=6,
            mandate_days=1, reference_max=0, amount_max=500_000, notice_days=3,
        ),
        Scheme(
            name="becs", country="AU", currency="AUD", submit_days=0, charge_days=1, confirm_days=3, payout_days=4,
            mandate_days=None, reference_max=30, amount_max=1_000_000, notice_days=0,
        ),
        Scheme(
            name="becs_nz", country="NZ", currency="NZD", submit_days=1, charge_days=2, confirm_days=5, payout_days=6,
            mandate_days=None, reference_max=12, amount_max=1_000_000, notice_days=2,
        ),
        Scheme(
            name="autogiro", country="SE", currency="SEK", submit_days=6, charge_days=8, confirm_days=8, payout_days=10,
            mandate_days=6, reference_max=11, amount_max=5_000_000, notice_days=8,
        ),
    )
}  # fmt: skip
SCHEME_OF_CURRENCY: Final = {scheme.currency: scheme for scheme in SCHEMES.values()}


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why a bank refuses: `details.cause`, its usual code per scheme, and whether the mandate dies with it."""

    codes: dict[str, str]
    description: str
    ends_mandate: bool = False


CAUSES: Final = {
    "refer_to_payer": Cause(
        codes={"bacs": "ARUDD-0", "sepa_core": "MS03"},
        description="The payer's bank did not pay; often there is no money.",
    ),
    "insufficient_funds": Cause(
        codes={"sepa_core": "AM04", "ach": "R01", "pad": "901", "becs": "6", "becs_nz": "AM04", "autogiro": "TK82-1"},
        description="The payer's account does not hold enough money.",
    ),
    "mandate_cancelled": Cause(
        codes={"bacs": "ARUDD-1", "sepa_core": "MD01"}, description="The payer cancelled the mandate at the bank.",
        ends_mandate=True,
    ),
    "bank_account_closed": Cause(
        codes={"bacs": "ARUDD-B", "sepa_core": "AC04", "ach": "R02"}, description="The payer's account was closed.",
        ends_mandate=True,
    ),
    "bank_account_transferred": Cause(
        codes={"bacs": "ARUDD-3"}, description="The payer's account moved to another bank."
    ),
    "authorisation_disputed": Cause(
        codes={"bacs": "ARUDD-4", "ach": "R10"}, description="The payer disputes having authorised the payment."
    ),
    "invalid_bank_details": Cause(
        codes={"bacs": "ARUDD-5", "sepa_core": "AC01", "ach": "R03"}, description="There is no such account.",
        ends_mandate=True,
    ),
    "refund_requested": Cause(codes={"sepa_core": "MD06"}, description="The payer asked the bank for the money back."),
    "test_failure": Cause(codes={}, description="Made to fail by a scenario simulator."),
    "other": Cause(codes={"bacs": "ARUDD-6"}, description="The bank gave no closer reason."),
}  # fmt: skip
CHARGEBACK_CODES: Final = {"bacs": "DDICA-1", "sepa_core": "MD06"}


def day_zero(moment: datetime, scheme: str) -> date:
    """Give the working day a request made at `moment` belongs to."""
    day = london_day(moment)
    working = working_day_on_or_after(day, scheme)
    if working == day and moment >= london_time(day, CUT_OFF):
        return add_working_days(day, 1, scheme)
    return working


def next_possible_charge_date(moment: datetime, scheme: Scheme, active_on: date | None) -> date:
    """Give the earliest charge date of a payment created now; `active_on`: the day its mandate is (to be) active."""
    days = add_working_days(day_zero(moment, scheme.name), scheme.charge_days, scheme.name)
    if active_on is None:
        return days
    # The payment goes to the bank at 16:00 on the day its mandate became active, at the earliest.
    return max(days, add_working_days(active_on, scheme.charge_days - scheme.submit_days, scheme.name))


def submit_date(charge_date: date, scheme: Scheme) -> date:
    """Give the day on which a payment with this charge date goes to the bank."""
    return add_working_days(charge_date, scheme.submit_days - scheme.charge_days, scheme.name)


def result_date(charge_date: date, scheme: Scheme) -> date:
    """Give the day on which it is known whether a payment with this charge date succeeded."""
    return add_working_days(charge_date, scheme.confirm_days - scheme.charge_days, scheme.name)


def payout_date(result_on: date, scheme: Scheme) -> date:
    """Give the day on which a payment confirmed on `result_on` is paid out."""
    return add_working_days(result_on, scheme.payout_days - scheme.confirm_days, scheme.name)
