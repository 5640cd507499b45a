"""The items of a payout, walked a part at a time: a payout of 20,000 payments costs each of its events what one of
twenty does (rule 17).

The payout's row says what its items are walked for (`walk`) and where the walk is (`cursor`). A walk stops at an item
that is not ready: whatever makes it ready touches the payout. It goes on in a further event where one decision holds as
much as it may.
"""

from collections.abc import Callable
from typing import Final, Literal

from domain import commands, events, refs, times
from domain.draft import Draft
from domain.refs import Ref
from domain.state import Payout, PayoutItemRow, State
from domain.vocabulary import Walk

#: Items that one decision walks over. Lower: more events for a large payout. Higher: a decision with as many ledger
#: lines, or as many public records, grows by up to half a kilobyte for each.
ITEMS_AT_ONCE: Final = 500

#: How long a payout waits before it is looked at again. Lower than an hour: a payout that waits for days makes many
#: events of the clock. Higher: what it waited for is posted later by that much.
_LOOK_AGAIN_S: Final = 3600

#: How often that wait is doubled while the items cannot be read. Lower: an item that no version can read is asked for,
#: and parked, each hour. Higher: one that could be read again is posted days later.
_MOST_DOUBLINGS: Final = 5


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


def ask(draft: Draft, payout: Payout) -> None:
    """Ask for the items; once more when it is time to look again and they are not all here."""
    about, purpose = Ref("payouts", payout.id), refs.purpose("read_payout_items", payout.id)
    if not isinstance(draft.event.data, events.DueReached):
        draft.ask_once(about, purpose, commands.ReadPayoutItems(payout.id))
    elif not draft.is_under_way(purpose):
        draft.command(about, purpose, commands.ReadPayoutItems(payout.id), priority=commands.PRIORITY_READ)


def look_again(draft: Draft, key: str, times_waited: int = 0) -> None:
    """Look at a payout again after a while, which grows with how often that was waited for."""
    at = times.add_seconds(draft.at, _LOOK_AGAIN_S * 2 ** min(times_waited, _MOST_DOUBLINGS))
    draft.timer(refs.timer("payout", key), at, Ref("payouts", key))
