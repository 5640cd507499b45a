"""The simulators' truth, as oracles ask for it. What happened at GoCardless when is told by its own events."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from domain import times
from domain.mandates import STATUS
from domain.payments import ACTIONS
from streams.simulation.oracles.evidence import Document, Evidence

#: A payment in one of these states may bring money, or has.
LIVE: Final = frozenset({"pending_customer_approval", "pending_submission", "submitted", "confirmed", "paid_out"})

#: Live, and its money has not come yet.
UNDER_WAY: Final = LIVE - {"confirmed", "paid_out"}

#: Seconds after which what was due may be called late. Lower: what is being done right now looks forgotten. Higher:
#: something that stands still is told that much later.
GRACE_S: Final = 3600

Happenings = list[Document]


def resources(evidence: Evidence, name: str) -> list[Document]:
    """All resources of one kind at GoCardless."""
    found: list[Document] = evidence.gocardless["resources"][name]
    return found


def by_id(documents: list[Document], key: str = "id") -> dict[str, Document]:
    """Documents by their id."""
    return {document[key]: document for document in documents}


def debits(evidence: Evidence) -> list[Document]:
    """The payments at GoCardless that our commands made: their metadata says so."""
    return [one for one in resources(evidence, "payments") if {"command", "zoho_invoice_id"} <= one["metadata"].keys()]


def debits_by_invoice(evidence: Evidence) -> dict[str, list[Document]]:
    """Those, by the invoice that they collect, oldest first."""
    found: dict[str, list[Document]] = {}
    for one in sorted(debits(evidence), key=lambda one: one["created_at"]):
        found.setdefault(one["metadata"]["zoho_invoice_id"], []).append(one)
    return found


def happenings(evidence: Evidence, resource_type: str, link: str) -> dict[str, Happenings]:
    """The events of each resource of a kind, in their order, by its id; `link` names it in an event's links."""
    found: dict[str, Happenings] = {}
    for event in sorted(resources(evidence, "events"), key=lambda event: event["created_at"]):
        if event["resource_type"] == resource_type and link in event["links"]:
            found.setdefault(event["links"][link], []).append(event)
    return found


def payment_statuses(events: Happenings, start: str, end: str) -> list[str]:
    """Every status that a payment had from `start` to `end` (instants)."""
    return _statuses(events, {action: status for action, (_, status) in ACTIONS.items()}, start, end)


def mandate_statuses(events: Happenings, start: str, end: str) -> list[str]:
    """Every status that a mandate had from `start` to `end` (instants)."""
    return _statuses(events, STATUS, start, end)


def _statuses(events: Happenings, meaning: dict[str, str], start: str, end: str) -> list[str]:
    first, last = times.parse(start), times.parse(end)
    status = ""
    found: list[str] = []
    for event in events:
        at = times.parse(event["created_at"])
        if at > last:
            break
        if at > first and status and not found:
            found.append(status)
        status = meaning.get(event["action"], "") or status
        if at > first:
            found.append(status)
    return found or [status]


class ConfirmationCount(NamedTuple):
    """How often a payment was confirmed, and how often that was taken back."""

    confirmed: int
    taken_back: int


def confirmations(events: Happenings) -> ConfirmationCount:
    """From the events of a payment. A payment that is paid out has been confirmed before."""
    confirmed = taken_back = 0
    for event in events:
        if event["action"] in {"confirmed", "chargeback_cancelled"} and confirmed == taken_back:
            confirmed += 1
        elif event["action"] in {"failed", "charged_back", "cancelled"} and confirmed > taken_back:
            taken_back += 1
    return ConfirmationCount(confirmed, taken_back)


def tenths(text: str) -> int:
    """A payout item's amount, exactly: "-438.7" is -4387."""
    whole, _, rest = text.partition(".")
    return int(whole + (rest or "0")[:1])


class KeyedPayment(NamedTuple):
    """A customer payment in Zoho with a key of ours: GoCardless's payment, and which of its confirmations."""

    document: Document
    key: str
    payment: str
    number: int


def keyed_payments(evidence: Evidence) -> Iterator[KeyedPayment]:
    """Zoho's customer payments that carry a key of ours; `number` 0 where the key is of no form that we write."""
    field = evidence.state.policy.unique_field
    for document in evidence.zoho["payments"]:
        key = document["custom_fields"].get(field, "")
        if key:
            _, payment, number = (*key.split(":"), "", "")[:3]
            yield KeyedPayment(document, key, payment, int(number) if number.isdecimal() else 0)


def marker(transaction: Document) -> str:
    """Our marker in a transaction's description, "" where there is none: "GoCardless payout [PO…]" has "PO…"."""
    description = transaction["description"]
    return description.rpartition("[")[2][:-1] if description.endswith("]") and "[" in description else ""


def transfers(evidence: Evidence) -> dict[str, list[Document]]:
    """Zoho's transactions that carry a marker of ours, by marker."""
    found: dict[str, list[Document]] = {}
    for one in evidence.zoho["banktransactions"]:
        if name := marker(one):
            found.setdefault(name, []).append(one)
    return found


def reversals(evidence: Evidence) -> dict[str, list[Document]]:
    """Zoho's refunds that carry a reference of ours ("PM…:1:reversal"), by the booking's id."""
    found: dict[str, list[Document]] = {}
    for one in evidence.zoho["refunds"]:
        booking, _, end = one["reference_number"].rpartition(":")
        if end == "reversal":
            found.setdefault(booking, []).append(one)
    return found


def expenses(evidence: Evidence) -> dict[str, list[Document]]:
    """Zoho's expenses that carry a key of ours, by the payout's id."""
    field = evidence.state.policy.unique_field
    found: dict[str, list[Document]] = {}
    for one in evidence.zoho["expenses"]:
        if key := one["custom_fields"].get(field, ""):
            found.setdefault(key.rpartition(":")[2], []).append(one)
    return found


def lag_s(evidence: Evidence) -> int:
    """How old, in seconds, a change may be that we do not know of: each list is walked within twice its interval."""
    polling = evidence.settings.polling
    return 2 * max(polling.gocardless_events_s, polling.zoho_invoices_s) + GRACE_S


def before(evidence: Evidence, seconds: int) -> str:
    """The instant so many seconds ago."""
    return times.add_seconds(evidence.now, -seconds)


def minutes_apart(earlier: str, later: str) -> float:
    """Minutes from one instant to another."""
    return (times.parse(later) - times.parse(earlier)).total_seconds() / 60
