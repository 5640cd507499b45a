"""What people do in GoCardless's dashboard, and other tools with the same account: the writing calls of its API, by its
own rules, on the same payers. Nothing goes over HTTP, and no key makes a call harmless when it is repeated.
"""

import random
from collections.abc import Callable
from typing import Final

from multidict import MultiDict

from sandbox.gocardless.app import ENDPOINTS
from sandbox.gocardless.collection import Doc
from sandbox.gocardless.merchant import Call, Merchant
from sandbox.gocardless.payments import RETRIES_MAX
from sandbox.gocardless.schemes import SCHEME_OF_CURRENCY, SCHEMES
from sandbox.gocardless.subscriptions import new_subscription
from sandbox.world import World
from streams.simulation.acts import ActSpec, Document, Draw, pick
from streams.simulation.acts_merchant import TAKEN, More, Wanted, chargeable, in_state, on, performed, shown
from streams.simulation.apis import merchant_of, zoho_of

_FUNCTIONS: Final = {f"{endpoint.method} {endpoint.path}": endpoint.function for endpoint in ENDPOINTS}

#: Writing call → why nobody makes it beside the program.
NOT_ACTED: Final = {
    "POST /creditors": "always refused",
    "PUT /creditors/{id}": "always refused",
    "POST /creditor_bank_accounts": "always refused",
    "POST /scenario_simulators/{id}/actions/run": "banks act by themselves in a run, and by the verbs",
}


# --- what it is done on ---


def _any(_merchant: Merchant, _doc: Doc) -> bool:
    return True


def _present(merchant: Merchant, customer: Doc) -> bool:
    return customer["id"] not in merchant.removed_customers


def _retriable(merchant: Merchant, payment: Doc) -> bool:
    left = merchant.payment_files[payment["id"]].retries < RETRIES_MAX
    return payment["status"] == "failed" and left and _on_mandate(merchant, payment)


def _on_mandate(merchant: Merchant, payment: Doc) -> bool:
    return chargeable(merchant, merchant.collections["mandates"][payment["links"]["mandate"]])


def _refundable(_merchant: Merchant, payment: Doc) -> bool:
    return payment["status"] in TAKEN and payment["amount_refunded"] < payment["amount"]


def _ended(merchant: Merchant, mandate: Doc) -> bool:
    account = merchant.collections["customer_bank_accounts"][mandate["links"]["customer_bank_account"]]
    there = mandate["links"]["customer"] not in merchant.removed_customers and account["enabled"]
    return there and mandate["status"] in ("cancelled", "expired", "failed") and "new_mandate" not in mandate["links"]


def _usable(merchant: Merchant, account: Doc) -> bool:
    return account["enabled"] and account["links"]["customer"] not in merchant.removed_customers


def _action(kind: str, status: str) -> Wanted:
    """An open billing request whose action of this kind is so far."""

    def wanted(_merchant: Merchant, request: Doc) -> bool:
        stands = next(action["status"] for action in request["actions"] if action["type"] == kind)
        return request["status"] in _OPEN and stands == status

    return wanted


def _confirmable(merchant: Merchant, request: Doc) -> bool:
    collected = (_action(kind, "completed") for kind in ("collect_customer_details", "collect_bank_account"))
    return all(wanted(merchant, request) for wanted in collected)


_OPEN: Final = ("pending", "ready_to_fulfil")


# --- with what ---


def _payment(rng: random.Random, world: World, mandate: Doc) -> Document:
    """A debit by hand: often over just what an invoice is open for, and with its number, as people would."""
    currency = SCHEMES[mandate["scheme"]].currency
    invoices = [
        invoice
        for invoice in zoho_of(world).books.invoices.rows.values()
        if invoice.currency == currency and invoice.state == "sent" and invoice.balance_minor > 0
    ]
    invoice = pick(rng, invoices)
    body: Document = {"amount": rng.choice((500, 1999)), "currency": currency, "description": "Club fee"}
    if invoice is not None and rng.random() < 0.7:
        body |= {"amount": invoice.balance_minor, "description": rng.choice((invoice.number, "Invoice"))}
    if rng.random() < 0.3:
        body["metadata"] = {"made_by": "other tool"}
    return {"body": {**body, "links": {"mandate": mandate["id"]}}}


def _metadata(rng: random.Random, _world: World, _doc: Doc) -> Document:
    return {"body": {"metadata": rng.choice(({}, {"seen_by": "dashboard"}))}}


def _retry_wish(rng: random.Random, world: World, payment: Doc) -> Document:
    """Metadata, which may be what marks the payment as ours, or whether GoCardless is to retry."""
    if rng.random() < 0.5:
        return {"body": {"retry_if_possible": not payment["retry_if_possible"]}}
    return _metadata(rng, world, payment)


def _refund(rng: random.Random, _world: World, payment: Doc) -> Document:
    left = payment["amount"] - payment["amount_refunded"]
    amount = max(1, left * rng.choice((5, 30, 100)) // 100)
    total = payment["amount_refunded"] + amount
    return {"body": {"amount": amount, "total_amount_confirmation": total, "links": {"payment": payment["id"]}}}


def _details(rng: random.Random, world: World) -> Document:
    emails = [contact.email for contact in zoho_of(world).books.contacts.rows.values() if contact.email]
    return {
        "given_name": "Robin",
        "family_name": f"Stranger {rng.randrange(1000)}",
        "email": rng.choice([*emails, f"stranger.{rng.randrange(1000)}@example.com"]),
    }


def _create_customer(rng: random.Random, world: World) -> Document:
    return {"body": _details(rng, world)}


def _edit_customer(rng: random.Random, world: World, _customer: Doc) -> Document:
    contacts = list(zoho_of(world).books.contacts.rows)
    changes: tuple[Document, ...] = (
        {"email": _details(rng, world)["email"]},
        {"company_name": f"Renamed {rng.randrange(100)}"},
        {"metadata": {"zoho_contact_id": rng.choice(contacts)} if contacts else {}},
        {"metadata": {}},
    )
    return {"body": rng.choice(changes)}


def _bank_details(rng: random.Random, world: World) -> Document:
    books = zoho_of(world).books
    known = sorted({contact.currency for contact in books.contacts.rows.values()} & set(SCHEME_OF_CURRENCY)) or ["GBP"]
    currency = rng.choice(known)
    number = rng.randrange(10_000_000, 100_000_000)
    details: Document = {"account_holder_name": "R Stranger", "currency": currency}
    if currency == "EUR":
        return {**details, "iban": f"DE89{number}{number}00"}
    country = SCHEME_OF_CURRENCY[currency].country
    return {**details, "account_number": str(number), "branch_code": "200000", "country_code": country}


def _new_account(rng: random.Random, world: World, customer: Doc) -> Document:
    return {"body": {**_bank_details(rng, world), "links": {"customer": customer["id"]}}}


def _new_mandate(_rng: random.Random, _world: World, account: Doc) -> Document:
    return {"body": {"links": {"customer_bank_account": account["id"]}}}


def _request(rng: random.Random, world: World) -> Document:
    """An invitation by hand: of nobody in particular, or of a payer that there is."""
    merchant = merchant_of(world)
    body: Document = {"mandate_request": {"currency": _bank_details(rng, world)["currency"]}}
    customer = pick(rng, [one["id"] for one in merchant.collections["customers"].records if _present(merchant, one)])
    links = {"creditor": merchant.collections["creditors"].records[0]["id"]}
    if customer is not None and rng.random() < 0.7:
        links["customer"] = customer
    return {"body": {**body, "links": links}}


def _flow(_rng: random.Random, _world: World, request: Doc) -> Document:
    return {"body": {"links": {"billing_request": request["id"]}}}


def _request_details(rng: random.Random, world: World, request: Doc) -> Document:
    country = SCHEMES[request["mandate_request"]["scheme"]].country
    address = {"address_line1": "2 High Street", "city": "Bath", "postal_code": "BA1 1AA", "country_code": country}
    return {"body": {"customer": _details(rng, world), "customer_billing_detail": address}}


def _request_account(rng: random.Random, _world: World, request: Doc) -> Document:
    currency = request["mandate_request"]["currency"]
    number = rng.randrange(10_000_000, 100_000_000)
    if currency == "EUR":
        return {"body": {"account_holder_name": "R Stranger", "iban": f"DE89{number}{number}00"}}
    country = SCHEME_OF_CURRENCY[currency].country
    account = {"account_number": str(number), "branch_code": "200000", "country_code": country, "currency": currency}
    return {"body": {"account_holder_name": "R Stranger", **account}}


def _currency(rng: random.Random, _world: World, _request: Doc) -> Document:
    return {"body": {"currency": rng.choice(sorted(SCHEME_OF_CURRENCY))}}


def _subscription(rng: random.Random, _world: World, mandate: Doc) -> Document:
    given: Document = {"amount": rng.choice((500, 1999)), "interval_unit": rng.choice(("weekly", "monthly"))}
    return {"mandate": mandate["id"], "subscription": {**given, "count": rng.choice((None, 2)), "name": "Club fee"}}


# --- doing and telling ---


def call_api(merchant: Merchant, document: Document) -> Doc:
    """One writing call: {"call": "POST /payments/{id}/actions/cancel", "id", "body"}, the body without its envelope.
    Gives the answer's document. Raises Refusal.
    """
    call = Call(identity=document.get("id", ""), query=MultiDict(), body=document.get("body", {}))
    return _FUNCTIONS[document["call"]](merchant, call)


def _subscribe(merchant: Merchant, document: Document) -> Doc:
    mandate = merchant.collections["mandates"].get(document["mandate"])
    return new_subscription(merchant, mandate, document["subscription"])


def _words(text: str, place: Callable[[Document], object]) -> Callable[[World, Document], str]:
    def words(world: World, document: Document) -> str:
        body = document.get("body", {})
        more = ", ".join(
            f"{name} {body[name]}" for name in ("amount", "currency", "description", "email") if name in body
        )
        said = text.format(shown(world, str(place(document))))
        return f"{said} at GoCardless{': ' if more else ''}{more}"

    return words


def _act(name: str, call: str, text: str, draw: Draw, place: Callable[[Document], object]) -> ActSpec:
    assert call in _FUNCTIONS, call

    def drawn(rng: random.Random, world: World) -> Document | None:
        document = draw(rng, world)
        return None if document is None else {"call": call, **document}

    def perform(world: World, document: Document) -> tuple[str, ...]:
        return performed(world, document, call_api)

    return ActSpec(f"gocardless.{name}", drawn, perform, _words(text, place))


def _new(name: str, call: str, text: str, of: str, wanted: Wanted, more: More, link: str = "mandate") -> ActSpec:
    """An act that makes something of a record, which the body links to."""

    def draw(rng: random.Random, world: World) -> Document | None:
        document = on(of, "of", {}, wanted, more)(rng, world)
        return None if document is None else {"body": document["body"]}

    return _act(name, call, text, draw, lambda document: document.get("body", {}).get("links", {}).get(link, ""))


def _on(
    name: str, verb: str, text: str, of: str, wanted: Wanted, more: More = lambda _rng, _world, _doc: {}
) -> ActSpec:
    """An act on a record: `verb` is PUT, DELETE, or that of an action."""
    call = f"{verb} /{of}/{{id}}" if verb.isupper() else f"POST /{of}/{{id}}/actions/{verb}"
    return _act(name, call, text, on(of, "id", {}, wanted, more), lambda document: document.get("id", ""))


def _made(name: str, call: str, text: str, draw: Draw) -> ActSpec:
    return _act(name, call, text, draw, lambda _document: "")


_BILLING: Final = "billing_requests"
_ACCOUNTS: Final = "customer_bank_accounts"
SPECS: Final = (
    _new("create_payment", "POST /payments", "somebody debits {}", "mandates", chargeable, _payment),
    _on("cancel_payment", "cancel", "somebody cancels {}", "payments", in_state("pending_submission")),
    _on("retry_payment", "retry", "somebody retries {}", "payments", _retriable),
    _on("update_payment", "PUT", "somebody edits {}", "payments", _any, _retry_wish),
    _new("create_refund", "POST /refunds", "somebody refunds {}", "payments", _refundable, _refund, "payment"),
    _on("update_refund", "PUT", "somebody edits refund {}", "refunds", _any, _metadata),
    _on("cancel_mandate", "cancel", "somebody cancels {}", "mandates", chargeable),
    _on("reinstate_mandate", "reinstate", "somebody reinstates {}", "mandates", _ended),
    _on("update_mandate", "PUT", "somebody edits {}", "mandates", _any, _metadata),
    _new(
        "create_mandate", "POST /mandates", "somebody makes a mandate on {}", _ACCOUNTS, _usable, _new_mandate,
        "customer_bank_account",
    ),
    _made("create_customer", "POST /customers", "somebody adds a customer", _create_customer),
    _on("update_customer", "PUT", "somebody edits {}", "customers", _present, _edit_customer),
    _on("remove_customer", "DELETE", "somebody removes {}", "customers", _present),
    _new(
        "create_bank_account", "POST /customer_bank_accounts", "somebody adds a bank account of {}", "customers",
        _present, _new_account, "customer",
    ),
    _on("update_bank_account", "PUT", "somebody edits bank account {}", _ACCOUNTS, _any, _metadata),
    _on("disable_bank_account", "disable", "somebody disables bank account {}", _ACCOUNTS, _usable),
    _made("create_billing_request", "POST /billing_requests", "somebody asks for a mandate", _request),
    _on("choose_currency", "choose_currency", "somebody changes the currency of {}", _BILLING,
        _action("collect_bank_account", "pending"), _currency),
    _on("collect_customer_details", "collect_customer_details", "somebody enters the payer of {}", _BILLING,
        in_state(*_OPEN), _request_details),
    _on("collect_bank_account", "collect_bank_account", "somebody enters the bank account of {}", _BILLING,
        in_state(*_OPEN), _request_account),
    _on("confirm_payer_details", "confirm_payer_details", "somebody confirms {}", _BILLING, _confirmable),
    _on("fulfil_billing_request", "fulfil", "somebody fulfils {}", _BILLING, in_state("ready_to_fulfil")),
    _on("cancel_billing_request", "cancel", "somebody cancels {}", _BILLING, in_state(*_OPEN)),
    _new(
        "create_flow", "POST /billing_request_flows", "somebody makes a page for {}", _BILLING, in_state(*_OPEN), _flow,
        "billing_request",
    ),
    _on("initialise_flow", "initialise", "somebody puts page {} on their own", "billing_request_flows", _any),
    _on("update_payout", "PUT", "somebody edits payout {}", "payouts", _any, _metadata),
    _on("retry_webhook", "retry", "somebody sends webhook {} again", "webhooks", _any),
    ActSpec(
        "gocardless.create_subscription",
        on("mandates", "of", {}, chargeable, _subscription),
        lambda world, document: performed(world, document, _subscribe),
        _words("somebody sets up a subscription of {}", lambda document: document.get("mandate", "")),
    ),
)  # fmt: skip
