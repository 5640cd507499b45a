"""`demo`: a company's month with both APIs simulated, without an account at either."""

from pathlib import Path

import click

from streams.cli.codes import OK, PERSON, CannotCreate, Unavailable
from streams.cli.command import CliCommand, Reply, Session
from streams.demo import demo as demos
from streams.demo import view as demo_view
from streams.demo.folder import DemoError, FolderTakenError
from streams.demo.month import Month

_DEFAULT: Month = Month()


@click.command(cls=CliCommand)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    show_default=True,
    help="Where it lives.",
)
@click.option("--customers", type=click.IntRange(1, 5_000), default=_DEFAULT.customers, show_default=True)
@click.option("--invoices", type=click.IntRange(5, 20_000), default=_DEFAULT.invoices, show_default=True)
@click.option("--seed", type=int, default=_DEFAULT.seed, show_default=True, help="The same seed gives the same month.")
@click.option("--no-faults", is_flag=True, help="Nothing goes wrong between the APIs and us.")
def demo(session: Session, folder: Path, customers: int, invoices: int, seed: int, no_faults: bool) -> Reply:
    """Live through a company's month: the real program against both APIs simulated, then the books, and what the
    simulators counted.

    The folder holds a whole installation afterwards: look into it with --config FOLDER/settings.toml. It must be new,
    empty, or a demo's: a demo marks its folder, and the next one removes what that one made, and nothing else. Ends
    with 1 when the simulators found something wrong.
    """
    where = folder.absolute()
    plan = Month(customers=customers, invoices=invoices, seed=seed, faults=not no_faults)
    days = {day: number for number, day in enumerate(demos.days(plan), start=1)}

    async def work() -> demos.Demo:
        with session.progress("days", len(days)) as progress:

            def told(day: str) -> None:
                progress(1)
                session.milestone(f"Day {days[day]} of {len(days)}, until {day}.")

            return await demos.run(plan, where, told, session.note)

    try:
        lived = session.run(work())
    except FolderTakenError as error:
        raise CannotCreate(error.what, str(folder), error.remedy) from error
    except DemoError as error:
        raise Unavailable(
            str(error), str(folder), "try again in another folder; the files named hold the programs' own words"
        ) from error
    return Reply(
        lived.result, lambda console: demo_view.show(console, plan, lived), PERSON if lived.result.wrong else OK
    )
