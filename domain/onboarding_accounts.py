"""The accounts of the policy: names in the settings become ids of Zoho Books, and what is missing or does not fit is
found.
"""

from typing import Final

import msgspec

from domain import currencies
from domain.onboarding_facts import Account, Facts, Tax, TaxRate
from domain.onboarding_findings import Findings
from domain.policy import Accounts, Rules

#: Zoho's account types that fees can be booked to.
_EXPENSE_TYPES: Final = frozenset({"expense", "other_expense", "cost_of_goods_sold"})


class Payee(msgspec.Struct, frozen=True):
    """What GoCardless pays out to: `banks` maps the enabled creditor bank accounts to their currencies, None where they
    are not known; `paid_in` "" without foreign exchange.
    """

    id: str = ""
    country_code: str = ""
    paid_in: str = ""
    banks: dict[str, str] | None = None


def mapped(rules: Rules, facts: Facts, payee: Payee, today: str, found: Findings) -> Accounts:
    """The accounts that the rules name; "" for what was not found."""
    _completeness(rules, payee, found)
    named = _by_name(found.known(facts.accounts))
    bank = {cur: _of_money(named, name, "bank", cur, found) for cur, name in sorted(rules.bank.items())}
    return Accounts(
        clearing={cur: _of_money(named, name, "clearing", cur, found) for cur, name in sorted(rules.clearing.items())},
        suspense={cur: _of_money(named, name, "suspense", cur, found) for cur, name in sorted(rules.suspense.items())},
        bank={one: bank[cur] for one, cur in sorted((payee.banks or {}).items()) if cur in bank},
        fees=_of_fees(named, rules.fees, found),
        tax=_taxes(rules, facts, payee.country_code, today, found),
        vendor=_vendor(rules, facts, found),
    )


def _completeness(rules: Rules, payee: Payee, found: Findings) -> None:
    """What the settings leave out."""
    for what, named in (("clearing", rules.clearing), ("suspense", rules.suspense), ("bank", rules.bank)):
        for currency in sorted(named):
            if currency not in currencies.EXPONENTS:
                text = f"rules.{what}: {currency} is no currency; use its three capitals."
                found.stop("currency", text, about=currency)
    if not rules.clearing:
        found.stop("no_clearing", "rules.clearing names no account: add one for each currency that is collected.")
    for currency in sorted(rules.clearing):
        paid_in = payee.paid_in or currency
        if paid_in not in rules.bank:
            found.stop("no_bank", f"rules.bank names no account for payouts in {paid_in}.", about=paid_in)
        elif payee.banks is not None and paid_in not in payee.banks.values():
            text = f"GoCardless has no bank account to pay {paid_in} out to: add one there."
            found.stop("no_bank", text, about=paid_in)
        if currency not in rules.suspense:
            text = (
                f"rules.suspense names no account for {currency}: reversals that Zoho Books refuses wait for a person."
            )
            found.decide("no_suspense", text, about=currency)
    if not rules.fees:
        found.decide("no_fees", "rules.fees names no account: GoCardless's fees are not booked, and stay in clearing.")
    if not rules.books_from:
        text = "rules.books_from names no day: everything that GoCardless still shows is booked, old payouts too."
        found.decide("books_from", text)
    used = [*rules.clearing.values(), *rules.suspense.values(), *rules.bank.values(), rules.fees]
    for name in sorted({one for one in used if one and used.count(one) > 1}):
        found.stop("account_twice", f"The rules use the account {name!r} for more than one thing: each needs its own.")


# --- accounts ---


def _by_name(accounts: tuple[Account, ...] | None) -> dict[str, list[Account]] | None:
    """Name → the accounts of that name; None where they could not be read."""
    if accounts is None:
        return None
    named: dict[str, list[Account]] = {}
    for account in accounts:
        named.setdefault(account.name, []).append(account)
    return named


def _one(named: dict[str, list[Account]] | None, name: str, what: str, found: Findings) -> Account | None:
    if named is None or not name:
        return None
    accounts = named.get(name, [])
    if not accounts:
        text = f"Zoho Books has no active account named {name!r} ({what}): make it, or correct the settings."
        found.stop("account", text, about=_about(what))
    elif len(accounts) > 1:
        text = f"Zoho Books has {len(accounts)} active accounts named {name!r} ({what}): rename all but one."
        found.stop("account", text, about=_about(what))
    return accounts[0] if len(accounts) == 1 else None


def _of_money(named: dict[str, list[Account]] | None, name: str, purpose: str, currency: str, found: Findings) -> str:
    """An account of Banking, in the currency: only those can be transferred between and reconciled."""
    what = f"{purpose} {currency}"
    account = _one(named, name, what, found)
    if account is None:
        return ""
    if account.currency != currency:
        kind = f"is in {account.currency}" if account.currency else "is not one of Banking"
        text = f"The account {name!r} ({what}) {kind}: name one of Banking, in {currency}."
        found.stop("account", text, about=_about(what))
    return account.id


def _of_fees(named: dict[str, list[Account]] | None, name: str, found: Findings) -> str:
    account = _one(named, name, "fees", found)
    if account is None:
        return ""
    if account.type not in _EXPENSE_TYPES:
        found.stop("account", f"The account {name!r} (fees) is no expense account: name one.", about="fees")
    return account.id


def _about(what: str) -> str:
    """What an account is for, as part of a code: "clearing_GBP"."""
    return what.replace(" ", "_")


# --- taxes and the vendor ---


def _taxes(rules: Rules, facts: Facts, country_code: str, today: str, found: Findings) -> dict[str, str]:
    """Zoho's tax for each tax rate of GoCardless."""
    if not rules.fees:
        return {}
    rates, shown = found.known(facts.tax_rates), found.known(facts.taxes)
    if rates is None or shown is None:
        return {}
    by_name = {tax.name: tax for tax in shown}
    by_id = {rate.id: rate for rate in rates}
    for rate, name in sorted(rules.tax.items()):
        wrong = _mismatch(rate, by_id, name, by_name)
        if wrong:
            found.stop("tax", wrong, about=rate)
    for rate, row in sorted(by_id.items()):
        current = (row.end_date or today) >= today
        if current and row.jurisdiction == country_code and rate not in rules.tax:
            text = f"rules.tax names no tax for {rate} ({row.shown} %), which GoCardless may charge on its fees."
            found.decide("no_tax", text, about=rate)
    return {rate: by_name[name].id for rate, name in sorted(rules.tax.items()) if name in by_name}


def _mismatch(rate: str, by_id: dict[str, TaxRate], name: str, by_name: dict[str, Tax]) -> str:
    """What is wrong with a tax for a rate, "" when nothing is."""
    if name not in by_name:
        return f"Zoho Books has no tax named {name!r} (for {rate})."
    if rate not in by_id:
        return f"GoCardless knows no tax rate {rate}; it knows {', '.join(sorted(by_id))}."
    ours, theirs = by_name[name].percentage, by_id[rate].percentage
    return (
        "" if ours == theirs else f"The tax {name!r} of Zoho Books is {ours:f} %, GoCardless's {rate} is {theirs:f} %."
    )


def _vendor(rules: Rules, facts: Facts, found: Findings) -> str:
    if not rules.vendor or not rules.fees:
        return ""
    contacts = found.known(facts.vendors)
    if contacts is None:
        return ""
    wanted = (rules.vendor, "vendor", "active")
    ids = [one.id for one in contacts if (one.name, one.type, one.status) == wanted]
    if len(ids) != 1:
        text = f"Zoho Books has {len(ids)} active vendors named {rules.vendor!r}: one is needed."
        found.stop("vendor", text)
    return ids[0] if ids else ""
