"""Oracles of what stands in Zoho: each confirmation, reversal and payout once, of the right amount, and nothing
without a cause.
"""

from collections.abc import Iterator

from domain.refs import Ref
from streams.simulation.oracles import truth
from streams.simulation.oracles.breach import Breach, Oracle
from streams.simulation.oracles.evidence import Document, Evidence
from streams.simulation.oracles.exempt import excused, told


def posting_twice(evidence: Evidence) -> Iterator[Breach]:
    """One customer payment per key: Zoho keeps the field unique, so a repeat finds the first."""
    found: dict[str, list[str]] = {}
    for one in truth.keyed_payments(evidence):
        found.setdefault(one.key, []).append(one.document["payment_id"])
    for key, ids in found.items():
        if len(ids) > 1:
            words = f"one customer payment per key; found {len(ids)}: {', '.join(ids)}"
            yield Breach("posting_twice", evidence.connection, f"key {key}", words)


def posting_unfounded(evidence: Evidence) -> Iterator[Breach]:
    """Each customer payment with a key of ours stands for a confirmation of a payment of ours."""
    made = truth.by_id(truth.debits(evidence))
    happened = truth.happenings(evidence, "payments", "payment")
    environment = evidence.state.own.environment
    for one in truth.keyed_payments(evidence):
        about = f"zoho payment {one.document['payment_id']}"
        confirmed = truth.confirmations(happened.get(one.payment, [])).confirmed
        if one.payment not in made or one.key != f"{environment}:{one.payment}:{one.number}":
            words = f"its key {one.key} names no payment of ours at GoCardless"
            yield Breach("posting_unfounded", evidence.connection, about, words)
        elif not 1 <= one.number <= confirmed:
            words = f"its key {one.key} names confirmation {one.number}; {one.payment} was confirmed {confirmed} times"
            yield Breach("posting_unfounded", evidence.connection, about, words)


def posting_differs(evidence: Evidence) -> Iterator[Breach]:
    """Its amount, currency, account and customer are those of the payment and its invoice. After somebody changed it:
    a person is told.
    """
    made = truth.by_id(truth.debits(evidence))
    invoices = truth.by_id(evidence.zoho["invoices"], "invoice_id")
    clearing = evidence.state.policy.accounts.clearing
    for one in truth.keyed_payments(evidence):
        payment = made.get(one.payment)
        if payment is None:
            continue
        invoice = invoices.get(payment["metadata"]["zoho_invoice_id"])
        wanted = {
            "amount_minor": payment["amount"],
            "currency_code": payment["currency"],
            "account_id": clearing.get(payment["currency"], ""),
        }
        if invoice is not None:
            wanted["customer_id"] = invoice["customer_id"]
        ids = (one.document["payment_id"], one.payment, f"{one.payment}:{one.number}")
        if not excused(evidence, *ids, through=payment["metadata"]["zoho_invoice_id"]):
            yield from _unlike(evidence, "posting_differs", f"zoho payment {ids[0]}", one.document, wanted)


def _unlike(
    evidence: Evidence, oracle: Oracle, about: str, found: Document, wanted: dict[str, object]
) -> Iterator[Breach]:
    """A breach for each field that is not as wanted."""
    for name, value in wanted.items():
        if found[name] != value:
            yield Breach(oracle, evidence.connection, about, f"{name} is {value} by its cause; found {found[name]}")


def refund_twice(evidence: Evidence) -> Iterator[Breach]:
    """One refund per reversal. Zoho has no key for it: a second one must be told."""
    for booking, made in truth.reversals(evidence).items():
        ids = [one["payment_refund_id"] for one in made]
        if len(made) > 1 and not told(evidence, *ids):
            words = f"one refund per reversal; found {len(made)}: {', '.join(ids)}, and no discrepancy names it"
            yield Breach("refund_twice", evidence.connection, str(Ref("bookings", booking)), words)


def refund_unfounded(evidence: Evidence) -> Iterator[Breach]:
    """Each refund of ours stands for a reversal of a confirmed payment, and is of its amount."""
    made = truth.by_id(truth.debits(evidence))
    happened = truth.happenings(evidence, "payments", "payment")
    for booking, refunds in truth.reversals(evidence).items():
        payment, _, number = booking.rpartition(":")
        taken_back = truth.confirmations(happened.get(payment, [])).taken_back
        for one in refunds:
            about = f"zoho refund {one['payment_refund_id']}"
            if payment not in made or not number.isdecimal() or not 1 <= int(number) <= taken_back:
                words = f"it names reversal {number} of {payment}, which was taken back {taken_back} times"
                yield Breach("refund_unfounded", evidence.connection, about, words)
            elif not excused(evidence, one["payment_refund_id"], one["payment_id"], payment, booking):
                wanted: dict[str, object] = {
                    "amount_minor": made[payment]["amount"],
                    "from_account_id": evidence.state.policy.accounts.clearing.get(made[payment]["currency"], ""),
                }
                yield from _unlike(evidence, "refund_unfounded", about, one, wanted)


def transfer_twice(evidence: Evidence) -> Iterator[Breach]:
    """One transfer per marker. Zoho has no key for it: a second one must be told."""
    for name, made in truth.transfers(evidence).items():
        ids = [one["transaction_id"] for one in made]
        if len(made) > 1 and not told(evidence, *ids):
            words = f"one transfer per marker; found {len(made)}: {', '.join(ids)}, and no discrepancy names it"
            yield Breach("transfer_twice", evidence.connection, f"marker {name}", words)


def transfer_unfounded(evidence: Evidence) -> Iterator[Breach]:
    """Each transfer of ours stands for a payout that was paid, its foreign items, or a reversal that Zoho refused, and
    moves that amount between the accounts of the policy.
    """
    for name, made in truth.transfers(evidence).items():
        wanted = _wanted_transfer(evidence, name)
        for one in made:
            about = f"zoho transfer {one['transaction_id']}"
            if wanted is None:
                words = f"its marker {name} names no payout that was paid, and no reversal"
                yield Breach("transfer_unfounded", evidence.connection, about, words)
            elif not excused(evidence, one["transaction_id"], name, name.split(":")[0]):
                yield from _unlike(evidence, "transfer_unfounded", about, one, wanted)


def _wanted_transfer(evidence: Evidence, name: str) -> dict[str, object] | None:
    accounts = evidence.state.policy.accounts
    key, _, what = name.partition(":")
    payout = _paid_payouts(evidence).get(key)
    if payout is not None and what == "":
        return {
            "amount_minor": payout["amount"],
            "currency_code": payout["currency"],
            "from_account_id": accounts.clearing.get(payout["currency"], ""),
            "to_account_id": accounts.bank.get(payout["links"]["creditor_bank_account"], ""),
        }
    if payout is not None and what == "foreign":
        row = evidence.state.payouts.get(key)
        ends = (accounts.suspense.get(payout["currency"], ""), accounts.clearing.get(payout["currency"], ""))
        source, target = ends if row is None or row.foreign_minor > 0 else ends[::-1]
        amount_minor = abs(row.foreign_minor) if row is not None else 0
        return {"amount_minor": amount_minor, "from_account_id": source, "to_account_id": target}
    booking = evidence.state.bookings.get(name.removesuffix(":suspense"))
    if booking is not None and name.endswith(":suspense"):
        happened = truth.happenings(evidence, "payments", "payment").get(booking.payment, [])
        if truth.confirmations(happened).taken_back >= booking.number:
            return {
                "amount_minor": booking.amount_minor,
                "from_account_id": accounts.clearing.get(booking.currency, ""),
                "to_account_id": accounts.suspense.get(booking.currency, ""),
            }
    return None


def _paid_payouts(evidence: Evidence) -> dict[str, Document]:
    """The payouts that were paid, also those that came back afterwards."""
    paid = [one for one in truth.resources(evidence, "payouts") if one["status"] in {"paid", "bounced"}]
    return truth.by_id(paid)


def expense_twice(evidence: Evidence) -> Iterator[Breach]:
    """One expense per payout: Zoho keeps the field unique."""
    for payout, made in truth.expenses(evidence).items():
        if len(made) > 1:
            ids = ", ".join(one["expense_id"] for one in made)
            words = f"one expense per payout; found {len(made)}: {ids}"
            yield Breach("expense_twice", evidence.connection, str(Ref("payouts", payout)), words)


def expense_unfounded(evidence: Evidence) -> Iterator[Breach]:
    """Each expense of ours stands for the fees of a payout that was paid, and is exactly of what GoCardless kept."""
    paid = _paid_payouts(evidence)
    for key, made in truth.expenses(evidence).items():
        for one in made:
            about = f"zoho expense {one['expense_id']}"
            if key not in paid:
                words = f"its key names payout {key}, which was not paid"
                yield Breach("expense_unfounded", evidence.connection, about, words)
            elif not excused(evidence, one["expense_id"], key):
                payout = paid[key]
                wanted: dict[str, object] = {
                    "total_minor": fee_minor(evidence, payout),
                    "currency_code": payout["currency"],
                    "paid_through_account_id": evidence.state.policy.accounts.clearing.get(payout["currency"], ""),
                }
                yield from _unlike(evidence, "expense_unfounded", about, one, wanted)


def expense_tax(evidence: Evidence) -> Iterator[Breach]:
    """The tax that Zoho works out of an expense is that of GoCardless's items, or the payout is told."""
    for key, made in truth.expenses(evidence).items():
        row = evidence.state.payouts.get(key)
        for one in made:
            if row is None or not row.posted or one["tax_minor"] == row.vat_minor or told(evidence, key):
                continue
            words = f"its items hold tax of {row.vat_minor} {row.currency}; Zoho has {one['tax_minor']}"
            yield Breach("expense_tax", evidence.connection, f"zoho expense {one['expense_id']}", words)


def fee_minor(evidence: Evidence, payout: Document) -> int:
    """What GoCardless kept of a payout: all items that are no fees, less its amount."""
    items = evidence.gocardless["resources"]["payout_items"].get(payout["id"], [])
    gross_tenths = sum(truth.tenths(item["amount"]) for item in items if not item["type"].endswith("_fee"))
    return gross_tenths // 10 - int(payout["amount"])
