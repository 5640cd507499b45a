"""`why`: the state of one thing in words, since when, until when, what to do, and the trail that led there."""

from typing import Any

import click
from rich.console import Console

from domain import why as reasons
from domain.state import State
from domain.why import Why
from projections.queries import History
from streams.cli.codes import NotFound
from streams.cli.command import CliCommand, Reply, Session
from streams.cli.trace import Source, Step, Trail
from streams.operate.acts import Operator, operating


@click.command(cls=CliCommand)
@click.argument("kind", type=click.Choice(sorted(reasons.ASK)))
@click.argument("name", metavar="ID_OR_NUMBER")
@click.option("--connection", help="Which connection, where there are several.")
@click.option("--bodies", is_flag=True, help="Show the bodies of deliveries too; they hold personal data.")
@click.option("--brief", is_flag=True, help="The state alone, without the trail.")
def why(session: Session, kind: str, name: str, connection: str | None, bodies: bool, brief: bool) -> Reply:
    """Why an invoice, payment, payout or contact is where it is, and what can be done; then every event about it, with
    where it lies in the log, what was decided, how each call ended, and the delivery it came from with its signature
    and the secret that verified it.
    """
    return session.run(_why(session, kind, name, session.connection(connection), bodies=bodies, brief=brief))


async def _why(session: Session, kind: str, name: str, connection: str, *, bodies: bool, brief: bool) -> Reply:
    async with operating(session.existing("log", "store")) as operator:
        key = _key(operator, connection, kind, name)
        with operator.state(connection) as state:
            answer = reasons.ASK[kind](state, key)
            if answer is None:
                what = f"no {kind} {name[:60]!r} is known in {connection}"
                raise NotFound(
                    what,
                    "the store",
                    "check the number and --connection; `zoho-gocardless status` says how far the program is",
                )
            keys = _keys(operator, state, connection, kind, key)
        steps: list[Step] = []
        if not brief:
            with session.progress("reading the log") as progress:
                steps = Trail(operator.log, operator.topics, connection, keys, progress).steps(bodies=bodies)
    data = {"kind": kind, "key": key, "connection": connection, "why": answer, "trail": steps}
    return Reply(data, lambda console: _show(console, kind, answer, steps))


def _key(operator: Operator, connection: str, kind: str, name: str) -> str:
    if kind == "invoice":
        found = operator.queries.find_invoice(connection, name)
        return found.id if found is not None else name
    return name


def _keys(operator: Operator, state: State, connection: str, kind: str, key: str) -> list[str]:
    """The ids whose events make up the trail."""
    if kind == "contact":
        contact = state.contacts.get(key)
        return [key, contact.payer, contact.billing_request] if contact is not None else [key]
    ask: Any = {
        "invoice": operator.queries.invoice,
        "payment": operator.queries.payment,
        "payout": operator.queries.payout,
    }[kind]
    history: History = ask(connection, key)
    found = [key, *(command.id for command in history.commands)]
    if kind != "payout":
        found += [payment.id for payment in history.payments]
    if kind == "payment":
        found = [one for one in found if all(one != invoice.id for invoice in history.invoices)]
    return list(dict.fromkeys(found))


# --- for people ---


def _show(console: Console, kind: str, answer: Why, steps: list[Step]) -> None:
    console.print(f"{kind} {answer.name}: {answer.state}")
    console.print(f"  since: {answer.since or 'not known'}")
    console.print(f"  until: {answer.until or 'something happens, or a person decides'}")
    for one in answer.todo or ("nothing",):
        console.print(f"  to do: {one}")
    for step in steps:
        console.print()
        console.print(f"{step.happened_at}  {step.type}  {step.said}".rstrip())
        console.print(f"  event {step.id} at {step.place}, learned {step.learned_at} by {step.source}")
        for line in step.decided:
            console.print(f"  {line}")
        if step.delivery is not None:
            _show_source(console, step.delivery)


def _show_source(console: Console, source: Source) -> None:
    console.print(f"  from {source.kind} {source.id} at {source.place}, received {source.received_at}")
    if source.signature:
        console.print(
            f"    signed: {source.signature_header}: {source.signature}, verified by the secret {source.secret!r}"
        )
    for line in (source.call, source.page):
        if line:
            console.print(f"    {line}")
    console.print(f"    {source.size_bytes} bytes, sha256 {source.sha256}")
    if source.body:
        console.print(source.body)
