"""Events: records what happened, shows it in GET /events a little later, and posts it to every webhook
endpoint.

Event creation is asynchronous (an event can appear after its `created_at`), and webhooks lag by some seconds, so
either can be first. What happens at one moment goes out in one body of at most 250 events. Signature: hex HMAC-SHA256
of the body with the endpoint's secret.
"""

import hmac
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson

from sandbox.gocardless.collection import Collection, Doc, moment
from sandbox.gocardless.settings import Endpoint, Settings
from sandbox.webhooks import Attempt
from sandbox.world import World

EVENTS_PER_WEBHOOK_MAX = 250
ORIGIN_HEADER = "https://api-sandbox.gocardless.com"
USER_AGENT = "gocardless-webhook-service/1.2"
_LETTERS = 12

# action -> what `details.description` says where nothing closer is known; the real texts may change at any time.
_DESCRIPTIONS = {
    "active": "The banks did not refuse the mandate in time, so it is active.",
    "bounced_payout": "A payout came back from the creditor's bank.",
    "cancelled": "Cancelled.",
    "chargeback_cancelled": "The chargeback was reversed.",
    "chargeback_settled": "The charged back payment was taken out of a payout.",
    "charged_back": "The payer's bank took the payment back.",
    "confirmed": "The banks returned no error in time, so the payment is confirmed.",
    "created": "Created.",
    "failed": "Failed.",
    "fulfilled": "The billing request was fulfilled.",
    "finished": "It has made its last payment.",
    "funds_returned": "The refund came back and was credited.",
    "fx_rate_confirmed": "The exchange rate of the payout was confirmed.",
    "late_failure_settled": "The late failure was taken out of a payout.",
    "paid": "The money was sent.",
    "paid_out": "The payment was paid out.",
    "payment_created": "A payment was made by a subscription.",
    "refund_settled": "The refund was taken out of a payout.",
    "replaced": "Another mandate takes this one's place.",
    "resubmission_requested": "It will be submitted again.",
    "submitted": "Submitted to the banks; it can no longer be cancelled.",
    "surcharge_fee_debited": "A surcharge was charged.",
    "tax_exchange_rates_confirmed": "The exchange rates of the fees' taxes were confirmed.",
    "transferred": "The payer's account moved to another bank.",
}


class EventRecord:
    """All events and webhooks of the simulated organisation."""

    def __init__(
        self, world: World, events: Collection, webhooks: Collection, settings: Callable[[], Settings]
    ) -> None:
        self._world = world
        self._events = events
        self._webhooks = webhooks
        self._settings = settings
        self._outbox: dict[datetime, list[Doc]] = defaultdict(list)
        self._visible_at: dict[str, datetime] = {}
        self.organisation = ""
        self.quiet = False

    def record(
        self,
        resource_type: str,
        action: str,
        links: dict[str, str],
        *,
        cause: str,
        origin: str = "gocardless",
        resource_metadata: Doc | None = None,
        metadata: Doc | None = None,
        **details: Any,
    ) -> Doc:
        """Record one event, due to be seen and posted. The first of `links` is the resource. Further `details` are
        taken over.
        """
        world = self._world
        resource_id = next(iter(links.values()))
        number = world.counter(f"event/{resource_id}/{action}")
        identity = "EV" + world.opaque("event", resource_id, action, number, length=_LETTERS)
        event = {
            "id": identity,
            "created_at": moment(world.now),
            "resource_type": resource_type,
            "action": action,
            "links": links,
            "details": {
                "origin": origin,
                "cause": cause,
                "description": details.pop("description", None) or _DESCRIPTIONS.get(action, "Changed."),
                **{name: value for name, value in details.items() if value is not None},
            },
            "metadata": (metadata or {}) if origin == "api" else {},
            "resource_metadata": dict(resource_metadata or {}),
            "organisation_id": self.organisation,
        }
        self._events.add(event)
        if self.quiet:
            self._visible_at[identity] = world.now
        else:
            low, high = self._settings().event_delay_s
            delay_s = low + (high - low) * world.chance("visible", identity)
            self._visible_at[identity] = world.now + timedelta(seconds=delay_s)
            self._post(event)
        return event

    def visible(self, event: Doc) -> bool:
        """Say whether GET /events shows this event yet."""
        return self._visible_at[event["id"]] <= self._world.now

    def hidden_count(self) -> int:
        """Count the events that exist and do not show yet."""
        return sum(1 for when in self._visible_at.values() if when > self._world.now)

    def post_test(self, resource_type: str, action: str, links: dict[str, str]) -> str:
        """Post what the dashboard's "send test webhook" posts: an EVTEST id, often about what does not exist. Gives
        the event's id.
        """
        number = self._world.counter("EVTEST")
        event = {
            "id": "EVTEST" + self._world.opaque("test", number, length=8),
            "created_at": moment(self._world.now),
            "resource_type": resource_type,
            "action": action,
            "links": links,
            "details": {"origin": "bank", "cause": "test_failure", "description": "A test.", "reason_code": "TEST"},
            "metadata": {},
        }
        for endpoint in self._settings().endpoints:
            self._send(endpoint, [event], is_test=True)
        return str(event["id"])

    def post_raw(self, events: list[Doc]) -> None:
        """Post given events, correctly signed, to every endpoint: kinds nobody knows yet, replays."""
        for endpoint in self._settings().endpoints:
            self._send(endpoint, events)

    def retry(self, webhook: Doc) -> None:
        """Send a webhook's bytes once more."""
        self._enqueue(webhook, webhook["request_body"].encode())

    def _post(self, event: Doc) -> None:
        world = self._world
        if not self._settings().endpoints:
            return
        low, high = self._settings().webhook_lag_s
        # One lag for one moment: what happens together is posted together.
        lag_s = round(low + (high - low) * world.chance("lag", world.now.isoformat()), 3)
        label = f"{event['resource_type']}.{event['action']}"
        for extra in world.webhooks.copies("gocardless", label):
            due_at = world.now + timedelta(seconds=lag_s) + extra
            if due_at not in self._outbox:
                world.at(due_at, lambda due_at=due_at: self._flush(due_at))  # type: ignore[misc] # a default binds the loop's value
            self._outbox[due_at].append(event)

    def _flush(self, due_at: datetime) -> None:
        events = self._outbox.pop(due_at)
        for endpoint in self._settings().endpoints:
            for start in range(0, len(events), EVENTS_PER_WEBHOOK_MAX):
                self._send(endpoint, events[start : start + EVENTS_PER_WEBHOOK_MAX])

    def _send(self, endpoint: Endpoint, events: list[Doc], *, is_test: bool = False) -> None:
        number = self._world.counter("WB")
        identity = "WB" + self._world.opaque("webhook", number, length=_LETTERS)
        body = orjson.dumps({"events": events, "meta": {"webhook_id": identity}})
        webhook = {
            "id": identity,
            "created_at": moment(self._world.now),
            "url": endpoint.url,
            "request_headers": {
                "Origin": ORIGIN_HEADER,
                "User-Agent": USER_AGENT,
                "Content-Type": "application/json",
                "Webhook-Signature": hmac.new(endpoint.secret.encode(), body, "sha256").hexdigest(),
            },
            "request_body": body.decode(),
            "response_code": None,
            "response_headers": {},
            "response_body": None,
            "response_body_truncated": False,
            "response_headers_content_truncated": False,
            "response_headers_count_truncated": False,
            "successful": False,
            "is_test": is_test,
        }
        self._webhooks.add(webhook)
        self._enqueue(webhook, body)

    def _enqueue(self, webhook: Doc, body: bytes) -> None:
        def note(attempt: Attempt) -> None:
            webhook["response_code"] = attempt.status
            webhook["response_headers"] = attempt.headers
            webhook["response_body"] = attempt.body
            webhook["successful"] = attempt.successful

        self._world.webhooks.enqueue("gocardless", webhook["url"], webhook["request_headers"], body, on_attempt=note)
