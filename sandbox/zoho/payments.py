"""Customer payments (reference 3.4): booked, applied, un-applied, refunded, deleted.

unused = amount - applied - refunded, never below zero; only the unused part can be refunded. Without an account the
money goes to Undeposited Funds.
"""

from typing import Any, NamedTuple

from sandbox.zoho import contacts, invoices
from sandbox.zoho.books import Books, found
from sandbox.zoho.errors import (
    AMOUNT_OVER_BALANCE,
    BANK_MATCHED,
    IN_USE,
    NOT_ENOUGH_UNUSED,
    InvalidError,
    MissingError,
    RefusedError,
)
from sandbox.zoho.ledger import Account
from sandbox.zoho.postings import post_payment, post_refund
from sandbox.zoho.records import Application, Contact, Invoice, Payment, Refund
from sandbox.zoho.values import (
    REFERENCE_MAX,
    Body,
    amount_minor,
    day,
    needed_text,
    positive_minor,
    rows,
    text,
)

MODULE = "customerpayment"
_MODE_MAX = 100
_REFUND_MODE_MAX = 50
_DESCRIPTION_MAX = 2000


class Share(NamedTuple):
    """What a body wants applied to one invoice."""

    invoice: Invoice
    amount_minor: int
    withheld_minor: int
    discount_minor: int
    row_id: str

    @property
    def settles_minor(self) -> int:
        return self.amount_minor + self.withheld_minor + self.discount_minor


def create(books: Books, body: Body, cause: str) -> Payment:
    """Books a payment whole or not at all. Raises ApiError (24016: more applied than an invoice's balance)."""
    contact = contacts.customer(books, body)
    when = day(body, "date")
    books.refuse_locked(when)
    mode = needed_text(body, "payment_mode", limit=_MODE_MAX)
    custom = books.custom_values(MODULE, body)
    books.refuse_duplicates(MODULE, custom)
    wanted = rows(body, "invoices")
    currency = _currency(books, body, contact, wanted)
    amount = positive_minor(body, "amount", books.precision(currency))
    account = deposit_account(books, text(body, "account_id"), currency)
    shares = read_shares(books, wanted, contact, currency)
    if sum(share.amount_minor for share in shares) > amount:
        raise RefusedError(NOT_ENOUGH_UNUSED, "More is applied than the payment holds.")
    charges = amount_minor(body, "bank_charges", books.precision(currency), 0)
    if charges > amount:
        raise InvalidError("bank_charges")
    for share in shares:
        _refuse_over_balance(books, share, 0)
    payment_id = books.ids.new(MODULE, cause)
    now = books.now()
    payment = Payment(
        id=payment_id,
        created_at=now,
        modified_at=now,
        number=books.next_number(MODULE, "", 0),
        contact=contact,
        mode=mode,
        date=when,
        account_id=account.id,
        currency=currency,
        rate=books.rate_of(body, currency, books.rate_on(currency, when)),
        amount_minor=amount,
        bank_charges_minor=charges,
        description=text(body, "description", limit=_DESCRIPTION_MAX),
        reference=text(body, "reference_number", limit=REFERENCE_MAX),
        applied=[],
        refunds=[],
        gateway=text(body, "payment_gateway"),
        online_transaction_id=text(body, "online_transaction_id"),
    )
    books.writing(books.payments, payment_id)
    books.payments.add(payment)
    books.set_custom(MODULE, payment, custom)
    contact.transactions += 1
    for share in shares:
        _attach(books, payment, share)
    settle(books, payment)
    for share in shares:
        invoices.changed_by_settlement(books, share.invoice)
    books.announce(MODULE, "created", payment)
    return payment


def update(books: Books, payment: Payment, body: Body) -> Payment:
    """Takes the fields the body names; `invoices`, if named, is the whole wanted list, so [] un-applies everything. A
    change of nothing leaves `updated_time`.
    """
    if text(body, "customer_id", payment.contact.id) not in ("", payment.contact.id):
        raise InvalidError("customer_id")
    custom = books.custom_values(MODULE, body)
    books.refuse_duplicates(MODULE, custom, payment.id)
    precision = books.precision(payment.currency)
    wanted: dict[str, Any] = {
        "mode": text(body, "payment_mode", limit=_MODE_MAX) or payment.mode,
        "date": day(body, "date", payment.date),
        "account_id": payment.account_id,
        "rate": books.rate_of(body, payment.currency, payment.rate),
        "amount_minor": amount_minor(body, "amount", precision, payment.amount_minor),
        "bank_charges_minor": amount_minor(body, "bank_charges", precision, payment.bank_charges_minor),
        "description": text(body, "description", payment.description, limit=_DESCRIPTION_MAX),
        "reference": text(body, "reference_number", payment.reference, limit=REFERENCE_MAX),
        "custom": {**payment.custom, **custom},
    }
    if text(body, "account_id"):
        wanted["account_id"] = deposit_account(books, text(body, "account_id"), payment.currency).id
    shares = _kept_shares(payment)
    if "invoices" in body:
        shares = read_shares(books, rows(body, "invoices"), payment.contact, payment.currency)
    same_shares = sorted(_share_key(s) for s in shares) == sorted(_share_key(s) for s in _kept_shares(payment))
    money_moves = any(wanted[f] != getattr(payment, f) for f in ("amount_minor", "account_id", "date", "rate"))
    if same_shares and all(getattr(payment, field) == value for field, value in wanted.items()):
        return payment
    if money_moves and payment.matched:
        raise RefusedError(BANK_MATCHED, "The payment is matched with a bank transaction.")
    if money_moves or not same_shares:
        books.refuse_locked(payment.date, wanted["date"])
    refunded = sum(refund.amount_minor for refund in payment.refunds)
    if sum(share.amount_minor for share in shares) + refunded > wanted["amount_minor"] or not wanted["amount_minor"]:
        raise RefusedError(NOT_ENOUGH_UNUSED, "More is applied and refunded than the payment holds.")
    for share in shares:
        held = next((a.settles_minor for a in payment.applied if a.invoice is share.invoice), 0)
        _refuse_over_balance(books, share, held)
    books.writing(books.payments, payment.id)
    books.set_custom(MODULE, payment, custom)
    for field, value in wanted.items():
        setattr(payment, field, value)
    touched = [] if same_shares else _reapply(books, payment, shares)
    books.touch(payment)
    settle(books, payment)
    for invoice in touched:
        invoices.changed_by_settlement(books, invoice)
    books.announce(MODULE, "edited", payment)
    return payment


def set_custom(books: Books, payment: Payment, wanted: list[dict[str, Any]]) -> None:
    """PUT /customerpayment/{id}/customfields: these fields alone."""
    update(books, payment, {"custom_fields": wanted})


def delete(books: Books, payment: Payment) -> None:
    """Leaves no trace. Refused when matched in banking, refunded or locked."""
    if payment.matched:
        raise RefusedError(BANK_MATCHED, "The payment is matched with a bank transaction.")
    if payment.refunds:
        raise RefusedError(IN_USE, "A payment with refunds cannot be deleted.")
    books.refuse_locked(payment.date)
    books.writing(books.payments, payment.id)
    touched = _reapply(books, payment, [])
    payment.amount_minor = 0
    settle(books, payment)
    books.ledger.erase(payment.id)
    books.payments.remove(payment.id)
    books.forget_custom(MODULE, payment)
    payment.contact.transactions -= 1
    for invoice in touched:
        moves = books.switches.payment_moves_invoice_time == "always"
        invoices.changed_by_settlement(books, invoice, moves_time=moves)
    books.announce(MODULE, "deleted", payment)


def apply_unused(books: Books, payment: Payment, invoice: Invoice, amount: int) -> None:
    """POST /invoices/{id}/credits: puts more of the unused amount on an invoice."""
    if amount > payment.unused_minor:
        raise RefusedError(NOT_ENOUGH_UNUSED, "The payment has not that much unused.")
    held = next((a for a in payment.applied if a.invoice is invoice), None)
    rest = [s for s in _kept_shares(payment) if s.invoice is not invoice]
    share = Share(invoice, amount + (held.amount_minor if held else 0), 0, 0, held.id if held else "")
    _refuse_over_balance(books, share, held.settles_minor if held else 0)
    books.writing(books.payments, payment.id)
    touched = _reapply(books, payment, [*rest, share])
    books.touch(payment)
    settle(books, payment)
    for changed in touched:
        invoices.changed_by_settlement(books, changed)
    books.announce(MODULE, "edited", payment)


def detach(books: Books, application: Application) -> None:
    """Takes one application off: the amount becomes unused, the invoice re-opens."""
    payment, invoice = application.payment, application.invoice
    books.writing(books.payments, payment.id)
    books.writing(books.invoices, invoice.id)
    payment.applied = [a for a in payment.applied if a is not application]
    del invoice.payments[application.id]
    books.touch(payment)
    settle(books, payment)
    invoices.changed_by_settlement(books, invoice)
    books.announce(MODULE, "edited", payment)


def refund(books: Books, payment: Payment, body: Body, cause: str) -> Refund:
    """Pays unused money back from an account. Refused above the unused amount."""
    precision = books.precision(payment.currency)
    when = day(body, "date")
    books.refuse_locked(when)
    amount = positive_minor(body, "amount", precision)
    account = deposit_account(books, needed_text(body, "from_account_id"), payment.currency)
    if amount > payment.unused_minor:
        raise RefusedError(NOT_ENOUGH_UNUSED, "The refund is more than the unused amount of the payment.")
    now = books.now()
    made = Refund(
        id=books.ids.new("refund", f"{payment.id} {cause}"),
        created_at=now,
        modified_at=now,
        payment=payment,
        date=when,
        amount_minor=amount,
        mode=text(body, "refund_mode", "cash", limit=_REFUND_MODE_MAX),
        reference=text(body, "reference_number", limit=REFERENCE_MAX),
        rate=books.rate_of(body, payment.currency, payment.rate),
        account_id=account.id,
        description=text(body, "description", limit=_DESCRIPTION_MAX),
    )
    books.writing(books.payments, payment.id)
    payment.refunds = [*payment.refunds, made]
    post_refund(books, made)
    books.touch(payment)
    settle(books, payment)
    books.announce(MODULE, "edited", payment)
    return made


def update_refund(books: Books, made: Refund, body: Body) -> Refund:
    """Takes the fields the body names."""
    payment = made.payment
    amount = amount_minor(body, "amount", books.precision(payment.currency), made.amount_minor)
    when = day(body, "date", made.date)
    books.refuse_locked(made.date, when)
    if not amount or amount - made.amount_minor > payment.unused_minor:
        raise RefusedError(NOT_ENOUGH_UNUSED, "The refund is more than the unused amount of the payment.")
    account_id = text(body, "from_account_id") or made.account_id
    books.writing(books.payments, payment.id)
    made.account_id = deposit_account(books, account_id, payment.currency).id
    made.amount_minor, made.date, made.rate = amount, when, books.rate_of(body, payment.currency, made.rate)
    made.mode = text(body, "refund_mode", made.mode, limit=_REFUND_MODE_MAX)
    made.reference = text(body, "reference_number", made.reference, limit=REFERENCE_MAX)
    made.description = text(body, "description", made.description, limit=_DESCRIPTION_MAX)
    books.touch(made)
    books.touch(payment)
    post_refund(books, made)
    settle(books, payment)
    books.announce(MODULE, "edited", payment)
    return made


def delete_refund(books: Books, made: Refund) -> None:
    books.refuse_locked(made.date)
    payment = made.payment
    books.writing(books.payments, payment.id)
    payment.refunds = [refund for refund in payment.refunds if refund is not made]
    books.ledger.erase(made.id)
    books.touch(payment)
    settle(books, payment)
    books.announce(MODULE, "edited", payment)


def deposit_account(books: Books, account_id: str, currency: str) -> Account:
    """The account money of `currency` goes to or comes from: of that currency or of base. Absent: Undeposited Funds."""
    if not account_id:
        return books.ledger.system("undeposited_funds")
    account = books.account(account_id)
    if account.currency not in (currency, books.base) or not account.active:
        raise InvalidError("account_id")
    return account


def settle(books: Books, payment: Payment) -> None:
    """Recomputes the unused amount, the customer's credits and the ledger entry."""
    held = payment.amount_minor - sum(a.amount_minor for a in payment.applied)
    unused = held - sum(refund.amount_minor for refund in payment.refunds)
    assert unused >= 0, "a payment holds what is applied and refunded"
    unused_base = books.base_minor(unused, payment.currency, payment.rate)
    contact = payment.contact
    credit = contact.credit_minor.get(payment.currency, 0) + unused - payment.unused_minor
    contact.credit_minor = {**contact.credit_minor, payment.currency: credit}
    contact.credit_base_minor += unused_base - payment.unused_base_minor
    payment.unused_minor, payment.unused_base_minor = unused, unused_base
    if payment.amount_minor:
        post_payment(books, payment)


def read_shares(books: Books, wanted: list[dict[str, Any]], contact: Contact, currency: str) -> list[Share]:
    """The invoices a body names: one customer, one currency, each once."""
    shares: list[Share] = []
    precision = books.precision(currency)
    for row in wanted:
        invoice = found(books.invoices, needed_text(row, "invoice_id"), "Invoice")
        if invoice.contact is not contact or invoice.currency != currency:
            raise InvalidError("invoices")
        if any(share.invoice is invoice for share in shares):
            raise InvalidError("invoices")
        if invoice.state == "void" or (invoice.state == "draft" and not books.switches.payments_on_drafts):
            raise RefusedError(IN_USE, f"Payments cannot be applied to a {invoice.state} invoice.")
        share = Share(
            invoice,
            amount_minor(row, "amount_applied", precision),
            amount_minor(row, "tax_amount_withheld", precision, 0),
            amount_minor(row, "discount_amount", precision, 0),
            text(row, "invoice_payment_id"),
        )
        if share.settles_minor:
            shares.append(share)
    return shares


def _currency(books: Books, body: Body, contact: Contact, wanted: list[dict[str, Any]]) -> str:
    """A payment is in the currency of its invoices; without any, in the one it names or the customer's."""
    if wanted:
        return found(books.invoices, needed_text(wanted[0], "invoice_id"), "Invoice").currency
    if "invoices" not in body:
        raise MissingError("invoices")
    return books.currency_of(body, contact.currency)


def _refuse_over_balance(books: Books, share: Share, held_minor: int) -> None:
    assert books.invoices.get(share.invoice.id) is share.invoice, "an invoice of these books"
    if share.settles_minor > share.invoice.balance_minor + held_minor:
        raise RefusedError(
            AMOUNT_OVER_BALANCE, "The amount entered is more than the balance due for the selected invoices."
        )


def _attach(books: Books, payment: Payment, share: Share) -> None:
    invoice = share.invoice
    books.writing(books.invoices, invoice.id)
    application = Application(
        id=share.row_id or books.ids.new("invoicepayment", f"{payment.id} {invoice.id}"),
        payment=payment,
        invoice=invoice,
        amount_minor=share.amount_minor,
        withheld_minor=share.withheld_minor,
        discount_minor=share.discount_minor,
        date=payment.date,
    )
    payment.applied = [*payment.applied, application]
    invoice.payments[application.id] = application
    if invoice.state == "draft":
        invoice.state, invoice.issued = "sent", books.today()


def _reapply(books: Books, payment: Payment, shares: list[Share]) -> list[Invoice]:
    """Replaces the applications; gives the invoices that changed, which the caller settles."""
    before = {share.invoice.id: share for share in _kept_shares(payment)}
    after = {share.invoice.id: share for share in shares}
    old = list(payment.applied)
    payment.applied = []
    for application in old:
        books.writing(books.invoices, application.invoice.id)
        del application.invoice.payments[application.id]
    for share in shares:
        kept = before.get(share.invoice.id)
        _attach(books, payment, share._replace(row_id=kept.row_id if kept else ""))
    changed = [key for key in {**before, **after} if _changed(before.get(key), after.get(key))]
    return [(before.get(key) or after[key]).invoice for key in changed]


def _changed(one: Share | None, other: Share | None) -> bool:
    return one is None or other is None or _share_key(one) != _share_key(other)


def _kept_shares(payment: Payment) -> list[Share]:
    return [Share(a.invoice, a.amount_minor, a.withheld_minor, a.discount_minor, a.id) for a in payment.applied]


def _share_key(share: Share) -> tuple[str, int, int, int]:
    return (share.invoice.id, share.amount_minor, share.withheld_minor, share.discount_minor)
