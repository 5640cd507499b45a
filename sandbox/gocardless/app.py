"""The routes of the API, and what every request is asked for before a handler sees it.

In order: the rate limit, `Authorization`, `GoCardless-Version`, `Accept`, `Content-Type`, the envelope, the
idempotency key. A key is consumed only by a request that succeeded; while it lives, the same key answers 409 with the
id of what was created, whatever the parameters. Handlers never wait, so one request is done before the next begins:
that is the lock per key.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
import orjson
from aiohttp import web
from multidict import MultiDict

from sandbox.gocardless import (
    acts,
    catalogue,
    consent,
    payers,
    payments,
    payouts,
    refunds,
    simulators,
    subscriptions,
)
from sandbox.gocardless.collection import Doc
from sandbox.gocardless.errors import Refusal, conflict, internal, rate_limited, usage
from sandbox.gocardless.jobs import start_days
from sandbox.gocardless.ledger import tenths_text
from sandbox.gocardless.merchant import Call, Merchant
from sandbox.gocardless.settings import changed
from sandbox.http import (
    BODY_BYTES_MAX,
    CONTROL_PREFIX,
    Handler,
    bad_request,
    json_response,
    kernel_middleware,
    read_object,
)
from sandbox.world import World, http_date

VERSION = "2015-07-06"
_NAME = "gocardless"
_API_BODY_BYTES_MAX = 1024 * 1024
# UNCONFIRMED; the reason exists, so there is a limit.
_KEY_LETTERS_MAX = 255
_MINUTE_S = 60
_JSON = ("application/json", "application/*", "*/*")

Function = Callable[[Merchant, Call], Doc]


class Endpoint(msgspec.Struct, frozen=True):
    """One route: how its body is wrapped and whether it honours idempotency keys.

    `kind`: read (no body), create and update (wrapped in the resource's name), action (wrapped in `data`, may be
    absent).
    """

    method: str
    path: str
    function: Function
    kind: Literal["read", "create", "update", "action"]
    envelope: str
    idempotent: bool = False


def _shelf_endpoints(name: str, *, lists: Function | None = None, gets: Function | None = None) -> list[Endpoint]:
    """Give the list and the get of a resource that needs nothing of its own."""
    return [
        Endpoint("GET", f"/{name}", lists or (lambda merchant, call: merchant.page(name, call)), "read", name),
        Endpoint(
            "GET",
            f"/{name}/{{id}}",
            gets or (lambda merchant, call: merchant.single(name, merchant.collections[name].get(call.identity))),
            "read",
            name,
        ),
    ]


def _create(name: str, function: Function, *, idempotent: bool = True) -> Endpoint:
    return Endpoint("POST", f"/{name}", function, "create", name, idempotent)


def _update(name: str, function: Function) -> Endpoint:
    return Endpoint("PUT", f"/{name}/{{id}}", function, "update", name)


def _action(name: str, verb: str, function: Function) -> Endpoint:
    return Endpoint("POST", f"/{name}/{{id}}/actions/{verb}", function, "action", name)


def _metadata_update(name: str) -> Endpoint:
    def update(merchant: Merchant, call: Call) -> Doc:
        doc = merchant.collections[name].get(call.identity)
        merchant.update_metadata(name, doc, call.body)
        return merchant.single(name, doc)

    return _update(name, update)


def _list_events(merchant: Merchant, call: Call) -> Doc:
    """GET /events: what is visible by now. Refusal 400: `resource_type` beside an id, `include` without
    `resource_type`.
    """
    query = call.query
    if "resource_type" in query and any(name in query for name in _EVENT_IDS):
        raise usage("invalid_filters", "resource_type and a resource's id exclude each other")
    include = query.get("include")
    if include is not None and ("resource_type" not in query or include not in _INCLUDES):
        raise usage("invalid_filters", "include names a resource and needs resource_type")
    plain = MultiDict((word, value) for word, value in query.items() if word != "include")
    page = merchant.page("events", Call(identity="", query=plain, body={}), merchant.events.visible)
    if include is not None:
        name = f"{include}s"
        found = [merchant.collections[name].find(event["links"].get(include, "")) for event in page["events"]]
        linked = {doc["id"]: merchant.view(name, doc) for doc in found if doc is not None}
        page["linked"] = {name: list(linked.values())}
    page["events"] = [_with_source(event) for event in page["events"]]
    return page


def _get_event(merchant: Merchant, call: Call) -> Doc:
    event = merchant.collections["events"].get(call.identity)
    if not merchant.events.visible(event):
        raise usage("resource_not_found", "Resource not found")
    return {"events": _with_source(event)}


def _with_source(event: Doc) -> Doc:
    """Add what the API says of who caused an event, and webhooks do not."""
    by_api = event["details"]["origin"] == "api"
    source = {"name": "Sandbox", "type": "access_token"} if by_api else {"name": "GoCardless", "type": "gc_team"}
    return {**event, "source": source}


def _retry_webhook(merchant: Merchant, call: Call) -> Doc:
    webhook = merchant.collections["webhooks"].get(call.identity)
    merchant.events.retry(webhook)
    return merchant.single("webhooks", webhook)


_EVENT_IDS = ("payment", "mandate", "payout", "refund", "subscription", "billing_request", "customer", "creditor")
_INCLUDES = frozenset({"payment", "mandate", "payout", "refund", "customer", "creditor", "billing_request"})
_BILLING = "billing_requests"
ENDPOINTS = (
    *_shelf_endpoints("customers", lists=payers.list_customers, gets=payers.get_customer),
    _create("customers", payers.create_customer),
    _update("customers", payers.update_customer),
    Endpoint("DELETE", "/customers/{id}", payers.remove_customer, "read", "customers"),
    *_shelf_endpoints("customer_bank_accounts"),
    _create("customer_bank_accounts", payers.create_bank_account),
    _metadata_update("customer_bank_accounts"),
    _action("customer_bank_accounts", "disable", payers.disable_bank_account),
    *_shelf_endpoints("mandates", lists=payers.list_mandates),
    _create("mandates", payers.create_mandate),
    _metadata_update("mandates"),
    _action("mandates", "cancel", payers.cancel_mandate),
    _action("mandates", "reinstate", payers.reinstate_mandate),
    *_shelf_endpoints(_BILLING, lists=consent.list_billing_requests, gets=consent.get_billing_request),
    _create(_BILLING, consent.create_billing_request),
    _action(_BILLING, "collect_customer_details", consent.collect_customer_details),
    _action(_BILLING, "collect_bank_account", consent.collect_bank_account),
    _action(_BILLING, "choose_currency", consent.choose_currency),
    _action(_BILLING, "confirm_payer_details", consent.confirm_payer_details),
    _action(_BILLING, "fulfil", consent.fulfil_billing_request),
    _action(_BILLING, "cancel", consent.cancel_billing_request),
    _create("billing_request_flows", consent.create_flow, idempotent=False),
    Endpoint("GET", "/billing_request_flows/{id}", consent.get_flow, "read", "billing_request_flows"),
    _action("billing_request_flows", "initialise", consent.initialise_flow),
    *_shelf_endpoints("payments", lists=payments.list_payments),
    _create("payments", payments.create_payment),
    _update("payments", payments.update_payment),
    _action("payments", "cancel", payments.cancel_payment),
    _action("payments", "retry", payments.retry_payment),
    *_shelf_endpoints("refunds", lists=refunds.list_refunds),
    _create("refunds", refunds.create_refund),
    _update("refunds", refunds.update_refund),
    *_shelf_endpoints("subscriptions", lists=subscriptions.list_subscriptions, gets=subscriptions.get_subscription),
    *_shelf_endpoints("payouts", lists=payouts.list_payouts),
    _update("payouts", payouts.update_payout),
    Endpoint("GET", "/payout_items", payouts.list_payout_items, "read", "payout_items"),
    *_shelf_endpoints("creditors"),
    _create("creditors", catalogue.restricted),
    _update("creditors", catalogue.restricted),
    *_shelf_endpoints("creditor_bank_accounts"),
    _create("creditor_bank_accounts", catalogue.restricted),
    Endpoint("GET", "/balances", catalogue.list_balances, "read", "balances"),
    *_shelf_endpoints("tax_rates", lists=catalogue.list_tax_rates, gets=catalogue.get_tax_rate),
    *_shelf_endpoints("events", lists=_list_events, gets=_get_event),
    *_shelf_endpoints("webhooks"),
    _action("webhooks", "retry", _retry_webhook),
    _action("scenario_simulators", "run", simulators.run_simulator),
)


class GoCardless:
    """The simulator as the kernel knows it (`world.apis["gocardless"]`), and the checks before every handler."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.merchant = Merchant(world)
        self._keys: dict[tuple[str, str], tuple[str, datetime]] = {}
        self._windows: dict[str, tuple[int, int]] = {}
        self._tokens_dead = False
        catalogue.furnish(self.merchant)
        start_days(self.merchant)

    def state(self) -> Doc:
        """Give all resources, their counts, and the truths about money: items per payout, open items, balances."""
        merchant = self.merchant
        collections = {name: collection.records for name, collection in merchant.collections.items()}
        return {
            "resources": {
                **{name: [merchant.view(name, doc) for doc in docs] for name, docs in collections.items()},
                "payout_items": {
                    payout: [
                        {key: item[key] for key in ("type", "amount", "taxes", "links")}
                        for item in collection.records[::-1]
                    ]
                    for payout, collection in merchant.payout_items.items()
                },
            },
            "counts": {name: len(docs) for name, docs in collections.items()},
            "money": {
                "payout_sums": {
                    payout: tenths_text(sum(_tenths(item["amount"]) for item in collection.records))
                    for payout, collection in merchant.payout_items.items()
                },
                "open_items": [
                    {
                        "creditor": creditor,
                        "currency": currency,
                        "items": [
                            {"type": i.kind, "amount": tenths_text(i.amount_tenths), "links": i.links} for i in items
                        ],
                    }
                    for (creditor, currency), items in sorted(merchant.ledger.open.items())
                ],
                "balances_tenths": merchant.ledger.balances_now_tenths(),
            },
            "events_hidden": merchant.events.hidden_count(),
            "idempotency_keys": len(self._keys),
            "removed_customers": sorted(merchant.removed_customers),
            "flow_visits": merchant.flow_visits,
        }

    def configure(self, document: dict[str, Any]) -> None:
        """Lay `document` over the settings; naming tokens revives dead ones. ValueError: not understood."""
        self.merchant.settings = changed(self.merchant.settings, document)
        if "access_tokens" in document:
            self._tokens_dead = False

    def fault_response(self, kind: str) -> web.Response:
        """Fail in the API's own words: 500, or 429."""
        return self.refuse(rate_limited() if kind.startswith("429") else internal())

    def fault_effect(self, kind: str) -> None:
        """Revoke every token (GoCardless's tokens do not expire: both kinds mean the same)."""
        assert kind in ("token_death", "token_revoked")
        self._tokens_dead = True

    def refuse(self, refusal: Refusal) -> web.Response:
        """Answer a refusal, with a request id."""
        number = self.world.counter("gocardless/request_id")
        digits = f"{int(self.world.chance('request', number) * (1 << 62)):016x}{number:016x}"
        request_id = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        return json_response(refusal.document(request_id), status=refusal.status, headers=self.limit_headers())

    def limit_headers(self) -> dict[str, str]:
        """Give the ratelimit headers; the reset is an HTTP date."""
        minute, used = self._windows.get("all", (0, 0))
        limit = self.merchant.settings.rate_limit_per_minute
        reset = datetime.fromtimestamp((minute + 1) * _MINUTE_S, tz=UTC)
        return {
            "ratelimit-limit": str(limit),
            "ratelimit-remaining": str(max(0, limit - used)),
            "ratelimit-reset": http_date(reset),
        }

    async def answer(self, endpoint: Endpoint, request: web.Request) -> web.Response:
        """Answer one request: 201 for what was created, else 200. Refusal: all that can be wrong."""
        raw = await request.read()
        # From here to the answer nothing waits: whole requests happen one after the other.
        self._check_head(request, writes=endpoint.kind != "read" or endpoint.method == "DELETE")
        body = _body_of(endpoint, request, raw)
        key = request.headers.get("Idempotency-Key")
        scope = endpoint.envelope if self.merchant.settings.idempotency_scope == "resource_type" else ""
        counts = key is not None and self._honours(endpoint)
        if key is not None and counts:
            self._check_key(scope, key)
        call = Call(identity=request.match_info.get("id", ""), query=request.query, body=body)
        self.merchant.key = f"{endpoint.envelope}/{key}" if key is not None and endpoint.idempotent else None
        try:
            document = endpoint.function(self.merchant, call)
        finally:
            self.merchant.key = None
        if key is not None and counts:
            self._keys[scope, key] = (document[endpoint.envelope]["id"], self.world.now)
        status = 201 if endpoint.kind == "create" else 200
        return json_response(document, status=status, headers=self.limit_headers())

    def count(self, path: str) -> None:
        """Count a request against the limits. Refusal 429: more than the minute of simulated time allows."""
        self._count("all", self.merchant.settings.rate_limit_per_minute)
        if path == "/balances":
            self._count("balances", self.merchant.settings.balances_limit_per_minute)

    def _count(self, name: str, limit: int) -> None:
        minute = int(self.world.now.timestamp()) // _MINUTE_S
        known, used = self._windows.get(name, (minute, 0))
        used = used if known == minute else 0
        self._windows[name] = (minute, used + 1)
        if used >= limit:
            raise rate_limited()

    def _check_head(self, request: web.Request, *, writes: bool) -> None:
        headers = request.headers
        self._check_token(headers.get("Authorization"), writes=writes)
        version = headers.get("GoCardless-Version")
        if version is None:
            raise usage("missing_version_header", "GoCardless-Version header is missing")
        if version != VERSION:
            raise usage("version_not_found", "Version not found")
        accept = headers.get("Accept", "*/*")
        if not any(kind in accept for kind in _JSON):
            raise usage("not_acceptable", "Only application/json can be answered")

    def _check_token(self, header: str | None, *, writes: bool) -> None:
        if header is None:
            raise usage("missing_authorization_header", "Authorization header is missing")
        scheme, _, token = header.partition(" ")
        if scheme != "Bearer" or not token.strip():
            raise usage("invalid_authorization_header", "Authorization header is invalid")
        known = self.merchant.settings.access_tokens
        grant = known.get(token.strip()) if known else "read_write"
        if grant is None:
            raise usage("access_token_not_found", "Access token not found")
        if grant == "revoked" or self._tokens_dead:
            raise usage("access_token_revoked", "Access token has been revoked")
        if writes and grant == "read_only":
            raise usage("insufficient_permissions", "Insufficient permissions")

    def _honours(self, endpoint: Endpoint) -> bool:
        return endpoint.idempotent or (endpoint.kind == "action" and self.merchant.settings.idempotent_actions)

    def _check_key(self, scope: str, key: str) -> None:
        if len(key) > _KEY_LETTERS_MAX:
            raise usage("idempotency_key_too_long", f"Idempotency-Key is longer than {_KEY_LETTERS_MAX} characters")
        known = self._keys.get((scope, key))
        if known is not None and self.world.now - known[1] < timedelta(days=self.merchant.settings.idempotency_days):
            raise conflict(known[0])


def gocardless_app(world: World) -> web.Application:
    """Make the application of the simulator and put it into `world.apis`."""
    api = GoCardless(world)
    world.apis[_NAME] = api

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(CONTROL_PREFIX):
            return await handler(request)
        try:
            api.count(request.path)
            return await handler(request)
        except Refusal as refusal:
            return api.refuse(refusal)
        except web.HTTPMethodNotAllowed:
            return api.refuse(usage("method_not_allowed", "Method not allowed"))
        except web.HTTPNotFound:
            return api.refuse(usage("path_not_found", "Path not found"))

    app = web.Application(middlewares=[kernel_middleware(world, _NAME), guard], client_max_size=BODY_BYTES_MAX)
    for endpoint in ENDPOINTS:
        app.router.add_route(endpoint.method, endpoint.path, _handler(api, endpoint))
    app.router.add_post("/_sandbox/gocardless/populate", _acted(api, acts.populate))
    app.router.add_post("/_sandbox/gocardless/act", _acted(api, acts.act))
    return app


def _handler(api: GoCardless, endpoint: Endpoint) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.Response:
        return await api.answer(endpoint, request)

    return handle


def _acted(api: GoCardless, function: Callable[[Merchant, dict[str, Any]], dict[str, Any]]) -> Callable[..., Any]:
    async def handle(request: web.Request) -> web.Response:
        document = await read_object(request)
        try:
            return json_response(function(api.merchant, document))
        except (KeyError, TypeError, ValueError, Refusal) as error:
            raise bad_request(error) from error

    return handle


def _body_of(endpoint: Endpoint, request: web.Request, raw: bytes) -> Doc:
    """Take the body out of its envelope. An action's may be absent or null, as the official clients send it."""
    if endpoint.method == "DELETE":
        return {}
    if endpoint.kind == "read":
        if raw:
            raise usage("request_body_not_allowed", "A request body is not allowed")
        return {}
    if not raw and endpoint.kind == "action":
        return {}
    if len(raw) > _API_BODY_BYTES_MAX:
        raise usage("request_entity_too_large", "Request body is too large")
    if request.content_type != "application/json":
        raise usage("unsupported_media_type", "Content-Type must be application/json")
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise usage("invalid_document_structure", "The body is not valid JSON") from None
    if document is None and endpoint.kind == "action":
        return {}
    if not isinstance(document, dict):
        raise usage("invalid_document_structure", "Root element must be an object.")
    root = "data" if endpoint.kind == "action" else endpoint.envelope
    body = document.get(root)
    if body is None and endpoint.kind == "action":
        return {}
    if not isinstance(body, dict):
        raise usage("invalid_document_structure", f"{root} must be an object")
    return body


def _tenths(text: str) -> int:
    return int(text.replace(".", ""))
