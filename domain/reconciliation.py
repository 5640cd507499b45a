"""Reconciled: when a payout, and each payment in it, is in Zoho as a whole; and what the clearing balance is made of."""

from domain import publications
from domain.draft import Draft
from domain.state import OpenItem, Payout, State


def settle(draft: Draft, payout: Payout) -> None:
    """A payout is reconciled when its transfer, its expense and every booking of its payments have their Zoho ids."""
    asked = (
        (payout.transfer_command, payout.transfer),
        (payout.expense_command, payout.expense),
        (payout.suspense_command, payout.suspense_transfer),
    )
    if any(command and not resource for command, resource in asked):
        return
    payments = _payments(draft.state, payout)
    for key in payments:
        row = draft.state.payments[key]
        booking = draft.state.bookings.get(f"{key}:{row.booked}")
        if booking is not None and booking.stage in {"asked", "refused"}:
            return
    draft.mark("payouts", payout.id, stage="reconciled")
    publications.payout(draft, draft.state.payouts[payout.id])
    for key in payments:
        publications.payment(draft, draft.state.payments[key])


def _payments(state: State, payout: Payout) -> list[str]:
    found: dict[str, None] = {}
    for position in range(payout.item_count):
        key = state.payout_items[f"{payout.id}:{position:06d}"].payment
        row = state.payments.get(key)
        if row is not None and row.claim == "ours":
            found[key] = None
    return list(found)


def clearing_items(state: State, currency: str) -> list[OpenItem]:
    """The open items that the clearing balance of a currency is the sum of, oldest first."""
    rows = [row for row in state.open_items.values() if row.currency == currency]
    return sorted(rows, key=lambda row: (row.since, row.id))
