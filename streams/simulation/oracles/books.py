"""Oracles of our own books: double entry, balances, and the named items of clearing."""

from collections import defaultdict
from collections.abc import Iterator

from domain import ledger
from domain.refs import Ref
from streams.simulation.oracles import truth
from streams.simulation.oracles.breach import Breach
from streams.simulation.oracles.evidence import Evidence
from streams.simulation.oracles.postings import fee_minor


def entry_unbalanced(evidence: Evidence) -> Iterator[Breach]:
    """Each entry sums to zero in each currency; each of its lines on clearing, and no other, names an item."""
    sums: dict[tuple[tuple[int, int], str], int] = defaultdict(int)
    for line in evidence.lines:
        sums[line.entry, line.currency] += line.amount_minor
        if (line.account == ledger.CLEARING) != bool(line.item):
            words = f"a line on {line.account} names {line.item or 'no item'}"
            yield Breach("entry_unbalanced", evidence.connection, _entry(line.entry), words)
    for (entry, currency), sum_minor in sums.items():
        if sum_minor:
            words = f"debits equal credits; found {sum_minor} {currency} between them"
            yield Breach("entry_unbalanced", evidence.connection, _entry(entry), words)


def _entry(entry: tuple[int, int]) -> str:
    return f"entry {entry[1]} of event {entry[0]}"


def balance_differs(evidence: Evidence) -> Iterator[Breach]:
    """Each balance is the sum of its lines."""
    sums: dict[str, int] = defaultdict(int)
    for line in evidence.lines:
        sums[f"{line.account}:{line.currency}"] += line.amount_minor
    held = {row.id: row.amount_minor for row in evidence.state.balances.values()}
    for key in sorted({*sums, *held}):
        if sums.get(key, 0) != held.get(key, 0):
            words = f"its lines sum to {sums.get(key, 0)}; the balance is {held.get(key, 0)}"
            yield Breach("balance_differs", evidence.connection, f"balance {key}", words)


def clearing_items(evidence: Evidence) -> Iterator[Breach]:
    """The balance of clearing is the sum of its open items, per currency; each item is the sum of its lines, and has a
    name.
    """
    lines: dict[str, int] = defaultdict(int)
    for line in evidence.lines:
        if line.item:
            lines[f"{line.currency}:{line.item}"] += line.amount_minor
    items = evidence.state.open_items
    for key in sorted({*lines, *items}):
        held = items.get(key)
        found = held.amount_minor if held is not None else 0
        if lines.get(key, 0) != found:
            words = f"its lines sum to {lines.get(key, 0)}; the open item is {found}"
            yield Breach("clearing_items", evidence.connection, f"open item {key}", words)
        elif held is not None and not (held.name and held.since and held.amount_minor):
            yield Breach("clearing_items", evidence.connection, f"open item {key}", "it has no name, day or amount")
    for row in evidence.state.balances.values():
        if row.account == ledger.CLEARING:
            sum_minor = sum(one.amount_minor for one in items.values() if one.currency == row.currency)
            if sum_minor != row.amount_minor:
                words = f"its open items sum to {sum_minor}; the balance is {row.amount_minor}"
                yield Breach("clearing_items", evidence.connection, f"balance {row.id}", words)


def payout_figures(evidence: Evidence) -> Iterator[Breach]:
    """What was posted of a payout is what GoCardless says of it, and it foots: items, fee and amount to the minor
    unit.
    """
    documents = truth.by_id(truth.resources(evidence, "payouts"))
    for row in evidence.state.payouts.values():
        document = documents.get(row.id)
        if not row.posted or document is None:
            continue
        items = evidence.gocardless["resources"]["payout_items"].get(row.id, [])
        fee = fee_minor(evidence, document)
        taxes = [
            (
                item["type"].endswith("_fee"),
                -1 if item["amount"].startswith("-") else 1,
                abs(truth.tenths(tax["amount"])),
            )
            for item in items
            for tax in item["taxes"]
        ]
        wanted = {
            "amount_minor": document["amount"],
            "currency": document["currency"],
            "item_count": len(items),
            "fee_minor": fee,
            "gross_minor": document["amount"] + fee,
            "tax_tenths": sum(sign * amount for of_fee, sign, amount in taxes if of_fee),
        }
        for name, value in wanted.items():
            if getattr(row, name) != value:
                words = f"{name} is {value} at GoCardless; found {getattr(row, name)}"
                yield Breach("payout_figures", evidence.connection, str(Ref("payouts", row.id)), words)
        residue = document["amount"] * 10 - sum(truth.tenths(item["amount"]) for item in items)
        if abs(residue) >= 10:
            words = f"its items are {residue} tenths away from its amount, and it was posted"
            yield Breach("payout_figures", evidence.connection, str(Ref("payouts", row.id)), words)
