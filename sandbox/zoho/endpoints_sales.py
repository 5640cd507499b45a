"""The endpoints of contacts, invoices and credit notes."""

from operator import attrgetter
from typing import Any

from sandbox.zoho import contacts, creditnotes, invoices, payments, render_credits, render_sales, voiding
from sandbox.zoho import render_contacts as shown_contacts
from sandbox.zoho.books import Books, found
from sandbox.zoho.call import Answer, Call
from sandbox.zoho.errors import InvalidError, NotFoundError
from sandbox.zoho.listing import (
    Predicate,
    Spec,
    amounts,
    custom_values,
    days,
    exact,
    listed,
    modified_after,
    search,
    texts,
)
from sandbox.zoho.records import Contact, CreditNote, CreditRefund, Invoice
from sandbox.zoho.values import needed_text, positive_minor, rows

_CREDITS_APPLIED = "Credits have been applied to the invoice(s)."


def _contact_status(books: Books, name: str) -> Predicate:
    today = books.today()
    tests: dict[str, Predicate] = {
        "Active": lambda c: c.active,
        "Inactive": lambda c: not c.active,
        "PortalEnabled": lambda c: c.portal,
        "PortalDisabled": lambda c: not c.portal,
        "Unpaid": lambda c: c.owed_base_minor > 0,
        "OverDue": lambda c: any(
            i.contact is c and i.open_minor > 0 and i.due < today for i in books.invoices.rows.values()
        ),
    }
    return tests.get(name, lambda _contact: False)


def _contact_kind(contact: Contact) -> str:
    return contact.kind


CONTACTS = Spec(
    key="contacts",
    report="Contacts",
    filters={
        **exact("contact_type", _contact_kind),
        **texts("contact_name", attrgetter("name")),
        **texts("company_name", attrgetter("company")),
        **texts("email", attrgetter("email")),
        **texts("first_name", lambda c: str(c.primary.get("first_name", ""))),
        **texts("last_name", lambda c: str(c.primary.get("last_name", ""))),
        **texts("phone", lambda c: str(c.primary.get("phone", ""))),
        **texts("address", lambda c: c.billing.get("address", "")),
        **search(attrgetter("name"), attrgetter("company"), attrgetter("email")),
    },
    sorts={
        "contact_name": lambda c: c.name.lower(),
        "first_name": lambda c: str(c.primary.get("first_name", "")).lower(),
        "last_name": lambda c: str(c.primary.get("last_name", "")).lower(),
        "email": lambda c: c.email.lower(),
        "outstanding_receivable_amount": attrgetter("owed_base_minor"),
        "created_time": attrgetter("created_at"),
        "last_modified_time": attrgetter("modified_at"),
    },
    default_sort=("contact_name", "A"),
    statuses=_contact_status,
)


def _invoice_status(books: Books, name: str) -> Predicate:
    today = books.today()

    def open_(invoice: Invoice) -> bool:
        return invoice.state == "sent" and invoice.balance_minor > 0

    tests: dict[str, Predicate] = {
        "draft": lambda i: i.state == "draft",
        "void": lambda i: i.state == "void",
        "unpaid": open_,
        "paid": lambda i: i.state == "sent" and i.balance_minor <= 0,
        "overdue": lambda i: open_(i) and i.due < today,
        "sent": lambda i: open_(i) and i.due >= today and i.balance_minor == i.total_minor,
        "partiallypaid": lambda i: open_(i) and i.balance_minor < i.total_minor,
    }
    return tests.get(name.lower().replace("_", ""), lambda _invoice: False)


def _customer_id(record: Any) -> str:
    return str(record.contact.id)


def _customer_name(record: Any) -> str:
    return str(record.contact.name)


INVOICES = Spec(
    key="invoices",
    report="Invoices",
    filters={
        "last_modified_time": modified_after,
        "status": _invoice_status,
        **exact("customer_id", _customer_id),
        **texts("customer_name", _customer_name),
        **texts("email", lambda i: i.contact.email),
        **texts("reference_number", attrgetter("reference")),
        **texts("invoice_number", attrgetter("number")),
        **exact("recurring_invoice_id", attrgetter("recurring_invoice_id")),
        **days("date", attrgetter("date")),
        **days("due_date", attrgetter("due")),
        **days("created_date", lambda i: i.created_at.date()),
        **amounts("total", attrgetter("total_minor")),
        **amounts("balance", attrgetter("balance_minor")),
        **custom_values(),
        **search(attrgetter("number"), attrgetter("reference"), _customer_name),
    },
    sorts={
        "customer_name": lambda i: i.contact.name.lower(),
        "invoice_number": attrgetter("number"),
        "date": attrgetter("date"),
        "due_date": attrgetter("due"),
        "total": attrgetter("total_minor"),
        "balance": attrgetter("balance_minor"),
        "created_time": attrgetter("created_at"),
        "last_modified_time": attrgetter("modified_at"),
    },
    default_sort=("created_time", "D"),
    statuses=_invoice_status,
    context={"custom_fields": [], "seller_app_sales_channels": ""},
)
CREDITNOTES = Spec(
    key="creditnotes",
    report="Credit Notes",
    filters={
        **exact("status", attrgetter("state")),
        **exact("customer_id", _customer_id),
        **texts("reference_number", attrgetter("reference")),
        **texts("creditnote_number", attrgetter("number")),
        **days("date", attrgetter("date")),
        **amounts("total", attrgetter("total_minor")),
    },
    sorts={
        "customer_name": lambda n: n.contact.name.lower(),
        "creditnote_number": attrgetter("number"),
        "balance": attrgetter("balance_minor"),
        "total": attrgetter("total_minor"),
        "date": attrgetter("date"),
        "created_time": attrgetter("created_at"),
    },
    default_sort=("created_time", "D"),
    statuses=lambda _books, name: lambda note: bool(note.state == name.lower()),
)


# contacts


def list_contacts(call: Call) -> Answer:
    return listed(call, CONTACTS, call.books.contacts.listed(call.books.now()), shown_contacts.row)


def create_contact(call: Call) -> Answer:
    made = contacts.create(call.books, call.object(), call.cause)
    return _contact(call, made, "The contact has been added.", status=201)


def get_contact(call: Call) -> Answer:
    return _contact(call, _named_contact(call), "success")


def update_contact(call: Call) -> Answer:
    changed = contacts.update(call.books, _named_contact(call), call.object())
    return _contact(call, changed, "Contact information has been saved.")


def upsert_contact(call: Call) -> Answer:
    key, value, may_create = call.unique_key()
    body = call.object()
    holder = call.books.holder_of(contacts.MODULE, key, value)
    if holder is not None:
        changed = contacts.update(call.books, call.books.contact(holder, "Contact"), body)
        return _contact(call, changed, "Contact information has been saved.")
    if not may_create:
        raise NotFoundError("Contact")
    made = contacts.create(call.books, with_unique(body, key, value), f"upsert {key} {value}")
    return _contact(call, made, "The contact has been added.", status=201)


def delete_contact(call: Call) -> Answer:
    held = _named_contact(call)
    contacts.delete(call.books, held)
    return Answer(
        message="The customer has been deleted." if held.kind == "customer" else "The vendor has been deleted."
    )


def activate_contact(call: Call) -> Answer:
    contacts.set_active(call.books, _named_contact(call), active=True)
    return Answer(message="The contact has been marked as active.")


def deactivate_contact(call: Call) -> Answer:
    contacts.set_active(call.books, _named_contact(call), active=False)
    return Answer(message="The contact has been marked as inactive.")


# invoices


def list_invoices(call: Call) -> Answer:
    books = call.books
    return listed(call, INVOICES, books.invoices.listed(books.now()), render_sales.invoice_row)


def create_invoice(call: Call) -> Answer:
    made = invoices.create(call.books, call.object(), call.cause)
    if call.query.get("send") == "true":
        invoices.mark_sent(call.books, made, emailed=True)
    return _invoice(call, made, "The invoice has been created.", status=201)


def get_invoice(call: Call) -> Answer:
    return _invoice(call, _named_invoice(call), "success")


def update_invoice(call: Call) -> Answer:
    changed = invoices.update(call.books, _named_invoice(call), call.object())
    return _invoice(call, changed, "Invoice information has been updated.")


def upsert_invoice(call: Call) -> Answer:
    key, value, may_create = call.unique_key()
    holder = call.books.holder_of(invoices.MODULE, key, value)
    if holder is not None:
        changed = invoices.update(call.books, found(call.books.invoices, holder, "Invoice"), call.object())
        return _invoice(call, changed, "Invoice information has been updated.")
    if not may_create:
        raise NotFoundError("Invoice")
    made = invoices.create(call.books, with_unique(call.object(), key, value), f"upsert {key} {value}")
    return _invoice(call, made, "The invoice has been created.", status=201)


def delete_invoice(call: Call) -> Answer:
    invoices.delete(call.books, _named_invoice(call))
    return Answer(message="The invoice has been deleted.")


def send_invoice(call: Call) -> Answer:
    invoices.mark_sent(call.books, _named_invoice(call))
    return Answer(message="Invoice status has been changed to Sent.")


def void_invoice(call: Call) -> Answer:
    voiding.void(call.books, _named_invoice(call))
    return Answer(message="Invoice status has been changed to Void.")


def draft_invoice(call: Call) -> Answer:
    invoices.to_draft(call.books, _named_invoice(call))
    return Answer(message="Status of invoice changed from void to draft")


def email_invoice(call: Call) -> Answer:
    first = invoices.mark_sent(call.books, _named_invoice(call), emailed=True)
    return Answer({"is_first_email": first}, message="Your invoice has been sent.")


def write_off_invoice(call: Call) -> Answer:
    invoices.write_off(call.books, _named_invoice(call))
    return Answer(message="Invoice has been written off")


def cancel_write_off(call: Call) -> Answer:
    invoices.cancel_write_off(call.books, _named_invoice(call))
    return Answer(message="The write off done for this invoice has been cancelled.")


def invoice_payments(call: Call) -> Answer:
    return Answer({"payments": render_sales.invoice_payments(call.books, _named_invoice(call))})


def invoice_credits(call: Call) -> Answer:
    return Answer({"credits": render_sales.invoice_credits(call.books, _named_invoice(call))})


def apply_credits(call: Call) -> Answer:
    """Puts unused payments and credit notes on an invoice, in the order named; a refusal undoes nothing before it, so
    the sums are checked first.
    """
    books, invoice, body = call.books, _named_invoice(call), call.object()
    precision = books.precision(invoice.currency)
    wanted_payments = [
        (
            found(books.payments, needed_text(row, "payment_id"), "Payment"),
            positive_minor(row, "amount_applied", precision),
        )
        for row in rows(body, "invoice_payments")
    ]
    wanted_notes = [
        (
            found(books.creditnotes, needed_text(row, "creditnote_id"), "Credit note"),
            positive_minor(row, "amount_applied", precision),
        )
        for row in rows(body, "apply_creditnotes")
    ]
    invoices.refuse_credits(invoice, [*wanted_payments, *wanted_notes])
    for payment, amount in wanted_payments:
        payments.apply_unused(books, payment, invoice, amount)
    for note, amount in wanted_notes:
        creditnotes.apply(books, note, [(invoice, amount)])
    return Answer(message=_CREDITS_APPLIED)


def delete_invoice_payment(call: Call) -> Answer:
    invoice = _named_invoice(call)
    application = invoice.payments.get(call.path["row_id"])
    if application is None:
        raise NotFoundError("Payment")
    call.books.refuse_locked(application.payment.date)
    if call.books.switches.invoice_payment_row_delete == "payment" and len(application.payment.applied) == 1:
        payments.delete(call.books, application.payment)
    else:
        payments.detach(call.books, application)
    return Answer(message="The payment has been deleted.")


def delete_invoice_credit(call: Call) -> Answer:
    use = _named_invoice(call).credits.get(call.path["row_id"])
    if use is None:
        raise NotFoundError("Credit")
    creditnotes.detach(call.books, use)
    return Answer(message="Credits applied to an invoice have been deleted.")


def set_invoice_fields(call: Call) -> Answer:
    invoices.set_custom(call.books, _named_invoice(call), call.array())
    return Answer(message="Custom Fields Updated Successfully")


# credit notes


def list_creditnotes(call: Call) -> Answer:
    books = call.books
    return listed(call, CREDITNOTES, books.creditnotes.listed(books.now()), render_credits.creditnote_row)


def create_creditnote(call: Call) -> Answer:
    made = creditnotes.create(call.books, call.object(), call.cause)
    document = {"creditnote": render_credits.creditnote(call.books, made)}
    return Answer(document, "The credit note has been created.", 201, f"creditnotes/{made.id}")


def get_creditnote(call: Call) -> Answer:
    return Answer({"creditnote": render_credits.creditnote(call.books, _named_note(call))})


def delete_creditnote(call: Call) -> Answer:
    creditnotes.delete(call.books, _named_note(call))
    return Answer(message="The credit note has been deleted.")


def open_creditnote(call: Call) -> Answer:
    return _move_note(call, "open", "Open")


def draft_creditnote(call: Call) -> Answer:
    return _move_note(call, "draft", "Draft")


def void_creditnote(call: Call) -> Answer:
    return _move_note(call, "void", "Void")


def creditnote_invoices(call: Call) -> Answer:
    uses = _named_note(call).uses.values()
    return Answer({"invoices_credited": [render_credits.credit_use(call.books, use) for use in uses]})


def apply_creditnote(call: Call) -> Answer:
    books, note = call.books, _named_note(call)
    precision = books.precision(note.currency)
    wanted = [
        (
            found(books.invoices, needed_text(row, "invoice_id"), "Invoice"),
            positive_minor(row, "amount_applied", precision),
        )
        for row in rows(call.object(), "invoices")
    ]
    uses = creditnotes.apply(books, note, wanted)
    return Answer(
        {"apply_to_invoices": {"invoices": [render_credits.credit_use(books, use) for use in uses]}}, _CREDITS_APPLIED
    )


def unapply_creditnote(call: Call) -> Answer:
    use = _named_note(call).uses.get(call.path["row_id"])
    if use is None:
        raise NotFoundError("Credit")
    creditnotes.detach(call.books, use)
    return Answer(message="The credit applied to the invoice has been deleted.")


def refund_creditnote(call: Call) -> Answer:
    made = creditnotes.refund(call.books, _named_note(call), call.object(), call.cause)
    document = {"creditnote_refund": render_credits.credit_refund(call.books, made)}
    return Answer(document, "The credit note amount is refunded successfully.")


def creditnote_refunds(call: Call) -> Answer:
    return _refunds(call, _named_note(call).refunds)


def all_creditnote_refunds(call: Call) -> Answer:
    return _refunds(call, [made for note in call.books.creditnotes.rows.values() for made in note.refunds])


def delete_creditnote_refund(call: Call) -> Answer:
    made = next((held for held in _named_note(call).refunds if held.id == call.path["row_id"]), None)
    if made is None:
        raise NotFoundError("Refund")
    creditnotes.delete_refund(call.books, made)
    return Answer(message="The refund has been deleted.")


def with_unique(body: dict[str, Any], key: str, value: str) -> dict[str, Any]:
    """The body of a create with the unique field of the upsert set, if it does not set it itself."""
    fields = rows(body, "custom_fields")
    named = [row for row in fields if row.get("api_name") == key]
    if any(row.get("value") != value for row in named):
        raise InvalidError("X-Unique-Identifier-Value")
    return body if named else {**body, "custom_fields": [*fields, {"api_name": key, "value": value}]}


_REFUNDS = Spec(
    key="creditnote_refunds",
    report="Refunds",
    filters={},
    sorts={"date": attrgetter("date")},
    default_sort=("date", "D"),
)


def _refunds(call: Call, made: list[CreditRefund]) -> Answer:
    return listed(call, _REFUNDS, made, render_credits.credit_refund)


def _move_note(call: Call, state: str, name: str) -> Answer:
    creditnotes.set_state(call.books, _named_note(call), state)
    return Answer(message=f"The status of the credit note has been changed to {name}.")


def _named_contact(call: Call) -> Contact:
    return call.books.contact(call.path["id"], "Contact")


def _named_invoice(call: Call) -> Invoice:
    return found(call.books.invoices, call.path["id"], "Invoice")


def _named_note(call: Call) -> CreditNote:
    return found(call.books.creditnotes, call.path["id"], "Credit note")


def _contact(call: Call, held: Contact, message: str, *, status: int = 200) -> Answer:
    document = {"contact": shown_contacts.full(call.books, held)}
    return Answer(document, message, status, f"contacts/{held.id}" if status == 201 else "")


def _invoice(call: Call, held: Invoice, message: str, *, status: int = 200) -> Answer:
    document = {"invoice": render_sales.invoice(call.books, held)}
    return Answer(document, message, status, f"invoices/{held.id}" if status == 201 else "")
