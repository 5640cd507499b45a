"""A made-up company, as the demo and the simulation fill the simulators with it: who its customers are, what it sells,
which accounts its books have.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

from adapters.zoho.oauth import TokenState
from domain.vocabulary import APIS
from streams.credentials import GOCARDLESS_TOKEN, ZOHO_CLIENT, ZOHO_TOKEN, Credentials

FIRST_NAMES: Final = (
    "Ada",
    "Ben",
    "Cora",
    "Dev",
    "Elif",
    "Finn",
    "Gwen",
    "Hugo",
    "Ines",
    "Jon",
    "Kaya",
    "Liam",
    "Mira",
    "Nils",
    "Orla",
    "Pia",
)
LAST_NAMES: Final = (
    "Archer",
    "Brook",
    "Carver",
    "Dale",
    "Ellis",
    "Frost",
    "Grove",
    "Hale",
    "Irwin",
    "Judd",
    "Keane",
    "Lowe",
    "Marsh",
    "North",
)
#: What is sold, and for how much.
GOODS: Final = (
    ("Support plan", "45.00"),
    ("Hosting", "12.50"),
    ("Consulting hour", "96.00"),
    ("Licence", "19.99"),
    ("Training seat", "150.00"),
)
#: Causes that leave the mandate alive: a closed account would also end the customer's other debits.
FAILURES: Final = (("insufficient_funds", "ARUDD-0"), ("refer_to_payer", "ARUDD-0"))

VAT: Final = "VAT 20%"
FEES: Final = "GoCardless Fees"
VENDOR: Final = "GoCardless"
#: The token that the simulator of GoCardless takes.
TOKEN: Final = "sandbox-token"  # noqa: S105 - of a simulator, which says it to everybody
UNIQUE_FIELD: Final = "cf_gocardless_key"
LINK_FIELD: Final = "cf_gocardless_customer"

#: Purpose of an account of money → its name in the books, before the currency.
_ACCOUNTS: Final = {"clearing": "GoCardless Clearing", "suspense": "GoCardless Suspense", "bank": "Current Account"}

#: How the two sides know that a contact is a payer: "stored" at the payer, "field" of the contact, by e-mail, by the
#: mandate's reference, or not yet: the payer has to be invited.
Link = Literal["stored", "field", "email", "reference", "invited"]


class Customer(msgspec.Struct, frozen=True):
    """One customer. `reference` is a contact number in Zoho Books; where they are linked by it, the mandate has it
    too.
    """

    name: str
    company: str
    email: str
    currency: str
    link: Link
    reference: str


def enter_credentials(
    credentials: Credentials,
    connection: str,
    oauth: Mapping[str, str],
    zoho_url: str,
    webhook_secrets: Mapping[str, str],
) -> None:
    """What `connect` does, for a connection to the simulators. `oauth`: what the simulator of Zoho Books gave when it
    was filled; `webhook_secrets`: by label, of both APIs.
    """
    client = {"client_id": oauth["client_id"], "client_secret": oauth["client_secret"]}
    token = TokenState(oauth["refresh_token"], zoho_url)
    credentials.put(connection, GOCARDLESS_TOKEN, TOKEN.encode())
    credentials.put(connection, ZOHO_CLIENT, msgspec.json.encode(client))
    credentials.put(connection, ZOHO_TOKEN, msgspec.json.encode(token))
    for api in APIS:
        for label, secret in webhook_secrets.items():
            credentials.put(connection, f"{api}.webhook.{label}", secret.encode())


def account_name(purpose: Literal["clearing", "suspense", "bank"], currency: str) -> str:
    """What an account of money is called."""
    return f"{_ACCOUNTS[purpose]} {currency}"


def accounts(currencies: Iterable[str]) -> list[dict[str, Any]]:
    """The accounts that we post to, for the simulator of Zoho Books."""
    currencies = tuple(currencies)
    money = [
        {"name": f"{name} {cur}", "type": "bank", "currency_code": cur, "key": f"{purpose}_{cur}"}
        for purpose, name in _ACCOUNTS.items()
        for cur in currencies
    ]
    return [*money, {"name": FEES, "type": "expense", "key": "fees"}]


def custom_fields() -> list[dict[str, Any]]:
    """The custom fields that we need, for the simulator of Zoho Books."""
    return [
        {"module": "customerpayments", "api_name": UNIQUE_FIELD, "unique": True},
        {"module": "expenses", "api_name": UNIQUE_FIELD, "unique": True},
        {"module": "contacts", "api_name": LINK_FIELD, "unique": False},
    ]


def contact(customer: Customer) -> dict[str, Any]:
    """A customer in Zoho Books."""
    return {
        "contact_name": customer.company,
        "company_name": customer.company,
        "email": customer.email if customer.link != "reference" else "",
        "currency_code": customer.currency,
        "contact_number": customer.reference,
    }


def vendor(currency: str) -> dict[str, Any]:
    """GoCardless itself, in Zoho Books, for its fees."""
    return {"contact_name": VENDOR, "contact_type": "vendor", "currency_code": currency}


def payer(customer: Customer, contact_id: str, mandate: str | None = "active") -> dict[str, Any]:
    """A customer at GoCardless, with a mandate in this state (None: without)."""
    given, _, family = customer.name.partition(" ")
    row: dict[str, Any] = {
        "given_name": given,
        "family_name": family,
        "company_name": customer.company,
        "email": customer.email if customer.link != "stored" else f"accounts.{customer.email}",
        "currency": customer.currency,
        "mandate": mandate,
        "metadata": {"zoho_contact_id": contact_id} if customer.link == "stored" else {},
    }
    if customer.link == "reference":
        row["reference"] = customer.reference
    return row
