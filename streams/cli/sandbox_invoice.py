"""`sandbox invoice`: an invoice in the simulated books, written and sent as a person would."""

from decimal import Decimal, InvalidOperation
from typing import Any, Final

import click

from sandbox.gocardless.schemes import SCHEME_OF_CURRENCY
from streams.cli.codes import NotFound
from streams.cli.command import CliCommand, Reply, Session, day_of, text
from streams.cli.sandbox_remote import Remote, at_option, opened

#: Names shown of customers where it is not clear who is meant. Lower: the one that was meant may be missing. Higher: a
#: line nobody reads.
_SHOWN_MAX: Final = 5


def _amount(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """A sum as one writes it, with two decimal places at the most: every currency that is collected has two."""
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise click.BadParameter(f"{value!r} is not a number") from None
    exponent = amount.as_tuple().exponent
    if not amount.is_finite() or amount <= 0 or not isinstance(exponent, int) or exponent < -2:
        raise click.BadParameter("use a sum above zero with two decimal places at the most, as 120.50")
    return f"{amount:f}"


@click.command(cls=CliCommand)
@click.option("--contact", help="E-mail, name or id of the customer; not needed where the books have only one.")
@click.option("--amount", required=True, callback=_amount, help="As 120.50, without tax.")
@click.option("--currency", type=click.Choice(sorted(SCHEME_OF_CURRENCY)), help="Else the customer's.")
@click.option("--due", default="", metavar="DAY", callback=day_of, help="When it falls due; else today, simulated.")
@at_option
def invoice(
    session: Session, contact: str | None, amount: str, currency: str | None, due: str, at: str | None
) -> Reply:
    """Write an invoice in the simulated Zoho Books, and send it: now, in simulated time."""
    return session.run(_invoice(session, at, contact, amount, currency, due))


async def _invoice(
    session: Session, at: str | None, contact: str | None, amount: str, currency: str | None, due: str
) -> Reply:
    async with opened(session, at) as sandbox:
        customer = await _customer(sandbox, contact)
        code = currency or customer["currency_code"]
        if code not in SCHEME_OF_CURRENCY:
            raise click.UsageError(f"nothing is collected in {code}, the customer's currency: name another --currency")
        due = due or str(await sandbox.get("/_sandbox/state", part="zoho/organization/today"))
        body = {
            "customer_id": customer["contact_id"],
            "currency_code": code,
            "due_date": due,
            "line_items": [{"name": "Services", "quantity": 1, "rate": amount}],
        }
        made = await sandbox.post("/_sandbox/zoho/edit", {"action": "create_invoice", "body": body})
        number, name = str(made["invoice_number"]), str(customer["name"])
        data = {
            "invoice": made["id"],
            "invoice_number": number,
            "contact": customer["contact_id"],
            "currency": code,
            "due": due,
            "amount_minor": int(Decimal(amount).scaleb(2)),
        }
        return Reply(data, text(f"{number}: {amount} {code} from {name}, due on {due}."))


async def _customer(sandbox: Remote, wanted: str | None) -> dict[str, Any]:
    """The customer who is meant. Raises `NotFound`: nobody, or it is not clear who."""
    customers = await sandbox.customers()
    chosen = [held for held in customers if wanted is None or _is(held, wanted)]
    if len(chosen) == 1:
        return chosen[0]
    make = "`zoho-gocardless sandbox payer --email ADDRESS` makes one"
    if not customers:
        raise NotFound("the books have no customer", sandbox.url, make)
    known = [held["email"] or held["contact_id"] for held in chosen or customers]
    shown = ", ".join(known[:_SHOWN_MAX]) + (f" and {len(known) - _SHOWN_MAX} more" if len(known) > _SHOWN_MAX else "")
    if not chosen:
        raise NotFound(f"no customer {wanted!r} in the books", sandbox.url, f"there are {shown}; {make}")
    what = "the books have several customers" if wanted is None else f"several customers are {wanted!r}"
    raise NotFound(what, sandbox.url, f"say with --contact who is meant: {shown}")


def _is(held: dict[str, Any], wanted: str) -> bool:
    texts = (held["contact_id"], held["email"], held["name"])
    return wanted.strip().lower() in {text.lower() for text in texts if text}
