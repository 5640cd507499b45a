"""What a person does in the books beside the program (`POST /_sandbox/zoho/edit`): {"action": ..., ...}.

The same rules hold as for the API; the webhooks go out as for any change. Records are named by id, invoices also by
`invoice_number`. `body` is what the API's own call would take.

    create_invoice body, sent           edit_invoice changes      send_invoice        void_invoice
    write_off_invoice                   delete_invoice            credit_invoice amount
    in_process amount (a native gateway is collecting)            not_in_process
    record_payment body or amount       edit_payment changes      delete_payment      refund_payment body
    match_payment, unmatch_payment, match_transaction, unmatch_transaction
    create_contact body                 edit_contact changes      delete_contact
    create_expense body                 edit_expense changes      delete_expense
    create_transaction body             delete_transaction
"""

from collections.abc import Callable, Mapping
from typing import Any

from sandbox.zoho import banking, contacts, creditnotes, expenses, invoices, payments, voiding
from sandbox.zoho.books import Books, found
from sandbox.zoho.money import major
from sandbox.zoho.records import BankTransaction, Contact, Expense, Invoice, Payment, Record

Document = Mapping[str, Any]


class Person:
    """A person at the books. Each act gives the record it made or changed."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._acts = 0
        self.actions: dict[str, Callable[[Document], Record]] = {
            "create_invoice": self._create_invoice,
            "edit_invoice": lambda d: invoices.update(self._books, self._invoice(d), d["changes"]),
            "send_invoice": self._on_invoice(lambda invoice: invoices.mark_sent(self._books, invoice)),
            "void_invoice": self._on_invoice(lambda invoice: voiding.void(self._books, invoice)),
            "write_off_invoice": self._on_invoice(lambda invoice: invoices.write_off(self._books, invoice)),
            "delete_invoice": self._on_invoice(lambda invoice: invoices.delete(self._books, invoice)),
            "credit_invoice": self._credit,
            "in_process": self._in_process,
            "not_in_process": self._not_in_process,
            "record_payment": self._record_payment,
            "edit_payment": lambda d: payments.update(self._books, self._payment(d), d["changes"]),
            "delete_payment": self._delete_payment,
            "refund_payment": self._refund_payment,
            "match_payment": lambda d: self._match(self._payment(d), matched=True),
            "unmatch_payment": lambda d: self._match(self._payment(d), matched=False),
            "match_transaction": lambda d: self._match(self._transaction(d), matched=True),
            "unmatch_transaction": lambda d: self._match(self._transaction(d), matched=False),
            "create_contact": lambda d: contacts.create(self._books, d["body"], self._cause("contact"), "user"),
            "edit_contact": lambda d: contacts.update(self._books, self._contact(d), d["changes"]),
            "delete_contact": self._delete_contact,
            "create_expense": lambda d: expenses.create(self._books, d["body"], self._cause("expense")),
            "edit_expense": lambda d: expenses.update(self._books, self._expense(d), d["changes"]),
            "delete_expense": self._delete_expense,
            "create_transaction": lambda d: banking.create(self._books, d["body"], self._cause("transaction")),
            "delete_transaction": self._delete_transaction,
        }

    def act(self, document: Document) -> Record:
        """Does what the document says. Raises ApiError for what the books refuse, KeyError for an unknown action."""
        return self.actions[document["action"]](document)

    def _cause(self, what: str) -> str:
        self._acts += 1
        return f"person {what} {self._acts}"

    def _invoice(self, document: Document) -> Invoice:
        invoice_id = document.get("invoice_id")
        if invoice_id is None:
            invoice_id = self._books.invoices_by_number.get(document["invoice_number"], "")
        return found(self._books.invoices, invoice_id, "Invoice")

    def _payment(self, document: Document) -> Payment:
        return found(self._books.payments, document["payment_id"], "Payment")

    def _transaction(self, document: Document) -> BankTransaction:
        return found(self._books.banktransactions, document["transaction_id"], "Transaction")

    def _contact(self, document: Document) -> Contact:
        return self._books.contact(document["contact_id"], "Contact")

    def _expense(self, document: Document) -> Expense:
        return found(self._books.expenses, document["expense_id"], "Expense")

    def _on_invoice(self, act: Callable[[Invoice], object]) -> Callable[[Document], Record]:
        def done(document: Document) -> Record:
            invoice = self._invoice(document)
            act(invoice)
            return invoice

        return done

    def _create_invoice(self, document: Document) -> Record:
        made = invoices.create(self._books, document["body"], self._cause("invoice"), source="User")
        if document.get("sent", True):
            invoices.mark_sent(self._books, made)
        return made

    def _record_payment(self, document: Document) -> Record:
        """A receipt booked by hand; with an invoice and no body, the amount named or the whole balance of it."""
        body = document.get("body")
        if body is None:
            invoice = self._invoice(document)
            amount = document.get("amount") or major(invoice.balance_minor, self._books.precision(invoice.currency))
            body = {
                "customer_id": invoice.contact.id,
                "payment_mode": document.get("payment_mode", "banktransfer"),
                "amount": str(amount),
                "date": document.get("date", self._books.today().isoformat()),
                "reference_number": document.get("reference_number", ""),
                "account_id": document.get("account_id", ""),
                "invoices": [{"invoice_id": invoice.id, "amount_applied": str(amount)}],
            }
        return payments.create(self._books, body, self._cause("payment"))

    def _delete_payment(self, document: Document) -> Record:
        payment = self._payment(document)
        payments.delete(self._books, payment)
        return payment

    def _refund_payment(self, document: Document) -> Record:
        return payments.refund(self._books, self._payment(document), document["body"], self._cause("refund"))

    def _credit(self, document: Document) -> Record:
        """A credit note over an amount, put on the invoice as far as it is open."""
        invoice = self._invoice(document)
        body = {
            "customer_id": invoice.contact.id,
            "currency_code": invoice.currency,
            "exchange_rate": str(invoice.rate),
            "line_items": [{"name": "Credit", "rate": str(document["amount"])}],
        }
        note = creditnotes.create(self._books, body, self._cause("creditnote"))
        usable = min(note.balance_minor, invoice.balance_minor)
        if usable and document.get("apply", True):
            creditnotes.apply(self._books, note, [(invoice, usable)])
        return note

    def _in_process(self, document: Document) -> Record:
        """Another gateway says it is collecting the invoice; no time moves."""
        invoice = self._invoice(document)
        amount = document.get("amount") or major(invoice.balance_minor, self._books.precision(invoice.currency))
        invoice.in_process = [{"payment_gateway": document.get("gateway", "stripe"), "amount": str(amount)}]
        return invoice

    def _not_in_process(self, document: Document) -> Record:
        invoice = self._invoice(document)
        invoice.in_process = []
        return invoice

    def _match(self, held: Payment | BankTransaction, *, matched: bool) -> Record:
        """Matches with an imported bank line, or undoes it; no time moves."""
        line_id = self._books.part_id("imported", held.id)
        day = held.date.isoformat()
        held.matched = [{"imported_transaction_id": line_id, "date": day, "status": "matched"}] if matched else []
        return held

    def _delete_contact(self, document: Document) -> Record:
        contact = self._contact(document)
        contacts.delete(self._books, contact)
        return contact

    def _delete_expense(self, document: Document) -> Record:
        expense = self._expense(document)
        expenses.delete(self._books, expense)
        return expense

    def _delete_transaction(self, document: Document) -> Record:
        transaction = self._transaction(document)
        banking.delete(self._books, transaction)
        return transaction
