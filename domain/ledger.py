"""The books of a connection: every penny has two sides, in its own currency.

Accounts are names of ours ("clearing", "receivables", …), per currency; `policy.Accounts` maps them to Zoho's. Each
line on "clearing" moves a named open item, so the clearing balance equals the sum of its open items by construction.
"""

from collections import defaultdict
from typing import Final

import msgspec

from domain import refs
from domain.decisions import Entry, Line
from domain.errors import LedgerError
from domain.state import Balance, OpenItem, State

CLEARING: Final = "clearing"
RECEIVABLES: Final = "receivables"
CUSTOMER_CREDIT: Final = "customer_credit"
SUSPENSE: Final = "suspense"
BANK: Final = "bank"
FEES: Final = "fees"
INPUT_VAT: Final = "input_vat"
OPENING: Final = "opening"


def debit(account: str, amount_minor: int, currency: str, *, item: str = "", name: str = "") -> Line:
    """A debit line; a negative amount is a credit."""
    return Line(account, currency, amount_minor, item, name)


def credit(account: str, amount_minor: int, currency: str, *, item: str = "", name: str = "") -> Line:
    """A credit line; a negative amount is a debit."""
    return Line(account, currency, -amount_minor, item, name)


def post(state: State, entry: Entry) -> None:
    """Add an entry to the balances and open items. Raises `LedgerError` when it does not balance, before anything is
    changed.
    """
    sums: dict[str, int] = defaultdict(int)
    for line in entry.lines:
        sums[line.currency] += line.amount_minor
        if (line.account == CLEARING) != bool(line.item):
            raise LedgerError(f"entry {entry.id}: a clearing line without a named item, or an item outside clearing")
    if any(sums.values()):
        raise LedgerError(f"entry {entry.id} about {entry.about}: debits differ from credits")
    for line in entry.lines:
        _add(state, line)
        if line.item:
            _move(state, line, entry)


def _add(state: State, line: Line) -> None:
    key = refs.balance(line.account, line.currency)
    before = state.balances.get(key)
    amount = line.amount_minor + (before.amount_minor if before else 0)
    state.balances[key] = Balance(key, line.account, line.currency, amount)


def _move(state: State, line: Line, entry: Entry) -> None:
    key = refs.open_item(line.currency, line.item)
    before = state.open_items.get(key)
    amount = line.amount_minor + (before.amount_minor if before else 0)
    if amount == 0:
        if before is not None:
            del state.open_items[key]
    elif before is None or (before.amount_minor > 0) != (amount > 0):
        state.open_items[key] = OpenItem(key, line.currency, line.item, amount, line.item_name, entry.date)
    else:
        state.open_items[key] = msgspec.structs.replace(before, amount_minor=amount)


def balance(state: State, account: str, currency: str) -> int:
    """Debits minus credits, minor units."""
    row = state.balances.get(refs.balance(account, currency))
    return row.amount_minor if row else 0
