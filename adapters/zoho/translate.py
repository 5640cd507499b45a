"""A delivery of Zoho's → events. Pure and total: any bytes give events and parked pieces, never an exception.

A webhook has no type, no id and no order: it is an observation like a row of a page, and what is new in it is decided
by comparing. A resource that holds its id and nothing else is one that was deleted. The row of another organisation is
never ours. Rows are read one by one; a bad one is parked, and the page goes on without it: an invoice whose row could
not be read is not named as listed either, so no debit leaves on a view that did not show it.
"""

from hashlib import sha256
from typing import Any, Final, Literal, cast
from urllib.parse import parse_qs

import msgspec

from adapters.deliveries import CallInfo, DeliveryMeta, PageInfo, Parked, Translation
from adapters.http import Answer, Call
from adapters.verdicts import Done, Step
from adapters.zoho import codes, facts, pages, perform, wire
from adapters.zoho.webhook import is_form
from domain import commands as c
from domain import refs
from domain.envelope import Event
from domain.errors import DomainError
from domain.events import CurrenciesRead, HeadReached, InvoiceGone, InvoicesListed, Outcome
from domain.ids import digest, observation_id, outcome_id
from domain.vocabulary import narrowed

#: Names of the two custom fields, unless the connection's policy says otherwise.
UNIQUE_FIELD: Final = "cf_gocardless_key"
PAYER_LINK_FIELD: Final = "cf_gocardless_customer"

#: A webhook's only member, or its rule's module, → what it is. Zoho's name for a customer payment is not documented:
#: all are taken.
_MODULES: Final = {
    "invoice": "invoice",
    "invoices": "invoice",
    "contact": "contact",
    "contacts": "contact",
    "customer": "contact",
    "customers": "contact",
    "payment": "payment",
    "customer_payment": "payment",
    "customerpayment": "payment",
    "customerpayments": "payment",
}
_ID_FIELDS: Final = {"payment": "payment_id", "invoice": "invoice_id", "contact": "contact_id"}

#: A bare resource with one of these is another kind that names an invoice in passing.
_OTHER_IDS: Final = frozenset({"creditnote_id", "expense_id", "bill_id", "retainerinvoice_id", "transaction_id"})

#: Fields that a deleted resource's webhook may hold besides its id.
_BESIDE_ID: Final = frozenset({"organization_id", "invoice_number", "payment_number", "contact_name"})

#: The scope that a poll of invoices says it read.
_SCOPES: Final = {"zoho.invoices": "modified", "zoho.open_invoices": "open"}

_FORM_PAIRS: Final = 1000


def translate(
    meta: DeliveryMeta,
    body: bytes,
    organization_id: str = "",
    *,
    unique_field: str = UNIQUE_FIELD,
    payer_link_field: str = PAYER_LINK_FIELD,
) -> Translation:
    """What a delivery says. `organization_id`: whose it must be, where it says ("" checks nothing)."""
    reading = _Reading(meta, organization_id, unique_field, payer_link_field)
    if meta.call is not None:
        reading.answer(meta.call, body)
    elif meta.page is not None:
        reading.page(meta.page, body)
        if meta.page.tell_head:
            reading.head(meta.page)
    else:
        reading.webhook(body)
    return Translation(reading.events, reading.parked)


class _Reading:
    """One delivery being read: where its events and parked pieces gather."""

    def __init__(self, meta: DeliveryMeta, organization_id: str, unique_field: str, payer_link_field: str) -> None:
        self.meta = meta
        self.organization_id = organization_id
        self.unique_field = unique_field
        self.payer_link_field = payer_link_field
        self.source = {"webhook": "webhook", "page": "poll", "answer": "answer"}[meta.kind]
        self.events: list[Event] = []
        self.parked: list[Parked] = []

    # deliveries

    def webhook(self, body: bytes) -> None:
        try:
            module, raw = self._resource(body)
            self._require_ours(raw)
            fields = wire.members(raw)
            identity = _ID_FIELDS[module]
            bare = identity in fields and not (fields.keys() - {identity} - _BESIDE_ID)
            if bare or self.meta.module.lower().endswith("/deleted"):
                self._deleted(module, raw)
            elif module == "invoice":
                self._invoice("zoho.invoice_notified", wire.read(raw, wire.InvoiceRow), "")
            elif module == "contact":
                self._contact("zoho.contact_notified", raw)
            else:
                self._payment(raw, created=None)
        except DomainError as error:
            self._park("body", error)

    def page(self, page: PageInfo, body: bytes) -> None:
        if self.meta.same_as:
            return
        if page.kind not in pages.KINDS:
            self.parked.append(Parked("page", "a kind of page that this version does not know"))
            return
        try:
            raws = _rows(page.kind, page.status, body)
            if page.kind == "zoho.currencies":
                self._currencies(page, raws)
            elif page.kind == "zoho.contacts":
                self._contacts(page, raws)
            else:
                self._invoices(
                    _SCOPES[page.kind], raws, page.as_of, page.page, complete=page.complete, fresh=page.fresh
                )
        except DomainError as error:
            self._park("page", error)

    def head(self, page: PageInfo) -> None:
        self._seen("poll.head_reached", page.kind, self.meta.received_at, HeadReached(page.kind, page.as_of))

    def answer(self, call: CallInfo, body: bytes) -> None:
        asked = Call(cast("Literal['GET', 'POST', 'PUT', 'DELETE']", call.method), call.path, call.query)
        answer = Answer(call.status, self.meta.headers, body)
        if call.command.api != "zoho":
            self.parked.append(Parked("call", "an answer to a command that is not for Zoho Books"))
            return
        verdict = perform.verdict(call.command, narrowed(call.step, Step, "follow"), asked, answer)
        understood = codes.examine(answer, writes=call.command.writes)
        if isinstance(understood, wire.Body):
            self._observe(call, asked, understood, last=isinstance(verdict, Done) and verdict.kind == "succeeded")
        elif (
            isinstance(verdict, Done)
            and isinstance(call.command.data, c.ReadInvoice)
            and verdict.reason == str(codes.NOT_THERE)
        ):
            self._gone(call.command.data.invoice)
        if isinstance(verdict, Done):
            self._outcome(call, verdict, body)

    # answers

    def _observe(self, call: CallInfo, asked: Call, body: wire.Body, *, last: bool) -> None:
        """What the body of an answer shows, whatever it means for the command."""
        try:
            match call.command.data:
                case c.ReadInvoice():
                    self._invoice("zoho.invoice_read", wire.read(_member(body, "invoice"), wire.InvoiceRow), call.as_of)
                case c.ReadContact():
                    self._contact("zoho.contact_read", _member(body, "contact"))
                case c.ListOpenInvoices():
                    self._invoices(
                        "open", body.rows("invoices"), call.as_of, pages.page_of(asked), complete=last, fresh=call.fresh
                    )
                case c.CreateCustomerPayment() if body.one("payment", "customer_payment") is not None:
                    raw = _member(body, "payment", "customer_payment")
                    row = wire.read(raw, wire.PaymentRow)
                    self.unique_field = call.command.data.unique_field
                    made = not perform.updated(call.status, row.created_time, row.updated_time)
                    self._payment(raw, created=made if call.step == "send" else None)
                case c.UnapplyPayment():
                    self._payment(_member(body, "payment", "customer_payment"), created=None)
                case _:
                    pass  # searches and the answers of refunds, expenses and transfers show nothing beyond the outcome
        except DomainError as error:
            self._park("answer", error)

    def _outcome(self, call: CallInfo, done: Done, body: bytes) -> None:
        command = call.command
        data = Outcome(
            command=command.id,
            call=call.call,
            kind=done.kind,
            resource_id=done.resource_id,
            reason=done.reason,
            message=done.message,
            http_status=call.status,
            found=done.found,
        )
        event_id = outcome_id(command.id, call.call, digest(str(call.status), sha256(body).hexdigest()))
        self._append(
            event_id, "command.outcome", self.meta.received_at, data, correlation_id=done.resource_id or command.about
        )

    # rows

    def _invoices(
        self, scope: str, raws: list[msgspec.Raw], as_of: str, page: int, *, complete: bool, fresh: list[int] | None
    ) -> None:
        """The rows of a page of invoices, then the page itself: all it showed, changed or not."""
        ids: list[str] = []
        wanted = None if fresh is None else frozenset(fresh)
        for position, raw in enumerate(raws):
            new = wanted is None or position in wanted
            try:
                self._require_ours(raw)
                row = wire.read(raw, wire.InvoiceRow)
                fact = facts.invoice(row, as_of)
            except DomainError as error:
                if new:
                    self._park(f"invoices[{position}]", error)
                continue
            ids.append(fact.id)
            if new:
                self._seen(
                    "zoho.invoice_seen",
                    fact.id,
                    fact.last_modified,
                    fact,
                    subject=refs.subject("contact", fact.customer_id),
                )
        listed = InvoicesListed(scope=scope, as_of=as_of, page=page, ids=ids, complete=complete)
        self._seen("zoho.invoices_listed", f"{scope}:{page}", self.meta.received_at, listed)

    def _contacts(self, page: PageInfo, raws: list[msgspec.Raw]) -> None:
        wanted = None if page.fresh is None else frozenset(page.fresh)
        for position, raw in enumerate(raws):
            if wanted is not None and position not in wanted:
                continue
            try:
                self._contact("zoho.contact_seen", raw)
            except DomainError as error:
                self._park(f"contacts[{position}]", error)

    def _currencies(self, page: PageInfo, raws: list[msgspec.Raw]) -> None:
        if page.fresh == []:
            return
        known: list[msgspec.Raw] = []
        for position, raw in enumerate(raws):
            try:
                facts.rates([raw])
                known.append(raw)
            except DomainError as error:
                self._park(f"currencies[{position}]", error)
        self._seen("zoho.currencies_read", "currencies", self.meta.received_at, CurrenciesRead(facts.rates(known)))

    def _invoice(self, event_type: str, row: wire.InvoiceRow, as_of: str) -> None:
        fact = facts.invoice(row, as_of)
        self._seen(event_type, fact.id, fact.last_modified, fact, subject=refs.subject("contact", fact.customer_id))

    def _contact(self, event_type: str, raw: msgspec.Raw) -> None:
        self._require_ours(raw)
        fact = facts.contact(wire.read(raw, wire.ContactRow), self.payer_link_field)
        self._seen(event_type, fact.id, fact.last_modified, fact, subject=refs.subject("contact", fact.id))

    def _payment(self, raw: msgspec.Raw, *, created: bool | None) -> None:
        row = wire.read(raw, wire.PaymentRow)
        fact = facts.payment(row, self.unique_field, created=created)
        self._seen("zoho.customer_payment_read", fact.id, facts.payment_time(row), fact)

    def _deleted(self, module: str, raw: msgspec.Raw) -> None:
        """A webhook with nothing but an id: a deletion. Only an invoice's has an event; a reader of the others finds it
        by reading.
        """
        if module != "invoice":
            raise wire.WireError(f"a {module} with nothing but its id: deleted, or a template that leaves the rest out")
        self._gone(wire.require_id(wire.read(raw, wire.InvoiceRow).invoice_id, "invoice_id"))

    def _gone(self, invoice: str) -> None:
        self._seen("zoho.invoice_gone", invoice, self.meta.received_at, InvoiceGone(invoice))

    # webhooks

    def _resource(self, body: bytes) -> tuple[str, msgspec.Raw]:
        """The module and the resource of a webhook, wrapped in its name or bare. Raises `WireError`."""
        text = _form_json(body) if is_form(self.meta.content_type) else body
        fields = wire.members(text)
        self._require_organisation(fields)
        module = _MODULES.get(self.meta.module.split("/", 1)[0].lower(), "")
        for known, identity in _ID_FIELDS.items():  # a bare invoice has a member "contact", so this comes first
            if identity in fields and module in ("", known) and not (fields.keys() & _OTHER_IDS):
                return known, msgspec.Raw(text)
        for name, raw in fields.items():
            if name.lower() in _MODULES and bytes(raw)[:1] == b"{":
                return _MODULES[name.lower()], raw
        raise wire.WireError("neither an invoice, a contact nor a customer payment")

    def _require_ours(self, raw: msgspec.Raw) -> None:
        self._require_organisation(wire.members(raw))

    def _require_organisation(self, fields: dict[str, msgspec.Raw]) -> None:
        shown = wire.scalar(fields.get("organization_id", wire.NOTHING))
        if self.organization_id and shown not in ("", self.organization_id):
            raise wire.WireError("other organisation")

    # events

    def _seen(self, event_type: str, resource: str, happened_at: str, data: Any, *, subject: str = "") -> None:
        event_id = observation_id(self.meta.id, event_type, resource)
        self._append(event_id, event_type, happened_at, data, correlation_id=resource, subject=subject)

    def _append(
        self, event_id: str, event_type: str, happened_at: str, data: Any, *, correlation_id: str, subject: str = ""
    ) -> None:
        self.events.append(
            Event(
                id=event_id,
                type=event_type,
                connection=self.meta.connection,
                happened_at=happened_at,
                learned_at=self.meta.received_at,
                source=self.source,
                data=data,
                subject=subject,
                causation_id=self.meta.id,
                correlation_id=correlation_id,
            )
        )

    def _park(self, where: str, error: DomainError) -> None:
        self.parked.append(Parked(where, str(error)))


def _member(body: wire.Body, *names: str) -> msgspec.Raw:
    raw = body.one(*names)
    if raw is None:
        raise wire.WireError(f"the answer holds no {names[0]}")
    return raw


def _rows(kind: str, status: int, body: bytes) -> list[msgspec.Raw]:
    found = wire.body(body)
    if found.code != 0 or status != 200:
        raise wire.WireError("not a page: Zoho answered with a refusal")
    return found.rows(pages.KINDS[kind][1])


def _form_json(body: bytes) -> bytes:
    """The JSON in a form's field `JSONString`, Zoho's older body. Raises `WireError`."""
    try:
        fields = parse_qs(body.decode(), max_num_fields=_FORM_PAIRS)
    except ValueError:
        raise wire.WireError("not a readable form") from None
    if "JSONString" not in fields:
        raise wire.WireError("a form without JSONString: choose the default payload for this webhook")
    return fields["JSONString"][0].encode()
