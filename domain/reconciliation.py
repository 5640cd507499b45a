"""Reconciled: when a payout, and each payment in it, is in Zoho as a whole; and what the clearing balance is made
of.
"""

from domain import payout_items, publications, refs
from domain.draft import Draft
from domain.state import OpenItem, Payout, PayoutItemRow, State


def settle(draft: Draft, payout: Payout) -> None:
    """A payout is reconciled when its transfer, its expense and every booking of its payments have their Zoho ids; then
    it is published, and each of its payments after it.
    """
    asked = (
        (payout.transfer_command, payout.transfer),
        (payout.expense_command, payout.expense),
        (payout.suspense_command, payout.suspense_transfer),
    )
    if any(command and not resource for command, resource in asked):
        return
    if payout.walk not in {"recording", "publishing"}:
        payout = payout_items.begin(draft, payout, "recording")
    if payout.walk == "recording":
        if payout_items.walk(draft, payout, lambda row: _recorded(draft.state, row)) != "done":
            return
        payout = payout_items.begin(draft, payout, "publishing")
        draft.mark("payouts", payout.id, stage="reconciled")
        publications.payout(draft, draft.state.payouts[payout.id])
    if payout_items.walk(draft, payout, lambda row: _publish(draft, row)) == "done":
        payout_items.begin(draft, payout, "")


def _recorded(state: State, item: PayoutItemRow) -> bool:
    """Whether Zoho has what the ledger has of an item's payment."""
    row = state.payments.get(item.payment)
    if row is None or row.claim != "ours":
        return True
    booking = state.bookings.get(refs.booking(row.id, row.booked))
    return booking is None or booking.stage not in {"asked", "refused"}


def _publish(draft: Draft, item: PayoutItemRow) -> bool:
    row = draft.state.payments.get(item.payment)
    if row is not None and row.claim == "ours":
        publications.payment(draft, row)
    return True


def clearing_items(state: State, currency: str) -> list[OpenItem]:
    """The open items that the clearing balance of a currency is the sum of, oldest first."""
    rows = [row for row in state.open_items.values() if row.currency == currency]
    return sorted(rows, key=lambda row: (row.since, row.id))
