"""The judge of the first-run check: what a person must know, repair or decide before anything is collected (design
rule 15).

It is given all that there is to know (`onboarding_facts`), names what is missing, and turns the account names of the
settings into a policy. Its result is an event; opening the gate is a person's event after it.
"""

from decimal import Decimal, InvalidOperation
from typing import Literal

import msgspec

from domain import currencies, money, onboarding_accounts, times
from domain.errors import DomainError
from domain.events import ConnectionChecked, Finding
from domain.onboarding_accounts import Payee
from domain.onboarding_facts import Asked, Facts, Held, Organization, Owing, Unread
from domain.onboarding_findings import Findings
from domain.policy import Accounts, Policy, Rules
from domain.state import ConnectionRow
from domain.vocabulary import API_NAMES


class Checked(msgspec.Struct, frozen=True):
    """What the check found, and the policy that the settings ask for (None: it is in force already, or something stops
    it).

    `collect_from`: what fell due before this day stays held, "" where that is settled already. `first_count` and
    `first_minor`: what would be collected first, per currency; None where collection has begun.
    """

    event: ConnectionChecked
    policy: Policy | None
    collect_from: str = ""
    first_count: dict[str, int] | None = None
    first_minor: dict[str, int] | None = None

    @property
    def stops(self) -> list[Finding]:
        """What must be repaired first."""
        return [one for one in self.event.findings if one.level == "stop"]

    @property
    def decisions(self) -> list[Finding]:
        """What a person must accept."""
        return [one for one in self.event.findings if one.level == "decide"]


class _First(msgspec.Struct, frozen=True):
    """What would be collected first, as `Checked` has it."""

    collect_from: str = ""
    count: dict[str, int] | None = None
    minor: dict[str, int] | None = None


def judge(asked: Asked, facts: Facts, held: Held, now: str) -> Checked:
    """What is found in all that is known, in the order in which a person reads it."""
    found = Findings()
    organization = _organization(asked, facts, now, found)
    base = (organization.base_currency if organization else None) or ""
    payee = _payee(asked, facts, held, found)
    rates = _rates(asked.rules, facts, base, found)
    accounts = onboarding_accounts.mapped(asked.rules, facts, payee, now[:10], found)
    _unique_fields(asked, facts, found)
    _others_collect(facts, found)
    _webhooks(held, found)
    _import(held, found)
    first = _first_collection(asked, facts, held, now, found)
    policy = _policy(asked, held.own.policy, accounts, found)
    event = ConnectionChecked(
        findings=found.all,
        organization_id=asked.organization_id,
        base_currency=base,
        time_zone=_zone(organization),
        creditor=payee.id,
        environment=asked.environment,
        rates=rates,
        creditor_bank_accounts=payee.banks or {},
    )
    return Checked(event, policy, first.collect_from, first.count, first.minor)


def owing_day(asked: Asked, facts: Facts, own: ConnectionRow, now: str) -> str | None:
    """The day that tells what is owing from what is held, for `Held.owing`: the one that a person accepted or names
    now, before that the organisation's today. None where that is not known.
    """
    organization = _own(asked, facts)
    if organization is None:
        return None
    if _begun(asked, own):
        return own.collect_from
    try:
        return asked.collect_from or times.local_day(now, _zone(organization))
    except DomainError:
        return None  # the time zone is a finding of its own


# --- the two sides ---


def _own(asked: Asked, facts: Facts) -> Organization | None:
    if isinstance(facts.organizations, Unread):
        return None
    return next((one for one in facts.organizations if one.id == asked.organization_id), None)


def _zone(organization: Organization | None) -> str:
    return (organization.time_zone if organization else None) or "UTC"


def _organization(asked: Asked, facts: Facts, now: str, found: Findings) -> Organization | None:
    reached = found.known(facts.organizations)
    if reached is None:
        return None
    own = _own(asked, facts)
    if own is None:
        shown = ", ".join(sorted(one.id for one in reached)) or "none"
        text = f"This consent does not reach organisation {asked.organization_id} of Zoho Books; it reaches {shown}."
        found.stop("organization", text)
        return None
    found.ok("organization", f"Zoho Books: {own.name}, base currency {own.base_currency}.")
    try:
        times.local_day(now, str(own.time_zone))
    except DomainError as error:
        found.stop("time_zone", f"The organisation's time zone cannot be used: {error}.")
    return own


def _payee(asked: Asked, facts: Facts, held: Held, found: Findings) -> Payee:
    creditors, accounts = found.known(facts.creditors), found.known(facts.bank_accounts)
    if creditors is None or accounts is None:
        return Payee()
    if not creditors:
        found.stop("creditor", "This GoCardless account has no creditor yet: finish its set-up at GoCardless.")
        return Payee()
    many = len(creditors)
    if many > 1:
        text = f"This GoCardless account has {many} creditors; all their payouts are posted."
        found.decide("creditors", text, count=many)
    for one in creditors:
        if one.verification_status != "successful":
            text = (
                f"GoCardless has not verified {one.name} ({one.verification_status}): it pays nothing out until it has."
            )
            found.decide("verification", text)
    first = creditors[0]
    _single(first.id, asked, held, found)
    banks = {one.id: one.currency for one in accounts if one.enabled}
    paid = ", ".join(sorted(set(banks.values()))) or "no currency yet"
    found.ok("creditor", f"GoCardless: {first.name}, payouts in {paid}.")
    return Payee(first.id, first.country_code, first.paid_in, banks)


def _single(creditor: str, asked: Asked, held: Held, found: Findings) -> None:
    """A creditor stands in one connection: in two, each would debit the same people (rule 18)."""
    for row in held.others:
        if (row.environment, row.creditor) == (asked.environment, creditor):
            text = (
                f"Creditor {creditor} is that of connection {row.id} already; both would collect from the same people."
                " Keep one."
            )
            found.stop("creditor_taken", text)


def _rates(rules: Rules, facts: Facts, base: str, found: Findings) -> dict[str, str]:
    shown = found.known(facts.currencies)
    rates = {one.code: one.rate for one in shown or () if one.rate}
    for currency in sorted(rules.clearing):
        if shown is not None and base and currency not in {base, *rates}:
            text = f"Zoho Books has no exchange rate for {currency}: add one there."
            found.stop("rate", text, about=currency)
    return rates


def _unique_fields(asked: Asked, facts: Facts, found: Findings) -> None:
    """The custom field that refuses duplicates. A list shows the fields of its module, but not always, and not what
    they refuse.
    """
    for module in asked.modules:
        shown = found.known(facts.fields[module])
        if shown is not None and asked.unique_field not in shown:
            text = (
                f"Whether {module} have the custom field {asked.unique_field}, set to refuse duplicates, cannot be"
                " seen from outside: look in Zoho."
            )
            found.decide("unique_field", text, about=module)


# --- what else is going on ---


def _others_collect(facts: Facts, found: Findings) -> None:
    """What else collects from the same people. Instalments are payments that wait."""
    live = found.known(facts.subscriptions)
    if live is not None and live.count:
        text = (
            f"{_at_least(live.count, cut=live.cut)} live subscriptions at GoCardless go on collecting beside us: end"
            " them, or accept."
        )
        found.decide("subscriptions", text, count=live.count)
    waiting = found.known(facts.payments_of_others)
    if waiting is not None and waiting.count:
        text = (
            f"{_at_least(waiting.count, cut=waiting.cut)} payments made by others are under way at GoCardless: they may"
            " pay invoices of ours."
        )
        found.decide("pending_payments", text, count=waiting.count)


def _at_least(count: int, *, cut: bool) -> str:
    return f"At least {count}" if cut else str(count)


def _webhooks(held: Held, found: Findings) -> None:
    for api in held.unheard:
        text = (
            f"No webhook secret of {API_NAMES[api]} is entered: what happens there is noticed by polls only, hours"
            " later."
        )
        found.decide("no_webhooks", text, about=api)


def _import(held: Held, found: Findings) -> None:
    if held.not_read:
        text = f"Not yet read to the end: {', '.join(held.not_read)}. Keep `run` going, then check again."
        found.stop("import", text, count=len(held.not_read))
        return
    found.ok("import", f"Both sides are read; {held.invoices} invoices are known.", count=held.invoices)


# --- what would be collected first ---


def _begun(asked: Asked, own: ConnectionRow) -> bool:
    """Whether collection has begun, and no other day is named for it."""
    return (own.gate == "open" or own.opening_posted) and not asked.collect_from


def _first_collection(asked: Asked, facts: Facts, held: Held, now: str, found: Findings) -> _First:
    """Count, sum and oldest of what is owing; before the first approval, what of it would be held, and what that makes
    the first days' ceiling.
    """
    day = owing_day(asked, facts, held.own, now)
    if day is None:
        return _First()
    count = sum(one.count for one in held.owing)
    if _begun(asked, held.own):
        found.ok("first_collection", f"Owing and not under way: {_in_words(held.owing)}.", count=count)
        return _First()
    due = [one for one in held.owing if not one.early]
    old = [one for one in held.owing if one.early]
    text = f"Collected on their due dates once this is approved: {_in_words(due)}."
    if old:
        text += (
            f" Held, since they fell due before {day}: {_in_words(old)}; accept an earlier day with --collect-from DAY."
        )
    rules = asked.rules
    named = rules.max_day.keys() | rules.max_day_count.keys()
    silent = sorted(rules.clearing.keys() - {one.currency for one in due} - named)
    if silent:
        text += (
            f" Nothing falls due in {', '.join(silent)}: the first debits there wait for you, unless rules.max_day"
            " names a ceiling."
        )
    found.decide("first_collection", text, count=count)
    return _First(day, {one.currency: one.count for one in due}, {one.currency: one.amount_minor for one in due})


def _in_words(rows: list[Owing] | tuple[Owing, ...]) -> str:
    """12 invoices of 3,400.00 GBP (oldest due 2026-03-01), and so on, by currency."""
    parts = [
        f"{one.count} invoices of {money.format_minor(one.amount_minor, one.currency)} {one.currency} (oldest due "
        f"{one.oldest})"
        for one in rows
    ]
    return ", ".join(parts) or "none"


# --- the policy ---


def _policy(asked: Asked, held: Policy | None, accounts: Accounts, found: Findings) -> Policy | None:
    """The policy that the settings ask for, when it is not in force and nothing stops it."""
    rules = asked.rules
    _believable_day("books_from", rules.books_from, found)
    _believable_day("closed_through", rules.closed_through, found)
    wanted = Policy(
        version=(held.version if held else 0) + 1,
        accounts=accounts,
        match_by_email=rules.match_by_email,
        invite=rules.invite,
        send_days_before_due=rules.send_days_before_due,
        send_hour=rules.send_hour,
        max_debit_minor=_most("max_debit", rules.max_debit, found),
        max_payer_month_minor=_most("max_payer_month", rules.max_payer_month, found),
        max_day_minor=_most("max_day", rules.max_day, found),
        max_day_count=_counts(rules.max_day_count, found),
        opening_clearing_minor=_minor("opening_clearing", rules.opening_clearing, found),
        unique_field=asked.unique_field,
        payer_link_field=asked.payer_link_field,
        books_from=rules.books_from,
        closed_through=rules.closed_through,
        fee_expense=bool(rules.fees),
    )
    if found.stopped:
        return None
    fields = [name for name in Policy.__struct_fields__ if name != "version"]
    changed = fields if held is None else [name for name in fields if getattr(wanted, name) != getattr(held, name)]
    if not changed:
        return None
    what = "the first one" if held is None else f"it changes {', '.join(changed)}"
    found.decide("policy", f"Policy {wanted.version} of the settings comes into force: {what}.")
    return wanted


def _believable_day(name: Literal["books_from", "closed_through"], day: str, found: Findings) -> None:
    if not day:
        return
    try:
        times.believable_day(day)
    except DomainError as error:
        found.stop(name, f"rules.{name}: {error}.")


_Ceiling = Literal["max_debit", "max_payer_month", "max_day", "max_day_count"]


def _most(name: _Ceiling, given: dict[str, str], found: Findings) -> dict[str, int]:
    """A ceiling per currency; below zero it would hold everything for ever, which no one means."""
    ceilings = _minor(name, given, found)
    for currency, amount in sorted(ceilings.items()):
        _not_below_zero(name, currency, amount, found)
    return ceilings


def _not_below_zero(name: _Ceiling, currency: str, ceiling: int, found: Findings) -> None:
    if ceiling < 0:
        found.stop(name, f"rules.{name}.{currency}: a ceiling is not below zero.", about=currency)


def _counts(given: dict[str, int], found: Findings) -> dict[str, int]:
    """The most debits of a day, per currency; one of an unknown currency would hold nothing."""
    for currency, count in sorted(given.items()):
        try:
            currencies.exponent(currency)
        except DomainError as error:
            found.stop("max_day_count", f"rules.max_day_count.{currency}: {error}.", about=currency)
        _not_below_zero("max_day_count", currency, count, found)
    return dict(sorted(given.items()))


def _minor(name: _Ceiling | Literal["opening_clearing"], given: dict[str, str], found: Findings) -> dict[str, int]:
    amounts = {}
    for currency, text in sorted(given.items()):
        try:
            amounts[currency] = money.minor_from_decimal(Decimal(text), currency)
        except InvalidOperation:
            wrong = f"rules.{name}.{currency}: {text!r} is no amount; write it as 5000.00."
            found.stop(name, wrong, about=currency)
        except DomainError as error:
            found.stop(name, f"rules.{name}.{currency}: {error}.", about=currency)
    return amounts
