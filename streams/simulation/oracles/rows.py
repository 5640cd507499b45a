"""Oracles of our rows beside the simulators: nothing is remembered that is not there, and nothing that is there is
missed or remembered otherwise.
"""

from collections.abc import Iterator
from typing import Final

from domain.invoices import OPEN
from domain.refs import Ref
from streams.simulation.oracles import truth
from streams.simulation.oracles.breach import Breach
from streams.simulation.oracles.evidence import Document, Evidence
from streams.simulation.oracles.exempt import changed_beside_us, excused

#: Fields of a row that are ids of records in Zoho → the list of the simulator's state that they are in, and its id.
_IN_ZOHO: Final = {
    ("bookings", "zoho_payment"): ("payments", "payment_id"),
    ("bookings", "refund"): ("refunds", "payment_refund_id"),
    ("payouts", "transfer"): ("banktransactions", "transaction_id"),
    ("payouts", "suspense_transfer"): ("banktransactions", "transaction_id"),
    ("payouts", "expense"): ("expenses", "expense_id"),
}

#: Kinds of rows that stand for a resource → the API, its list, and its id.
_RESOURCES: Final = {
    "mandates": ("gocardless", "mandates", "id"),
    "payers": ("gocardless", "customers", "id"),
    "billing_requests": ("gocardless", "billing_requests", "id"),
    "payments": ("gocardless", "payments", "id"),
    "payouts": ("gocardless", "payouts", "id"),
    "invoices": ("zoho", "invoices", "invoice_id"),
    "contacts": ("zoho", "contacts", "contact_id"),
}


def _documents(evidence: Evidence, api: str, name: str, key: str) -> dict[str, Document]:
    held = truth.resources(evidence, name) if api == "gocardless" else evidence.zoho[name]
    return truth.by_id(held, key)


def unknown_resource(evidence: Evidence) -> Iterator[Breach]:
    """What a row stands for exists. A record that a person deleted must be told; an invoice or payer that is gone may
    be remembered as such.
    """
    removed = evidence.gocardless["removed_customers"]
    for kind, (api, name, key) in _RESOURCES.items():
        documents = _documents(evidence, api, name, key)
        for row in evidence.state.mapping(kind).values():
            gone = row.id in removed or getattr(row, "status", "") == "deleted" or changed_beside_us(evidence, row.id)
            placeholder = kind == "contacts" and not row.last_modified
            foreign = kind == "payments" and row.claim == "foreign"
            if row.id not in documents and not (gone or placeholder or foreign):
                yield Breach("unknown_resource", evidence.connection, f"{kind}:{row.id}", f"{api} has no such {name}")
    for (kind, field), (name, key) in _IN_ZOHO.items():
        documents = _documents(evidence, "zoho", name, key)
        for row in evidence.state.mapping(kind).values():
            resource = getattr(row, field)
            if resource and resource not in documents and not excused(evidence, resource, row.id, _payment(row)):
                words = f"its {field} {resource} is not in Zoho"
                yield Breach("unknown_resource", evidence.connection, f"{kind}:{row.id}", words)


def _payment(row: object) -> str:
    return str(getattr(row, "payment", ""))


def unseen_resource(evidence: Evidence) -> Iterator[Breach]:
    """What has been there for long enough has a row: debits of ours, mandates, payers, contacts and invoices."""
    since = truth.before(evidence, truth.lag_s(evidence))
    day = truth.before(evidence, 2 * max(evidence.settings.polling.gocardless_customers_s, 86_400))
    own = evidence.state.own.creditor
    looked = (
        ("payments", truth.debits(evidence), "id", since),
        ("mandates", truth.resources(evidence, "mandates"), "id", day),
        ("payers", truth.resources(evidence, "customers"), "id", day),
        ("contacts", [one for one in evidence.zoho["contacts"] if one["contact_type"] == "customer"], "contact_id", ""),
        ("invoices", [one for one in evidence.zoho["invoices"] if one["status"] != "draft"], "invoice_id", ""),
    )
    for kind, documents, key, limit in looked:
        rows = evidence.state.mapping(kind)
        for document in documents:
            other = own and document.get("links", {}).get("creditor", own) != own
            recent = limit and document["created_at"] > limit
            if document[key] in rows or other or recent or changed_beside_us(evidence, document[key], since=since):
                continue
            if kind == "payers" and document["id"] in evidence.gocardless["removed_customers"]:
                continue
            if kind == "invoices" and document["date"] >= since[:10]:
                continue
            yield Breach("unseen_resource", evidence.connection, f"{kind}:{document[key]}", "it has no row")


def stale_row(evidence: Evidence) -> Iterator[Breach]:
    """What a row says is so, or was within the time in which a change becomes known."""
    since = truth.before(evidence, truth.lag_s(evidence))
    yield from _stale_invoices(evidence, since)
    payments = truth.happenings(evidence, "payments", "payment")
    for document in truth.debits(evidence):
        row = evidence.state.payments.get(document["id"])
        statuses = truth.payment_statuses(payments.get(document["id"], []), since, evidence.now)
        if row is None:
            continue
        if row.status not in {*statuses, document["status"]}:
            yield _stale(evidence, str(Ref("payments", row.id)), "status", document["status"], row.status)
        facts = {"amount_minor": document["amount"], "currency": document["currency"]}
        for name, value in facts.items():
            if row.read and getattr(row, name) != value:
                yield _stale(evidence, str(Ref("payments", row.id)), name, value, getattr(row, name))
    mandates = truth.happenings(evidence, "mandates", "mandate")
    for document in truth.resources(evidence, "mandates"):
        mandate = evidence.state.mandates.get(document["id"])
        statuses = truth.mandate_statuses(mandates.get(document["id"], []), since, evidence.now)
        if mandate is not None and mandate.status not in {*statuses, document["status"]}:
            yield _stale(evidence, str(Ref("mandates", document["id"])), "status", document["status"], mandate.status)


def _stale_invoices(evidence: Evidence, since: str) -> Iterator[Breach]:
    seen = {}
    for document in evidence.zoho["invoices"]:
        seen[document["invoice_id"]] = document
        row = evidence.state.invoices.get(document["invoice_id"])
        if row is None or changed_beside_us(evidence, row.id, *document["payment_ids"], since=since):
            continue
        facts = {
            "contact": (document["customer_id"], row.contact),
            "balance_minor": (document["balance_minor"], row.balance_minor),
            "currency": (document["currency_code"], row.currency),
            "status": (_standing(document["status"]), _standing(row.status)),
        }
        for name, (wanted, found) in facts.items():
            if wanted != found:
                yield _stale(evidence, str(Ref("invoices", row.id)), name, wanted, found)
    for row in evidence.state.invoices.values():
        if row.id not in seen and row.status != "deleted" and not changed_beside_us(evidence, row.id, since=since):
            yield _stale(evidence, str(Ref("invoices", row.id)), "status", "deleted", row.status)


def _standing(status: str) -> str:
    """Zoho's words for "sent, and owing" are one: "overdue" comes with the calendar."""
    return "open" if status in OPEN else status


def _stale(evidence: Evidence, about: str, name: str, wanted: object, found: object) -> Breach:
    return Breach("stale_row", evidence.connection, about, f"its {name} is {wanted}; our row says {found}")
