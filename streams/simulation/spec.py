"""What a run is asked for, as a command line asks for it: the plan that it gives, the names of what happens in it, and
the command that plays it again.
"""

from typing import Final

import msgspec

from streams.simulation.faults import CALL_FAULTS, WEBHOOK_FAULTS
from streams.simulation.known import Known, known_acts
from streams.simulation.people import SPECS
from streams.simulation.plan import FAULTS, HEAL_DAYS, Plan, draw_plan
from streams.simulation.traits import TRAITS

#: Days in which something may go wrong. Lower: what needs a payout, or a month's end, is never seen. Higher: a run
#: takes longer, and fewer seeds are seen.
DAYS: Final = 31

#: Invoices of a connection. Lower: fewer of them meet each other. Higher: a run takes longer.
INVOICES: Final = 16


class PlanSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan is drawn by. `faults`: kinds that may happen; `without`: names of what is left out; `with_known`:
    also what this version is known to get wrong; `acts`: what people may do, all that is allowed where none is named.
    """

    seed: int
    days: int = DAYS
    invoices: int = INVOICES
    heal_days: int = HEAL_DAYS
    faults: tuple[str, ...] = FAULTS
    without: tuple[str, ...] = ()
    with_known: bool = False
    acts: tuple[str, ...] = ()

    def plan(self) -> Plan:
        """The plan of this seed."""
        left_out = frozenset() if self.with_known else known_acts()
        plan = draw_plan(
            self.seed,
            days=self.days,
            invoices=self.invoices,
            allowed=self.faults,
            without=self.without,
            acts=[name for name in self.acts or SPECS if name not in left_out],
            traits=TRAITS if self.with_known else (),
        )
        return msgspec.structs.replace(plan, heal_days=self.heal_days)

    def command(self) -> str:
        """The command line that plays it again."""
        words = ["zoho-gocardless simulate", f"--seed {self.seed}"]
        for name, usual in (("days", DAYS), ("invoices", INVOICES), ("heal_days", HEAL_DAYS)):
            if getattr(self, name) != usual:
                words.append(f"--{name.replace('_', '-')} {getattr(self, name)}")
        if set(self.faults) != set(FAULTS):
            words.append(f"--faults {','.join(self.faults) or 'none'}")
        if self.without:
            words.append(f"--without {','.join(self.without)}")
        if self.with_known:
            words.append("--with-known")
        if self.acts:
            words.append(f"--acts {','.join(self.acts)}")
        return " ".join(words)


def spec_of(known: Known) -> PlanSpec:
    """The run that shows it."""
    return PlanSpec(
        seed=known.seed,
        days=known.days,
        invoices=known.invoices,
        heal_days=known.heal_days,
        faults=known.faults,
        without=known.without,
        with_known=True,
        acts=known.only,
    )


def kinds_of(spec: PlanSpec) -> dict[str, str]:
    """Name → kind of everything that happens in the run: moments by time, then outages, then rates."""
    plan = msgspec.structs.replace(spec, without=()).plan()
    kinds: dict[str, str] = {moment.name: moment.kind for moment in plan.moments}
    kinds |= {f"outage:{place}": "outage" for place in range(len(plan.outages))}
    kinds |= {f"rate:{kind}": kind for kind, _ in (*plan.rates.calls, *plan.rates.webhooks)}
    return {name: kind for name, kind in kinds.items() if name not in spec.without}


def family_of(kind: str) -> str:
    """What is left out together: all faults of calls, all of webhooks, each other kind by itself."""
    return "calls" if kind in CALL_FAULTS else "webhooks" if kind in WEBHOOK_FAULTS else kind


def in_short(spec: PlanSpec) -> PlanSpec:
    """The same plan in fewer words: a kind of which nothing happens is not allowed, instead of named in full."""
    left = kinds_of(spec)
    kinds = tuple(kind for kind in FAULTS if kind in left.values())
    short = msgspec.structs.replace(spec, faults=kinds, without=())
    without = tuple(name for name in kinds_of(short) if name not in left)
    short = msgspec.structs.replace(short, without=without)
    assert short.plan() == spec.plan(), "what is named otherwise is the same plan"
    return min(spec, short, key=lambda one: len(one.command()))
