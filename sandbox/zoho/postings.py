"""What each record books in the ledger (reference 3.12). Posting again replaces the earlier entry of the record."""

from sandbox.zoho.books import Books
from sandbox.zoho.ledger import Leg
from sandbox.zoho.records import CreditNote, CreditUse, Invoice, Payment, Refund, Sale


def post_invoice(books: Books, invoice: Invoice) -> None:
    """Receivable against income, tax, shipping and other charges."""
    legs = _sale_legs(books, invoice, 1)
    for key, amount in (("shipping_charge", invoice.shipping_minor), ("other_charges", invoice.adjustment_minor)):
        if amount:
            legs.append(books.leg(books.ledger.system(key).id, invoice.currency, -amount, invoice.rate))
    books.post("invoice", invoice.id, legs, when=invoice.date, reference=invoice.number, contact=invoice.contact)


def post_write_off(books: Books, invoice: Invoice) -> None:
    """Bad Debt against receivable, on the day of the write-off."""
    entry_id = f"{invoice.id}/writeoff"
    if not invoice.write_off_date:
        books.ledger.erase(entry_id)
        return
    legs = [
        books.leg(books.ledger.system(key).id, invoice.currency, sign * invoice.write_off_minor, invoice.rate)
        for key, sign in (("bad_debt", 1), ("accounts_receivable", -1))
    ]
    books.post(
        "invoice_writeoff",
        entry_id,
        legs,
        when=invoice.write_off_date,
        reference=invoice.number,
        contact=invoice.contact,
    )


def post_creditnote(books: Books, note: CreditNote) -> None:
    """The reverse of an invoice's entry."""
    books.post(
        "creditnote",
        note.id,
        _sale_legs(books, note, -1),
        when=note.date,
        reference=note.number,
        contact=note.contact,
    )


def post_credit_use(books: Books, use: CreditUse) -> None:
    """Only a difference of rates between note and invoice is booked: both sides are receivable."""
    receivable = books.ledger.system("accounts_receivable").id
    legs = [
        books.leg(receivable, use.note.currency, use.amount_minor, use.note.rate),
        books.leg(receivable, use.note.currency, -use.amount_minor, use.invoice.rate),
    ]
    books.post("creditnote_applied", use.id, legs, when=use.date, reference=use.note.number, contact=use.note.contact)


def post_payment(books: Books, payment: Payment) -> None:
    """Deposit and fees against receivable at each invoice's rate; the unused part at the payment's own."""
    gross_unused_minor = payment.amount_minor - sum(a.amount_minor for a in payment.applied)
    system = books.ledger.system
    currency, receivable = payment.currency, system("accounts_receivable").id
    legs = [books.leg(payment.account_id, currency, payment.amount_minor - payment.bank_charges_minor, payment.rate)]
    if payment.bank_charges_minor:
        legs.append(books.leg(system("bank_fees").id, currency, payment.bank_charges_minor, payment.rate))
    for application in payment.applied:
        at = application.invoice.rate
        legs.append(books.leg(receivable, currency, -application.settles_minor, at))
        for key, amount in (("tax_withheld", application.withheld_minor), ("discount", application.discount_minor)):
            if amount:
                legs.append(books.leg(system(key).id, currency, amount, at))
    if gross_unused_minor:
        legs.append(books.leg(receivable, currency, -gross_unused_minor, payment.rate))
    books.post(
        "customer_payment", payment.id, legs, when=payment.date, reference=payment.reference, contact=payment.contact
    )


def post_refund(books: Books, made: Refund) -> None:
    """Advance, at the payment's rate, against the account that paid, at the refund's."""
    payment = made.payment
    legs = [
        books.leg(books.ledger.system("accounts_receivable").id, payment.currency, made.amount_minor, payment.rate),
        books.leg(made.account_id, payment.currency, -made.amount_minor, made.rate),
    ]
    books.post("payment_refund", made.id, legs, when=made.date, reference=made.reference, contact=payment.contact)


def _sale_legs(books: Books, sale: Sale, sign: int) -> list[Leg]:
    """Receivable against income and output tax; `sign` -1 turns an invoice into a credit note."""
    system = books.ledger.system
    legs = [books.leg(system("accounts_receivable").id, sale.currency, sign * sale.total_minor, sale.rate)]
    for line in sale.lines:
        net = line.total_minor - (line.tax_minor if sale.inclusive else 0)
        legs.append(books.leg(line.account_id, sale.currency, -sign * net, sale.rate))
    if sale.tax_minor:
        legs.append(books.leg(system("output_tax").id, sale.currency, -sign * sale.tax_minor, sale.rate))
    return legs
