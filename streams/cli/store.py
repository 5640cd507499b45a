"""`store`: the database of the projections itself."""

import click

from projections.store.store import Upgrade, upgrade_store
from streams.cli.command import CliCommand, CliGroup, Reply, Session, text


@click.group(cls=CliGroup)
def store() -> None:
    """Look after the database of the projections."""


@store.command(cls=CliCommand)
def upgrade(session: Session) -> Reply:
    """Bring the schema of the store to this version of the program.

    On PostgreSQL other processes may be at work with the older schema: stop them first. One that runs all the same is
    fenced off, and ends with its next write. A SQLite store is upgraded by itself when it is opened.
    """
    done = upgrade_store(session.making().store)
    data = {"before": done.before, "after": done.after, "fenced": done.fenced}
    return Reply(data, text(*_lines(done)))


def _lines(done: Upgrade) -> list[str]:
    if not done.before:
        return [f"The database was empty; it has version {done.after} of the schema now."]
    if not done.fenced:
        lines = [f"The schema is at version {done.after}, which is this program's: nothing was changed."]
        return (
            lines
            if done.dialect == "postgresql"
            else [*lines, "A SQLite store is upgraded by itself when it is opened."]
        )
    return [
        f"Upgraded the schema from version {done.before} to {done.after}.",
        "Every process at work with this store is fenced off: start it again, with this version of the program.",
    ]
