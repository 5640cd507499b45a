"""`simulate`: the whole in one process, in simulated time, from a seed; and what is wrong with it, as a story."""

from typing import Any, Final

import click
import msgspec
from rich.console import Console

from streams.cli.codes import OK, PERSON, NotFound
from streams.cli.command import CliCommand, Reply, Session
from streams.simulation.known import Known, is_known
from streams.simulation.oracles import Breach
from streams.simulation.people import SPECS
from streams.simulation.plan import FAULTS, HEAL_DAYS
from streams.simulation.shrink import Shrunk, shrink
from streams.simulation.silence import silent
from streams.simulation.simulation import Report, simulate
from streams.simulation.spec import DAYS, INVOICES, PlanSpec, kinds_of
from streams.simulation.story import counted, story

#: Real seconds for one run. Lower: a slow machine gives up what would have ended. Higher: a run that never ends holds
#: up the others.
_RUN_S: Final = 900.0


class SeedResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one seed. `failed`: why there is no report; `story` and `replay` where a promise did not hold;
    `known`: what is known to be wrong, each with its number.
    """

    seed: int
    replay: str
    failed: str = ""
    days: int = 0
    calls: int = 0
    digest: str = ""
    faults: dict[str, int] = {}
    ends: dict[str, int] = {}
    acts: int = 0
    breaches: tuple[Breach, ...] = ()
    known: dict[str, int] = {}
    story: str = ""
    runs_to_shrink: int = 0

    @property
    def found(self) -> bool:
        """Whether something is wrong that nobody knows yet."""
        return bool(self.failed or self.breaches)

    @property
    def line(self) -> str:
        """It in one line."""
        if self.failed:
            return f"seed {self.seed}: no report: {self.failed}; {self.replay}"
        known = f"; known: {counted(self.known)}" if self.known else ""
        parts = (
            f"seed {self.seed}: {self.days} days",
            f"{self.calls} calls",
            f"faults: {counted(self.faults)}",
            f"breaches: {len(self.breaches)}{known}",
            f"digest {self.digest}",
        )
        return "; ".join(parts)


def _names(value: str) -> list[str]:
    """The names between commas."""
    return [name.strip() for name in value.split(",") if name.strip()]


def _faults(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Read the names of kinds of faults."""
    if value in ("all", "none"):
        return FAULTS if value == "all" else ()
    names = _names(value)
    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        raise click.BadParameter(f"no fault {unknown[0][:40]!r}; there are all, none, {', '.join(FAULTS)}")
    return tuple(name for name in FAULTS if name in names)


def _acts(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Read the names of acts."""
    names = _names(value)
    unknown = [name for name in names if name not in SPECS]
    if unknown:
        raise click.BadParameter(f"nobody does {unknown[0][:40]!r}; there are {', '.join(SPECS)}")
    return tuple(names)


@click.command(cls=CliCommand)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The first one, or the only one.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="How many, counted on from --seed.")
@click.option(
    "--days", type=click.IntRange(1, 366), default=DAYS, show_default=True, help="In which something may happen."
)
@click.option("--invoices", type=click.IntRange(1, 1_000), default=INVOICES, show_default=True, help="Of a connection.")
@click.option(
    "--heal-days",
    type=click.IntRange(1, 100),
    default=HEAL_DAYS,
    show_default=True,
    help="Days afterwards in which nothing goes wrong, and all has to come to rest.",
)
@click.option("--faults", default="all", show_default=True, callback=_faults, help="Kinds that may happen, or none.")
@click.option("--acts", default="", callback=_acts, help="What people may do beside us; all of it where none is named.")
@click.option("--without", multiple=True, help="Names of what is left out, as a story has them.")
@click.option("--with-known", is_flag=True, help="Also what this version is known to get wrong.")
@click.option("--shrink/--no-shrink", "shrinks", default=True, help="Make a run smaller that breaks.")
def simulate_(
    session: Session,
    seed: int,
    seeds: int,
    days: int,
    invoices: int,
    heal_days: int,
    faults: tuple[str, ...],
    acts: tuple[str, ...],
    without: tuple[str, ...],
    with_known: bool,
    shrinks: bool,
) -> Reply:
    """Live through a month in one process, in simulated time, with everything that goes wrong drawn from a seed; then
    ask what of our promises does not hold.

    The same seed and version give the same run, to the byte: the digest says so. No settings and no network are needed,
    and nothing is kept. What breaks is made smaller, and told as a story with the command that plays it again. Ends
    with 1 when something broke that is not known.
    """
    names = tuple(name for given in without for name in _names(given))
    specs = [
        PlanSpec(
            seed=number,
            days=days,
            invoices=invoices,
            heal_days=heal_days,
            faults=faults,
            without=names,
            with_known=with_known,
            acts=acts,
        )
        for number in range(seed, seed + seeds)
    ]
    for name in names:
        _require(name, specs)
    results = []
    with silent(), session.progress("seeds", seeds) as progress:
        for spec in specs:
            results.append(_lived(session, spec, shrinks=shrinks))
            progress(1)
    found = [result.seed for result in results if result.found]
    data = {"results": [_data(result) for result in results], "found": found}
    return Reply(data, lambda console: _show(console, results), PERSON if found else OK)


def _require(name: str, specs: list[PlanSpec]) -> None:
    """Refuse a name that is of nothing that happens: a misspelt one would leave everything as it is."""
    happen = [kinds_of(msgspec.structs.replace(spec, without=(), faults=FAULTS)) for spec in specs]
    if not any(name in names for names in happen):
        known = ", ".join(happen[0]) or "nothing happens there"
        raise NotFound(f"nothing that happens is named {name[:40]!r}", f"seed {specs[0].seed}", f"there are {known}")


def _lived(session: Session, spec: PlanSpec, *, shrinks: bool) -> SeedResult:
    """One seed, lived and told."""
    try:
        report = simulate(spec.plan(), limit_s=_RUN_S)
    except Exception as error:
        if session.debug:
            raise
        result = SeedResult(seed=spec.seed, replay=spec.command(), failed=f"{type(error).__name__}: {error}"[:300])
    else:
        result = _judged(session, spec, report, shrinks=shrinks)
    if not session.as_json:
        session.say(None, result.line)
        if result.story:
            session.say(None, f"\n{result.story}\n")
    return result


def _judged(session: Session, spec: PlanSpec, report: Report, *, shrinks: bool) -> SeedResult:
    known: dict[str, int] = {}
    unknown: list[Breach] = []
    for breach in report.breaches:
        entry: Known | None = is_known(breach) if spec.with_known else None
        if entry is None:
            unknown.append(breach)
        else:
            known[str(entry)] = known.get(str(entry), 0) + 1
    smaller: Shrunk | None = None
    if unknown and shrinks:
        session.milestone(f"seed {spec.seed}: {unknown[0]}; looking for a smaller run that breaks the same promise")
        smaller = shrink(spec, report, unknown[0])
    told, in_it = (spec, report) if smaller is None else (smaller.spec, smaller.report)
    return SeedResult(
        seed=spec.seed,
        replay=told.command(),
        days=spec.days + spec.heal_days,
        calls=report.calls,
        digest=report.digest,
        faults=report.faults,
        ends=report.ends,
        acts=len(report.acts),
        breaches=tuple(unknown),
        known=known,
        story=_told(told, in_it, smaller) if unknown else "",
        runs_to_shrink=0 if smaller is None else smaller.runs,
    )


def _told(spec: PlanSpec, report: Report, smaller: Shrunk | None) -> str:
    lines = [story(spec, report)]
    if smaller is not None:
        end = "nothing more can be left out alone" if smaller.whole else "there was no time to try everything"
        lines.append(f"Made smaller by {smaller.runs} runs; {end}.")
        lines += [f"On the way {number} ended otherwise: {words}" for words, number in smaller.raised.items()]
    return "\n".join(lines)


def _data(result: SeedResult) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(result)
    return data


def _show(console: Console, results: list[SeedResult]) -> None:
    if len(results) > 1:
        found = [str(result.seed) for result in results if result.found]
        broken = f"something is wrong with {', '.join(found)}" if found else "nothing is wrong"
        console.print(f"{len(results)} seeds: {broken}.")
