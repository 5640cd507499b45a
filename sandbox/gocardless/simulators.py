"""The room of scenario simulators: `POST /scenario_simulators/{name}/actions/run {"data": {"links": {"resource":
id}}}`.

Each carries one resource through its states at once, with every event on the way, whatever the time of day. What a
simulator may start from is the official client's text; what it answers when it may not is UNCONFIRMED (400
`bad_request` here).
"""

from collections.abc import Callable

import msgspec

from sandbox.calendars import london_day
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
from sandbox.gocardless.office import Call, Office
from sandbox.gocardless.payers import transfer_mandate
from sandbox.gocardless.payouts import bounce_payout, build_payouts, pay_payout
from sandbox.gocardless.refunds import bounce_refund, pay_refund, return_refund
from sandbox.gocardless.schemes import SCHEMES
from sandbox.gocardless.store import Doc

_NEVER_EXPIRE = frozenset({"autogiro", "becs_nz", "pad"})


class Simulator(msgspec.Struct, frozen=True):
    """One simulator: the shelf of its resource, the states it starts from, what it does, the schemes it is for (None:
    all).
    """

    shelf: str
    starts: frozenset[str]
    run: Callable[[Office, Doc], None]
    schemes: frozenset[str] | None = None


def run_simulator(office: Office, call: Call) -> Doc:
    """Run a simulator. Refusal: no such simulator or resource (404), or the resource is not in a state for it."""
    simulator = SIMULATORS.get(call.identity)
    if simulator is None:
        raise usage("resource_not_found", "There is no such scenario simulator")
    links = call.body.get("links")
    identity = links.get("resource") if isinstance(links, dict) else None
    if not isinstance(identity, str):
        raise invalid("scenario_simulators", ("links/resource", "is required"))
    doc = office.shelves[simulator.shelf].get(identity)
    if simulator.starts and doc["status"] not in simulator.starts:
        raise usage("bad_request", f"{call.identity} does not start from {doc['status']}")
    if simulator.schemes is not None and doc["scheme"] not in simulator.schemes:
        raise usage("bad_request", f"{call.identity} is not for {doc['scheme']}")
    if simulator.shelf == "payments":
        _check_mandate(office, doc)
    simulator.run(office, doc)
    return {"scenario_simulators": {"id": call.identity}}


def _check_mandate(office: Office, payment: Doc) -> None:
    mandate = office.shelves["mandates"][payment["links"]["mandate"]]
    good = {"active"} if SCHEMES[payment["scheme"]].mandate_days is not None else {"active", "pending_submission"}
    if mandate["status"] not in good:
        raise usage("bad_request", "The mandate of the payment is not active")


def _submitted(office: Office, payment: Doc) -> None:
    submit(office, payment)


def _confirmed(office: Office, payment: Doc) -> None:
    submit(office, payment)
    confirm(office, payment)


def _paid_out(office: Office, payment: Doc) -> None:
    _confirmed(office, payment)
    _pay(office, payment)


def _failed(office: Office, payment: Doc) -> None:
    submit(office, payment)
    fail(office, payment, cause="test_failure")


def _charged_back(office: Office, payment: Doc) -> None:
    _paid_out(office, payment)
    charge_back(office, payment, cause="authorisation_disputed")


def _chargeback_settled(office: Office, payment: Doc) -> None:
    _charged_back(office, payment)
    _pay(office, payment)


def _late_failure(office: Office, payment: Doc) -> None:
    if payment["status"] == "pending_submission":
        _paid_out(office, payment)
    fail(office, payment, cause="test_failure")


def _late_failure_settled(office: Office, payment: Doc) -> None:
    _late_failure(office, payment)
    _pay(office, payment)


def _pay(office: Office, payment: Doc) -> None:
    """Pay out all that is due and this payment, at once; a debit that leaves less than nothing waits for a later
    payout.
    """
    creditor, currency = payment["links"]["creditor"], payment["currency"]
    today = london_day(office.world.now)
    for item in office.ledger.open[creditor, currency]:
        if item.links.get("payment") == payment["id"]:
            item.available_on = min(item.available_on, today)
    for payout in build_payouts(office, today, only=(creditor, currency)):
        pay_payout(office, payout)


def _mandate_activated(office: Office, mandate: Doc) -> None:
    submit_mandate(office, mandate)
    activate_mandate(office, mandate)


def _mandate_failed(office: Office, mandate: Doc) -> None:
    submit_mandate(office, mandate)
    end_mandate(office, mandate, cause="invalid_bank_details", origin="bank", status="failed")


def _mandate_expired(office: Office, mandate: Doc) -> None:
    _mandate_activated(office, mandate)
    end_mandate(office, mandate, cause="mandate_expired", origin="gocardless", status="expired")


def _mandate_transferred(office: Office, mandate: Doc) -> None:
    _mandate_activated(office, mandate)
    transfer_mandate(office, mandate)


def _mandate_transferred_again(office: Office, mandate: Doc) -> None:
    _mandate_transferred(office, mandate)
    tell_mandate(office, mandate, "resubmission_requested", cause="bank_account_transferred", origin="bank")
    mandate["status"] = "pending_submission"
    _mandate_activated(office, mandate)


def _refund_settled(office: Office, refund: Doc) -> None:
    pay_refund(office, refund)
    _pay(office, office.shelves["payments"][refund["links"]["payment"]])


def _refund_returned(office: Office, refund: Doc) -> None:
    bounce_refund(office, refund)
    return_refund(office, refund)


def _verification(status: str) -> Callable[[Office, Doc], None]:
    def run(office: Office, creditor: Doc) -> None:
        creditor["verification_status"] = status
        links = {"creditor": creditor["id"]}
        office.events.record("creditors", "updated", links, cause="creditor_updated", property="verification_status")

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
