"""Oracles of debits beside our rows and decisions: what was asked for is what was made, of the right payer."""

from collections.abc import Iterator
from typing import Final

from domain import commands, events
from domain.envelope import Event
from domain.invoices import OPEN
from domain.refs import Ref
from streams.simulation.oracles import truth
from streams.simulation.oracles.breach import Breach
from streams.simulation.oracles.evidence import Document, Evidence
from streams.simulation.oracles.exempt import changed_beside_us

_SHOWN: Final = frozenset({"zoho.invoice_seen", "zoho.invoice_read", "zoho.invoice_notified"})


def debit_without_command(evidence: Evidence) -> Iterator[Breach]:
    """Each debit that names a command of ours was asked for by it. After a restore, what the lost part of the log had
    asked for is not known any more: it is looked at by `unseen_resource`.
    """
    restored = max((act.at for act in evidence.acts if act.name == "installation.restore"), default="")
    for one in truth.debits(evidence):
        row = evidence.state.commands.get(one["metadata"]["command"])
        invoice = one["metadata"]["zoho_invoice_id"]
        about = str(Ref("payments", one["id"]))
        if row is None:
            if one["created_at"] >= restored:
                words = f"its command {one['metadata']['command']} is not in the store"
                yield Breach("debit_without_command", evidence.connection, about, words)
        elif (row.type, row.about) != ("gocardless.create_payment", str(Ref("invoices", invoice))):
            words = f"it collects invoice {invoice}; its command is {row.type} about {row.about}"
            yield Breach("debit_without_command", evidence.connection, about, words)


def debit_amount(evidence: Evidence) -> Iterator[Breach]:
    """Whole minor units above zero, of exactly the amount and currency that were asked for, in the invoice's
    currency.
    """
    invoices = truth.by_id(evidence.zoho["invoices"], "invoice_id")
    for one in truth.debits(evidence):
        row = evidence.state.commands.get(one["metadata"]["command"])
        invoice = invoices.get(one["metadata"]["zoho_invoice_id"])
        found = (one["amount"], one["currency"])
        about = str(Ref("payments", one["id"]))
        if not isinstance(one["amount"], int) or one["amount"] <= 0:
            words = f"an amount is whole minor units above zero; found {one['amount']}"
            yield Breach("debit_amount", evidence.connection, about, words)
        elif row is not None and found != (row.amount_minor, row.currency):
            words = f"{row.amount_minor} {row.currency} was asked for; found {one['amount']} {one['currency']}"
            yield Breach("debit_amount", evidence.connection, about, words)
        elif invoice is not None and invoice["currency_code"] != one["currency"]:
            words = f"{invoice['invoice_number']} is in {invoice['currency_code']}; found {one['currency']}"
            yield Breach("debit_amount", evidence.connection, about, words)


def debit_mandate(evidence: Evidence) -> Iterator[Breach]:
    """Each is on a mandate of the payer that is linked to the invoice's contact, in the mandate's own currency."""
    mandates = truth.by_id(truth.resources(evidence, "mandates"))
    payers = truth.by_id(truth.resources(evidence, "customers"))
    accounts = truth.by_id(truth.resources(evidence, "customer_bank_accounts"))
    invoices = truth.by_id(evidence.zoho["invoices"], "invoice_id")
    for one in truth.debits(evidence):
        mandate = mandates.get(one["links"]["mandate"])
        invoice = invoices.get(one["metadata"]["zoho_invoice_id"])
        if mandate is None or invoice is None:
            continue
        payer, contact = mandate["links"]["customer"], invoice["customer_id"]
        if changed_beside_us(evidence, invoice["invoice_id"], contact, payer, mandate["id"], since=one["created_at"]):
            continue  # who was whose then cannot be told from what is now
        for words in _mismatches(evidence, payer, contact, payers.get(payer)):
            yield Breach("debit_mandate", evidence.connection, str(Ref("payments", one["id"])), words)
        account = accounts.get(mandate["links"]["customer_bank_account"])
        if account is not None and account["currency"] != one["currency"]:
            words = f"it is in {one['currency']}; mandate {mandate['id']} is on an account in {account['currency']}"
            yield Breach("debit_mandate", evidence.connection, str(Ref("payments", one["id"])), words)


def _mismatches(evidence: Evidence, payer: str, contact: str, held: Document | None) -> Iterator[str]:
    row = evidence.state.contacts.get(contact)
    linked = row.payer if row is not None else ""
    if linked != payer:
        yield f"its mandate is of payer {payer}; contact {contact} is linked to {linked or 'none'}"
    claimed = held["metadata"].get("zoho_contact_id", "") if held is not None else ""
    if claimed not in {"", contact} and (row is None or row.match_by != "operator"):
        yield f"its payer {payer} names contact {claimed}; the invoice is of contact {contact}"


def debit_decided(evidence: Evidence) -> Iterator[Breach]:
    """When a debit was decided, the newest that we had been shown of its invoice was: sent, and owing at least that
    much in that currency.
    """
    if evidence.events is None or evidence.decisions is None:
        return
    asked: dict[int, list[commands.Command]] = {}
    for offset, decision in evidence.decisions():
        found = [one for one in decision.commands if isinstance(one.data, commands.CreatePayment)]
        if found:
            asked[offset] = found
    shown: dict[str, events.InvoiceFacts] = {}
    for offset, event in evidence.events():
        _show(shown, event)
        for command in asked.get(offset, []):
            words = _objection(shown, command)
            if words:
                yield Breach("debit_uncollectable", evidence.connection, command.about, f"{words}: {command.id}")


def _show(shown: dict[str, events.InvoiceFacts], event: Event) -> None:
    data = event.data
    if event.type in _SHOWN and isinstance(data, events.InvoiceFacts):
        held = shown.get(data.id)
        if held is None or data.last_modified >= held.last_modified:
            shown[data.id] = data
    elif isinstance(data, events.InvoiceGone):
        shown.pop(data.id, None)


def _objection(shown: dict[str, events.InvoiceFacts], command: commands.Command) -> str:
    debit = command.data
    assert isinstance(debit, commands.CreatePayment), "only debits are gathered"
    invoice = shown.get(debit.invoice)
    if invoice is None:
        return "a debit was decided of an invoice that had not been shown, or was gone"
    if invoice.status not in OPEN:
        return f"a debit was decided of an invoice that was {invoice.status}"
    if invoice.currency != debit.currency or not 0 < debit.amount_minor <= invoice.balance_minor:
        owing = f"{invoice.balance_minor} {invoice.currency}"
        return f"a debit of {debit.amount_minor} {debit.currency} was decided where {owing} was owing"
    return ""
