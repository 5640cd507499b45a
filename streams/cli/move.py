"""`move`: an embedded installation to Kafka and PostgreSQL."""

import click
import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from streams.cli.command import CliCommand, Reply, Session, text
from streams.log.kafka.access import Access
from streams.log.topics import Topics
from streams.operate.installation import opened_clock
from streams.operate.move import Moved
from streams.operate.move import move as move_installation
from streams.settings import Settings


@click.command(cls=CliCommand)
@click.option(
    "--to",
    required=True,
    metavar="URL",
    help="The cluster: kafka://host:port,host:port. [kafka] says how it is reached.",
)
@click.option("--store", required=True, metavar="URL", help="An empty database: postgresql://user@host/database.")
@click.option("--prefix", default=None, help="topic_prefix on the cluster; else that of the settings.")
def move(session: Session, to: str, store: str, prefix: str | None) -> Reply:
    """Move this embedded installation to a cluster: every record with its offset, every row, the credentials sealed as
    they are.

    The program must not run meanwhile. Everything is read back and compared; then the old log and store are marked, and
    refused from there on; then the new side may start. Interrupted, the same command goes on. Afterwards nothing is
    sent before both APIs were read to their heads, and every call without a final outcome is looked up first.
    """
    settings = session.settings
    target = _target(settings, to, store, prefix)

    async def work() -> Moved:
        async with opened_clock(settings) as clock:
            now = clock.now()
        return await move_installation(settings, target, now, session.progress)

    done = session.run(work())
    lines = _settings(settings, target)
    data = {"moved": done, "settings": dict(lines)}
    return Reply(data, text(*_told(done), "", *(f'{name} = "{value}"' for name, value in lines), "", *_next(target)))


def _target(settings: Settings, to: str, store: str, prefix: str | None) -> Settings:
    chosen = settings.topic_prefix if prefix is None else prefix
    context = click.get_current_context()
    try:
        Access.from_url(to, settings.kafka)
    except ValueError as error:
        raise click.UsageError(f"--to: {str(error).removeprefix('log URL: ')}", context) from None
    try:
        Topics(chosen)
    except ValueError as error:
        raise click.UsageError(f"--prefix: {error}", context) from None
    try:
        dialect = sa.make_url(store).get_backend_name()
    except ArgumentError:
        dialect = ""
    if dialect != "postgresql":
        raise click.UsageError("--store: use postgresql://user@host/database", context)
    return msgspec.structs.replace(settings, log=to, store=store, topic_prefix=chosen)


def _settings(settings: Settings, target: Settings) -> list[tuple[str, str]]:
    """The settings to change. A password is not shown."""
    found = [("log", target.log), ("store", sa.make_url(target.store).render_as_string(hide_password=True))]
    if target.topic_prefix != settings.topic_prefix:
        found.append(("topic_prefix", target.topic_prefix))
    return found


def _told(done: Moved) -> list[str]:
    if not done.rows:
        return ["Everything had been moved; it is handed over now. Change these settings:"]
    records, rows = sum(one.end - one.start for one in done.partitions), sum(done.rows.values())
    lines = [
        f"Moved {records} records in {len(done.partitions)} partitions, and {rows} rows; all read back and compared."
    ]
    if not done.partitions:
        lines = [f"The records had been moved; moved {rows} rows, which were read back and compared."]
    if done.waiting is not None and done.waiting.calls:
        lines.append(
            f"{done.waiting.calls} calls were begun and not answered: they count as unknown, and are looked up first."
        )
    if done.waiting is not None and done.waiting.decisions:
        lines.append(f"{done.waiting.decisions} decisions were not published yet: the new side publishes them.")
    return [*lines, "Change these settings:"]


def _next(target: Settings) -> list[str]:
    lines = [
        "The old log and store are refused from now on. Before anything is sent, both APIs are read to their heads."
    ]
    if sa.make_url(target.store).password is not None:
        lines.insert(0, "The password of the store is not shown: write the address as you gave it.")
    return lines
