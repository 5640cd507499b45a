"""What a company is to the simulators and to the program: documents that fill both simulators, their settings, and the
settings of the connection.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from sandbox.gocardless import acts
from sandbox.world import World, iso_utc
from streams import population, settings
from streams.simulation.apis import gocardless_of, merchant_of, zoho_of
from streams.simulation.company import Company, PlannedInvoice

Document = dict[str, Any]


class Populated(msgspec.Struct, frozen=True, kw_only=True):
    """What the simulators made of a company: ids, in the order of its customers (None where there is no payer or
    mandate yet) and of its invoices. `oauth` is what lets one in at Zoho.
    """

    organization: str
    creditor: str
    contacts: tuple[str, ...]
    payers: tuple[str | None, ...]
    mandates: tuple[str | None, ...]
    invoices: tuple[str, ...]
    oauth: dict[str, str]


def populate(world: World, company: Company, endpoints: Mapping[str, Document] | None = None) -> Populated:
    """Fill both simulators of a new world, in process, and set them. `endpoints`: API → {"url", "secret"} of its
    webhooks, for the APIs of which the company has any.
    """
    endpoints = endpoints or {}
    books = zoho_of(world).populate(zoho_population(company))
    contacts = tuple(books["contacts"][: len(company.customers)])
    payers = acts.populate(merchant_of(world), gocardless_population(company, contacts))
    places = dict(zip(payer_places(company), payers["customers"], strict=True))
    ids = [places.get(place) for place in range(len(company.customers))]
    for document in link_edits(company, contacts, [None if row is None else row["customer"] for row in ids]):
        zoho_of(world).edit(document)
    gocardless_of(world).configure(gocardless_settings(company, endpoints.get("gocardless")))
    zoho_of(world).configure(zoho_settings(company, endpoints.get("zoho")))
    return Populated(
        organization=books["organization_id"],
        creditor=payers["creditor"],
        contacts=contacts,
        payers=tuple(None if row is None else row["customer"] for row in ids),
        mandates=tuple(None if row is None else row["mandate"] for row in ids),
        invoices=tuple(books["invoices"]),
        oauth=books["oauth"],
    )


# --- Zoho Books ---


def zoho_population(company: Company) -> Document:
    """The organisation, its accounts, customers and invoices."""
    return {
        "organization": {
            "name": "Simulated Supplies",
            "time_zone": company.time_zone,
            "currency_code": company.base,
            "country_code": company.country,
            "plan": company.plan,
        },
        "currencies": company.rates,
        "accounts": population.accounts(company.books_currencies),
        "taxes": [
            {"name": population.VAT, "percentage": 20, "key": "vat"},
            {"name": "Zero rated", "percentage": 0, "key": "zero"},
        ],
        "custom_fields": population.custom_fields(),
        "contacts": [*(population.contact(one) for one in company.customers), population.vendor(company.base)],
        "invoices": [_invoice(company, one) for one in company.invoices],
    }


def _invoice(company: Company, planned: PlannedInvoice) -> Document:
    return {
        "contact": planned.customer,
        "invoice_number": planned.number,
        "date": planned.day.isoformat(),
        "due_date": planned.due.isoformat(),
        "currency": company.customers[planned.customer].currency,
        "line_items": [dict(line) for line in planned.lines],
        "tax": planned.tax,
        "is_inclusive_tax": planned.inclusive,
        "draft": planned.draft,
        "sent_at": iso_utc(planned.sent_at),
    }


def zoho_settings(company: Company, endpoint: Document | None = None) -> Document:
    """Switches, and where webhooks go to, if any do."""
    told = company.webhooks["zoho"] and endpoint is not None
    return {"switches": company.switches, "webhooks": [{**company.zoho_webhook, **(endpoint or {})}] if told else []}


def link_edits(company: Company, contacts: Sequence[str], payers: Sequence[str | None]) -> list[Document]:
    """What a person then edits at the contacts that have a payer in their custom field."""
    return [
        {
            "action": "edit_contact",
            "contact_id": contact,
            "changes": {"custom_fields": [{"api_name": population.LINK_FIELD, "value": payer}]},
        }
        for customer, contact, payer in zip(company.customers, contacts, payers, strict=True)
        if customer.link == "field" and payer is not None
    ]


def hand_payments(company: Company) -> list[tuple[datetime, Document]]:
    """What customers pay past us, by time: the instant, and what a person records then. The invoice may be gone by
    then, or paid.
    """
    return sorted(
        (
            (
                planned.by_hand.at,
                {
                    "action": "record_payment",
                    "invoice_number": planned.number,
                    "percent": planned.by_hand.percent,
                },
            )
            for planned in company.invoices
            if planned.by_hand is not None
        ),
        key=lambda row: (row[0], row[1]["invoice_number"]),
    )


# --- GoCardless ---


def payer_places(company: Company) -> list[int]:
    """The places of the customers that are payers already, in the order in which they are made."""
    return [place for place, customer in enumerate(company.customers) if customer.link != "invited"]


def gocardless_population(company: Company, contacts: Sequence[str]) -> Document:
    """The creditor, the payers and mandates that exist at the start, and what another tool collects."""
    places = payer_places(company)
    rows = [population.payer(company.customers[place], contacts[place], company.mandates[place]) for place in places]
    subscriptions = [
        {**one, "customer": places.index(one["customer"])} for one in company.subscriptions if one["customer"] in places
    ]
    creditor = {
        **company.creditor,
        "country_code": company.country,
        "payout_currencies": list(company.paid_in),
        "fx_payout_currency": company.fx_paid_in,
    }
    return {"quiet": True, "creditor": creditor, "customers": rows, "subscriptions": subscriptions}


def gocardless_settings(company: Company, endpoint: Document | None = None) -> Document:
    """What the banks answer, what it costs, how payers behave, and where webhooks go to, if any do."""
    return {
        **company.gocardless,
        "payment_outcomes": list(company.outcomes),
        "payer": company.payer,
        "tariff": company.tariff,
        "endpoints": [endpoint] if company.webhooks["gocardless"] and endpoint is not None else [],
    }


# --- the program ---


def connection(
    company: Company, organization: str, *, gocardless_url: str = "", zoho_url: str = ""
) -> settings.Connection:
    """The settings of the connection of a company that was filled in as `organization`."""
    return settings.Connection(
        environment="sandbox",
        zoho=settings.Zoho(organization_id=organization, url=zoho_url),
        gocardless=settings.GoCardless(url=gocardless_url),
        unique_field=population.UNIQUE_FIELD,
        payer_link_field=population.LINK_FIELD,
        rules=company.rules,
    )
