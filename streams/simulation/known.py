"""What this version of the program is known to get wrong, each with a run that shows it.

What leads there (acts of people, traits of a world) is drawn only where a run asks for it with `--with-known`, so that
every other run shows what nobody knows yet. An entry that no longer breaks fails its test: then it goes, and its acts
are done in every run; a trait that no entry has any more goes too, and with it the condition that asks for it.
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from streams.simulation.oracles import Breach, Oracle
from streams.simulation.plan import FAULTS, HEAL_DAYS


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is known to be wrong. `finding`: its number; `words`: what it is, short; `found`: a regular
    expression that what is said of the breach matches somewhere ("about: words"), "" for any of the oracle; `acts`:
    names of acts and of traits that lead there. The other fields are the run that shows it, in which people do `only`
    these acts, where any are named.
    """

    finding: str
    words: str
    oracle: Oracle
    acts: tuple[str, ...]
    found: str = ""
    seed: int
    days: int
    invoices: int
    heal_days: int = HEAL_DAYS
    faults: tuple[str, ...] = FAULTS
    without: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.finding}: {self.words}"


#: In the order of the findings. One that is not here any more is repaired, or was none.
KNOWN: Final[tuple[Known, ...]] = (
    Known(
        finding="A3",
        words="an invoice that is voided, deleted or written off while its debit could be cancelled is debited",
        oracle="debit_left",
        found="went on, to the banks",
        acts=("zoho.void_invoice", "zoho.delete_invoice", "zoho.write_off_invoice"),
        seed=4,
        days=3,
        invoices=2,
        heal_days=3,
        faults=("act",),
        without=("act:0", "act:2", "act:4", "act:5"),
    ),
    Known(
        finding="A10",
        words="what a webhook of the test tool tells of a payment is booked",
        oracle="posting_unfounded",
        found="was confirmed 0 times",
        acts=("gocardless.test_webhook",),
        seed=902,
        days=10,
        invoices=4,
        heal_days=12,
        faults=("act",),
        only=("gocardless.test_webhook",),
    ),
    Known(
        finding="A10",
        words="what a webhook of the test tool takes back is taken back",
        oracle="refund_unfounded",
        found="was taken back 0 times",
        acts=("gocardless.test_webhook",),
        seed=902,
        days=10,
        invoices=4,
        heal_days=12,
        faults=("act",),
        only=("gocardless.test_webhook",),
    ),
    Known(
        finding="A10",
        words="a debit that failed by a webhook of the test tool alone is made again",
        oracle="debit_beside_live",
        found="was pending submission$",
        acts=("gocardless.test_webhook",),
        seed=905,
        days=10,
        invoices=4,
        heal_days=12,
        faults=("act",),
        only=("gocardless.test_webhook",),
    ),
    Known(
        finding="B1",
        words="a payout that bounced after it was booked stays booked, and nobody is told",
        oracle="payout_left",
        found="is bounced at GoCardless and reconciled here",
        acts=("gocardless.bounce_payout",),
        seed=902,
        days=10,
        invoices=4,
        heal_days=12,
        faults=("act",),
        only=("gocardless.bounce_payout",),
    ),
    Known(
        finding="B3",
        words="what a person edits of our payment in Zoho Books is not seen",
        oracle="posting_missing",
        acts=("zoho.edit_payment",),
        seed=814,
        days=10,
        invoices=4,
        heal_days=12,
        faults=("act",),
        only=("zoho.edit_payment",),
    ),
    Known(
        finding="B3",
        words="what a person deletes or edits of our records in Zoho Books is not seen, and the accounts differ",
        oracle="account_differs",
        acts=(
            "zoho.edit_payment",
            "zoho.delete_payment",
            "zoho.edit_expense",
            "zoho.delete_expense",
            "zoho.delete_transaction",
        ),
        seed=814,
        days=10,
        invoices=4,
        heal_days=12,
        faults=("act",),
        only=("zoho.edit_payment",),
    ),
    Known(
        finding="B3",
        words="a record of ours that a person deletes in Zoho Books is believed to be there",
        oracle="unknown_resource",
        acts=(
            "zoho.delete_payment",
            "zoho.delete_expense",
            "zoho.delete_transaction",
        ),
        seed=804,
        days=10,
        invoices=4,
        heal_days=12,
        faults=("act",),
        only=("zoho.delete_expense",),
    ),
    Known(
        finding="B3",
        words="a fee that a person edits in Zoho Books stays as it is",
        oracle="expense_unfounded",
        acts=("zoho.edit_expense",),
        seed=804,
        days=10,
        invoices=4,
        heal_days=12,
        faults=("act",),
        only=("zoho.edit_expense",),
    ),
    Known(
        finding="B4",
        words="an invoice that is raised after its debit is not collected in full",
        oracle="invoice_left",
        acts=(
            "zoho.edit_invoice",
            "zoho.delete_payment",
        ),
        seed=803,
        days=10,
        invoices=4,
        heal_days=12,
        faults=("act",),
        only=("zoho.edit_invoice",),
    ),
    Known(
        finding="B7",
        words="the tax of a payout's fees differs by pennies from what its items hold",
        oracle="expense_tax",
        acts=("odd_fees",),
        seed=170,
        days=31,
        invoices=16,
        heal_days=12,
        faults=(),
    ),
    Known(
        finding="F3",
        words="when what lets us in is revoked, nothing is read until a person connects again",
        oracle="poll_late",
        found="last walked",
        acts=("revoked_token",),
        seed=8,
        days=3,
        invoices=2,
        heal_days=4,
        faults=("token_revoked",),
    ),
    Known(
        finding="F7",
        words="after a clock that was ahead and set right, what was read lies in the future and is not read again",
        oracle="future_instant",
        found="^polls:",
        acts=("wrong_clock",),
        seed=115,
        days=3,
        invoices=2,
        heal_days=4,
        faults=("clock_ahead",),
    ),
)


#: Acts and traits of which the runs that have them were not looked through yet: drawn with `--with-known` only, as
#: long as nobody knows what they lead to.
NOT_LOOKED_THROUGH: Final = frozenset(
    {
        "few_tries",
        "gocardless.cancel_billing_request",
        "gocardless.cancel_mandate",
        "gocardless.cancel_payment",
        "gocardless.choose_currency",
        "gocardless.collect_bank_account",
        "gocardless.collect_customer_details",
        "gocardless.confirm_payer_details",
        "gocardless.create_bank_account",
        "gocardless.create_billing_request",
        "gocardless.create_customer",
        "gocardless.create_flow",
        "gocardless.create_mandate",
        "gocardless.create_refund",
        "gocardless.create_subscription",
        "gocardless.disable_bank_account",
        "gocardless.end_mandate",
        "gocardless.end_subscription",
        "gocardless.fulfil_billing_request",
        "gocardless.initialise_flow",
        "gocardless.post_events",
        "gocardless.reinstate_mandate",
        "gocardless.remove_customer",
        "gocardless.retry_payment",
        "gocardless.retry_payout",
        "gocardless.update_bank_account",
        "gocardless.update_customer",
        "gocardless.update_mandate",
        "gocardless.update_payment",
        "gocardless.update_payout",
        "gocardless.update_refund",
        "long_outage",
        "zoho.edit_contact",
        "zoho.refund_payment",
        "zoho.unmatch_payment",
        "zoho.unmatch_transaction",
    }
)


def known_acts(known: Iterable[Known] = KNOWN) -> frozenset[str]:
    """Names of acts and traits that are drawn only with `--with-known`."""
    return NOT_LOOKED_THROUGH | {name for one in known for name in one.acts}


def is_known(breach: Breach, known: Iterable[Known] = KNOWN) -> Known | None:
    """The entry that this breach belongs to, None if nobody knows it."""
    said = f"{breach.about}: {breach.words}"
    return next((one for one in known if one.oracle == breach.oracle and re.search(one.found, said)), None)
