"""The fees of a payout: which items they are, and the lines of the expense in Zoho."""

from typing import Final

from domain import commands, money
from domain.state import Payout

#: Item types that are fees; every other type moves a payment's or refund's gross (reference 2.11).
FEE_TYPES: Final = frozenset({"gocardless_fee", "app_fee", "surcharge_fee"})


def fee_lines(payout: Payout, taxes: dict[str, str]) -> list[commands.ExpenseLine]:
    """One line per fee type and tax rate, tax included; the rounding penny goes on a line without tax. They sum to the
    fee.
    """
    lines = []
    for name, (gross_tenths, tax_tenths) in sorted(payout.fees.items()):
        kind, _, tax_rate = name.partition("|")
        if amount_minor := money.minor_from_tenths(-gross_tenths):
            tax_minor = money.minor_from_tenths(-tax_tenths)
            lines.append(commands.ExpenseLine(kind.replace("_", " "), amount_minor, taxes.get(tax_rate, ""), tax_minor))
    rest = payout.fee_minor - sum(line.amount_minor for line in lines)
    return [*lines, commands.ExpenseLine("rounding", rest)] if rest else lines
