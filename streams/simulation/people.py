"""People, banks and other tools beside the program: which acts there are, how often who does what, and one act done.

Nothing that is refused is lost: an act that a simulator refuses is given back with its words.
"""

import random
from typing import Final

import msgspec

from sandbox.gocardless.errors import Refusal
from sandbox.world import World
from sandbox.zoho.errors import ApiError
from streams.simulation import acts_banks, acts_books, acts_dashboard
from streams.simulation.acts import Act, ActSpec, Document

#: Name → act. In the order in which they are drawn from.
SPECS: Final[dict[str, ActSpec]] = {
    spec.name: spec for spec in (*acts_books.SPECS, *acts_banks.SPECS, *acts_dashboard.SPECS)
}

#: Acts in a day of the company. Lower: a month sees one or two. Higher: nothing of the month is left as it was planned.
_ACTS_A_DAY: Final = (0.0, 0.2, 0.5, 1.0, 3.0)

_DAY_S: Final = 86_400.0


class ActRates(msgspec.Struct, frozen=True):
    """Who does what, and how often: acts in a day, all together, and the weight of each kind that occurs at all."""

    acts_a_day: float
    weights: dict[str, int]


def draw_rates(rng: random.Random) -> ActRates:
    """A mixture: most runs know some kinds only, so that each is seen without the noise of the others too."""
    acts_a_day, share = rng.choice(_ACTS_A_DAY), rng.choice((0.1, 0.3, 0.6, 1.0))
    drawn = {name: (rng.random(), rng.randrange(1, 6)) for name in SPECS}
    return ActRates(acts_a_day, {name: weight for name, (chance, weight) in drawn.items() if chance < share})


def next_act_s(rng: random.Random, rates: ActRates) -> float | None:
    """Seconds until the next act; None: nobody does anything."""
    a_day = rates.acts_a_day if rates.weights else 0.0
    return rng.expovariate(a_day / _DAY_S) if a_day else None


def draw_act(rng: random.Random, world: World, rates: ActRates) -> tuple[str, Document] | None:
    """The name and document of an act that can be tried just now; None: nothing is there to act on."""
    weights = dict(rates.weights)
    while weights:
        name = rng.choices(list(weights), list(weights.values()))[0]
        document = SPECS[name].draw(rng, world)
        if document is not None:
            return name, document
        del weights[name]
    return None


def perform(world: World, name: str, document: Document) -> Act:
    """Do one act now, on the simulators' objects. KeyError: there is no act of this name.

    Where the world's time is that of a loop, the world goes to the loop's present first, and is told afterwards.
    """
    spec = SPECS[name]
    world.keep_up()
    touched: tuple[str, ...] = ()
    words, refused = spec.words(world, document), ""
    try:
        touched = spec.perform(world, document)
    except ApiError as error:
        refused = f"{error.status} {error.code}: {error.message}"
    except Refusal as refusal:
        refused = f"{refusal.status} {refusal.reason}: {refusal}"
    except (KeyError, ValueError) as error:
        # What a document names and a shorter story no longer has, or what is not possible in its state.
        refused = f"{type(error).__name__}: {error}"
    world.changed()
    return Act(at=world.now, name=name, document=document, touched=touched, words=words, refused=refused)
