"""Oracles of what is not finished: each open invoice, payment and payout is done, or moves at an instant to come, or
says what a person has to do.
"""

from collections.abc import Iterator
from typing import Final

from domain import invoices, refs, times, why
from domain.refs import Ref
from domain.state import Invoice
from streams.simulation.oracles import truth
from streams.simulation.oracles.breach import Breach
from streams.simulation.oracles.evidence import Document, Evidence
from streams.simulation.oracles.exempt import ELSEWHERE, changed_beside_us, excused, told

#: Days after its charge date by which a debit has ended. Lower: a debit over public holidays looks forgotten. Higher: a
#: lost confirmation is told later.
_BANK_DAYS: Final = 21

#: What is told of a debit that has ended, and of credit that was left over: neither says why money is not applied, or
#: why an invoice is held.
_OF_DEBITS: Final = frozenset({"debit_failed", "debit_reversed"})
_OF_CREDIT: Final = frozenset({"excess", "unapplied"})

_UNFINISHED: Final = frozenset({"waiting", "scheduled", "viewing", "collecting", "failed", "hold"})


def invoice_left(evidence: Evidence) -> Iterator[Breach]:
    """Each open invoice in Zoho is being collected, or its row says why not."""
    payments = truth.by_id(truth.resources(evidence, "payments"))
    since = truth.before(evidence, truth.lag_s(evidence))
    for document in evidence.zoho["invoices"]:
        key = document["invoice_id"]
        row = evidence.state.invoices.get(key)
        owing = document["status"] in invoices.OPEN and document["balance_minor"] > 0
        if not owing or row is None or changed_beside_us(evidence, key, document["customer_id"], since=since):
            continue
        words = _left(evidence, row, payments)
        if words:
            about = str(Ref("invoices", key))
            yield Breach("invoice_left", evidence.connection, about, f"{row.number} is {row.stage}: {words}")


def _left(evidence: Evidence, row: Invoice, payments: dict[str, Document]) -> str:
    """Why nobody would ever come back to an open invoice, "" where somebody will."""
    state = evidence.state
    early = truth.before(evidence, truth.GRACE_S)
    hindrance = invoices.obstacle(state, row)
    bookings = [one.id for one in state.bookings.values() if one.invoice == row.id]
    match row.stage:
        case "none":
            return "" if hindrance in {"gate_closed", "not_open"} else "nothing says why it is not collected"
        case "waiting":
            return "" if hindrance else f"it waits for {row.reason}, and nothing stands in its way"
        case "scheduled":
            timer = state.timers.get(refs.timer("debit", row.id))
            return "" if timer is not None and timer.at >= early else f"no due time to come; it was due at {row.due_at}"
        case "viewing":
            timer = state.timers.get(refs.timer("view", row.id))
            return "" if timer is not None and timer.at >= early else "its views are not asked for again"
        case "collecting":
            return _collecting(evidence, row, payments)
        case "collected":
            posted = any(
                one.document["invoices"] for one in truth.keyed_payments(evidence) if one.payment == row.payment
            )
            under_way = any(state.bookings[key].stage == "asked" for key in bookings)
            if under_way or told(evidence, row.id, row.payment, *bookings, besides=_OF_DEBITS):
                return ""
            return "the rest is never collected" if posted else "the money is not applied in Zoho, and nobody is told"
        case "failed" | "hold":
            day = times.local_day(row.since, state.own.time_zone)
            held = told(evidence, row.id, row.number, f"{day}:{row.currency}", besides=_OF_CREDIT)
            return "" if held else f"{row.reason}, and no open discrepancy names it"
    return ""


def _collecting(evidence: Evidence, row: Invoice, payments: dict[str, Document]) -> str:
    command = evidence.state.commands.get(row.command)
    document = payments.get(row.payment)
    if document is None:
        waits = command is not None and command.status == "open"
        return "" if waits else "its debit is not at GoCardless, and none is under way"
    if document["status"] in truth.LIVE:
        return ""
    happened = truth.happenings(evidence, "payments", "payment").get(row.payment, [])
    since = truth.before(evidence, truth.lag_s(evidence))
    if any(one in truth.LIVE for one in truth.payment_statuses(happened, since, evidence.now)):
        return ""  # it has ended a moment ago
    ended = max((one["created_at"] for one in happened), default=evidence.now)
    if row.reason == "gocardless_retries" and truth.minutes_apart(ended, evidence.now) <= _BANK_DAYS * 24 * 60:
        return ""
    return f"{row.payment} is {document['status']}, and nothing comes after it"


def payout_left(evidence: Evidence) -> Iterator[Breach]:
    """Each payout of ours that was paid is reconciled, or an open discrepancy names it; one that came back is named."""
    own = evidence.state.own.creditor
    happened = truth.happenings(evidence, "payouts", "payout")
    since = truth.before(evidence, truth.lag_s(evidence))
    items = evidence.gocardless["resources"]["payout_items"]
    for document in truth.resources(evidence, "payouts"):
        key, status = document["id"], document["status"]
        if document["links"]["creditor"] != own or status not in {"paid", "bounced"}:
            continue
        paid = [one["created_at"] for one in happened.get(key, []) if one["action"] == "paid"]
        row = evidence.state.payouts.get(key)
        done = row is not None and row.stage == "reconciled" and row.walk == "" and status == "paid"
        if done or any(at > since for at in paid):
            continue
        payments = [item["links"].get("payment", "") for item in items.get(key, [])]
        bookings = [one.id for one in evidence.state.bookings.values() if one.payment in payments]
        ids = (key, f"{key}:suspense", *([] if status == "bounced" else [*payments, *bookings]))
        if not told(evidence, *ids, besides=ELSEWHERE):
            stage = row.stage if row is not None else "not known to us"
            words = f"it is {status} at GoCardless and {stage} here; no open discrepancy names it"
            yield Breach("payout_left", evidence.connection, str(Ref("payouts", key)), words)


def posting_missing(evidence: Evidence) -> Iterator[Breach]:
    """Each confirmation stands in our ledger and in Zoho, and each reversal of one; or it is told."""
    happened = truth.happenings(evidence, "payments", "payment")
    since = truth.before(evidence, truth.lag_s(evidence))
    keys = {one.key for one in truth.keyed_payments(evidence)}
    refunded = truth.reversals(evidence)
    for document in truth.debits(evidence):
        key, events = document["id"], happened.get(document["id"], [])
        now = truth.confirmations([one for one in events if one["created_at"] <= since])
        row = evidence.state.payments.get(key)
        booked, unbooked = (row.booked, row.unbooked) if row is not None else (0, 0)
        names = (key, *(f"{key}:{number + 1}" for number in range(now.confirmed)))
        missing = []
        if booked < now.confirmed:
            missing.append(f"confirmed {now.confirmed} times, booked {booked} times")
        if unbooked < now.taken_back:
            missing.append(f"taken back {now.taken_back} times, undone {unbooked} times")
        for number in range(1, now.confirmed + 1):
            booking = evidence.state.bookings.get(f"{key}:{number}")
            value = f"{evidence.state.own.environment}:{key}:{number}"
            if booking is None or booking.stage == "opening":
                continue
            undone = number <= now.taken_back
            if value not in keys and not (undone and booking.stage == "reversed"):
                missing.append(f"confirmation {number} is not in Zoho")
            elif undone and value in keys and f"{key}:{number}" not in refunded and booking.stage != "suspense":
                missing.append(f"reversal {number} is not in Zoho")
        records = [evidence.state.bookings[one].zoho_payment for one in names if one in evidence.state.bookings]
        if missing and not told(evidence, *names, besides=ELSEWHERE) and not excused(evidence, *names, *records):
            words = f"{'; '.join(missing)}; and no open discrepancy names it"
            yield Breach("posting_missing", evidence.connection, str(Ref("payments", key)), words)


def todo_overdue(evidence: Evidence) -> Iterator[Breach]:
    """`why` never answers "to do: nothing" about what stands still, or should have moved by now."""
    state = evidence.state
    for row in state.invoices.values():
        if row.stage in _UNFINISHED and invoices.collectable(row):
            answer = why.invoice(state, row.id)
            if answer is not None and not answer.todo and _overdue(evidence, row, answer.until):
                words = f"{answer.state} To do: nothing. Until: {answer.until or 'it does not say'}"
                yield Breach("todo_overdue", evidence.connection, answer.about, words)
    for payout in state.payouts.values():
        if payout.paid_at and payout.paid_at < truth.before(evidence, truth.lag_s(evidence)):
            answer = why.payout(state, payout.id)
            finished = payout.stage == "reconciled"
            if answer is not None and not answer.todo and not finished and not _to_come(evidence, answer.until):
                words = f"{answer.state} To do: nothing. Until: {answer.until or 'it does not say'}"
                yield Breach("todo_overdue", evidence.connection, answer.about, words)


def _overdue(evidence: Evidence, row: Invoice, until: str) -> bool:
    if row.since > truth.before(evidence, truth.GRACE_S):
        return False
    if row.stage == "collecting":
        command = evidence.state.commands.get(row.command)
        if not until:
            return command is None or command.status != "open"
        return times.add_days(until[:10], _BANK_DAYS) < evidence.now[:10]
    if row.stage == "waiting":
        answer = why.contact(evidence.state, row.contact)
        contact = evidence.state.contacts.get(row.contact)
        coming = contact is not None and any(
            one.payer == contact.payer and one.status == "pending_customer_approval"
            for one in evidence.state.mandates.values()
            if contact.payer
        )
        if coming or (answer is not None and (answer.todo or _to_come(evidence, answer.until))):
            return False
    return not _to_come(evidence, until)


def _to_come(evidence: Evidence, until: str) -> bool:
    return bool(until) and until >= truth.before(evidence, truth.GRACE_S)
