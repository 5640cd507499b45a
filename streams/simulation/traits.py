"""What a world may have that today's program is known to get wrong: drawn only where a run asks for it.

Each trait belongs to an entry of `known`, which says what is wrong and shows that it still is. An entry that goes takes
its traits with it: from then on every run has them.
"""

from typing import Final, Literal, get_args

#: `few_tries`: commands are given up after fewer than thirty tries. `long_outage`: an API is away for hours or days.
#: `odd_fees`: fees whose tax is no whole number of minor units. `revoked_token`: what lets us in is revoked, until a
#: person connects again. `wrong_clock`: our clock is wrong by more than what an API's may differ, and is then set
#: right.
Trait = Literal["few_tries", "long_outage", "odd_fees", "revoked_token", "wrong_clock"]
TRAITS: Final[tuple[Trait, ...]] = get_args(Trait)
