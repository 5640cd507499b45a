"""Scenario simulators: `POST /scenario_simulators/{name}/actions/run {"data": {"links": {"resource":
id}}}`.

Each carries one resource through its states at once, with every event on the way, whatever the time of day. What a
simulator may start from is the official client's text; what it answers when it may not is UNCONFIRMED (400
`bad_request` here).
"""

from collections.abc import Callable

import msgspec

from sandbox.calendars import london_day
from sandbox.gocardless.collection import Doc
from sandbox.gocardless.errors import invalid, usage
from sandbox.gocardless.lifecycle import (
    activate_mandate,
    charge_back,
    confirm,
    end_mandate,
    fail,
    submit,
    submit_mandate,
    tell_mandate,
)
from sandbox.gocardless.merchant import Call, Merchant
from sandbox.gocardless.payers import transfer_mandate
from sandbox.gocardless.payouts import bounce_payout, build_payouts, pay_payout
from sandbox.gocardless.refunds import bounce_refund, pay_refund, return_refund
from sandbox.gocardless.schemes import SCHEMES

_NEVER_EXPIRE = frozenset({"autogiro", "becs_nz", "pad"})


class Simulator(msgspec.Struct, frozen=True):
    """One simulator: the collection of its resource, the states it starts from, what it does, the schemes it is for
    (None: all).
    """

    collection: str
    starts: frozenset[str]
    run: Callable[[Merchant, Doc], None]
    schemes: frozenset[str] | None = None


def run_simulator(merchant: Merchant, call: Call) -> Doc:
    """Run a simulator. Refusal: no such simulator or resource (404), or the resource is not in a state for it."""
    simulator = SIMULATORS.get(call.identity)
    if simulator is None:
        raise usage("resource_not_found", "There is no such scenario simulator")
    links = call.body.get("links")
    identity = links.get("resource") if isinstance(links, dict) else None
    if not isinstance(identity, str):
        raise invalid("scenario_simulators", ("links/resource", "is required"))
    doc = merchant.collections[simulator.collection].get(identity)
    if simulator.starts and doc["status"] not in simulator.starts:
        raise usage("bad_request", f"{call.identity} does not start from {doc['status']}")
    if simulator.schemes is not None and doc["scheme"] not in simulator.schemes:
        raise usage("bad_request", f"{call.identity} is not for {doc['scheme']}")
    if simulator.collection == "payments":
        _check_mandate(merchant, doc)
    simulator.run(merchant, doc)
    return {"scenario_simulators": {"id": call.identity}}


def _check_mandate(merchant: Merchant, payment: Doc) -> None:
    mandate = merchant.collections["mandates"][payment["links"]["mandate"]]
    good = {"active"} if SCHEMES[payment["scheme"]].mandate_days is not None else {"active", "pending_submission"}
    if mandate["status"] not in good:
        raise usage("bad_request", "The mandate of the payment is not active")


def _submitted(merchant: Merchant, payment: Doc) -> None:
    submit(merchant, payment)


def _confirmed(merchant: Merchant, payment: Doc) -> None:
    submit(merchant, payment)
    confirm(merchant, payment)


def _paid_out(merchant: Merchant, payment: Doc) -> None:
    _confirmed(merchant, payment)
    _pay(merchant, payment)


def _failed(merchant: Merchant, payment: Doc) -> None:
    submit(merchant, payment)
    fail(merchant, payment, cause="test_failure")


def _charged_back(merchant: Merchant, payment: Doc) -> None:
    _paid_out(merchant, payment)
    charge_back(merchant, payment, cause="authorisation_disputed")


def _chargeback_settled(merchant: Merchant, payment: Doc) -> None:
    _charged_back(merchant, payment)
    _pay(merchant, payment)


def _late_failure(merchant: Merchant, payment: Doc) -> None:
    if payment["status"] == "pending_submission":
        _paid_out(merchant, payment)
    fail(merchant, payment, cause="test_failure")


def _late_failure_settled(merchant: Merchant, payment: Doc) -> None:
    _late_failure(merchant, payment)
    _pay(merchant, payment)


def _pay(merchant: Merchant, payment: Doc) -> None:
    """Pay out all that is due and this payment, at once; a debit that leaves less than nothing waits for a later
    payout.
    """
    creditor, currency = payment["links"]["creditor"], payment["currency"]
    today = london_day(merchant.world.now)
    for item in merchant.ledger.open[creditor, currency]:
        if item.links.get("payment") == payment["id"]:
            item.available_on = min(item.available_on, today)
    for payout in build_payouts(merchant, today, only=(creditor, currency)):
        pay_payout(merchant, payout)


def _mandate_activated(merchant: Merchant, mandate: Doc) -> None:
    submit_mandate(merchant, mandate)
    activate_mandate(merchant, mandate)


def _mandate_failed(merchant: Merchant, mandate: Doc) -> None:
    submit_mandate(merchant, mandate)
    end_mandate(merchant, mandate, cause="invalid_bank_details", origin="bank", status="failed")


def _mandate_expired(merchant: Merchant, mandate: Doc) -> None:
    _mandate_activated(merchant, mandate)
    end_mandate(merchant, mandate, cause="mandate_expired", origin="gocardless", status="expired")


def _mandate_transferred(merchant: Merchant, mandate: Doc) -> None:
    _mandate_activated(merchant, mandate)
    transfer_mandate(merchant, mandate)


def _mandate_transferred_again(merchant: Merchant, mandate: Doc) -> None:
    _mandate_transferred(merchant, mandate)
    tell_mandate(merchant, mandate, "resubmission_requested", cause="bank_account_transferred", origin="bank")
    mandate["status"] = "pending_submission"
    _mandate_activated(merchant, mandate)


def _refund_settled(merchant: Merchant, refund: Doc) -> None:
    pay_refund(merchant, refund)
    _pay(merchant, merchant.collections["payments"][refund["links"]["payment"]])


def _refund_returned(merchant: Merchant, refund: Doc) -> None:
    bounce_refund(merchant, refund)
    return_refund(merchant, refund)


def _verification(status: str) -> Callable[[Merchant, Doc], None]:
    def run(merchant: Merchant, creditor: Doc) -> None:
        creditor["verification_status"] = status
        links = {"creditor": creditor["id"]}
        merchant.events.record("creditors", "updated", links, cause="creditor_updated", property="verification_status")

    return run


_FRESH = frozenset({"pending_submission"})
_UNPAID_REFUND = frozenset({"created", "pending_submission", "submitted"})
_ANY_REFUND = _UNPAID_REFUND | {"paid"}
_OWN_MANDATES = frozenset(scheme.name for scheme in SCHEMES.values() if scheme.mandate_days is not None)
SIMULATORS = {
    **{
        f"creditor_verification_status_{status}": Simulator("creditors", frozenset(), _verification(status))
        for status in ("action_required", "in_review", "successful")
    },
    "payment_submitted": Simulator("payments", _FRESH, _submitted),
    "payment_confirmed": Simulator("payments", _FRESH, _confirmed),
    "payment_paid_out": Simulator("payments", _FRESH, _paid_out),
    "payment_failed": Simulator("payments", _FRESH, _failed),
    "payment_charged_back": Simulator("payments", _FRESH, _charged_back),
    "payment_chargeback_settled": Simulator("payments", _FRESH, _chargeback_settled),
    "payment_late_failure": Simulator(
        "payments", _FRESH | {"paid_out"}, _late_failure, frozenset(SCHEMES) - {"autogiro"}
    ),
    "payment_late_failure_settled": Simulator(
        "payments", _FRESH | {"paid_out"}, _late_failure_settled, frozenset(SCHEMES) - {"autogiro"}
    ),
    "mandate_activated": Simulator("mandates", _FRESH, _mandate_activated, _OWN_MANDATES),
    "mandate_failed": Simulator(
        "mandates", _FRESH | {"submitted"}, _mandate_failed, frozenset(SCHEMES) - {"sepa_core"}
    ),
    "mandate_expired": Simulator("mandates", _FRESH, _mandate_expired, frozenset(SCHEMES) - _NEVER_EXPIRE),
    "mandate_transferred": Simulator("mandates", _FRESH, _mandate_transferred, frozenset({"bacs", "sepa_core"})),
    "mandate_transferred_with_resubmission": Simulator(
        "mandates", _FRESH, _mandate_transferred_again, frozenset({"bacs"})
    ),
    "refund_paid": Simulator("refunds", _UNPAID_REFUND, pay_refund),
    "refund_settled": Simulator("refunds", _ANY_REFUND, _refund_settled),
    "refund_bounced": Simulator("refunds", _ANY_REFUND, bounce_refund),
    "refund_returned": Simulator("refunds", _UNPAID_REFUND, _refund_returned),
    "payout_bounced": Simulator("payouts", frozenset({"paid"}), bounce_payout),
}
