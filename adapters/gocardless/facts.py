"""From a row of GoCardless's JSON to the data of an event, one function per resource. Each raises `DomainError` on a
row it cannot read.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from adapters.gocardless import wire
from adapters.texts import clip
from domain import events
from domain.money import tenths_from_text

Raw = bytes | msgspec.Raw

#: Longest address of a hosted page kept. Lower: a page whose address carries a long token would be cut off, and
#: useless.
_MAX_URL: Final = 2048


def gc_event(raw: Raw) -> tuple[str, str, events.GcEvent]:
    """One of GoCardless's own events, as (its id, when it happened, its data)."""
    row = wire.read(raw, wire.EventRow)
    details = row.details or wire.Details()
    data = events.GcEvent(
        wire.require_word(row.resource_type, "resource_type"),
        wire.require_word(row.action, "action"),
        wire.links(row.links),
        origin=wire.text(details.origin),
        cause=wire.text(details.cause),
        description=wire.text(details.description),
        scheme=wire.text(details.scheme),
        reason_code=wire.text(details.reason_code),
        will_attempt_retry=details.will_attempt_retry,
        resource_metadata=wire.metadata(row.resource_metadata),
    )
    return wire.require_id(row.id, "id"), wire.instant(row.created_at, "created_at"), data


def payment(raw: Raw) -> events.PaymentRead:
    """A payment."""
    row = wire.read(raw, wire.PaymentRow)
    return events.PaymentRead(
        wire.require_id(row.id, "id"),
        wire.require_word(row.status, "status"),
        wire.amount_minor(row.amount, "amount"),
        wire.currency(row.currency),
        wire.link(row.links, "mandate"),
        wire.instant(row.created_at, "created_at"),
        charge_date=wire.some_day(row.charge_date, "charge_date"),
        amount_refunded_minor=wire.amount_minor(row.amount_refunded or 0, "amount_refunded"),
        reference=wire.text(row.reference),
        description=wire.text(row.description),
        payout=wire.link(row.links, "payout"),
        metadata=wire.metadata(row.metadata),
    )


def mandate(raw: Raw) -> events.MandateRead:
    """A mandate."""
    row = wire.read(raw, wire.MandateRow)
    return events.MandateRead(
        wire.require_id(row.id, "id"),
        wire.require_word(row.status, "status"),
        wire.require_word(row.scheme, "scheme"),
        wire.link(row.links, "customer"),
        wire.instant(row.created_at, "created_at"),
        reference=wire.text(row.reference),
        creditor=wire.link(row.links, "creditor"),
        next_possible_charge_date=wire.some_day(row.next_possible_charge_date, "next_possible_charge_date"),
        new_mandate=wire.link(row.links, "new_mandate"),
        metadata=wire.metadata(row.metadata),
    )


def payer(raw: Raw) -> events.PayerRead:
    """A customer. A company's name stands before a person's."""
    row = wire.read(raw, wire.CustomerRow)
    person = " ".join(part for part in (row.given_name, row.family_name) if part)
    return events.PayerRead(
        wire.require_id(row.id, "id"),
        wire.instant(row.created_at, "created_at"),
        email=wire.text(row.email),
        name=wire.text(row.company_name or person),
        country_code=wire.text(row.country_code),
        metadata=wire.metadata(row.metadata),
    )


def billing_request(raw: Raw) -> events.BillingRequestRead:
    """A billing request."""
    row = wire.read(raw, wire.BillingRequestRow)
    asked = row.mandate_request or wire.MandateRequest()
    return events.BillingRequestRead(
        wire.require_id(row.id, "id"),
        wire.require_word(row.status, "status"),
        wire.instant(row.created_at, "created_at"),
        customer=wire.link(row.links, "customer"),
        mandate=wire.link(row.links, "mandate_request_mandate") or wire.link(asked.links, "mandate"),
        currency=wire.currency(asked.currency) if asked.currency else "",
        metadata=wire.metadata(row.metadata),
    )


def flow(raw: Raw) -> events.FlowRead:
    """A billing request flow."""
    row = wire.read(raw, wire.FlowRow)
    url = row.authorisation_url or ""
    if not url.startswith(("https://", "http://")) or len(url) > _MAX_URL:
        raise wire.WireError("authorisation_url is missing or not an address")
    return events.FlowRead(
        wire.require_id(row.id, "id"),
        wire.link(row.links, "billing_request"),
        clip(url, _MAX_URL),
        expires_at=wire.some_instant(row.expires_at, "expires_at"),
    )


def payout(raw: Raw) -> events.PayoutRead:
    """A payout. Its `fx` object is there without foreign exchange too: only a rate or another currency means that there
    was one.
    """
    row = wire.read(raw, wire.PayoutRow)
    currency = wire.currency(row.currency)
    fx = row.fx or wire.Fx()
    exchanged = fx.exchange_rate is not None or (fx.fx_currency or currency) != currency
    return events.PayoutRead(
        wire.require_id(row.id, "id"),
        wire.require_word(row.status, "status"),
        wire.amount_minor(row.amount, "amount", below_zero=True),
        currency,
        wire.instant(row.created_at, "created_at"),
        deducted_fees_minor=wire.amount_minor(row.deducted_fees or 0, "deducted_fees", below_zero=True),
        arrival_date=wire.some_day(row.arrival_date, "arrival_date"),
        reference=wire.text(row.reference),
        payout_type=wire.require_word(row.payout_type or "merchant", "payout_type"),
        creditor=wire.link(row.links, "creditor"),
        creditor_bank_account=wire.link(row.links, "creditor_bank_account"),
        fx_currency=wire.currency(fx.fx_currency) if exchanged and fx.fx_currency else "",
        fx_amount_minor=wire.amount_minor(fx.fx_amount, "fx_amount", below_zero=True)
        if exchanged and fx.fx_amount is not None
        else None,
        fx_rate=wire.text(fx.exchange_rate) if exchanged else "",
    )


def payout_item(raw: Raw) -> events.PayoutItem:
    """A row of a payout, in exact tenths of the minor unit."""
    row = wire.read(raw, wire.ItemRow)
    return events.PayoutItem(
        wire.require_word(row.type, "type"),
        tenths_from_text(str(row.amount)),
        payment=wire.link(row.links, "payment"),
        refund=wire.link(row.links, "refund"),
        mandate=wire.link(row.links, "mandate"),
        taxes=[
            events.PayoutTax(
                wire.require_id(tax.tax_rate_id, "tax_rate_id"),
                tenths_from_text(str(tax.amount)),
                wire.currency(tax.currency) if tax.currency else "",
            )
            for tax in row.taxes or []
        ],
    )


Read = (
    events.PaymentRead
    | events.MandateRead
    | events.PayerRead
    | events.BillingRequestRead
    | events.FlowRead
    | events.PayoutRead
)

#: Plural name on the wire → type of the event, and its reader.
RESOURCES: Final[dict[str, tuple[str, Callable[[Raw], Read]]]] = {
    "payments": ("gocardless.payment_read", payment),
    "mandates": ("gocardless.mandate_read", mandate),
    "customers": ("gocardless.payer_read", payer),
    "billing_requests": ("gocardless.billing_request_read", billing_request),
    "billing_request_flows": ("gocardless.flow_read", flow),
    "payouts": ("gocardless.payout_read", payout),
}
