"""Every instruction we give to an API: one command is one call (or one walk over pages), inside a decision.

A command carries all that its call needs, so it can be sent, looked up or repeated without asking the state again.
Money-bearing commands name the key that makes them idempotent: GoCardless's `Idempotency-Key`, or our unique field in
Zoho. No personal data.
"""

from typing import Final

import msgspec

from domain.vocabulary import Api


class CommandData(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """Base of a command's data; the tag is the command's type."""


# --- GoCardless -------------------------------------------------------------------------------------------------------


class CreateBillingRequest(CommandData, frozen=True, tag="gocardless.create_billing_request"):
    """Ask for a mandate. `payer` "" lets GoCardless make the customer."""

    contact: str
    currency: str
    scheme: str
    payer: str = ""


class CreateFlow(CommandData, frozen=True, tag="gocardless.create_flow"):
    """Make the hosted page of a billing request. Not idempotent at GoCardless; a second page is harmless."""

    contact: str
    billing_request: str


class CreatePayment(CommandData, frozen=True, tag="gocardless.create_payment"):
    """Debit a mandate for an invoice."""

    invoice: str
    invoice_number: str
    mandate: str
    amount_minor: int
    currency: str


class ReadPayment(CommandData, frozen=True, tag="gocardless.read_payment"):
    payment: str


class ReadMandate(CommandData, frozen=True, tag="gocardless.read_mandate"):
    mandate: str


class ReadPayer(CommandData, frozen=True, tag="gocardless.read_payer"):
    payer: str


class ReadBillingRequest(CommandData, frozen=True, tag="gocardless.read_billing_request"):
    billing_request: str


class ReadPayout(CommandData, frozen=True, tag="gocardless.read_payout"):
    payout: str


class ReadPayoutItems(CommandData, frozen=True, tag="gocardless.read_payout_items"):
    """All pages of a payout's items."""

    payout: str


class ReadMandatePayments(CommandData, frozen=True, tag="gocardless.read_mandate_payments"):
    """All payments of a mandate made at or after `since` (an instant)."""

    mandate: str
    since: str


# --- Zoho Books -------------------------------------------------------------------------------------------------------


class Application(msgspec.Struct, frozen=True):
    """Apply so much of a payment to an invoice."""

    invoice: str
    amount_minor: int


class CreateCustomerPayment(CommandData, frozen=True, tag="zoho.create_customer_payment"):
    """Record a collected payment, by upsert on the unique field. `exchange_rate` "" in the base currency."""

    customer: str
    amount_minor: int
    currency: str
    date: str
    account: str
    reference: str
    unique_field: str
    unique_value: str
    description: str = ""
    exchange_rate: str = ""
    applied: list[Application] = []


class UnapplyPayment(CommandData, frozen=True, tag="zoho.unapply_payment"):
    """Take a customer payment off its invoices; the whole amount becomes unused."""

    payment: str
    amount_minor: int
    currency: str


class RefundPayment(CommandData, frozen=True, tag="zoho.refund_payment"):
    """Refund the unused amount of a customer payment out of an account. Zoho has no upsert for it: `reference` finds it
    again.
    """

    payment: str
    amount_minor: int
    currency: str
    date: str
    account: str
    reference: str
    description: str = ""
    exchange_rate: str = ""


class ExpenseLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the fee expense, tax included."""

    description: str
    amount_minor: int
    tax: str = ""
    tax_minor: int = 0


class CreateExpense(CommandData, frozen=True, tag="zoho.create_expense"):
    """Book a payout's fees, by upsert on the unique field, paid through the clearing account."""

    account: str
    paid_through: str
    amount_minor: int
    currency: str
    date: str
    reference: str
    unique_field: str
    unique_value: str
    lines: list[ExpenseLine]
    vendor: str = ""
    exchange_rate: str = ""
    description: str = ""


class CreateTransfer(CommandData, frozen=True, tag="zoho.create_transfer"):
    """Move money between two accounts. No upsert: `marker` in the description finds it again, `reference` is the bank
    line's text.
    """

    from_account: str
    to_account: str
    amount_minor: int
    currency: str
    date: str
    reference: str
    marker: str
    description: str = ""
    exchange_rate: str = ""


class ReadInvoice(CommandData, frozen=True, tag="zoho.read_invoice"):
    invoice: str


class ReadContact(CommandData, frozen=True, tag="zoho.read_contact"):
    contact: str


class ListOpenInvoices(CommandData, frozen=True, tag="zoho.list_open_invoices"):
    """All pages of unpaid invoices: the view that debits go out on."""


AnyCommandData = (
    CreateBillingRequest
    | CreateFlow
    | CreatePayment
    | ReadPayment
    | ReadMandate
    | ReadPayer
    | ReadBillingRequest
    | ReadPayout
    | ReadPayoutItems
    | ReadMandatePayments
    | CreateCustomerPayment
    | UnapplyPayment
    | RefundPayment
    | CreateExpense
    | CreateTransfer
    | ReadInvoice
    | ReadContact
    | ListOpenInvoices
)

#: Lower goes first: debits, then money-bearing writes, then reads, then sweeps.
PRIORITY_DEBIT: Final = 0
PRIORITY_MONEY: Final = 1
PRIORITY_READ: Final = 2
PRIORITY_SWEEP: Final = 3


def writes(type_: str) -> bool:
    """Whether a command of this type changes something outside."""
    return not type_.split(".", 1)[1].startswith(("read_", "list_"))


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """One instruction. `about` is the row it serves ("invoices:460…"); `purpose` groups its attempts; `key` is
    GoCardless's idempotency key or Zoho's unique value ("" for reads). `not_after` "" or the instant after which it
    must not be sent. `look_up_first`: search for an earlier effect before the first send as well; set where the API has
    no upsert, since a log restored from a backup does not remember what it sent. `supersedes`: the read of the same
    purpose that was given up, "" for none.
    """

    id: str
    about: str
    purpose: str
    data: AnyCommandData
    priority: int = PRIORITY_READ
    attempt: int = 1
    key: str = ""
    not_after: str = ""
    look_up_first: bool = False
    supersedes: str = ""

    @property
    def type(self) -> str:
        """The command's type: "gocardless.create_payment"."""
        return str(self.data.__struct_config__.tag)

    @property
    def api(self) -> Api:
        """Which API it is for."""
        return "gocardless" if self.type.startswith("gocardless.") else "zoho"

    @property
    def writes(self) -> bool:
        """Whether it changes something outside; a repeat needs a look-up first."""
        return writes(self.type)
