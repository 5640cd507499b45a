"""`topics`: what an installation's topics on a Kafka cluster should be, what they are, and making the one the other."""

from typing import Any
from urllib.parse import urlsplit

import click
from rich.console import Console

from adapters.clock import SystemClock
from streams.cli.codes import OK, PERSON
from streams.cli.command import CliCommand, CliGroup, Reply, Session, table, text
from streams.log.kafka import provision
from streams.log.kafka.access import Access
from streams.log.kafka.provision import Plan, Wanted
from streams.log.topics import DAY_S, Topics
from streams.settings import Settings

_EMBEDDED = "The embedded log makes its topics by itself: there is nothing to do."


@click.group(cls=CliGroup)
def topics() -> None:
    """The topics on a Kafka cluster: compare them with what they should be, and make them so."""


@topics.command(cls=CliCommand)
def plan(session: Session) -> Reply:
    """Show what `apply` would do, and what nothing repairs by itself. Changes nothing."""
    return session.run(_compared(session))


@topics.command(cls=CliCommand)
def check(session: Session) -> Reply:
    """As `plan`, but ends with 1 when something is missing, differs, or contradicts the settings."""
    return session.run(_compared(session, differs=PERSON))


@topics.command(cls=CliCommand)
def apply(session: Session) -> Reply:
    """Make the topics that are missing, set what differs, and open the log the first time. Run twice, it changes
    nothing.

    It never changes a partition count, nor the number of copies: where those differ it does nothing at all, and says
    what a person can do.
    """
    return session.run(_apply(session))


def _cluster(settings: Settings) -> Access | None:
    return Access.from_url(settings.log, settings.kafka) if urlsplit(settings.log).scheme == "kafka" else None


def _topics(settings: Settings) -> Topics:
    return Topics(settings.topic_prefix, settings.partitions)


def _embedded() -> Reply:
    return Reply({"embedded": True}, text(_EMBEDDED))


async def _compared(session: Session, *, differs: int = OK) -> Reply:
    settings = session.settings
    access = _cluster(settings)
    if access is None:
        return _embedded()
    found = await provision.plan(access, _topics(settings), settings.kafka)
    states = _states(found)
    data = {
        "embedded": False,
        "cluster": access.where,
        "brokers": found.brokers,
        "topics": [{"topic": one, "state": states[one.name]} for one in found.topics],
        "differences": found.differences,
        "contradictions": found.contradictions,
        "opened": found.opened,
        "complete": found.complete,
    }
    return Reply(data, lambda console: _show(console, access.where, found, states), OK if found.complete else differs)


def _states(found: Plan) -> dict[str, str]:
    """Each topic in a word or two."""
    states = {one.name: "as it should be" for one in found.topics}
    states |= {one.topic: "differs" for one in found.differences}
    states |= dict.fromkeys(found.missing, "missing")
    states |= {one.topic: "contradicts the settings" for one in found.contradictions if one.topic in states}
    return states


def _show(console: Console, where: str, found: Plan, states: dict[str, str]) -> None:
    console.print(f"{where}: {found.brokers} brokers")
    rows = [(one.name, str(one.partitions), str(one.replication), _kept(one), states[one.name]) for one in found.topics]
    console.print(table("topic", "partitions", "copies", "kept", "state", rows=rows))
    if found.differences:
        console.print()
        changes = [(one.topic, one.setting, one.present, one.wanted) for one in found.differences]
        console.print(table("topic", "setting", "is", "should be", rows=changes))
    for one in found.contradictions:
        console.print()
        console.print(f"{one.topic}: {one.what}")
        console.print(f"  to do: {one.remedy}")
    console.print()
    console.print(_next(found))


def _kept(one: Wanted) -> str:
    milliseconds = int(one.settings["retention.ms"])
    return "for ever" if milliseconds < 0 else f"{milliseconds // (DAY_S * 1_000)} days"


def _next(found: Plan) -> str:
    if found.complete:
        return "Nothing to do."
    if found.contradictions:
        return "Nothing can be applied before a person has dealt with that."
    return "Next: `zoho-gocardless topics apply`."


async def _apply(session: Session) -> Reply:
    settings = session.settings
    access = _cluster(settings)
    if access is None:
        return _embedded()
    with session.progress("topics"):
        found = await provision.plan(access, _topics(settings), settings.kafka)
        done = await provision.apply(access, found, SystemClock().now())
    lines = [f"Made {name}." for name in done.made]
    lines += [f"Set {one.setting} of {one.topic}: {one.present} is now {one.wanted}." for one in done.changed]
    if done.opened:
        lines.append("The log is open.")
    data: dict[str, Any] = {
        "embedded": False,
        "cluster": access.where,
        "made": done.made,
        "changed": done.changed,
        "opened": done.opened,
    }
    return Reply(data, text(*(lines or ["Nothing to do."])))
