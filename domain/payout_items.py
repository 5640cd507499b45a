"""The items of a payout, walked a part at a time: a payout of 20,000 payments costs each of its events what one of
twenty does (rule 17).

The payout's row says what its items are walked for (`walk`) and where the walk is (`cursor`). A walk stops at an item
that is not ready: whatever makes it ready touches the payout. It goes on in a further event where one decision holds as
much as it may.
"""

from collections.abc import Callable
from typing import Final, Literal

from domain import refs
from domain.draft import Draft
from domain.state import Payout, PayoutItemRow, State
from domain.vocabulary import Walk

#: Items that one decision walks over. Lower: more events for a large payout. Higher: a decision with as many ledger
#: lines, or as many public records, grows by up to half a kilobyte for each.
ITEMS_AT_ONCE: Final = 500


def item(state: State, payout: Payout, position: int) -> PayoutItemRow | None:
    """The item at a position, None while its page has not come."""
    return state.payout_items.get(refs.payout_item(payout.id, position))


#: How far a walk came: to the end; to where one decision holds enough, and it goes on by itself; or to an item that is
#: not ready.
Walked = Literal["done", "goes_on", "waits"]


def walk(draft: Draft, payout: Payout, step: Callable[[PayoutItemRow], bool]) -> Walked:
    """Walk on from the cursor until `step` says no, or there is no item, or one decision holds enough; the cursor is
    kept.
    """
    position = payout.cursor
    stop = min(position + ITEMS_AT_ONCE, payout.item_count)
    while position < stop and (row := item(draft.state, payout, position)) is not None and step(row):
        position += 1
    draft.mark("payouts", payout.id, cursor=position)
    if position == payout.item_count:
        return "done"
    if position < stop:
        return "waits"
    draft.go_on("payouts", payout.id)
    return "goes_on"


def begin(draft: Draft, payout: Payout, walk_for: Walk) -> Payout:
    """Begin the next walk at the first item; the payout's row as it is then."""
    draft.mark("payouts", payout.id, walk=walk_for, cursor=0)
    row: Payout = draft.state.payouts[payout.id]
    return row
