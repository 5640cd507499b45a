"""What acts at GoCardless have in common: how one is performed, what it touched, and how it is told."""

import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from sandbox.gocardless.collection import Doc
from sandbox.gocardless.merchant import CHARGEABLE, Merchant
from sandbox.world import World
from streams.simulation.acts import Document, Draw, pick, unique
from streams.simulation.apis import merchant_of

#: States from which a payment's money may still be taken back by a bank.
UNDER_WAY: Final = frozenset({"submitted", "confirmed", "paid_out"})
TAKEN: Final = frozenset({"confirmed", "paid_out"})

Wanted = Callable[[Merchant, Doc], bool]
More = Callable[[random.Random, World, Doc], Document]


def on(name: str, key: str, first: Document, wanted: Wanted, more: More = lambda _rng, _world, _doc: {}) -> Draw:
    """Draw a record of the collection `name` that the act can be done on, and what else the act needs."""

    def draw(rng: random.Random, world: World) -> Document | None:
        merchant = merchant_of(world)
        doc = pick(rng, [doc for doc in merchant.collections[name].records if wanted(merchant, doc)])
        return None if doc is None else {**first, key: doc["id"], **more(rng, world, doc)}

    return draw


def in_state(*states: str) -> Wanted:
    """A record in one of these states."""
    return lambda _merchant, doc: doc["status"] in states


def chargeable(merchant: Merchant, mandate: Doc) -> bool:
    """A mandate that a payment can be made on."""
    present = mandate["links"]["customer"] not in merchant.removed_customers
    return mandate["status"] in CHARGEABLE and "new_mandate" not in mandate["links"] and present


def performed(
    world: World, document: Document, act: Callable[[Merchant, Document], Mapping[str, Any]]
) -> tuple[str, ...]:
    """Do it, and give every id that it names, made, or told an event of; with what stands behind those."""
    merchant = merchant_of(world)
    events = merchant.collections["events"].records
    before = len(events)
    made = act(merchant, document)
    told = [identity for event in events[before:] for identity in event["links"].values()]
    ids = unique((*_ids_in(made), *_ids_in(document), *told))
    return unique((*ids, *(behind for one in ids for behind in _behind(merchant, one))))


def _ids_in(value: Any) -> list[str]:
    """Every id of GoCardless's in a document."""
    if isinstance(value, Mapping):
        return [one for below in value.values() for one in _ids_in(below)]
    if isinstance(value, list | tuple):
        return [one for below in value for one in _ids_in(below)]
    return [value] if isinstance(value, str) and _is_id(value) else []


def _is_id(text: str) -> bool:
    prefix = text[: 3 if text.startswith(("BRQ", "BRF")) else 2]
    return prefix in _PREFIXES and len(text) >= len(prefix) + 12 and text[len(prefix) :].isalnum() and text.isupper()


_PREFIXES: Final = frozenset({"CU", "BA", "MD", "BRQ", "BRF", "PM", "RF", "SB", "PO", "CR", "EV", "WB"})


def _behind(merchant: Merchant, identity: str) -> list[str]:
    """Of a payment its mandate, payer, payout and invoice; of a mandate its payer."""
    payment = merchant.collections["payments"].find(identity)
    if payment is not None:
        links = payment["links"]
        invoice = str(payment["metadata"].get("zoho_invoice_id", ""))
        return [links["mandate"], merchant.customer_of(payment), links.get("payout", ""), invoice]
    mandate = merchant.collections["mandates"].find(identity)
    return [] if mandate is None else [str(mandate["links"]["customer"])]


def shown(world: World, identity: str) -> str:
    """A record with the words that tell it from others: whose it is, over how much, for which invoice."""
    merchant = merchant_of(world)
    payment = merchant.collections["payments"].find(identity)
    if payment is not None:
        what = payment["metadata"].get("zoho_invoice_number") or payment["description"] or "nothing named"
        amount = f"{payment['amount']} minor units of {payment['currency']}"
        return f"payment {identity} ({what}, {amount}, {payment['status']})"
    mandate = merchant.collections["mandates"].find(identity)
    if mandate is not None:
        payer = _payer(merchant, mandate["links"]["customer"])
        return f"mandate {identity} of {payer} ({mandate['status']})"
    return _payer(merchant, identity) if identity.startswith("CU") else identity


def _payer(merchant: Merchant, identity: str) -> str:
    customer = merchant.collections["customers"].find(identity)
    if customer is None:
        return identity
    return str(customer["company_name"] or customer["family_name"] or identity)
