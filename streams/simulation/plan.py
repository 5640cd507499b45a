"""What a seed decides before anything runs: how long, who, what goes wrong and when.

Each part has a stream of chance of its own, and each thing that happens a name ("crash:2"): one that is left out leaves
the others where they are, which is how a failure shrinks to a story.
"""

import random
from collections.abc import Iterable
from typing import Final, Literal, get_args

import msgspec

from domain.vocabulary import APIS
from streams import failpoints
from streams.simulation.bounds import Bounds, draw_bounds
from streams.simulation.faults import CALL_FAULTS, WEBHOOK_FAULTS, Outage, Rates, draw_rates
from streams.simulation.people import SPECS
from streams.simulation.traits import Trait

DAY_S: Final = 86_400.0

#: What may go wrong in our own house, and away from us for long.
HouseFault = Literal[
    "crash",
    "failpoint",
    "outage",
    "clock_jump",
    "clock_ahead",
    "date_skew",
    "full_disk",
    "flipped_bit",
    "second_owner",
    "store_back",
    "token_refused",
    "act",
]
HOUSE_FAULTS: Final[tuple[HouseFault, ...]] = get_args(HouseFault)

#: Everything that `--faults` can name.
FAULTS: Final[tuple[str, ...]] = (*HOUSE_FAULTS, *CALL_FAULTS, *WEBHOOK_FAULTS)

#: Faults that a world has only with a trait.
_NEEDS: Final[dict[str, Trait]] = {
    "token_revoked": "revoked_token",
    "throttled_day": "long_outage",
    "clock_ahead": "wrong_clock",
}

#: Longest outage of an API, days. Higher than the 25 days after which an answer may have been forgotten: one named
#: scenario has that.
_OUTAGE_DAYS: Final = 3.0

#: Longest outage without the trait of long ones, seconds: shorter than thirty tries take.
_SHORT_OUTAGE_S: Final = 1_200.0

#: Calls a day that Zoho Books may allow (0: as the company's plan has it). Lower: polls alone use up the day. Higher:
#: no run comes near its end.
_ZOHO_DAYS: Final = (0, 0, 0, 0, 300)

#: Chance that two connections are to one company. Lower: no run shows that it is collected from once. Higher: fewer
#: runs have two companies.
_ONE_COMPANY: Final = 0.2

#: Days without faults at the end, in which everything has to come to rest: a payout is paid within a week of its
#: payments, and a read that waits for its quota waits for a day. Lower: what is merely slow looks stuck.
HEAL_DAYS: Final = 21


class Moment(msgspec.Struct, frozen=True):
    """Something that happens at an instant of the run. `name` is unique in the run; `value`: seconds, or as `kind`
    says. `what`: a failpoint's name, an API.
    """

    name: str
    kind: HouseFault
    at_s: float
    value: float = 0.0
    what: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `moments` in the order of time; `acts`: names of what people may do;
    `traits`: what the world may have.
    """

    seed: int
    days: int
    invoices: int
    connections: int
    partitions: int
    batch_records: int
    rates: Rates
    moments: tuple[Moment, ...]
    outages: tuple[Outage, ...]
    acts: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    heal_days: int = HEAL_DAYS
    bounds: Bounds = Bounds()
    zoho_day_calls: int = 0
    """Calls that Zoho Books allows in a day; 0: as the company's plan has it."""
    one_company: bool = False
    """Whether all connections are to one company, which no installation may collect from twice."""

    @property
    def faults_end_s(self) -> float:
        """When everything that goes wrong has an end."""
        return self.days * DAY_S

    @property
    def ends_s(self) -> float:
        """When the run does."""
        return (self.days + self.heal_days) * DAY_S


def draw_plan(
    seed: int,
    *,
    days: int = 31,
    invoices: int = 16,
    allowed: Iterable[str] = FAULTS,
    without: Iterable[str] = (),
    acts: Iterable[str] = tuple(SPECS),
    traits: Iterable[str] = (),
) -> Plan:
    """The plan of a seed. `allowed`: which faults may be drawn; `without`: names of moments, of outages
    ("outage:0") and of rates ("rate:refused") that are left out.
    """
    left_out, had = frozenset(without), tuple(traits)
    kinds = frozenset(allowed) - {kind for kind, trait in _NEEDS.items() if trait not in had}
    shape = random.Random(f"{seed}/shape")
    bounds = draw_bounds(random.Random(f"{seed}/bounds"))
    connections = 2 if shape.random() < 0.15 else 1
    drawn = draw_rates(random.Random(f"{seed}/rates"), kinds)
    rates = Rates(
        tuple(one for one in drawn.calls if f"rate:{one[0]}" not in left_out),
        tuple(one for one in drawn.webhooks if f"rate:{one[0]}" not in left_out),
    )
    names = [f"c{number + 1}" for number in range(connections)]
    moments = [
        *_crashes(random.Random(f"{seed}/crashes"), days),
        *_clocks(random.Random(f"{seed}/clocks"), days, names),
        *_disks(random.Random(f"{seed}/disks"), days),
        *_rarities(random.Random(f"{seed}/rarities"), days),
        *_store_backs(random.Random(f"{seed}/store_backs"), days),
        *_token_refusals(random.Random(f"{seed}/token_refusals"), days, names),
        *_acts(random.Random(f"{seed}/acts"), days, names),
    ]
    chosen = [one for one in moments if one.kind in kinds and one.name not in left_out]
    outages = (
        _outages(random.Random(f"{seed}/outages"), days, names, long="long_outage" in had) if "outage" in kinds else []
    )
    return Plan(
        seed=seed,
        days=days,
        invoices=invoices,
        connections=connections,
        partitions=shape.choice((1, 2, 4)),
        batch_records=shape.choice((1, 3, 20, 1_000)),
        rates=rates,
        moments=tuple(sorted(chosen, key=lambda one: (one.at_s, one.name))),
        acts=tuple(acts),
        traits=had,
        bounds=bounds,
        # A list of many small pages would use up a small day by itself.
        zoho_day_calls=random.Random(f"{seed}/quota").choice(_ZOHO_DAYS) if bounds == Bounds() else 0,
        one_company=connections > 1 and random.Random(f"{seed}/one_company").random() < _ONE_COMPANY,
        outages=tuple(one for place, one in enumerate(outages) if f"outage:{place}" not in left_out),
    )


def _crashes(rng: random.Random, days: int) -> list[Moment]:
    """Power cuts at any instant, and at the places where a fact passes from one hand to the next; each with the seconds
    for which the machine stays off.
    """
    count = rng.choice((0, 0, 1, 3, 10))
    found = []
    for number in range(count):
        at_s, off_s = rng.random() * days * DAY_S, rng.choice((1.0, 60.0, 4_000.0))
        found.append(Moment(f"crash:{number}", "crash", at_s, off_s * (0.5 + rng.random())))
    for number in range(rng.choice((0, 0, 1, 3, 10))):
        at_s, off_s = rng.random() * days * DAY_S, rng.choice((1.0, 60.0, 4_000.0))
        what = rng.choice(failpoints.NAMES)
        found.append(Moment(f"failpoint:{number}", "failpoint", at_s, off_s, what))
    return found


def _clocks(rng: random.Random, days: int, connections: list[str]) -> list[Moment]:
    """Clocks that are set wrong for a while, ours and an API's."""
    found = []
    for number in range(rng.choice((0, 0, 0, 1, 2))):
        at_s, lasts_s = rng.random() * days * DAY_S * 0.8, rng.choice((600.0, 20_000.0))
        jump_s = rng.choice((-4.0, 120.0, 10_800.0, 86_400.0 * 12, -7_200.0))
        kind: HouseFault = "clock_ahead" if abs(jump_s) > 300 else "clock_jump"
        found.append(Moment(f"{kind}:{number}", kind, at_s, jump_s, str(lasts_s)))
    for number in range(rng.choice((0, 0, 0, 1))):
        at_s, lasts_s = rng.random() * days * DAY_S * 0.8, rng.choice((600.0, 20_000.0))
        side = f"{rng.choice(connections)}/{rng.choice(APIS)}/{lasts_s}"
        found.append(Moment(f"date_skew:{number}", "date_skew", at_s, rng.choice((-900.0, 400.0, 7_200.0)), side))
    return found


def _disks(rng: random.Random, days: int) -> list[Moment]:
    """A full disk under the log, with the seconds until there is room again."""
    return [
        Moment(f"full_disk:{number}", "full_disk", rng.random() * days * DAY_S, rng.choice((30.0, 3_600.0, 40_000.0)))
        for number in range(rng.choice((0, 0, 0, 1, 2)))
    ]


def _rarities(rng: random.Random, days: int) -> list[Moment]:
    """A damaged bit of the log, with the seconds until a person has put the record back; a second program on the same
    log and store, with the seconds until it is ended.
    """
    flips, seconds = rng.choice((0, 0, 1, 3)), rng.choice((0, 0, 1, 2))
    return [
        *(_moment(rng, days, "flipped_bit", number, rng.choice((60.0, DAY_S))) for number in range(flips)),
        *(_moment(rng, days, "second_owner", number, rng.choice((1.0, 90.0))) for number in range(seconds)),
    ]


def _moment(rng: random.Random, days: int, kind: HouseFault, number: int, value: float) -> Moment:
    return Moment(f"{kind}:{number}", kind, rng.random() * days * DAY_S, value)


def _store_backs(rng: random.Random, days: int) -> list[Moment]:
    """An earlier copy of the store is put back in a crash; with the seconds since it was made."""
    return [
        Moment(f"store_back:{number}", "store_back", rng.random() * days * DAY_S, rng.choice((600.0, 40_000.0, DAY_S)))
        for number in range(rng.choice((0, 0, 0, 1, 2)))
    ]


def _token_refusals(rng: random.Random, days: int, connections: list[str]) -> list[Moment]:
    """GoCardless does not take our token for a while, with the seconds of that, and then takes the same one again."""
    return [
        Moment(
            f"token_refused:{number}",
            "token_refused",
            rng.random() * days * DAY_S,
            rng.choice((100.0, 20_000.0, 2 * DAY_S)),
            rng.choice(connections),
        )
        for number in range(rng.choice((0, 0, 0, 1)))
    ]


def _acts(rng: random.Random, days: int, connections: list[str]) -> list[Moment]:
    """When somebody does something at one of the APIs, and of which connection; `value` is the seed of what."""
    count = rng.choice((0, 2, 6, 15))
    return [
        Moment(f"act:{number}", "act", rng.random() * days * DAY_S, float(rng.getrandbits(32)), rng.choice(connections))
        for number in range(count)
    ]


def _outages(rng: random.Random, days: int, connections: list[str], *, long: bool) -> list[Outage]:
    found = []
    for _ in range(rng.choice((0, 0, 1, 2))):
        begins_s = rng.random() * days * DAY_S
        lasts_s = rng.choice((600.0, 14_400.0, _OUTAGE_DAYS * DAY_S * rng.random()))
        lasts_s = lasts_s if long else min(lasts_s, _SHORT_OUTAGE_S)
        side = f"{rng.choice(connections)}/{rng.choice(APIS)}"
        found.append(Outage(side, begins_s, min(begins_s + lasts_s, days * DAY_S), rng.random() < 0.5))
    return found
