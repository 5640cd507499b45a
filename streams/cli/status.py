"""`status`: how every connection stands, and what waits for a person."""

from typing import Any

import click
import msgspec
from rich.console import Console

from domain import times
from projections.queries import Status, in_words
from projections.work.halts import Halts
from streams.cli.codes import OK, PERSON
from streams.cli.command import CliCommand, Reply, Session
from streams.log.interface import TopicPartition
from streams.operate.acts import Operator, operating
from streams.operate.replay import positions_of
from streams.stages.refusals import Refusal, refusals


class Standing(msgspec.Struct, frozen=True):
    """One connection. `refusals`: APIs that refuse its credentials; `needs_person`: what waits for one, in words;
    `waits`: what passes by itself.
    """

    name: str
    environment: str
    gate: str
    policy: int
    checked_at: str
    today: str
    invoices: dict[str, int]
    payments: dict[str, int]
    payouts: dict[str, int]
    commands: dict[str, dict[str, int]]
    unpublished: int
    discrepancies: list[Any]
    refusals: list[Refusal]
    needs_person: list[str]
    waits: list[str]


@click.command(cls=CliCommand)
@click.option("--connection", "name", help="Only this one.")
def status(session: Session, name: str | None) -> Reply:
    """How every connection stands, what waits for a person, and how far the program is. Ends with 1 when something
    waits for a person.
    """
    names = [session.connection(name)] if name is not None else sorted(session.settings.connections)
    return session.run(_status(session, names))


async def _status(session: Session, names: list[str]) -> Reply:
    async with operating(session.existing("log", "store")) as operator:
        standings = [_standing(session, operator, name) for name in names]
        unhandled = await _unhandled(operator)
        running = operator.running()
        data = {
            "connections": standings,
            "log": {"incarnation": operator.log.incarnation, "unhandled_events": unhandled},
            "running": running,
        }

    def show(console: Console) -> None:
        console.print(f"{'Running' if running else 'Not running'}; {unhandled} events not worked in yet.")
        if not standings:
            console.print("No connection in the settings.")
        for one in standings:
            _show(console, one)

    return Reply(data, show, PERSON if any(one.needs_person for one in standings) else OK)


async def _unhandled(operator: Operator) -> int:
    places = positions_of(operator.store, operator.topics)
    topic = operator.topics.events
    ends = await operator.log.end_offsets(
        TopicPartition(topic.name, partition) for partition in range(topic.partitions)
    )
    return sum(end - places.get(tp.partition, 0) for tp, end in ends.items())


def _standing(session: Session, operator: Operator, name: str) -> Standing:
    found = operator.queries.status(name)
    own = found.connection
    opened = operator.queries.discrepancies(name)
    halts = Halts(operator.store)
    aside = [one for one in halts.set_aside() if one.connection == name]
    refused = refusals(operator.store, [name])
    needs = [one.words for one in refused]
    needs += [f"set aside since {one.frozen_at}: {one.reason}; upgrade, or report it" for one in aside]
    needs += [why for one, why in operator.queries.sharing(session.settings.connections).items() if one == name]
    if own.gate != "open":
        needs.append(
            f"the gate is closed: run `zoho-gocardless check {name}`" if own.checked_at else _first_steps(name, found)
        )
    if opened:
        needs.append(f"{len(opened)} discrepancies are open")
    return Standing(
        name,
        session.settings.connections[name].environment,
        own.gate,
        own.policy.version if own.policy is not None else 0,
        own.checked_at,
        own.today,
        found.invoices,
        found.payments,
        found.payouts,
        found.commands_by_api(),
        found.unpublished,
        opened,
        refused,
        needs,
        [f"{one.api} is read to its head first ({one.reason})" for one in halts.catch_ups() if one.connection == name],
    )


def _first_steps(name: str, found: Status) -> str:
    if not found.invoices:
        return (
            f"nothing is known yet: `zoho-gocardless connect {name}`, then `zoho-gocardless run`, then"
            f" `zoho-gocardless check {name}`"
        )
    return f"it has not been checked: run `zoho-gocardless check {name}`"


def _show(console: Console, one: Standing) -> None:
    console.print()
    console.print(f"{one.name} ({one.environment}): gate {one.gate}, policy {one.policy or 'none'}")
    for what, found in (("invoices", one.invoices), ("payments", one.payments), ("payouts", one.payouts)):
        console.print(f"  {what}: {in_words(found)}")
    for api, states in one.commands.items():
        console.print(f"  calls to {api}: {in_words(states)}")
    for line in one.waits:
        console.print(f"  waits: {line}")
    for line in one.needs_person:
        console.print(f"  needs a person: {line}")
    # Not a table: what to do holds commands, which a column would break.
    for row in one.discrepancies:
        console.print(f"  {times.to_minute(row.opened_at)}  {row.code}  {row.text}")
        console.print(f"    to do: {row.remedy}")
