"""`rebuild`: the store anew from the log; or only the proof that it could be; or what this version would have decided
otherwise.
"""

from pathlib import Path

import click
import sqlalchemy as sa
from rich.console import Console

from projections.state.rebuild import Difference
from projections.store.store import open_store
from streams.cli.codes import OK, PERSON
from streams.cli.command import CliCommand, Reply, Session, text
from streams.log.topics import Topics
from streams.operate.dry_run import DryRun, dry_run
from streams.operate.installation import events_in, last_learned, opened_log
from streams.operate.replay import Rebuilt, Verified
from streams.operate.replay import rebuild as rebuild_store
from streams.operate.replay import verify as verify_store
from streams.settings import group_of


@click.command(cls=CliCommand)
@click.option(
    "--verify", is_flag=True, help="Rebuild into a second store and compare row by row; the live one is not touched."
)
@click.option(
    "--dry-run",
    "dry",
    is_flag=True,
    help="Decide everything afresh with the present rules, and show what would differ.",
)
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Show at most so many differences."
)
def rebuild(session: Session, verify: bool, dry: bool, limit: int) -> Reply:
    """Throw the projections away and make the same rows from the log. Nothing is sent, and no network is needed.

    Credentials, leases and budgets stay. Recorded decisions are taken as they stand. Afterwards nothing is sent before
    both APIs were read to their heads, and every call without a final outcome is looked up first. The program must not
    run meanwhile.

    With --verify or --dry-run nothing is changed, and the program may run; both end with 1 when there is a difference.
    """
    if verify and dry:
        raise click.UsageError(
            "--verify and --dry-run are two different things: one at a time", click.get_current_context()
        )
    return session.run(_rebuild(session, verify=verify, dry=dry, limit=limit))


async def _rebuild(session: Session, *, verify: bool, dry: bool, limit: int) -> Reply:
    settings = session.existing("log", "store") if verify else session.existing("log")
    if not verify and not dry:
        settings = session.making()
    topics = Topics(settings.topic_prefix, settings.partitions)
    async with opened_log(settings) as log:
        now = await last_learned(log, topics)
        total = await events_in(log, topics)
        with session.progress("events", total) as progress:
            if dry:
                return _tell_dry_run(dry_run(log, topics, limit=limit, progress=progress))
            if verify:
                with open_store(settings.store, now=now) as live:
                    folder = _folder(settings.store)
                    return _tell_verified(verify_store(log, topics, live, now, folder, limit=limit, progress=progress))
            with log.hold_group(group_of(settings)), open_store(settings.store, now=now, rebuilding=True) as store:
                return _tell_rebuilt(rebuild_store(log, topics, store, now, progress=progress))


def _folder(url: str) -> Path:
    """Beside the store, where there is room for a second one; else where the program runs."""
    parsed = sa.make_url(url)
    return Path(str(parsed.database)).absolute().parent if parsed.drivername == "sqlite" else Path.cwd()


def _tell_rebuilt(done: Rebuilt) -> Reply:
    return Reply({"rebuilt": done}, text(*_lines(done), "Before anything is sent, both APIs are read to their heads."))


def _lines(done: Rebuilt) -> list[str]:
    afresh = f"{done.derived} decided afresh after the last recorded decision"
    lines = [f"{done.events} events: {done.recorded} with what was decided, {afresh}"]
    for count, what in (
        (done.repeated, "seen before"),
        (done.undecodable, "records that are no events"),
        (done.set_aside, "left for later: their connection is set aside"),
    ):
        if count:
            lines.append(f"  {count} {what}")
    return lines


def _tell_verified(found: Verified) -> Reply:
    def show(console: Console) -> None:
        text(*_lines(found.rebuilt))(console)
        console.print("Compared row by row, every column:")
        for name, count in found.tables.items():
            console.print(f"  {name}: {count} rows")
        console.print(
            "Not compared: outbox, queue, positions, leases, budgets, polls and credentials, which say how far we are."
        )
        console.print(f"{len(found.differences)} rows differ." if found.differences else "No row differs.")
        for one in found.differences:
            console.print(f"  {one.table} {'/'.join(map(str, one.key))}: {_difference(one)}")

    data = {
        "rebuilt": found.rebuilt,
        "tables": found.tables,
        "differences": [
            {"table": one.table, "key": [_plain(part) for part in one.key], "what": _difference(one)}
            for one in found.differences
        ],
    }
    return Reply(data, show, PERSON if found.differences else OK)


def _plain(part: object) -> object:
    return part.hex() if isinstance(part, bytes) else part


def _difference(one: Difference) -> str:
    """Which columns differ; not their values, which may be personal."""
    if one.left is None or one.right is None:
        return "only in the rebuilt store" if one.left is None else "only in the live store"
    return ", ".join(name for name, value in one.left.items() if value != one.right[name])


def _tell_dry_run(found: DryRun) -> Reply:
    def show(console: Console) -> None:
        console.print(
            f"{found.events} events, {found.compared} compared with what was decided, {found.beyond} not decided yet."
        )
        console.print(f"{found.differing} would be decided otherwise by this version.")
        for one in found.differences:
            console.print(f"  {one.connection} [{one.partition}]@{one.offset} {one.type} {one.event}")
            if one.raised:
                console.print(f"    a rule raises {one.raised}; the connection is followed no further")
            for part in one.parts:
                for sign, items in (("-", part.recorded), ("+", part.afresh)):
                    for item in items:
                        console.print(f"    {sign} {part.part}: {item}")

    return Reply({"dry_run": found}, show, PERSON if found.differing else OK)
