"""Webhooks out (reference 4): what changed goes to every address that asked for it, signed, at most 1,000 a day.

A body holds one key named after the record and the record as a GET shows it: no event id, no kind, no time of sending.
Duplicates, loss, delay and disorder are made by the rules of `/_sandbox/webhooks`, matched on "invoice.edited".
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from sandbox.webhooks import Attempt
from sandbox.world import World
from sandbox.zoho.books import Books
from sandbox.zoho.records import Record
from sandbox.zoho.render_common import encode

DAILY_MAX = 1000
# The delivery log keeps this many rows; a resend of an older one is refused.
HISTORY_MAX = 1000
HEADER = "X-Zoho-Webhook-Signature"
MODULES = ("invoice", "contact", "customerpayment", "creditnote", "expense", "banktransaction", "journal")
_PLACEHOLDER = re.compile(r"\$\{(?:[A-Z]+\.)?([A-Za-z_]+)\}")

Document = dict[str, Any]


class Endpoint(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An address to call. No modules or events named: all. `delay_s`: least and most simulated seconds of delay.

    body_type: "json" (default payload), "form" (JSONString=...), "raw" (`raw_data` with ${PLACEHOLDERS}).
    echo: whether changes made through the API are told too.
    """

    url: str
    secret: str = ""
    modules: list[str] = []
    events: list[str] = []
    headers: dict[str, str] = {}
    body_type: str = "json"
    raw_data: str = ""
    delay_s: tuple[int, int] = (1, 5)
    echo: bool = True
    webhook_id: str = ""

    def wants(self, module: str, event: str) -> bool:
        return (not self.modules or module in self.modules) and (not self.events or event in self.events)


class Notifier:
    """Gathers what one call changed, then enqueues one message per record and address."""

    def __init__(self, world: World, books: Books, render: Callable[[str, Record], tuple[str, Document]]) -> None:
        self._world = world
        self._books = books
        self._render = render
        self.configured: list[Endpoint] = []
        self.registered: Callable[[], list[Endpoint]] = list
        self.history: dict[str, Document] = {}
        self._resend: dict[str, tuple[Endpoint, bytes]] = {}
        self._pending: dict[tuple[str, str], tuple[str, Record]] = {}
        self._day: date | None = None
        self._today = 0
        self.sent = 0
        self.over_cap = 0

    def announce(self, module: str, event: str, record: Record) -> None:
        """Notes a change of the call under way: several changes of one record are one message."""
        held = self._pending.get((module, record.id))
        if held is not None and held[0] == "created" and event == "edited":
            return
        self._pending[(module, record.id)] = (event, record)

    def drop(self) -> None:
        """Forgets what a refused call noted."""
        self._pending.clear()

    def flush(self, *, by_api: bool) -> None:
        """Sends what the finished call changed."""
        pending, self._pending = self._pending, {}
        endpoints = [*self.configured, *self.registered()]
        if not endpoints:
            return
        for (module, record_id), (event, record) in pending.items():
            wanting = [e for e in endpoints if e.wants(module, event) and (e.echo or not by_api)]
            if not wanting:
                continue
            key, resource = self._render(module, record)
            if event == "deleted":
                resource = {name: value for name, value in resource.items() if value == record_id}
            if self._books.switches.webhook_ids_as_numbers:
                resource = with_number_ids(resource)
            for endpoint in wanting:
                self._send(endpoint, key, resource, f"{module}.{event}", record_id)

    def resend(self, history_id: str) -> bool:
        """Sends a message of the delivery log again, the same bytes. False: it is not in the log."""
        held = self._resend.get(history_id)
        if held is None:
            return False
        self._enqueue(*held, history_id, timedelta(), None)
        return True

    def state(self) -> Document:
        return {"enqueued": self.sent, "over_daily_limit": self.over_cap}

    def _send(self, endpoint: Endpoint, key: str, resource: Document, label: str, record_id: str) -> None:
        today = self._books.today()
        if self._day != today:
            self._day, self._today = today, 0
        if self._today >= DAILY_MAX:
            self.over_cap += 1
            return
        self._today += 1
        self.sent += 1
        payload = body_of(endpoint, key, resource)
        cause = f"{endpoint.url} {label} {hashlib.blake2b(payload, digest_size=16).hexdigest()}"
        history_id = self._books.ids.new("history", cause)
        self.history[history_id] = {
            "history_id": history_id,
            "webhook_id": endpoint.webhook_id,
            "entity": label.partition(".")[0],
            "entity_id": record_id,
            "status": "scheduled",
            "retry_count": 0,
            "executed_time": self._books.stamp(self._books.now()),
            "last_execution_time": "",
            "next_retry_time": "",
        }
        self._resend[history_id] = (endpoint, payload)
        if len(self.history) > HISTORY_MAX:
            oldest = next(iter(self.history))
            del self.history[oldest], self._resend[oldest]
        least, most = endpoint.delay_s
        delay_s = least + int(self._world.chance("zoho.webhook", history_id) * (most - least + 1))
        self._enqueue(endpoint, payload, history_id, timedelta(seconds=delay_s), label)

    def _enqueue(
        self, endpoint: Endpoint, payload: bytes, history_id: str, delay: timedelta, label: str | None
    ) -> None:
        is_json = endpoint.body_type != "form"
        content_type = "application/json;charset=UTF-8" if is_json else "application/x-www-form-urlencoded"
        headers = {"Content-Type": content_type, **endpoint.headers}
        if endpoint.secret:
            headers[HEADER] = signature(endpoint.secret, endpoint.url, payload, form=not is_json)

        def log(attempt: Attempt) -> None:
            row = self.history.get(history_id)
            if row is not None:
                row["status"] = "success" if attempt.successful else "failed"
                row["retry_count"] = attempt.number - 1
                row["last_execution_time"] = self._books.stamp(attempt.at)

        self._world.webhooks.enqueue("zoho", endpoint.url, headers, payload, delay=delay, label=label, on_attempt=log)


def signature(secret: str, url: str, payload: bytes, *, form: bool = False) -> str:
    """Lower-case hex of HMAC-SHA256 over the pairs of the address (and of a form body), sorted by key, joined without
    separators, then the raw body of a JSON message (reference 4.4).
    """
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    if form:
        pairs += parse_qsl(payload.decode(), keep_blank_values=True)
    joined = "".join(key + value for key, value in sorted(pairs, key=lambda pair: pair[0])).encode()
    return hmac.new(secret.encode(), joined + (b"" if form else payload), hashlib.sha256).hexdigest()


def body_of(endpoint: Endpoint, key: str, resource: Document) -> bytes:
    """The bytes of a message in the endpoint's kind of body."""
    document = encode({key: resource})
    if endpoint.body_type == "form":
        return urlencode({"JSONString": document.decode()}).encode()
    if endpoint.body_type == "raw":
        return _PLACEHOLDER.sub(lambda found: _filled(found[1], document, resource), endpoint.raw_data).encode()
    return document


def with_number_ids(value: Any) -> Any:
    """The same document with every id that is all digits as a bare number, as some bodies carry them."""
    if isinstance(value, list):
        return [with_number_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: int(item) if key.endswith("_id") and isinstance(item, str) and item.isdecimal() else with_number_ids(item)
        for key, item in value.items()
    }


def _filled(name: str, document: bytes, resource: Document) -> str:
    if name == "JSONString":
        return document.decode()
    value = resource.get(name.lower(), "")
    return str(value) if isinstance(value, (str, int, Decimal)) else ""
