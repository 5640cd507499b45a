"""Which mandate can be debited, and which one has taken the place of another."""

from typing import Final

from domain import lists, refs
from domain.state import Contact, Mandate, State

#: Mandates of one payer that are looked at, newest first. Lower: a payer with many lost ones seems to have none.
#: Higher: each look at one of its invoices reads that many rows.
MANDATES: Final = 100

#: Replacements that are followed from one mandate. Lower: a payer who changes banks often seems to have a lost one.
#: Higher: two that name each other are walked that long.
REPLACEMENTS: Final = 100

#: A payment may be made on a mandate in these states (GoCardless API reference, payments; reference traps 8: some
#: schemes activate a mandate only with its first payment, so waiting for "active" would wait for ever).
CHARGEABLE = ("active", "submitted", "pending_submission")

#: Of a mandate in these states nothing comes any more (the same page). A blocked one may be let go again.
LOST = ("cancelled", "failed", "expired", "consumed")


def usable_mandate(state: State, contact: Contact, currency: str) -> Mandate | None:
    """The mandate to debit: of this contact's payer, in this currency, chargeable; an active one first, then the
    newest.
    """
    if not contact.payer:
        return None
    found = None
    for key in lists.newest(state, refs.list_of("mandates", contact.payer), MANDATES):
        mandate = state.mandates.get(key)
        if mandate is None or mandate.currency != currency or mandate.status not in CHARGEABLE:
            continue
        if mandate.status == "active":
            return mandate
        found = found or mandate
    return found


def successor(state: State, key: str) -> Mandate | None:
    """What a mandate has been replaced by, and that one in turn, down to the last; None: it has not been read yet."""
    mandate = state.mandates.get(key)
    for _ in range(REPLACEMENTS):
        if mandate is None or not mandate.new_mandate:
            break
        mandate = state.mandates.get(mandate.new_mandate)
    return mandate
