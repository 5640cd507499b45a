"""Credit notes (reference 3.5): opened, applied to invoices, refunded, voided. Made by the API they are open at
once.
"""

from collections.abc import Sequence

from sandbox.zoho import contacts, invoices
from sandbox.zoho.books import Books
from sandbox.zoho.errors import AMOUNT_OVER_BALANCE, IN_USE, NOT_ENOUGH_UNUSED, MissingError, RefusedError, TakenError
from sandbox.zoho.payments import deposit_account
from sandbox.zoho.postings import post_credit_use, post_creditnote
from sandbox.zoho.records import CreditNote, CreditRefund, CreditUse, Invoice
from sandbox.zoho.values import NOTES_MAX, REFERENCE_MAX, Body, day, flag, needed_text, positive_minor, text

MODULE = "creditnote"


def create(books: Books, body: Body, cause: str) -> CreditNote:
    contact = contacts.customer(books, body)
    when = day(body, "date", books.today())
    books.refuse_locked(when)
    custom = books.custom_values(MODULE, body)
    books.refuse_duplicates(MODULE, custom)
    currency = books.currency_of(body, contact.currency)
    number = text(body, "creditnote_number") or books.next_number(MODULE, "CN-", 5)
    if any(note.number == number for note in books.creditnotes.rows.values()):
        raise TakenError(f"The credit note {number}")
    inclusive = flag(body, "is_inclusive_tax")
    note_id = books.ids.new(MODULE, cause)
    lines = invoices.read_lines(books, body, note_id, currency, inclusive=inclusive)
    if not lines:
        raise MissingError("line_items")
    now = books.now()
    note = CreditNote(
        id=note_id,
        created_at=now,
        modified_at=now,
        number=number,
        reference=text(body, "reference_number", limit=REFERENCE_MAX),
        contact=contact,
        date=when,
        currency=currency,
        rate=books.rate_of(body, currency, books.rate_on(currency, when)),
        inclusive=inclusive,
        lines=lines,
        sub_total_minor=0,
        tax_minor=0,
        total_minor=0,
        state="draft" if flag(body, "is_draft") else "open",
        issued=None if flag(body, "is_draft") else books.today(),
        notes=text(body, "notes", limit=NOTES_MAX),
        terms=text(body, "terms", limit=10_000),
    )
    invoices.total_up(note)
    books.writing(books.creditnotes, note_id)
    books.creditnotes.add(note)
    books.set_custom(MODULE, note, custom)
    contact.transactions += 1
    settle(books, note)
    books.announce(MODULE, "created", note)
    return note


def set_state(books: Books, note: CreditNote, state: str) -> None:
    """draft, open or void; refused while credits are used or refunded."""
    if note.uses or note.refunds:
        raise RefusedError(IN_USE, "A credit note in use stays as it is.")
    books.refuse_locked(note.date)
    books.writing(books.creditnotes, note.id)
    note.state = state
    note.issued = books.today() if state == "open" else None
    _changed(books, note)


def delete(books: Books, note: CreditNote) -> None:
    if note.uses or note.refunds:
        raise RefusedError(IN_USE, "A credit note in use cannot be deleted.")
    books.refuse_locked(note.date)
    books.writing(books.creditnotes, note.id)
    note.state = "deleted"
    settle(books, note)
    books.creditnotes.remove(note.id)
    books.forget_custom(MODULE, note)
    note.contact.transactions -= 1
    books.announce(MODULE, "deleted", note)


def apply(books: Books, note: CreditNote, wanted: Sequence[tuple[Invoice, int]]) -> list[CreditUse]:
    """Puts credit on open invoices of the same customer and currency: on all of them or on none."""
    if note.state != "open" or any(invoice.state != "sent" for invoice, _ in wanted):
        raise RefusedError(IN_USE, "Only an open credit can be put on an open invoice.")
    if any(note.contact is not invoice.contact or note.currency != invoice.currency for invoice, _ in wanted):
        raise RefusedError(IN_USE, "Credit note and invoice are of one customer and one currency.")
    if sum(amount for _, amount in wanted) > note.balance_minor:
        raise RefusedError(NOT_ENOUGH_UNUSED, "The credit note has not that much left.")
    for invoice, _ in wanted:
        if sum(amount for other, amount in wanted if other is invoice) > invoice.balance_minor:
            raise RefusedError(
                AMOUNT_OVER_BALANCE, "The amount entered is more than the balance due for the selected invoices."
            )
    return [_use(books, note, invoice, amount) for invoice, amount in wanted]


def _use(books: Books, note: CreditNote, invoice: Invoice, amount: int) -> CreditUse:
    books.writing(books.creditnotes, note.id)
    books.writing(books.invoices, invoice.id)
    use = CreditUse(
        id=books.ids.new("credituse", f"{note.id} {invoice.id}"),
        note=note,
        invoice=invoice,
        amount_minor=amount,
        date=books.today(),
    )
    note.uses = {**note.uses, use.id: use}
    invoice.credits[use.id] = use
    post_credit_use(books, use)
    _changed(books, note)
    invoices.changed_by_settlement(books, invoice)
    return use


def detach(books: Books, use: CreditUse) -> None:
    """Takes one use off; the credit stays usable."""
    books.writing(books.creditnotes, use.note.id)
    books.writing(books.invoices, use.invoice.id)
    use.note.uses = {key: held for key, held in use.note.uses.items() if held is not use}
    del use.invoice.credits[use.id]
    books.ledger.erase(use.id)
    _changed(books, use.note)
    invoices.changed_by_settlement(books, use.invoice)


def refund(books: Books, note: CreditNote, body: Body, cause: str) -> CreditRefund:
    """Pays what is left of the credit back from an account."""
    when = day(body, "date")
    books.refuse_locked(when)
    amount = positive_minor(body, "amount", books.precision(note.currency))
    account = deposit_account(books, needed_text(body, "from_account_id"), note.currency)
    if note.state != "open" or amount > note.balance_minor:
        raise RefusedError(NOT_ENOUGH_UNUSED, "The refund is more than what is left of the credit note.")
    now = books.now()
    made = CreditRefund(
        id=books.ids.new("creditrefund", f"{note.id} {cause}"),
        created_at=now,
        modified_at=now,
        note=note,
        date=when,
        amount_minor=amount,
        mode=text(body, "refund_mode", "cash", limit=50),
        reference=text(body, "reference_number", limit=REFERENCE_MAX),
        rate=books.rate_of(body, note.currency, note.rate),
        account_id=account.id,
        description=text(body, "description", limit=2000),
    )
    books.writing(books.creditnotes, note.id)
    note.refunds = [*note.refunds, made]
    legs = [
        books.leg(books.ledger.system("accounts_receivable").id, note.currency, amount, note.rate),
        books.leg(account.id, note.currency, -amount, made.rate),
    ]
    books.post("creditnote_refund", made.id, legs, when=when, reference=made.reference, contact=note.contact)
    _changed(books, note)
    return made


def delete_refund(books: Books, made: CreditRefund) -> None:
    books.refuse_locked(made.date)
    books.writing(books.creditnotes, made.note.id)
    made.note.refunds = [held for held in made.note.refunds if held is not made]
    books.ledger.erase(made.id)
    _changed(books, made.note)


def used_minor(note: CreditNote) -> int:
    return sum(use.amount_minor for use in note.uses.values())


def refunded_minor(note: CreditNote) -> int:
    return sum(made.amount_minor for made in note.refunds)


def settle(books: Books, note: CreditNote) -> None:
    """Recomputes what is left, open or closed, the customer's credits and the ledger entry."""
    note.balance_minor = note.total_minor - used_minor(note) - refunded_minor(note)
    if note.state in ("open", "closed"):
        note.state = "open" if note.balance_minor else "closed"
        post_creditnote(books, note)
    else:
        books.ledger.erase(note.id)
    left = note.balance_minor if note.state == "open" else 0
    left_base = books.base_minor(left, note.currency, note.rate)
    contact = note.contact
    credit = contact.credit_minor.get(note.currency, 0) + left - note.open_minor
    contact.credit_minor = {**contact.credit_minor, note.currency: credit}
    contact.credit_base_minor += left_base - note.open_base_minor
    note.open_minor, note.open_base_minor = left, left_base


def _changed(books: Books, note: CreditNote) -> None:
    books.touch(note)
    settle(books, note)
    books.announce(MODULE, "edited", note)
