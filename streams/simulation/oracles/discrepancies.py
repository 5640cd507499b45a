"""The oracle of discrepancies: none is open about something that is fine."""

from collections.abc import Callable, Iterator
from typing import Final

from domain import refs
from domain.chargeable import usable_mandate
from domain.state import DiscrepancyRow, State
from streams.simulation.oracles.breach import Breach
from streams.simulation.oracles.evidence import Evidence

#: Asked of a discrepancy and the key of what it is about: why it is fine, "" where it is not. What has gone since is
#: not fine by that: a person is told of it.
Fine = Callable[[State, DiscrepancyRow, str], str]


def discrepancy_stale(evidence: Evidence) -> Iterator[Breach]:
    """Each open discrepancy is about something that still stands as it says. Those that only a person can answer
    (whether credit was refunded, say) are left out.
    """
    state = evidence.state
    for row in state.discrepancies.values():
        fine = _FINE.get(row.code)
        if row.closed_at or fine is None:
            continue
        words = fine(state, row, refs.split(row.about)[1])
        if words:
            yield Breach("discrepancy_stale", evidence.connection, row.id, f"it is open, and {words}")


def _invoice(*stages: str) -> Fine:
    """Fine once the invoice is in none of these stages."""

    def fine(state: State, row: DiscrepancyRow, key: str) -> str:
        del row
        invoice = state.invoices.get(key)
        return "" if invoice is None or invoice.stage in stages else f"{invoice.number} is {invoice.stage}"

    return fine


def _contact_linked(state: State, row: DiscrepancyRow, key: str) -> str:
    del row
    contact = state.contacts.get(key)
    return f"the contact is linked to {contact.payer}" if contact is not None and contact.match == "linked" else ""


def _contact_chargeable(state: State, row: DiscrepancyRow, key: str) -> str:
    del row
    contact = state.contacts.get(key)
    if contact is None:
        return ""
    currencies = contact.waiting_currencies or (contact.currency,)
    usable = [usable_mandate(state, contact, currency) for currency in currencies]
    return "it has a usable mandate" if all(one is not None for one in usable) else ""


def _account_mapped(state: State, row: DiscrepancyRow, key: str) -> str:
    kind = refs.split(row.about)[0]
    if kind == "payments" and key in state.payments:
        payment = state.payments[key]
        return "the payment is booked" if payment.confirmed and payment.booked >= payment.confirmed else ""
    if kind == "payouts" and key in state.payouts:
        return "the payout is posted" if state.payouts[key].posted else ""
    if kind == "invoices" and key in state.invoices:
        mapped = state.invoices[key].currency in state.policy.accounts.clearing
        return "the account is mapped" if mapped else ""
    return ""


def _posted(state: State, row: DiscrepancyRow, key: str) -> str:
    kind = refs.split(row.about)[0]
    if kind == "bookings" and key in state.bookings:
        stage = state.bookings[key].stage
        done = stage == "reversed" or (stage == "posted" and not state.bookings[key].reversal_at)
        return f"the booking is {stage}" if done else ""
    if kind == "payouts" and key in state.payouts:
        return "the payout is reconciled" if state.payouts[key].stage == "reconciled" else ""
    return _answered(state, row, key)


def _answered(state: State, row: DiscrepancyRow, key: str) -> str:
    """Fine once no command about it stands as refused or parked, but a later one of the same purpose succeeded."""
    del key
    about = [one for one in state.commands.values() if one.about == row.about]
    last: dict[str, str] = {}
    for one in sorted(about, key=lambda one: (one.asked_at, one.attempt)):
        last[one.purpose] = one.status
    return "every call about it succeeded" if last and all(one == "succeeded" for one in last.values()) else ""


def _credit_left(state: State, row: DiscrepancyRow, key: str) -> str:
    payment = refs.split(key)[0]
    del row
    found = state.payments.get(payment)
    taken_back = found is not None and found.booked > 0 and found.unbooked == found.booked
    return "the payment was taken back" if taken_back else ""


def _gate(state: State, row: DiscrepancyRow, key: str) -> str:
    del row, key
    return "the gate is open" if state.own.gate == "open" else ""


def _held(state: State, row: DiscrepancyRow, key: str) -> str:
    del row
    payout = state.payouts.get(key)
    return "" if payout is None or payout.stage == "held" else f"the payout is {payout.stage}"


def _day(state: State, row: DiscrepancyRow, key: str) -> str:
    del row
    day = state.debit_days.get(key)
    return "a person let the day pass" if day is not None and day.accepted else ""


def _mismatch(state: State, row: DiscrepancyRow, key: str) -> str:
    del row
    invoice = state.invoices.get(key)
    held = invoice is None or (invoice.stage, invoice.reason) == ("hold", "amount_mismatch")
    return "" if held or invoice is None else f"{invoice.number} is {invoice.stage}"


_FINE: Final[dict[str, Fine]] = {
    "account_missing": _account_mapped,
    "amount_mismatch": _mismatch,
    "collected_elsewhere": _invoice("waiting"),
    "command_parked": _invoice("hold", "failed"),
    "contact_ambiguous": _contact_linked,
    "day_over_limit": _day,
    "debit_failed": _invoice("failed", "hold"),
    "debit_over_limit": _invoice("hold"),
    "debit_refused": _invoice("failed", "hold"),
    "debit_reversed": _invoice("hold"),
    "due_before_start": _invoice("hold"),
    "excess": _credit_left,
    "gate_refused": _gate,
    "link_conflict": _contact_linked,
    "match_proposed": _contact_linked,
    "needs_mandate": _contact_chargeable,
    "payer_over_limit": _invoice("hold"),
    "payer_taken": _contact_linked,
    "payout_breach": _held,
    "payout_unsupported": _held,
    "posting_refused": _posted,
    "read_refused": _answered,
    "unapplied": _credit_left,
}
