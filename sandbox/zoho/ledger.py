"""The double entry behind the books (reference 3.12): accounts, entries, balances per account in two currencies.

A leg carries its amount in the transaction's currency and in base, debit positive. The base amounts of an entry sum to
zero, always. An account of the base currency counts base amounts; a foreign account counts its own currency and base.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

# Name, type, key. Names are renamed and translated in real organisations: clients store ids.
SYSTEM_ACCOUNTS: tuple[tuple[str, str, str], ...] = (
    ("Undeposited Funds", "cash", "undeposited_funds"),
    ("Petty Cash", "cash", "petty_cash"),
    ("Accounts Receivable", "accounts_receivable", "accounts_receivable"),
    ("Accounts Payable", "accounts_payable", "accounts_payable"),
    ("Input VAT", "other_current_asset", "input_tax"),
    ("Tax Withheld", "other_current_asset", "tax_withheld"),
    ("Output VAT", "other_current_liability", "output_tax"),
    ("Unearned Revenue", "other_current_liability", "unearned_revenue"),
    ("Sales", "income", "sales"),
    ("Other Charges", "income", "other_charges"),
    ("Shipping Charge", "income", "shipping_charge"),
    ("Discount", "income", "discount"),
    ("Bank Fees and Charges", "expense", "bank_fees"),
    ("Bad Debt", "expense", "bad_debt"),
    ("Merchant Supplies", "expense", "office_supplies"),
    ("Uncategorized", "expense", "uncategorized"),
    ("Exchange Gain or Loss", "other_expense", "exchange_gain_or_loss"),
    ("Retained Earnings", "equity", "retained_earnings"),
    ("Opening Balance Adjustments", "equity", "opening_balance"),
)

DEBIT_TYPES = frozenset(
    {
        "other_asset", "other_current_asset", "intangible_asset", "cash", "bank", "fixed_asset", "accounts_receivable",
        "stock", "expense", "cost_of_goods_sold", "other_expense",
    }
)  # fmt: skip
ACCOUNT_TYPES = DEBIT_TYPES | {
    "accounts_payable", "other_current_liability", "credit_card", "long_term_liability", "other_liability", "equity",
    "income", "other_income",
}  # fmt: skip
BANKING_TYPES = frozenset({"bank", "cash", "credit_card"})


@dataclass(slots=True, eq=False)
class Account:
    id: str
    name: str
    type: str
    currency: str
    created_at: datetime
    modified_at: datetime
    key: str = ""
    system: bool = False
    active: bool = True
    code: str = ""
    description: str = ""
    number: str = ""
    bank_name: str = ""
    routing_number: str = ""
    primary: bool = False
    balance_minor: int = 0
    base_minor: int = 0

    @property
    def banking(self) -> bool:
        return self.type in BANKING_TYPES


class Leg(NamedTuple):
    account_id: str
    currency: str
    amount_minor: int
    base_minor: int


@dataclass(slots=True, eq=False)
class Entry:
    kind: str
    id: str
    date: date
    reference: str
    contact_id: str
    contact_name: str
    legs: list[Leg] = field(default_factory=list)


class Ledger:
    def __init__(self, base: str) -> None:
        self.base = base
        self.accounts: dict[str, Account] = {}
        self.entries: dict[str, Entry] = {}
        self.by_account: dict[str, dict[str, None]] = {}
        self._system: dict[str, str] = {}

    def open(self, account: Account) -> None:
        self.accounts[account.id] = account
        self.by_account[account.id] = {}
        if account.system:
            self._system[account.key] = account.id

    def system(self, key: str) -> Account:
        return self.accounts[self._system[key]]

    def close(self, account_id: str) -> None:
        """Takes an unused account out of the chart."""
        assert not self.by_account[account_id], "an account with entries stays"
        del self.accounts[account_id], self.by_account[account_id]

    def write(self, entry: Entry) -> None:
        """Books an entry, in the place of an earlier one of the same id. Its base amounts sum to zero."""
        assert sum(leg.base_minor for leg in entry.legs) == 0, f"{entry.kind} {entry.id} does not balance"
        self.erase(entry.id)
        self.entries[entry.id] = entry
        self._count(entry, 1)
        for leg in entry.legs:
            self.by_account[leg.account_id][entry.id] = None

    def erase(self, entry_id: str) -> None:
        entry = self.entries.pop(entry_id, None)
        if entry is None:
            return
        self._count(entry, -1)
        for leg in entry.legs:
            self.by_account[leg.account_id].pop(entry_id, None)

    def of_account(self, account_id: str) -> list[Entry]:
        return [self.entries[entry_id] for entry_id in self.by_account[account_id]]

    def in_own_currency(self, leg: Leg) -> int:
        """A leg's amount as its account counts it."""
        account = self.accounts[leg.account_id]
        if account.currency == leg.currency:
            return leg.amount_minor
        assert account.currency == self.base, "a foreign account takes its own currency only"
        return leg.base_minor

    def _count(self, entry: Entry, sign: int) -> None:
        for leg in entry.legs:
            account = self.accounts[leg.account_id]
            account.balance_minor += sign * self.in_own_currency(leg)
            account.base_minor += sign * leg.base_minor
