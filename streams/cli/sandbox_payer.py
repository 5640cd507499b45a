"""`sandbox payer`: a customer in the simulated books who pays by the simulated GoCardless, under one e-mail address."""

from typing import Final

import click

from sandbox.gocardless.schemes import SCHEME_OF_CURRENCY
from streams.cli.command import CliCommand, Reply, Session, text
from streams.cli.sandbox_remote import Remote, at_option, opened

#: What is said of a mandate → what the sandbox calls it.
_MANDATES: Final = {"active": "active", "pending": "pending_submission", "none": None}


@click.command(cls=CliCommand)
@click.option("--email", required=True, help="The same on both sides, by which the program knows them.")
@click.option("--currency", type=click.Choice(sorted(SCHEME_OF_CURRENCY)), default="GBP", show_default=True)
@click.option(
    "--mandate",
    type=click.Choice(list(_MANDATES)),
    default="active",
    show_default=True,
    help="pending: the banks have it tomorrow; none: the payer is to be invited.",
)
@at_option
def payer(session: Session, email: str, currency: str, mandate: str, at: str | None) -> Reply:
    """Make a customer in the simulated Zoho Books, and the payer with a bank account and a mandate at GoCardless.

    A customer with this e-mail who is in the books already stays as it is, and the payer is made beside.
    """
    return session.run(_payer(session, at, email.strip(), currency, mandate))


async def _payer(session: Session, at: str | None, email: str, currency: str, mandate: str) -> Reply:
    async with opened(session, at) as sandbox:
        contact = await _contact(sandbox, email, currency)
        customer = {
            "company_name": _name(email),
            "email": email,
            "currency": currency,
            "mandate": _MANDATES[mandate],
        }
        made = await sandbox.post("/_sandbox/gocardless/populate", {"customers": [customer]})
        ids = made["customers"][0]
        data = {
            "email": email,
            "contact": contact,
            "customer": ids["customer"],
            "mandate": ids["mandate"],
            "mandate_status": _MANDATES[mandate],
        }
        has = f"mandate {ids['mandate']} ({_MANDATES[mandate]})" if ids["mandate"] else "no mandate"
        return Reply(
            data, text(f"{email} is contact {contact} in the books, and customer {ids['customer']} with {has}.")
        )


async def _contact(sandbox: Remote, email: str, currency: str) -> str:
    """The customer with this e-mail in the books, made if there is none."""
    for held in await sandbox.customers():
        if held["email"].lower() == email.lower():
            return str(held["contact_id"])
    name = _name(email)
    body = {
        "contact_name": name,
        "company_name": name,
        "currency_code": currency,
        "contact_persons": [{"first_name": name, "email": email, "is_primary_contact": True}],
    }
    made = await sandbox.post("/_sandbox/zoho/edit", {"action": "create_contact", "body": body})
    return str(made["id"])


def _name(email: str) -> str:
    """A name to read, out of an e-mail address: "ada.archer@example.com" → "Ada Archer"."""
    words = email.partition("@")[0].replace("_", ".").replace("-", ".").split(".")
    return " ".join(word.capitalize() for word in words if word) or email
