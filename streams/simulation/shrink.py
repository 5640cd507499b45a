"""The least that still goes wrong: a run that breaks a promise, made smaller as long as it breaks the same one.

What happens is left out first: all of it, then family by family, then by delta debugging down to single names. Then
fewer invoices, then fewer days, which moves every instant and so is only tried. All of it again, until nothing changes.
"""

import math
from collections.abc import Callable, Collection
from time import monotonic
from typing import Final

import msgspec

from streams.simulation.oracles import Breach
from streams.simulation.simulation import Report, simulate
from streams.simulation.spec import PlanSpec, family_of, in_short, kinds_of

#: Runs that are tried. Lower: what does not matter stays in the story. Higher: a person waits longer for it.
MOST_RUNS: Final = 120

#: Real seconds for all of them together. Lower, higher: as above.
MOST_S: Final = 900.0

#: Lives one run within so many real seconds. Raises whatever the run raises.
Attempt = Callable[[PlanSpec, float], Report]


class Shrunk(msgspec.Struct, frozen=True, kw_only=True):
    """What is left. `spec` replays it, `report` is how it ends; `runs`: how many were tried; `raised`: what other runs
    ended with that had no report, each with its number; `whole`: all was tried, so nothing alone can be left out.
    """

    spec: PlanSpec
    report: Report
    runs: int
    raised: dict[str, int]
    whole: bool


def same(breach: Breach, report: Report) -> Breach | None:
    """The first breach in a report that is of the same oracle and about the same kind of record."""
    return next((one for one in report.breaches if one.oracle == breach.oracle and _kind(one) == _kind(breach)), None)


def shrink(
    spec: PlanSpec,
    report: Report,
    breach: Breach,
    *,
    attempt: Attempt = lambda spec, limit_s: simulate(spec.plan(), limit_s=limit_s),
    most_runs: int = MOST_RUNS,
    most_s: float = MOST_S,
    now_s: Callable[[], float] = monotonic,
) -> Shrunk:
    """Make a run smaller that ended with `report`, in which `breach` is.

    A run that takes too long, or raises, counts as one that does not break. How far it comes within `most_s` depends on
    the machine; what it gives replays on any.
    """
    shrinking = _Shrinking(spec, report, breach, attempt, most_runs, now_s() + most_s, now_s)
    shrinking.shrink()
    return Shrunk(
        spec=in_short(shrinking.spec),
        report=shrinking.report,
        runs=shrinking.runs,
        raised=shrinking.raised,
        whole=not shrinking.spent,
    )


def _kind(breach: Breach) -> str:
    return breach.about.partition(":")[0].rpartition(" ")[0] or breach.about.partition(":")[0]


class _Shrinking:
    """`spec` and `report`: the smallest run yet that breaks."""

    def __init__(
        self,
        spec: PlanSpec,
        report: Report,
        breach: Breach,
        attempt: Attempt,
        most_runs: int,
        ends_s: float,
        now_s: Callable[[], float],
    ) -> None:
        self.spec = spec
        self.report = report
        self.runs = 0
        self.raised: dict[str, int] = {}
        self.spent = False
        self._breach = breach
        self._attempt = attempt
        self._most_runs = most_runs
        self._ends_s = ends_s
        self._now_s = now_s
        self._tried = {spec.plan()}

    def shrink(self) -> None:
        before: PlanSpec | None = None
        while before != self.spec and not self.spent:
            before = self.spec
            self._leave_out()
            self._lower("invoices")
            self._lower("days")

    def _breaks(self, spec: PlanSpec) -> bool:
        """Whether a run still breaks; if so, it is the smallest yet."""
        plan = spec.plan()
        if plan in self._tried or self.spent:
            return False
        left_s = self._ends_s - self._now_s()
        if self.runs >= self._most_runs or left_s <= 0:
            self.spent = True
            return False
        self._tried.add(plan)
        self.runs += 1
        try:
            report = self._attempt(spec, left_s)
        except Exception as error:  # noqa: BLE001 - whatever a smaller run ends with is told, and is not what is looked for
            words = f"{type(error).__name__}: {error}"
            self.raised[words] = self.raised.get(words, 0) + 1
            return False
        if same(self._breach, report) is None:
            return False
        self.spec, self.report = spec, report
        return True

    def _left(self) -> dict[str, str]:
        return kinds_of(self.spec)

    def _breaks_without(self, names: Collection[str]) -> bool:
        without = tuple(sorted({*self.spec.without, *names}))
        return self._breaks(msgspec.structs.replace(self.spec, without=without))

    def _leave_out(self) -> None:
        left = self._left()
        if not left or self._breaks_without(left):
            return
        families = dict.fromkeys(family_of(kind) for kind in left.values())
        for family in families:
            self._breaks_without([name for name, kind in self._left().items() if family_of(kind) == family])
        self._leave_out_by_parts()

    def _leave_out_by_parts(self) -> None:
        """Delta debugging: halves, then smaller parts, until no single name can be left out."""
        parts = 2
        while (names := list(self._left())) and not self.spent:
            size = math.ceil(len(names) / parts)
            chunks = [names[place : place + size] for place in range(0, len(names), size)]
            if any(self._breaks_without(chunk) for chunk in chunks):
                parts = max(parts - 1, 2)
            elif size == 1:
                return
            else:
                parts = min(2 * parts, len(names))

    def _lower(self, field: str) -> None:
        """The least number that still breaks, by halves."""
        least, most = 1, int(getattr(self.spec, field))
        if most == least or self._breaks(msgspec.structs.replace(self.spec, **{field: least})):
            return
        while most - least > 1:
            middle = (least + most) // 2
            if self._breaks(msgspec.structs.replace(self.spec, **{field: middle})):
                most = middle
            else:
                least = middle
