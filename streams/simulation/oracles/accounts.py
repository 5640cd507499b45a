"""The oracle of Zoho's accounts: receivables for what we posted, clearing, bank, suspense and fees are as our ledger
has them, per currency.

For each record that we keep in Zoho it is known what our ledger has of it, and what Zoho has. They may differ where the
record is under way, where a person changed it and is told so, or where it is there twice and that is told; then by
exactly that much. What others booked on the same account is taken out.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from domain import ledger, refs
from domain.refs import Ref
from domain.state import Booking, Payout
from streams.simulation.oracles import truth
from streams.simulation.oracles.breach import Breach
from streams.simulation.oracles.evidence import Document, Evidence
from streams.simulation.oracles.exempt import ELSEWHERE, excused, told

#: Account and currency; an account of ours ("receivables"), or the id of one of Zoho's.
Place = tuple[str, str]


class _Effect(NamedTuple):
    """What one record does to one account: what our ledger has of it, and what Zoho has. `allowed`: why they may
    differ, "" for nothing.
    """

    place: Place
    ledger_minor: int
    zoho_minor: int
    allowed: str


def account_differs(evidence: Evidence) -> Iterator[Breach]:
    """Each account in Zoho is what our ledger has, but for what is under way or told."""
    effects = [one for one in _effects(evidence) if one.place[0]]
    allowed: dict[Place, int] = defaultdict(int)
    for one in effects:
        if one.allowed:
            allowed[one.place] += one.zoho_minor - one.ledger_minor
    wanted, found = _ledger(evidence), _zoho(evidence, effects)
    for place in sorted({*wanted, *found}):
        if place not in found:
            continue
        difference = found[place] - wanted.get(place, 0) - allowed[place]
        if difference:
            words = (
                f"our ledger has {wanted.get(place, 0)} {place[1]}; Zoho has {found[place]} of ours, of which "
                f"{allowed[place]} is under way or told: {difference} is neither"
            )
            yield Breach("account_differs", evidence.connection, f"account {place[0]}", words)


def _ledger(evidence: Evidence) -> dict[Place, int]:
    """Our balances, by Zoho's account. The opening balance of clearing is finance's own, and not posted by us."""
    accounts = evidence.state.policy.accounts
    found: dict[Place, int] = defaultdict(int)
    for row in evidence.state.balances.values():
        if row.account in {ledger.CLEARING, ledger.OPENING}:
            found[accounts.clearing.get(row.currency, ""), row.currency] += row.amount_minor
        elif row.account == ledger.SUSPENSE:
            found[accounts.suspense.get(row.currency, ""), row.currency] += row.amount_minor
        elif row.account in {ledger.RECEIVABLES, ledger.CUSTOMER_CREDIT}:
            found[ledger.RECEIVABLES, row.currency] += row.amount_minor
        elif row.account in {ledger.FEES, ledger.INPUT_VAT}:
            found[ledger.FEES, row.currency] += row.amount_minor
        elif row.account == ledger.BANK:
            found[ledger.BANK, row.currency] += row.amount_minor
    return {place: amount for place, amount in found.items() if place[0]}


def _zoho(evidence: Evidence, effects: list[_Effect]) -> dict[Place, int]:
    """What Zoho has of ours: of clearing and suspense the whole balance less what others booked; else our records."""
    found: dict[Place, int] = defaultdict(int)
    for one in effects:
        found[one.place] += one.zoho_minor
    if evidence.zoho["journals"]:
        return found  # their lines are not shown, so others' part of a balance cannot be told
    accounts = evidence.state.policy.accounts
    named = {*accounts.clearing.values(), *accounts.suspense.values()}
    others = _of_others(evidence)
    for account in evidence.zoho["accounts"]:
        key = account["account_id"]
        if key in named:
            found[key, account["currency_code"]] = account["balance_minor"] - others[key]
    return found


def _of_others(evidence: Evidence) -> dict[str, int]:
    """What records that carry no key, marker or reference of ours did to each account."""
    found: dict[str, int] = defaultdict(int)
    field = evidence.state.policy.unique_field
    for one in evidence.zoho["payments"]:
        if not one["custom_fields"].get(field, ""):
            found[one["account_id"]] += one["amount_minor"] - one["bank_charges_minor"]
    for one in evidence.zoho["refunds"]:
        if not one["reference_number"].endswith(":reversal"):
            found[one["from_account_id"]] -= one["amount_minor"]
    for one in evidence.zoho["banktransactions"]:
        if not truth.marker(one):
            found[one["from_account_id"]] -= one["amount_minor"]
            found[one["to_account_id"]] += one["received_minor"]
    for one in evidence.zoho["expenses"]:
        if not one["custom_fields"].get(field, ""):
            found[one["paid_through_account_id"]] -= one["total_minor"]
    for note in evidence.zoho["creditnotes"]:
        for one in note["refunds"]:
            found[one["from_account_id"]] -= one["amount_minor"]
    return found


def _effects(evidence: Evidence) -> Iterator[_Effect]:
    payments: dict[str, list[Document]] = defaultdict(list)
    for one in truth.keyed_payments(evidence):
        payments[f"{one.payment}:{one.number}"].append(one.document)
    refunds, moved, fees = truth.reversals(evidence), truth.transfers(evidence), truth.expenses(evidence)
    bookings, payouts = evidence.state.bookings, evidence.state.payouts
    known = {*bookings, *payments, *refunds, *(name.removesuffix(":suspense") for name in moved if "PM" in name[:2])}
    for key in sorted(known):
        row = bookings.get(key) or Booking(key, stage="opening")
        yield from _of_booking(evidence, row, payments[key], refunds.get(key, []), moved.get(f"{key}:suspense", []))
    paid = {*payouts, *fees, *(name.removesuffix(":foreign") for name in moved if not name.endswith(":suspense"))}
    for key in sorted(paid):
        payout = payouts.get(key) or Payout(key)
        yield from _of_payout(evidence, payout, moved.get(key, []), fees.get(key, []), moved.get(f"{key}:foreign", []))


def _of_booking(
    evidence: Evidence, row: Booking, payments: list[Document], refunds: list[Document], moved: list[Document]
) -> Iterator[_Effect]:
    accounts = evidence.state.policy.accounts
    amount = 0 if row.stage == "opening" else row.amount_minor
    in_suspense = row.stage == "suspense"
    held = amount if not row.reversal_at else 0
    received, given = _sum(payments), _sum(refunds)
    put_aside = _sum(moved)
    allowed = _allowed(evidence, row, [*payments, *refunds, *moved], Ref("bookings", row.id), row.payment)
    currency = row.currency or next((one["currency_code"] for one in [*payments, *refunds, *moved]), "")
    clearing, suspense = accounts.clearing.get(currency, ""), accounts.suspense.get(currency, "")
    on_clearing = sum(one["amount_minor"] for one in payments if one["account_id"] == clearing)
    from_clearing = sum(one["amount_minor"] for one in refunds if one["from_account_id"] == clearing)
    yield _Effect((clearing, currency), held, on_clearing - from_clearing - put_aside, allowed)
    owed = -amount if in_suspense else -held
    yield _Effect((ledger.RECEIVABLES, currency), owed, given - received, allowed)
    if in_suspense or put_aside:
        yield _Effect((suspense, currency), amount if in_suspense else 0, put_aside, allowed)


def _of_payout(
    evidence: Evidence, row: Payout, transfers: list[Document], expenses: list[Document], foreign: list[Document]
) -> Iterator[_Effect]:
    accounts = evidence.state.policy.accounts
    documents = [*transfers, *expenses, *foreign]
    amount, fee = (row.amount_minor, row.fee_minor) if row.posted else (0, 0)
    currency = row.currency or next((one["currency_code"] for one in documents), "")
    clearing, suspense = accounts.clearing.get(currency, ""), accounts.suspense.get(currency, "")
    allowed = _allowed(evidence, row, documents, Ref("payouts", row.id), row.id)
    sent, kept = _sum(transfers), sum(one["total_minor"] for one in expenses)
    on_clearing = -amount - fee + row.foreign_minor
    yield _Effect((clearing, currency), on_clearing, -sent - kept + _moved(foreign, clearing), allowed)
    yield _Effect((ledger.BANK, currency), amount, sent, allowed)
    yield _Effect((ledger.FEES, currency), fee, kept, allowed)
    if row.foreign_count or foreign:
        yield _Effect((suspense, currency), -row.foreign_minor, _moved(foreign, suspense), allowed)


def _moved(documents: list[Document], account: str) -> int:
    """What transfers do to an account."""
    into = sum(one["amount_minor"] for one in documents if one["to_account_id"] == account)
    return int(into - sum(one["amount_minor"] for one in documents if one["from_account_id"] == account))


def _allowed(evidence: Evidence, row: Booking | Payout, documents: list[Document], about: Ref, payment: str) -> str:
    """Why Zoho and our ledger may differ about one record."""
    if isinstance(row, Payout) and row.posted:
        if row.fee_minor > 0 and not evidence.state.policy.fee_expense:
            return "finance books the fees"
        if row.fee_minor < 0 and refs.discrepancy("fee_refund", about) in evidence.state.discrepancies:
            return "a person books the fees that came back"
    if any(one.about == str(about) and one.status == "open" for one in evidence.state.commands.values()):
        return "under way"
    ids = [
        document[name]
        for document in documents
        for name in ("payment_refund_id", "payment_id", "transaction_id", "expense_id")
        if name in document
    ]
    if isinstance(row, Booking):
        ids += [row.zoho_payment, row.refund]
        unfinished = row.stage in {"asked", "refused", "unapplying", "refunding", "suspense"}
        twice = len([one for one in documents if "payment_refund_id" in one]) > 1
    else:
        ids += [row.transfer, row.expense, row.suspense_transfer]
        asked = (
            (row.transfer_command, row.transfer),
            (row.expense_command, row.expense),
            (row.suspense_command, row.suspense_transfer),
        )
        unfinished = any(command and not resource for command, resource in asked)
        # Without an account of suspense nothing is asked, and a person is told.
        unfinished = unfinished or bool(row.foreign_minor and not row.suspense_transfer)
        twice = len([one for one in documents if "transaction_id" in one]) > 1
    names = (row.id, payment, f"{row.id}:suspense", *ids)
    if excused(evidence, *names):
        return "changed by a person, and told"
    if (unfinished and told(evidence, *names, besides=ELSEWHERE)) or (twice and told(evidence, *ids)):
        return "told"
    return ""


def _sum(documents: list[Document]) -> int:
    return sum(int(one["amount_minor"]) for one in documents)
