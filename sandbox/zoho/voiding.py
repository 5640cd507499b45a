"""Voiding an invoice: it touches payments and credit notes, which know invoices, so it stands beside all three."""

from sandbox.zoho import creditnotes, invoices, payments
from sandbox.zoho.books import Books
from sandbox.zoho.records import Invoice


def void(books: Books, invoice: Invoice) -> None:
    """Releases payments and credits, which become the customer's credits; total and balance keep the full amount
    (reference 3.3).
    """
    if invoice.state == "void":
        return
    books.refuse_locked(invoice.date, *(application.payment.date for application in invoice.payments.values()))
    for application in list(invoice.payments.values()):
        payments.detach(books, application)
    for use in list(invoice.credits.values()):
        creditnotes.detach(books, use)
    invoice.write_off_minor, invoice.write_off_date = 0, None
    invoices.move(books, invoice, "void")
