"""Every type of event, with the shape of its data.

Names: `<who says it>.<what>`. GoCardless's own events keep its names (`gocardless.payments.failed`), whatever resource
and action it sends, known to us or not. "read" is a full read of one resource, "seen" a thin row of a list, "notified"
the body of a webhook. Amounts are integer minor units (`_minor`) or tenths of them (`_tenths`), never decimals.
"""

from typing import Final

import msgspec

from domain.policy import Policy
from domain.vocabulary import CommandStatus, narrowed


class Data(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of all event data: immutable; defaults are left out on the wire, unknown fields are ignored on reading."""


# --- GoCardless -------------------------------------------------------------------------------------------------------


class GcEvent(Data, frozen=True):
    """One event of GoCardless (API reference, Events), from a webhook or the list. Its envelope id is GoCardless's own
    event id.

    Type: `gocardless.<resource_type>.<action>`. It carries no amounts. `metadata` is dropped: it belongs to the call
    that caused the event; `resource_metadata` belongs to the resource.
    """

    resource_type: str
    action: str
    links: dict[str, str]
    origin: str = ""
    cause: str = ""
    description: str = ""
    scheme: str = ""
    reason_code: str = ""
    will_attempt_retry: bool | None = None
    resource_metadata: dict[str, str] = {}


class PaymentRead(Data, frozen=True):
    """A payment as GoCardless holds it. `charge_date` is a day or ""; `payout` is "" before it is in one."""

    id: str
    status: str
    amount_minor: int
    currency: str
    mandate: str
    created_at: str
    charge_date: str = ""
    amount_refunded_minor: int = 0
    reference: str = ""
    description: str = ""
    payout: str = ""
    metadata: dict[str, str] = {}


class MandatePaymentsRead(Data, frozen=True):
    """The payments of one mandate, read at `as_of` (the moment the request was sent); `complete` on the last page."""

    mandate: str
    as_of: str
    payments: list[PaymentRead]
    complete: bool


class MandateRead(Data, frozen=True):
    """A mandate as GoCardless holds it."""

    id: str
    status: str
    scheme: str
    customer: str
    created_at: str
    reference: str = ""
    creditor: str = ""
    next_possible_charge_date: str = ""
    new_mandate: str = ""
    metadata: dict[str, str] = {}


class PayerRead(Data, frozen=True):
    """A customer at GoCardless: the payer. `metadata["zoho_contact_id"]` is our stored link."""

    id: str
    created_at: str
    email: str = ""
    name: str = ""
    country_code: str = ""
    metadata: dict[str, str] = {}


class BillingRequestRead(Data, frozen=True):
    """A billing request (the way to a mandate). `mandate` is filled once it is fulfilled."""

    id: str
    status: str
    created_at: str
    customer: str = ""
    mandate: str = ""
    currency: str = ""
    metadata: dict[str, str] = {}


class FlowRead(Data, frozen=True):
    """The hosted authorisation page of a billing request; `expires_at` an instant."""

    id: str
    billing_request: str
    authorisation_url: str
    expires_at: str = ""


class PayoutRead(Data, frozen=True):
    """A payout. `amount_minor` is net; `arrival_date` "" until paid."""

    id: str
    status: str
    amount_minor: int
    currency: str
    created_at: str
    deducted_fees_minor: int = 0
    arrival_date: str = ""
    reference: str = ""
    payout_type: str = "merchant"
    creditor: str = ""
    creditor_bank_account: str = ""
    fx_currency: str = ""
    fx_amount_minor: int | None = None
    fx_rate: str = ""


class PayoutTax(Data, frozen=True):
    """The tax inside an item's amount; the sign of the item's amount is the tax's (API reference shows it unsigned)."""

    tax_rate_id: str
    amount_tenths: int
    currency: str = ""


class PayoutItem(Data, frozen=True):
    """One row of a payout. It has no id and no date; its identity is (payout, position)."""

    type: str
    amount_tenths: int
    payment: str = ""
    refund: str = ""
    mandate: str = ""
    taxes: list[PayoutTax] = []


class PayoutItemsRead(Data, frozen=True):
    """A page of a payout's items; `first` is the position of its first item; `complete` on the last page."""

    payout: str
    first: int
    items: list[PayoutItem]
    complete: bool


# --- Zoho Books -------------------------------------------------------------------------------------------------------


class LineItem(Data, frozen=True):
    """One line of an invoice; `quantity` is Zoho's decimal as text."""

    name: str
    quantity: str
    total_minor: int
    description: str = ""


class InvoiceFacts(Data, frozen=True):
    """An invoice as Zoho showed it. `line_items` is None in a thin list row. `as_of`: no earlier than this was it
    read.
    """

    id: str
    number: str
    customer_id: str
    status: str
    currency: str
    total_minor: int
    balance_minor: int
    date: str
    due_date: str
    last_modified: str
    exchange_rate: str = "1"
    email: str = ""
    elsewhere: bool = False
    """Another way of collecting is under way (in-process payment, ACH initiated, autobill)."""
    line_items: list[LineItem] | None = None
    as_of: str = ""


class InvoiceGone(Data, frozen=True):
    """A read or webhook that says the invoice no longer exists."""

    id: str


class InvoicesListed(Data, frozen=True):
    """One page of invoices was read. `scope` "open" or "modified"; `as_of` is when its first page was asked for.

    Rows that changed came as events of their own before this one; `ids` names all rows of the page, changed or not.
    """

    scope: str
    as_of: str
    page: int
    ids: list[str]
    complete: bool


class ContactFacts(Data, frozen=True):
    """A contact as Zoho showed it; `payer_link` is our custom field with GoCardless's customer id, "" when empty."""

    id: str
    name: str
    status: str
    contact_type: str
    last_modified: str
    email: str = ""
    company_name: str = ""
    currency: str = ""
    reference: str = ""
    payer_link: str = ""


class AppliedInvoice(Data, frozen=True):
    """What part of a customer payment is applied to an invoice, and the invoice's balance after it."""

    invoice_id: str
    applied_minor: int
    balance_minor: int | None = None
    application_id: str = ""


class CustomerPaymentRead(Data, frozen=True):
    """A customer payment as Zoho's answer showed it; `key` is our unique field."""

    id: str
    customer_id: str
    amount_minor: int
    unused_minor: int
    currency: str
    date: str
    account_id: str
    reference: str = ""
    key: str = ""
    created: bool | None = None
    """True: the call made it. False: it was there (an upsert answered "updated"). None: a plain read."""
    invoices: list[AppliedInvoice] = []


class CurrenciesRead(Data, frozen=True):
    """The organisation's exchange rates: base units per one foreign unit, Zoho's decimals as text."""

    rates: dict[str, str]


# --- Us: commands, connection, policy, people, time -------------------------------------------------------------------


class Outcome(Data, frozen=True):
    """How a command ended, or what one call of it said.

    `kind`: "succeeded" (with `resource_id` where a resource was made or found), "refused" (terminal answer of the API),
    "withheld" (never sent: a precondition failed or its not-after passed), "parked" (gave up for a person to look at).
    """

    command: str
    call: int
    kind: str
    resource_id: str = ""
    reason: str = ""
    message: str = ""
    http_status: int = 0
    found: bool = False
    """The resource was there before this call: an idempotency conflict, an upsert that updated, a look-up that hit."""

    @property
    def end(self) -> CommandStatus:
        """`kind` as a word that the rules may compare; "unknown" where a later version recorded another."""
        return narrowed(self.kind, CommandStatus, "unknown")


class Finding(Data, frozen=True):
    """One line of the first-run check: `level` "ok", "decide" (a person must accept it) or "stop"."""

    code: str
    level: str
    text: str
    count: int = 0


class ConnectionChecked(Data, frozen=True):
    """The first-run check ran: what it found, and the facts about both sides that the rules need."""

    findings: list[Finding]
    organization_id: str
    base_currency: str
    time_zone: str
    creditor: str
    environment: str
    rates: dict[str, str] = {}
    creditor_bank_accounts: dict[str, str] = {}


class GateOpened(Data, frozen=True):
    """A person accepted what the check found: collection may begin. `accepted` are the codes of the "decide" findings.

    `collect_from`: what fell due before this day waits for a person, "" changes nothing. `first_count`, `first_minor`:
    how many debits, and what sum, per currency, the list has that the person was shown as what would be collected
    first; None: no list was shown.
    """

    by: str
    accepted: list[str] = []
    note: str = ""
    collect_from: str = ""
    first_count: dict[str, int] | None = None
    first_minor: dict[str, int] | None = None


class GateClosed(Data, frozen=True):
    """A person stopped collection; facts keep being recorded and booked."""

    by: str
    note: str = ""


class MatchApproved(Data, frozen=True):
    """A person says: this contact is this payer (`payer` ""): or invite the contact, when `invite`."""

    by: str
    contact: str
    payer: str = ""
    invite: bool = False


class InvoiceReleased(Data, frozen=True):
    """A person decides about an invoice on hold or failed: collect again, or leave it alone for good."""

    by: str
    invoice: str
    action: str
    note: str = ""


class ReplayRequested(Data, frozen=True):
    """A person sends a parked item again: a command id, or a delivery's position text."""

    by: str
    item: str


class DiscrepancyClosed(Data, frozen=True):
    """A person has dealt with a discrepancy outside, and says so."""

    by: str
    discrepancy: str
    note: str = ""


class PolicySet(Data, frozen=True):
    """A policy version comes into force."""

    by: str
    policy: Policy


class TimeAccepted(Data, frozen=True):
    """A person says that the clock is right, after it jumped or disagreed with the APIs; it may go on until `until`."""

    by: str
    until: str


class DayAccepted(Data, frozen=True):
    """A person lets all debits of a day pass in one currency, which the day's ceiling had held."""

    by: str
    day: str
    currency: str


class HeadReached(Data, frozen=True):
    """A list of an API was read to its end, at `as_of`: `kind` is the poll's, "gocardless.customers". Told until it is
    known.
    """

    kind: str
    as_of: str


class DueReached(Data, frozen=True):
    """A decided due time was reached. `timer` names it, `at` is the decided instant."""

    timer: str
    at: str


class DayBegan(Data, frozen=True):
    """The daily tick: a new day of the organisation."""

    day: str


class DeliveryParked(Data, frozen=True):
    """A delivery, or part of one, could not be understood; it is kept whole at `topic`/`partition`/`offset`."""

    delivery: str
    topic: str
    partition: int
    offset: int
    reason: str
    where: str = ""


#: Type → shape. GoCardless's own events are not listed: any `gocardless.<resource>.<action>` decodes as `GcEvent`.
TYPES: Final[dict[str, type[Data]]] = {
    "gocardless.payment_read": PaymentRead,
    "gocardless.mandate_payments_read": MandatePaymentsRead,
    "gocardless.mandate_read": MandateRead,
    "gocardless.payer_read": PayerRead,
    "gocardless.billing_request_read": BillingRequestRead,
    "gocardless.flow_read": FlowRead,
    "gocardless.payout_read": PayoutRead,
    "gocardless.payout_items_read": PayoutItemsRead,
    "zoho.invoice_seen": InvoiceFacts,
    "zoho.invoice_read": InvoiceFacts,
    "zoho.invoice_notified": InvoiceFacts,
    "zoho.invoice_gone": InvoiceGone,
    "zoho.invoices_listed": InvoicesListed,
    "zoho.contact_seen": ContactFacts,
    "zoho.contact_read": ContactFacts,
    "zoho.contact_notified": ContactFacts,
    "zoho.customer_payment_read": CustomerPaymentRead,
    "zoho.currencies_read": CurrenciesRead,
    "command.outcome": Outcome,
    "connection.checked": ConnectionChecked,
    "operator.gate_opened": GateOpened,
    "operator.gate_closed": GateClosed,
    "operator.match_approved": MatchApproved,
    "operator.invoice_released": InvoiceReleased,
    "operator.replay_requested": ReplayRequested,
    "operator.discrepancy_closed": DiscrepancyClosed,
    "operator.time_accepted": TimeAccepted,
    "operator.day_accepted": DayAccepted,
    "policy.set": PolicySet,
    "poll.head_reached": HeadReached,
    "clock.due_reached": DueReached,
    "clock.day_began": DayBegan,
    "delivery.parked": DeliveryParked,
}

#: The version of every shape above that this code writes; `codec` brings older ones up to it.
SCHEMA: Final = 1


def gc_type(resource_type: str, action: str) -> str:
    """The event type of one of GoCardless's own events."""
    return f"gocardless.{resource_type}.{action}"
