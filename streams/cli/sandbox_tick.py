"""`sandbox tick`: moves the time of a running sandbox, as far as one says, while the program in it does its work."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import click

from domain.times import instant, parse
from streams.cli.codes import Unavailable
from streams.cli.command import CliCommand, Reply, Session, instant_of, text
from streams.cli.sandbox_remote import Remote, at_option, opened

_A_DAY: Final = timedelta(days=1)

#: Real seconds of one question whether the time has come. Lower: more questions. Higher: progress is shown, and a
#: program that has ended is noticed, that much later.
_LOOK_S: Final = 1

#: Real seconds without any progress after which we give up. Lower: a long piece of work of the program looks like a
#: standstill. Higher: a program that never rests is told later.
_STUCK_S: Final = 60.0


@click.command(cls=CliCommand)
@click.option("--to", metavar="INSTANT", callback=instant_of, help="Up to this instant, as 2026-03-09T12:00:00Z.")
@click.option("--days", type=click.FloatRange(0, 3_660, min_open=True), help="So many days on.")
@click.option("--hours", type=click.FloatRange(0, 87_840, min_open=True), help="So many hours on.")
@click.option("--alone", is_flag=True, help="Wait for no program: what it would have done meanwhile, it does late.")
@at_option
def tick(
    session: Session, to: datetime | None, days: float | None, hours: float | None, alone: bool, at: str | None
) -> Reply:
    """Move the time of a running sandbox: one day on, or as far as one of the options says.

    Everything that is due on the way happens at its own time. A program that takes part (setting clock) is waited for
    at each step, so it does its work at its own time as well.
    """
    if sum(given is not None for given in (to, days, hours)) > 1:
        raise click.UsageError("--to, --days and --hours exclude each other", click.get_current_context())
    step = _A_DAY if days is None and hours is None else timedelta(days=days or 0, hours=hours or 0)
    return session.run(_tick(session, at, to, step, alone=alone))


async def _tick(session: Session, at: str | None, to: datetime | None, step: timedelta, *, alone: bool) -> Reply:
    async with opened(session, at) as sandbox:
        clock = await sandbox.clock()
        if clock["flowing"]:
            raise Unavailable(
                f"time flows by itself there ({clock['speed']:g} simulated seconds a second)",
                sandbox.url,
                f"pause it with `curl --data '' {sandbox.url}/_sandbox/clock/pause`, or let it flow",
            )
        since = parse(clock["now"])
        until = since + step if to is None else to
        if until <= since:
            raise click.UsageError(f"--to must lie after simulated time, which is {instant(since)}")
        waited_for = [] if alone else [str(name) for name in clock["participants"]]
        with session.progress("days", max(1, (until - since) // _A_DAY)) as progress:
            await sandbox.post("/_sandbox/clock/run", {"until": until.isoformat(), "participants": waited_for})
            try:
                await _wait(sandbox, since, waited_for, progress)
            except BaseException:
                await _stop(sandbox)
                raise
        data = {"from": instant(since), "now": instant(until), "waited_for": waited_for}
        who = f"; {', '.join(waited_for)} took part" if waited_for else ""
        return Reply(data, text(f"It is {instant(until)}, and was {instant(since)}{who}."))


async def _wait(sandbox: Remote, since: datetime, waited_for: list[str], progress: Callable[[int], None]) -> None:
    """Return when the target is reached. Raises `Unavailable` when time stands still before that."""
    seen, shown, moved_at_s = "", 0, asyncio.get_running_loop().time()
    while True:
        clock = await sandbox.get("/_sandbox/clock/wait", timeout_s=str(_LOOK_S))
        if clock["idle"]:
            return
        now_s, state = asyncio.get_running_loop().time(), f"{clock['now']} {clock['activity']}"
        if state != seen:
            seen, moved_at_s = state, now_s
        days = (parse(clock["now"]) - since) // _A_DAY
        progress(days - shown)
        shown = days
        gone = [name for name in waited_for if name not in clock["participants"]]
        if gone:
            raise _standstill(clock, sandbox, f"{', '.join(gone)} has ended")
        if now_s - moved_at_s > _STUCK_S:
            raise _standstill(clock, sandbox, f"{', '.join(waited_for) or 'a webhook'} does not come to rest")


def _standstill(clock: dict[str, Any], sandbox: Remote, why: str) -> Unavailable:
    return Unavailable(
        f"time stands still at {instant(parse(clock['now']))}: {why}",
        sandbox.url,
        "see what the program says and start it again, then go on; or go on without it, with --alone",
    )


async def _stop(sandbox: Remote) -> None:
    """Leave no target behind that time would run to once somebody rests."""
    with contextlib.suppress(Exception):
        clock = await sandbox.get("/_sandbox/clock")
        await sandbox.post("/_sandbox/clock/run", {"until": clock["now"], "participants": []})
