"""The state of one connection: rows in mappings keyed by id, the same in memory, over the store and in a bulk replay.

A row is a flat, frozen struct: every field is a column that finance can read. Facts change rows in `evolve`; decisions
change them through `apply` and nothing else.
"""

from collections.abc import Iterator, MutableMapping
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from domain.policy import NO_POLICY, Policy
from domain.vocabulary import (
    BookingStage,
    Claim,
    CommandStatus,
    Environment,
    Gate,
    InvoiceStage,
    Match,
    PayoutStage,
    Walk,
)


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of a row; `id` is its key."""

    id: str


class ConnectionRow(Row, frozen=True):
    """The connection itself: one row, id = the connection's id.

    `gate` "closed" until a person opened it. `open_listed_at`: all open invoices were read no earlier than this.
    `sweep_asked_at`: when a read of them was last asked for; later than `open_listed_at` while it has not come back.
    `heads`: list of an API → when it was first read to its end. `collect_from`: what fell due before this day waits for
    a person. `accepted_at`: when a person accepted a list of what would be collected first, `accepted_count` and
    `accepted_minor` are that list, per currency. `continued`: how often a rule went on in a further event.
    """

    environment: Environment = ""
    organization_id: str = ""
    base_currency: str = ""
    time_zone: str = "UTC"
    creditor: str = ""
    creditor_bank_accounts: dict[str, str] = {}
    checked_at: str = ""
    undecided: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    gate: Gate = "closed"
    policy: Policy | None = None
    rates: dict[str, str] = {}
    open_listed_at: str = ""
    sweep_asked_at: str = ""
    today: str = ""
    time_accepted: str = ""
    opening_posted: bool = False
    heads: dict[str, str] = {}
    collect_from: str = ""
    accepted_at: str = ""
    accepted_count: dict[str, int] = {}
    accepted_minor: dict[str, int] = {}
    continued: int = 0


class Contact(Row, frozen=True):
    """A customer in Zoho. `match`: "none", "ambiguous", "proposed", "linked", "invited". `payer_link`: the payer that
    Zoho's custom field names; `claimed_by`: the payer whose metadata names this contact. `waiting_currencies`: those in
    which invoices wait for a mandate (the invoices are the list "waiting:<id>:<currency>").
    """

    name: str = ""
    email: str = ""
    status: str = ""
    currency: str = ""
    reference: str = ""
    last_modified: str = ""
    as_of: str = ""
    payer_link: str = ""
    claimed_by: str = ""
    payer: str = ""
    match: Match = "none"
    match_by: str = ""
    billing_request: str = ""
    waiting_currencies: tuple[str, ...] = ()


class Payer(Row, frozen=True):
    """A customer at GoCardless. `contact` is the Zoho contact it is linked to; all mandates it has had are the list
    "mandates:<id>".
    """

    email: str = ""
    name: str = ""
    link: str = ""
    contact: str = ""


class BillingRequest(Row, frozen=True):
    """An invitation to give a mandate, and its hosted page."""

    contact: str = ""
    status: str = ""
    payer: str = ""
    mandate: str = ""
    authorisation_url: str = ""
    expires_at: str = ""


class ListRow(Row, frozen=True):
    """The ends of a list of any length (`domain.lists`); a list that is empty has no row. `until`: where a walk over it
    that goes on in a further event ends, empty while there is none.
    """

    first: str = ""
    last: str = ""
    until: str = ""


class Element(Row, frozen=True):
    """A key in a list: id is "<list>|<key>"; `before` and `after` are its neighbours, empty at the ends."""

    before: str = ""
    after: str = ""


class Mandate(Row, frozen=True):
    """A mandate. `payments_read_at`: its payments were read no earlier than this; `payments_asked_at`: that was asked
    for. Invoices whose debit waits for it are the list "viewing:<id>".
    """

    status: str = ""
    status_at: str = ""
    scheme: str = ""
    currency: str = ""
    payer: str = ""
    reference: str = ""
    new_mandate: str = ""
    payments_read_at: str = ""
    payments_asked_at: str = ""
    read: bool = False
    read_asked: bool = False


class Invoice(Row, frozen=True):
    """An invoice in Zoho and where its collection stands.

    `stage`: "none" (nothing to collect), "waiting" (no usable mandate yet), "scheduled" (until `due_at`), "viewing"
    (fresh reads under way), "collecting" (a debit is decided or under way), "collected" (confirmed), "failed", "hold"
    (a person must release it), "ignored" (a person said: leave it).
    """

    number: str = ""
    contact: str = ""
    currency: str = ""
    status: str = ""
    total_minor: int = 0
    balance_minor: int = 0
    date: str = ""
    due_date: str = ""
    last_modified: str = ""
    exchange_rate: str = "1"
    elsewhere: bool = False
    line_count: int = 0
    as_of: str = ""
    stage: InvoiceStage = "none"
    reason: str = ""
    since: str = ""
    due_at: str = ""
    attempt: int = 0
    command: str = ""
    payment: str = ""
    mandate: str = ""
    approved_minor: int = 0


class PaymentFact(msgspec.Struct, frozen=True, omit_defaults=True):
    """One distinct fact of a payment, kept for ever so that order of arrival does not matter."""

    id: str
    at: str
    action: str
    cause: str = ""
    reason_code: str = ""
    will_retry: bool = False
    payout: str = ""


class Payment(Row, frozen=True):
    """A payment at GoCardless. `claim`: "ours", "foreign" or "unknown" (a read is under way). `confirmed`, `reversed`:
    how often the facts say so; `booked`, `unbooked`: how often the ledger has it.
    """

    claim: Claim = "unknown"
    invoice: str = ""
    command: str = ""
    mandate: str = ""
    amount_minor: int = 0
    currency: str = ""
    status: str = ""
    created_at: str = ""
    charge_date: str = ""
    reason: str = ""
    facts: tuple[PaymentFact, ...] = ()
    confirmed: int = 0
    reversed: int = 0
    read: bool = False
    read_asked: bool = False
    booked: int = 0
    unbooked: int = 0
    payout: str = ""


class Booking(Row, frozen=True):
    """The nth booking of a payment in Zoho: id "PM…:n".

    `stage`: "asked", "posted", "unapplying", "refunding", "reversed", "refused" (a person must look), "suspense" (Zoho
    refused the reversal, so the amount lies in suspense), "opening" (before the books began: nothing is posted).
    """

    payment: str = ""
    number: int = 1
    invoice: str = ""
    amount_minor: int = 0
    applied_minor: int = 0
    currency: str = ""
    date: str = ""
    policy_version: int = 0
    stage: BookingStage = "asked"
    command: str = ""
    zoho_payment: str = ""
    reversal_at: str = ""
    reversal_id: str = ""
    refund: str = ""


class Payout(Row, frozen=True):
    """A payout. `stage`: "seen" (being read), "posting" (in the ledger, Zoho asked), "reconciled", "held" (a person
    must look).

    Its items are walked one after the other, and as many at once as one decision may hold: `walk` says for what
    ("counting", "awaiting", "posting", "recording", "publishing", "" when all is done), `cursor` is the position of the
    next. `gross_tenths`, `total_tenths`, `tax_tenths`: sums of the items counted so far; `uneven`: one that is no fee
    has a part of a minor unit; `fees`: "<type>|<tax rate>" → [sum, tax in it], tenths. `moved_minor`: what of it has
    been taken from its payments in the ledger; `foreign_count`, `foreign_minor`: items that are not ours.
    """

    status: str = ""
    amount_minor: int = 0
    currency: str = ""
    created_at: str = ""
    arrival_date: str = ""
    reference: str = ""
    bank_account: str = ""
    payout_type: str = ""
    fx_currency: str = ""
    paid_at: str = ""
    read: bool = False
    read_asked: bool = False
    items_complete: bool = False
    item_count: int = 0
    gross_minor: int = 0
    fee_minor: int = 0
    vat_minor: int = 0
    residue_tenths: int = 0
    stage: PayoutStage = "seen"
    reason: str = ""
    posted: bool = False
    expense_command: str = ""
    expense: str = ""
    transfer_command: str = ""
    transfer: str = ""
    suspense_command: str = ""
    suspense_transfer: str = ""
    walk: Walk = "counting"
    cursor: int = 0
    total_tenths: int = 0
    gross_tenths: int = 0
    tax_tenths: int = 0
    uneven: bool = False
    fees: dict[str, tuple[int, int]] = {}
    moved_minor: int = 0
    foreign_count: int = 0
    foreign_minor: int = 0


class PayoutItemRow(Row, frozen=True):
    """One item of a payout: id "PO…:000001"."""

    payout: str = ""
    position: int = 0
    type: str = ""
    amount_tenths: int = 0
    payment: str = ""
    refund: str = ""
    mandate: str = ""
    tax_rate: str = ""
    tax_tenths: int = 0


class Balance(Row, frozen=True):
    """Debits minus credits of one account in one currency: id "clearing:GBP"."""

    account: str = ""
    currency: str = ""
    amount_minor: int = 0


class OpenItem(Row, frozen=True):
    """A part of the clearing balance that has a name: id "GBP:PM…". It goes when its amount is zero."""

    currency: str = ""
    resource: str = ""
    amount_minor: int = 0
    name: str = ""
    since: str = ""


class DiscrepancyRow(Row, frozen=True):
    """Something a person must look at; `closed_at` "" while it is open."""

    code: str = ""
    about: str = ""
    text: str = ""
    remedy: str = ""
    event: str = ""
    opened_at: str = ""
    closed_at: str = ""
    amount_minor: int = 0
    currency: str = ""


class TimerRow(Row, frozen=True):
    """A decided due time that has not been reached."""

    at: str = ""
    about: str = ""


class CommandRow(Row, frozen=True):
    """A command and how it ended: `status` "open", "succeeded", "refused", "withheld", "parked", "superseded".
    `mandate`: the one a debit is for.
    """

    type: str = ""
    purpose: str = ""
    attempt: int = 1
    about: str = ""
    amount_minor: int = 0
    currency: str = ""
    status: CommandStatus = "open"
    resource_id: str = ""
    reason: str = ""
    message: str = ""
    event: str = ""
    asked_at: str = ""
    ended_at: str = ""
    mandate: str = ""


class Purpose(Row, frozen=True):
    """How many commands were recorded for a purpose, the next one is attempt `count` + 1; and the id of the last."""

    count: int = 0
    command: str = ""


class DebitCount(Row, frozen=True):
    """How many debits of an invoice GoCardless has shown, whatever became of them; id is the invoice's."""

    shown: int = 0


class DebitDay(Row, frozen=True):
    """Debits decided on a day of the organisation in one currency: id "2026-03-02:GBP"; those that were not made after
    all are not in it.

    `limited`: the day's ceiling is worked out; `limit_count`, `limit_minor`: what it is, -1 for none. `accepted`: a
    person let all of the day pass.
    """

    day: str = ""
    currency: str = ""
    count: int = 0
    amount_minor: int = 0
    limited: bool = False
    limit_count: int = -1
    limit_minor: int = -1
    accepted: bool = False


class PayerMonth(Row, frozen=True):
    """What was debited from a payer in a month of the organisation in one currency: id "2026-03:CU…:GBP", as
    `DebitDay`.
    """

    payer: str = ""
    month: str = ""
    currency: str = ""
    amount_minor: int = 0


#: Every kind of row: the mapping's name, and the shape of its rows. The store makes a table of each.
KINDS: Final[dict[str, type[Row]]] = {
    "connections": ConnectionRow,
    "contacts": Contact,
    "payers": Payer,
    "billing_requests": BillingRequest,
    "lists": ListRow,
    "elements": Element,
    "mandates": Mandate,
    "invoices": Invoice,
    "payments": Payment,
    "bookings": Booking,
    "payouts": Payout,
    "payout_items": PayoutItemRow,
    "balances": Balance,
    "open_items": OpenItem,
    "discrepancies": DiscrepancyRow,
    "timers": TimerRow,
    "commands": CommandRow,
    "purposes": Purpose,
    "debit_counts": DebitCount,
    "debit_days": DebitDay,
    "payer_months": PayerMonth,
}


#: Kind → its fields with a closed vocabulary → the values of each.
CLOSED: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    kind: {name: get_args(hint) for name, hint in get_type_hints(row).items() if get_origin(hint) is Literal}
    for kind, row in KINDS.items()
}


class State:
    """One connection's mappings. `State(connection)` is in memory; the store hands in mappings over its rows
    instead.
    """

    __slots__ = ("connection", *KINDS)

    connections: MutableMapping[str, ConnectionRow]
    contacts: MutableMapping[str, Contact]
    payers: MutableMapping[str, Payer]
    billing_requests: MutableMapping[str, BillingRequest]
    lists: MutableMapping[str, ListRow]
    elements: MutableMapping[str, Element]
    mandates: MutableMapping[str, Mandate]
    invoices: MutableMapping[str, Invoice]
    payments: MutableMapping[str, Payment]
    bookings: MutableMapping[str, Booking]
    payouts: MutableMapping[str, Payout]
    payout_items: MutableMapping[str, PayoutItemRow]
    balances: MutableMapping[str, Balance]
    open_items: MutableMapping[str, OpenItem]
    discrepancies: MutableMapping[str, DiscrepancyRow]
    timers: MutableMapping[str, TimerRow]
    commands: MutableMapping[str, CommandRow]
    purposes: MutableMapping[str, Purpose]
    debit_counts: MutableMapping[str, DebitCount]
    debit_days: MutableMapping[str, DebitDay]
    payer_months: MutableMapping[str, PayerMonth]

    def __init__(self, connection: str, mappings: dict[str, MutableMapping[str, Any]] | None = None) -> None:
        self.connection = connection
        for kind in KINDS:
            setattr(self, kind, {} if mappings is None else mappings[kind])

    @property
    def own(self) -> ConnectionRow:
        """The connection's row; a new one before anything is known."""
        return self.connections.get(self.connection) or ConnectionRow(self.connection)

    @property
    def policy(self) -> Policy:
        """The policy in force; version 0 (nothing mapped, nothing collected, nobody matched by e-mail) before one is
        set.
        """
        return self.own.policy or NO_POLICY

    def mapping(self, kind: str) -> MutableMapping[str, Any]:
        """The mapping of a kind of rows."""
        found: MutableMapping[str, Any] = getattr(self, kind)
        return found

    def rows(self) -> Iterator[tuple[str, str, Row]]:
        """Every row as (kind, key, row), in a stable order: for comparing two states."""
        for kind in KINDS:
            mapping = self.mapping(kind)
            for key in sorted(mapping):
                yield kind, key, mapping[key]
