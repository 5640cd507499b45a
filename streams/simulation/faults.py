"""What can go wrong between the program and the APIs, and how often it does in one run.

A run draws for each kind whether it happens at all and at which rate, so that kinds meet in mixtures that nobody would
think of. The names are what a story and `--faults` say.
"""

import random
from typing import Final, Literal, TypeVar, get_args

import msgspec

#: What can happen to one call. `before`: the API never saw it; `after`: it did its work, and we are not told.
CallFault = Literal[
    "refused",
    "connect_timeout",
    "reset_before",
    "reset_after",
    "lost_request",
    "lost_answer",
    "late_request",
    "cut_answer",
    "damaged_answer",
    "html_before",
    "html_after",
    "error_before",
    "error_after",
    "unavailable",
    "throttled_minute",
    "throttled_day",
    "throttled_concurrency",
    "odd_headers",
    "token_death",
    "token_revoked",
]
CALL_FAULTS: Final[tuple[CallFault, ...]] = get_args(CallFault)

#: What can happen to one webhook on its way.
WebhookFault = Literal["lost", "doubled", "late", "forged", "replayed"]
WEBHOOK_FAULTS: Final[tuple[WebhookFault, ...]] = get_args(WebhookFault)

Kind = TypeVar("Kind", CallFault, WebhookFault)

#: Chance that a kind happens in a run at all. Lower: mixtures are rare. Higher: every run is the same mixture.
_HAPPENS: Final = 0.3

#: Rates per call or webhook, of which each kind that happens has one. Lower: a month sees none. Higher: nothing ever
#: gets through, and the run shows retries alone.
_RATES: Final = (0.002, 0.01, 0.05)


class Rates(msgspec.Struct, frozen=True):
    """How often each kind happens, per call or per webhook: in the order of the kinds, those that happen alone."""

    calls: tuple[tuple[CallFault, float], ...] = ()
    webhooks: tuple[tuple[WebhookFault, float], ...] = ()

    def of_call(self, rng: random.Random) -> CallFault | None:
        """What happens to a call; mostly nothing."""
        return _struck(rng.random(), self.calls)

    def of_webhook(self, rng: random.Random) -> WebhookFault | None:
        """What happens to a webhook; mostly nothing."""
        return _struck(rng.random(), self.webhooks)


def _struck(drawn: float, rates: tuple[tuple[Kind, float], ...]) -> Kind | None:
    for kind, rate in rates:
        if drawn < rate:
            return kind
        drawn -= rate
    return None


def draw_rates(rng: random.Random, allowed: frozenset[str]) -> Rates:
    """The rates of one run; only of the kinds that are allowed."""
    return Rates(calls=_happening(rng, CALL_FAULTS, allowed), webhooks=_happening(rng, WEBHOOK_FAULTS, allowed))


def _happening(rng: random.Random, kinds: tuple[Kind, ...], allowed: frozenset[str]) -> tuple[tuple[Kind, float], ...]:
    # Each kind draws twice whether it is allowed or not: what is left out changes nothing else of the run.
    drawn = [(kind, rng.random() < _HAPPENS, rng.choice(_RATES)) for kind in kinds]
    return tuple((kind, rate) for kind, happens, rate in drawn if happens and kind in allowed)


class Outage(msgspec.Struct, frozen=True):
    """An API is away from `begins_s` to `ends_s` of the run: nobody answers (`silent`), or something that is not the
    API does.
    """

    api: str
    begins_s: float
    ends_s: float
    silent: bool

    def holds(self, at_s: float) -> bool:
        """Whether it holds at an instant of the run."""
        return self.begins_s <= at_s < self.ends_s
