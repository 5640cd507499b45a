"""`backup` and `restore`: log and store together, in one folder."""

from pathlib import Path

import click

from streams.cli.command import CliCommand, Reply, Session, text
from streams.operate.backup import backup as make_backup
from streams.operate.backup import restore as restore_backup
from streams.operate.installation import opened_clock


@click.command(cls=CliCommand)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def backup(session: Session, folder: Path) -> Reply:
    """Copy log and store into the new folder FOLDER, while the program runs. Nothing is overwritten.

    The key of the credentials is not in it: keep that elsewhere, or the credentials in the backup cannot be opened.
    """

    async def work() -> Reply:
        async with opened_clock(session.existing("log", "store")) as clock:
            with session.progress("copying"):
                made = make_backup(session.settings, folder, clock.now())
        lines = [
            f"Backed up at {made.made_at} into {folder}: log {made.log_bytes} bytes, store {made.store_bytes} bytes."
        ]
        if not made.store_bytes:
            lines.append(
                "The store is PostgreSQL and not in it: it can be rebuilt from the log; its credentials need its own "
                "backup."
            )
        return Reply({"folder": str(folder), "manifest": made}, text(*lines))

    return session.run(work())


@click.command(cls=CliCommand)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def restore(session: Session, folder: Path) -> Reply:
    """Make log and store, where the settings say, from the backup in FOLDER. Refuses when either exists.

    The restored pair knows that it is one: nothing is sent before both APIs were read to their heads, and every call
    without a final outcome is looked up first.
    """

    async def work() -> Reply:
        async with opened_clock(session.making()) as clock:
            with session.progress("restoring"):
                done = restore_backup(session.settings, folder, clock.now())
        lines = [f"Restored what was backed up at {done.made_at}."]
        if not done.store:
            lines.append("The backup holds no store: run `zoho-gocardless rebuild`, then enter the credentials again.")
        lines.append("Before anything is sent, both APIs are read to their heads.")
        return Reply({"folder": str(folder), "restored": done}, text(*lines))

    return session.run(work())
