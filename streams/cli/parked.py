"""`parked`: commands that were given up, and deliveries that could not be read; both kept whole, and tried again from
here.
"""

import getpass
from typing import Any

import click
from rich.console import Console

from domain import times
from domain.state import CommandRow
from streams.cli.codes import OK, PERSON, NotFound
from streams.cli.command import CliCommand, CliGroup, Reply, Session
from streams.operate.acts import Operator, ParkedItem, Reread, Told, operating


@click.group(cls=CliGroup)
def parked() -> None:
    """What could not be processed, kept whole; list it, or try it again."""


@parked.command(cls=CliCommand, name="list")
@click.option("--connection", help="Only this one.")
def listed(session: Session, connection: str | None) -> Reply:
    """List what is parked. Ends with 1 when there is something."""
    names = [session.connection(connection)] if connection is not None else sorted(session.settings.connections)

    async def work() -> list[ParkedItem]:
        async with operating(session.existing("log", "store")) as operator:
            return [item for name in names for item in operator.parked(name)]

    items = session.run(work())

    def show(console: Console) -> None:
        if not items:
            console.print("Nothing is parked.")
            return
        # Not a table: the id is copied from here, and a column would break it.
        for item in items:
            console.print(f"{times.to_minute(item.since)}  {item.connection}  {item.kind} {item.item}  {item.about}")
            console.print(f"  why: {item.reason}")

    return Reply({"items": items}, show, PERSON if items else OK)


@parked.command(cls=CliCommand)
@click.argument("item", metavar="[ID]", required=False)
@click.option("--all", "everything", is_flag=True, help="All that is parked.")
@click.option("--by", default=getpass.getuser, show_default="your user name", help="Who asks; it is recorded.")
@click.option("--connection", help="Which connection, where there are several.")
def replay(session: Session, item: str | None, everything: bool, by: str, connection: str | None) -> Reply:
    """Try ID again, or --all.

    A command is sent again as it is, after a look-up. A delivery is read again by the present version: what it says now
    becomes events, and its discrepancy is closed when all of it could be read. Ends with 1 when a part still cannot be
    read.
    """
    if everything == (item is not None):
        raise click.UsageError("give either the ID of one, or --all", click.get_current_context())
    name = session.connection(connection)
    return session.run(_replay(session, name, item, by))


async def _replay(session: Session, name: str, item: str | None, by: str) -> Reply:
    async with operating(session.existing("log", "store")) as operator:
        items = (
            [(one.kind, one.item) for one in operator.parked(name)]
            if item is None
            else [(_kind(operator, name, item), item)]
        )
        sent: list[Told] = []
        reread: list[Reread] = []
        with session.progress("reading the log") as progress:
            for kind, key in items:
                if kind == "command":
                    sent.append(await operator.resend(name, _command(operator, name, key), by))
                    continue
                found = await operator.reread(name, key, by, progress)
                if found is None:
                    raise NotFound(
                        f"nothing parked has the id {key[:80]!r}",
                        name,
                        "`zoho-gocardless parked list` shows what is parked",
                    )
                reread.append(found)
    unreadable = [one for one in reread if not one.closed]
    data = {"commands": sent, "deliveries": reread}
    return Reply(data, lambda console: _show(console, sent, reread), PERSON if unreadable else OK)


def _kind(operator: Operator, name: str, item: str) -> str:
    return "command" if operator.queries.row("commands", name, item) is not None else "delivery"


def _command(operator: Operator, name: str, key: str) -> CommandRow:
    row: Any = operator.queries.row("commands", name, key)
    assert isinstance(row, CommandRow), "it was found just now"
    return row


def _show(console: Console, sent: list[Told], reread: list[Reread]) -> None:
    if not sent and not reread:
        console.print("Nothing is parked.")
    for told in sent:
        console.print(f"To be sent again ({told.event}).")
    for one in reread:
        console.print(
            f"{one.delivery}: {one.events} events, {one.new} of them new; "
            f"{'read in full' if one.closed else 'not all of it could be read'}"
        )
        for line in one.unreadable:
            console.print(f"  still parked: {line}")
