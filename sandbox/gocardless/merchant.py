"""The merchant's account: the collections, the schedule of due days, ids, and what each handler is given.

A `Merchant` is the whole state of the GoCardless simulator except money (see `ledger`) and events (see `events`), both
of which hang on it.
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import date
from typing import Literal

import msgspec
from multidict import MultiMapping

from sandbox.gocardless.collection import Collection, Doc, Query, getter, moment
from sandbox.gocardless.errors import invalid, usage
from sandbox.gocardless.events import EventRecord
from sandbox.gocardless.fields import read_metadata
from sandbox.gocardless.ledger import Ledger
from sandbox.gocardless.schemes import SCHEMES, next_possible_charge_date
from sandbox.gocardless.settings import OutcomeRule, Settings
from sandbox.world import World

# resource -> (prefix of its ids, filters of its list: a field, or a link as "links.name"). The reference's section 2.
SHELVES = {
    "customers": ("CU", ""),
    "customer_bank_accounts": ("BA", "links.customer enabled"),
    "mandates": (
        "MD",
        "links.creditor links.customer links.customer_bank_account status scheme reference mandate_type",
    ),
    "billing_requests": ("BRQ", "links.customer status"),
    "billing_request_flows": ("BRF", ""),
    "payments": ("PM", "links.creditor links.mandate links.subscription status currency scheme"),
    "refunds": ("RF", "links.payment links.mandate"),
    "subscriptions": ("SB", "links.mandate status"),
    "payouts": ("PO", "links.creditor links.creditor_bank_account currency status payout_type reference"),
    "creditors": ("CR", ""),
    "creditor_bank_accounts": ("BA", "links.creditor enabled"),
    "tax_rates": ("", "jurisdiction"),
    "events": (
        "EV",
        (
            "action resource_type links.billing_request links.creditor links.customer links.mandate links.parent_event "
            "links.payment links.payout links.refund links.subscription links.instalment_schedule"
        ),
    ),
    "webhooks": ("WB", "is_test successful"),
}
CHARGEABLE = frozenset({"pending_customer_approval", "pending_submission", "submitted", "active"})
_ID_LETTERS = 12


class PaymentFile(msgspec.Struct, kw_only=True):
    """What the bank side knows of a payment and the API does not show.

    `round` rises at every resubmission and cancellation, so that what the schedule holds for an earlier round comes to
    nothing. `credit`: where the gross amount is: not booked, open in the ledger, in a payout. `settles`: the event
    that the payout holding its debit will cause. `plan`: the scenario's rule for the round that was confirmed.
    """

    ordinal: int
    round: int = 0
    retries: int = 0
    submissions: int = 0
    credit: Literal["none", "open", "payout"] = "none"
    settles: str | None = None
    plan: OutcomeRule | None = None
    fee_tenths: int = 0
    tax_tenths: int = 0


class Call(msgspec.Struct, kw_only=True, frozen=True):
    """One API request as a handler sees it: id from the path, query string, the envelope's content, the header's
    key.
    """

    identity: str
    query: MultiMapping[str]
    body: Doc


class Schedule:
    """What is due on which day, by kind ("submit", "result", ...): things with a day but no hour of their own."""

    def __init__(self) -> None:
        self._days: dict[tuple[str, date], list[tuple[str, int]]] = defaultdict(list)

    def put(self, kind: str, day: date, identity: str, round_: int = 0) -> None:
        """Note something for a day."""
        self._days[kind, day].append((identity, round_))

    def take(self, kind: str, day: date) -> list[tuple[str, int]]:
        """Take all that is noted for a day off the schedule, in the order it was put there."""
        return self._days.pop((kind, day), [])


class Merchant:
    """State and helpers shared by all handlers and all daily jobs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.settings = Settings()
        self.schedule = Schedule()
        self.collections: dict[str, Collection] = {}
        self.payment_files: dict[str, PaymentFile] = {}
        self.payments_of: dict[str, list[str]] = defaultdict(list)
        # How many payments a subscription has made.
        self.subscription_turns: dict[str, int] = {}
        self.active_on: dict[str, date] = {}
        self.removed_customers: set[str] = set()
        self.flow_visits: dict[str, str] = {}
        self.payout_items: dict[str, Collection] = {}
        self.bank_numbers: dict[tuple[str, str], str] = {}
        self.key: str | None = None
        self.organisation = "OR" + world.opaque("organisation", length=_ID_LETTERS)
        self._shelve()
        self.events = EventRecord(
            world, self.collections["events"], self.collections["webhooks"], lambda: self.settings
        )
        self.events.organisation = self.organisation
        self.ledger = Ledger(world, lambda: self.settings)

    @property
    def now_text(self) -> str:
        """Give the present moment as the API writes it."""
        return moment(self.world.now)

    def new_id(self, prefix: str, cause: str | None = None, *, letters: int = _ID_LETTERS) -> str:
        """Make an id out of its cause: the one named, else the request's idempotency key, else the order of
        creation.
        """
        if cause is None and self.key is not None:
            cause = f"key/{self.key}"
        if cause is None:
            cause = f"n/{self.world.counter(prefix)}"
        collections = [collection for collection in self.collections.values() if collection.prefix == prefix]
        repeat = 0
        while True:
            parts = [
                self.world.opaque("id", prefix, cause, repeat, part, length=min(_ID_LETTERS, letters - part))
                for part in range(0, letters, _ID_LETTERS)
            ]
            identity = prefix + "".join(parts)
            if not any(identity in collection.place for collection in collections):
                return identity
            # The same key again, after its thirty days, creates again.
            repeat += 1

    def view(self, name: str, doc: Doc) -> Doc:
        """Give a record as the API shows it now: a mandate's next possible charge date moves by itself."""
        if name != "mandates":
            return doc
        day = self.next_possible(doc)
        standard_ach = day if doc["scheme"] == "ach" else None
        return {**doc, "next_possible_charge_date": day, "next_possible_standard_ach_charge_date": standard_ach}

    def next_possible(self, mandate: Doc) -> str | None:
        """Give the mandate's next possible charge date, None while it cannot be charged."""
        if mandate["status"] not in CHARGEABLE:
            return None
        scheme = SCHEMES[mandate["scheme"]]
        return next_possible_charge_date(self.world.now, scheme, self.active_on.get(mandate["id"])).isoformat()

    def single(self, name: str, doc: Doc) -> Doc:
        """Wrap one record."""
        return {name: self.view(name, doc)}

    def page(self, name: str, call: Call, keep: Callable[[Doc], bool] = lambda _doc: True) -> Doc:
        """Give one page of a collection, by the request's filters and cursor."""
        query = Query(self.collections[name], call.query, refuse_unknown=self.settings.unknown_filters == "refuse")
        records, meta = query.page(keep)
        return {name: [self.view(name, doc) for doc in records], "meta": meta}

    def customer_of(self, doc: Doc) -> str:
        """Give the customer a payment or subscription is collected from."""
        return str(self.collections["mandates"][doc["links"]["mandate"]]["links"]["customer"])

    def linked(self, name: str, envelope: str, body: Doc, link: str) -> Doc:
        """Give the record a create names in `links`. Refusal: not named (422), or there is none (`link_not_found`)."""
        links = body.get("links")
        identity = links.get(link) if isinstance(links, dict) else None
        if not isinstance(identity, str):
            raise invalid(envelope, (f"links/{link}", "is required"))
        doc = self.collections[name].find(identity)
        if doc is None or identity in self.removed_customers:
            pointer = f"/{envelope}/links/{link}"
            raise usage("link_not_found", f"{identity} was not found", pointer=pointer)
        return doc

    def creditor(self, envelope: str, body: Doc) -> Doc:
        """Give the creditor a create is for: the one named, else the only one. Refusal 422: there are several."""
        links = body.get("links")
        if isinstance(links, dict) and "creditor" in links:
            return self.linked("creditors", envelope, body, "creditor")
        records = self.collections["creditors"].records
        if len(records) != 1:
            raise invalid(envelope, ("links/creditor", "is required"))
        return records[0]

    def update_metadata(self, name: str, doc: Doc, body: Doc) -> None:
        """Take over `metadata` of an update (replace or merge: UNCONFIRMED)."""
        if "metadata" in body:
            given = read_metadata(name, body)
            doc["metadata"] = given if self.settings.metadata_update == "replace" else {**doc["metadata"], **given}

    def _shelve(self) -> None:
        for name, (prefix, fields) in SHELVES.items():
            self.collections[name] = Collection(
                name, prefix, {path.split(".")[-1]: getter(path) for path in fields.split()}
            )
        for name in ("payments", "subscriptions"):
            self.collections[name].filters["customer"] = self.customer_of
        self.collections["payments"].filters["customer"] = self.customer_of
        self.collections["customers"].filters["currency"] = self._currency_of
        # Nobody's data is ever missing here.
        self.collections["customers"].filters["action_required"] = lambda _doc: False
        self.collections["refunds"].filters["refund_type"] = lambda doc: (
            "payment" if "payment" in doc["links"] else "mandate"
        )

    def _currency_of(self, customer: Doc) -> str | None:
        for account in self.collections["customer_bank_accounts"].records:
            if account["links"]["customer"] == customer["id"]:
                return str(account["currency"])
        return None
