"""`decide`: what only a person can decide. Each is an event in the log, with who decided it; the rules take it from
there.
"""

import getpass
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import click

from domain import events, times
from domain import why as reasons
from domain.ceilings import day_key
from domain.refs import Ref
from domain.times import TimeError
from streams.cli.codes import NotFound
from streams.cli.command import CliCommand, CliGroup, Reply, Session, day_of, text
from streams.operate.acts import Operator, Told, operating

_F = TypeVar("_F", bound=Callable[..., Any])

_TAKEN: Final = {
    True: "the running program has worked it in",
    False: "the running program has not worked it in yet; `zoho-gocardless status` shows how far it is",
    None: "no program runs here; it takes effect when one does",
}


def _signed(function: _F) -> _F:
    """The options that every decision has."""
    by = click.option(
        "--by", default=getpass.getuser, show_default="your user name", help="Who decides; it is recorded."
    )
    connection = click.option("--connection", help="Which connection, where there are several.")
    return by(connection(function))


@click.group(cls=CliGroup)
def decide() -> None:
    """Decide what waits for a person: it is recorded with who decided."""


def _decided(
    session: Session, connection: str | None, act: Callable[[Operator, str], Awaitable[tuple[Ref, Told, str]]]
) -> Reply:
    """Run one act: it gives what it is about, where it went, and the state in words."""
    name = session.connection(connection)

    async def work() -> Reply:
        async with operating(session.existing("log", "store")) as operator:
            about, told, words = await act(operator, name)
        data = {
            "about": str(about),
            "event": told.event,
            "position": told.position._asdict(),
            "taken": told.taken,
            "state": words,
        }
        return Reply(data, text(f"Recorded ({told.event}); {_TAKEN[told.taken]}.", *([words] if words else [])))

    return session.run(work())


def _words(operator: Operator, connection: str, kind: str, key: str, told: Told) -> str:
    if not told.taken:
        return ""
    with operator.state(connection) as state:
        found = reasons.ASK[kind](state, key)
        return found.state if found is not None else ""


@decide.command(cls=CliCommand)
@click.argument("number")
@click.option("--retry", "action", flag_value="retry", help="Collect it again.")
@click.option("--ignore", "action", flag_value="ignore", help="Leave it alone for good.")
@click.option("--note", default="", help="Why, in your words; it is recorded.")
@_signed
def invoice(session: Session, number: str, action: str | None, note: str, by: str, connection: str | None) -> Reply:
    """Decide about an invoice that failed, is on hold, or is above the limit: collect it again (--retry), or leave it
    alone (--ignore).
    """
    if action is None:
        raise click.UsageError("say --retry or --ignore", click.get_current_context())

    async def act(operator: Operator, name: str) -> tuple[Ref, Told, str]:
        found = operator.queries.find_invoice(name, number)
        if found is None:
            raise NotFound(
                f"no invoice {number[:60]!r} is known in {name}", "the store", "check the number and --connection"
            )
        data = events.InvoiceReleased(by, found.id, action, note)
        refusal = (
            f"it is {found.stage}: only a failed or held invoice is collected again, and one under way is not left"
            " alone"
        )
        told = await operator.act(operator.event(name, "operator.invoice_released", data), refusal=refusal)
        return Ref("invoices", found.id), told, _words(operator, name, "invoice", found.id, told)

    return _decided(session, connection, act)


@decide.command(cls=CliCommand)
@click.argument("contact")
@click.option("--payer", default="", metavar="ID", help="The contact is this customer of GoCardless.")
@click.option("--invite", is_flag=True, help="Ask the contact for a mandate.")
@_signed
def match(session: Session, contact: str, payer: str, invite: bool, by: str, connection: str | None) -> Reply:
    """Decide who a contact is at GoCardless (--payer), or that it is to be invited (--invite)."""
    if bool(payer) == invite:
        raise click.UsageError("say either --payer ID or --invite", click.get_current_context())

    async def act(operator: Operator, name: str) -> tuple[Ref, Told, str]:
        if operator.queries.row("contacts", name, contact) is None:
            raise NotFound(
                f"no contact {contact[:60]!r} is known in {name}", "the store", "give Zoho's id of the contact"
            )
        data = events.MatchApproved(by, contact, payer, invite)
        refusal = "it is matched so already, or was invited and can be asked again only when that invitation has ended"
        told = await operator.act(operator.event(name, "operator.match_approved", data), refusal=refusal)
        return Ref("contacts", contact), told, _words(operator, name, "contact", contact, told)

    return _decided(session, connection, act)


@decide.command(cls=CliCommand)
@click.argument("discrepancy", metavar="ID")
@click.option("--note", default="", help="What was done about it; it is recorded.")
@_signed
def discrepancy(session: Session, discrepancy: str, note: str, by: str, connection: str | None) -> Reply:
    """Close a discrepancy that was dealt with. The rule that opened it looks again, and opens it anew if its cause is
    still there.
    """

    async def act(operator: Operator, name: str) -> tuple[Ref, Told, str]:
        if operator.queries.row("discrepancies", name, discrepancy) is None:
            remedy = "`zoho-gocardless status --json` lists their ids"
            raise NotFound(f"no discrepancy {discrepancy[:120]!r} is known in {name}", "the store", remedy)
        data = events.DiscrepancyClosed(by, discrepancy, note)
        told = await operator.act(
            operator.event(name, "operator.discrepancy_closed", data), refusal="it is closed already"
        )
        return Ref("discrepancies", discrepancy), told, ""

    return _decided(session, connection, act)


@decide.command(cls=CliCommand)
@click.argument("day", metavar="DAY", callback=day_of)
@click.option("--currency", required=True, metavar="CODE", help="In which currency, as in GBP.")
@_signed
def day(session: Session, day: str, currency: str, by: str, connection: str | None) -> Reply:
    """Let all debits of a DAY pass (YYYY-MM-DD) that its ceiling holds, in one currency: they are collected at the next
    send hours.
    """

    async def act(operator: Operator, name: str) -> tuple[Ref, Told, str]:
        key = day_key(day, currency)
        if operator.queries.row("debit_days", name, key) is None:
            raise NotFound(
                f"nothing was debited in {currency[:8]!r} on {day} in {name}",
                "the store",
                "`zoho-gocardless status` names the day",
            )
        data = events.DayAccepted(by, day, currency)
        told = await operator.act(
            operator.event(name, "operator.day_accepted", data), refusal="the day was accepted already"
        )
        return Ref("debit_days", key), told, ""

    return _decided(session, connection, act)


@decide.command(cls=CliCommand)
@click.option("--close", is_flag=True, help="Stop collecting; facts go on being recorded and booked.")
@click.option("--note", default="", help="Why, in your words; it is recorded.")
@_signed
def gate(session: Session, close: bool, note: str, by: str, connection: str | None) -> Reply:
    """Stop collecting at once (--close). It is opened by `check NAME --approve`."""
    if not close:
        raise click.UsageError(
            "say --close; the gate is opened by `zoho-gocardless check NAME --approve`", click.get_current_context()
        )

    async def act(operator: Operator, name: str) -> tuple[Ref, Told, str]:
        told = await operator.act(operator.event(name, "operator.gate_closed", events.GateClosed(by, note)))
        return Ref("connections", name), told, ""

    return _decided(session, connection, act)


@decide.command(cls=CliCommand)
@click.option(
    "--until", required=True, metavar="INSTANT", help="Believe the clock up to then, as in 2026-03-20T00:00:00Z."
)
@_signed
def time(session: Session, until: str, by: str, connection: str | None) -> Reply:
    """Vouch for the clock, after it jumped or disagreed with the APIs: up to this instant it may go on."""
    try:
        moment = times.believable_instant(until)
    except TimeError as error:
        raise click.BadParameter(str(error), param_hint="--until") from None

    async def act(operator: Operator, name: str) -> tuple[Ref, Told, str]:
        told = await operator.act(operator.event(name, "operator.time_accepted", events.TimeAccepted(by, moment)))
        return Ref("connections", name), told, ""

    return _decided(session, connection, act)
