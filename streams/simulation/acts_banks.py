"""What banks, payers, GoCardless's staff and its webhooks do: every verb of the simulated GoCardless, with what it is
done on by chance.
"""

import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final

from sandbox.gocardless.acts import act
from sandbox.gocardless.collection import Doc
from sandbox.gocardless.lifecycle import LIVE_SUBSCRIPTION
from sandbox.gocardless.merchant import Merchant
from sandbox.gocardless.schemes import CAUSES
from sandbox.world import World
from streams.simulation.acts import ActSpec, Document, Draw, pick
from streams.simulation.acts_merchant import TAKEN, UNDER_WAY, chargeable, in_state, on, performed, shown
from streams.simulation.apis import merchant_of

_CAUSES: Final = tuple(sorted(set(CAUSES) - {"test_failure"}))

#: Schemes whose banks move a mandate when a payer changes banks.
_SWITCHED: Final = frozenset({"bacs", "sepa_core"})


def _failure(rng: random.Random, _world: World, _payment: Doc) -> Document:
    failure: Document = {"cause": rng.choice(_CAUSES)}
    if rng.random() < 0.3:
        failure |= {"will_attempt_retry": True, "retry_after_days": rng.choice((2, 7))}
    return failure


def _ending(rng: random.Random, _world: World, _mandate: Doc) -> Document:
    cause = rng.choice(("mandate_cancelled", "bank_account_closed", "invalid_bank_details"))
    return {"cause": cause, "reason_code": "ADDACS-1"}


def _visit(rng: random.Random, _world: World, _flow: Doc) -> Document:
    return {"behaviour": rng.choice(("completes", "completes", "exits"))}


def _flow_open(merchant: Merchant, flow: Doc) -> bool:
    request = merchant.collections["billing_requests"][flow["links"]["billing_request"]]
    return request["status"] in ("pending", "ready_to_fulfil") and flow["expires_at"] > merchant.now_text


def _movable(merchant: Merchant, mandate: Doc) -> bool:
    return chargeable(merchant, mandate) and mandate["status"] == "active" and mandate["scheme"] in _SWITCHED


def _active(merchant: Merchant, mandate: Doc) -> bool:
    return chargeable(merchant, mandate) and mandate["status"] == "active"


def _test_webhook(rng: random.Random, world: World) -> Document | None:
    """Often about what does not exist, sometimes about a real payment."""
    document: Document = {"do": "test_webhook", "action": rng.choice(("failed", "confirmed", "paid_out"))}
    payment = pick(rng, merchant_of(world).collections["payments"].records)
    if payment is not None and rng.random() < 0.5:
        document["links"] = {"payment": payment["id"]}
    return document


def _post_events(rng: random.Random, world: World) -> Document | None:
    """An old webhook comes once more, or of a kind that nobody knows yet."""
    event = pick(rng, merchant_of(world).collections["events"].records)
    if event is None:
        return None
    if rng.random() < 0.3:
        event = {**event, "id": f"{event['id'][:-4]}{rng.randrange(10_000):04d}", "action": "reconsidered"}
    # A copy: what was drawn stays what it was.
    return {"do": "post_events", "events": [deepcopy(event)]}


def _perform(world: World, document: Document) -> tuple[str, ...]:
    """One verb. Raises ValueError or KeyError for what cannot be done now, Refusal as the API does."""
    return performed(world, document, act)


def _words(text: str, key: str = "") -> Callable[[World, Document], str]:
    def words(world: World, document: Document) -> str:
        said = text.format(shown(world, str(document[key]))) if key else text
        more = [str(document[name]) for name in ("cause", "behaviour", "action") if name in document]
        retried = ["GoCardless will retry"] if document.get("will_attempt_retry") else []
        return ": ".join((said, ", ".join((*more, *retried)))) if more or retried else said

    return words


def _spec(verb: str, draw: Draw, text: str, key: str = "") -> ActSpec:
    return ActSpec(f"gocardless.{verb}", draw, _perform, _words(text, key))


def _verb(verb: str, text: str, name: str, key: str, wanted: Any, more: Any = lambda _rng, _world, _doc: {}) -> ActSpec:
    return _spec(verb, on(name, key, {"do": verb}, wanted, more), text, key)


SPECS: Final = (
    _verb("fail_payment", "the bank fails {}", "payments", "payment", in_state(*UNDER_WAY), _failure),
    _verb("charge_back", "the payer's bank charges {} back", "payments", "payment", in_state(*TAKEN)),
    _verb("cancel_chargeback", "the chargeback of {} is cancelled", "payments", "payment", in_state("charged_back")),
    _verb("end_mandate", "the payer's bank ends {}", "mandates", "mandate", chargeable, _ending),
    _verb("transfer_mandate", "{} moves to another bank account", "mandates", "mandate", _movable),
    _verb("replace_mandate", "{} is replaced by another one", "mandates", "mandate", _active),
    _verb("bounce_payout", "payout {} comes back", "payouts", "payout", in_state("paid")),
    _verb("retry_payout", "payout {} is sent again", "payouts", "payout", in_state("bounced")),
    _verb("visit_flow", "the payer opens {}", "billing_request_flows", "flow", _flow_open, _visit),
    _verb(
        "end_subscription", "subscription {} is ended", "subscriptions", "subscription", in_state(*LIVE_SUBSCRIPTION)
    ),
    _spec("test_webhook", _test_webhook, "somebody sends a test webhook from the dashboard"),
    _spec("post_events", _post_events, "an event is posted that is old, or of an unknown kind"),
)
