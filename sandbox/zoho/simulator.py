"""The simulated service as a whole, without HTTP: books, tokens, limits, webhooks, and one entrance for calls."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import msgspec
from aiohttp import web

from sandbox.world import World
from sandbox.zoho import (
    render_banking,
    render_contacts,
    render_credits,
    render_money,
    render_sales,
)
from sandbox.zoho.books import Books, Switches
from sandbox.zoho.call import Answer, Call
from sandbox.zoho.endpoints_settings import AutomationEndpoints
from sandbox.zoho.errors import ApiError, InvalidError, ThrottledError, UnauthorizedError
from sandbox.zoho.human import Person
from sandbox.zoho.limits import CONCURRENCY_CODE, DAY_CODE, MINUTE_CODE, Limits, daily_limit
from sandbox.zoho.notify import Endpoint, Notifier
from sandbox.zoho.oauth import FULL_ACCESS, OAuth, covers
from sandbox.zoho.populate import Population, organization_of
from sandbox.zoho.records import Invoice, Record
from sandbox.zoho.render_common import encode
from sandbox.zoho.routes import Route, routes
from sandbox.zoho.settings import Automation
from sandbox.zoho.truth import books_truth

Document = dict[str, Any]

_NOT_A_MEMBER = 6041
_INTERNAL_ERROR = 1000
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_FAULT_CODES = {"429_minute": MINUTE_CODE, "429_day": DAY_CODE, "429_concurrency": CONCURRENCY_CODE}
_RENDERERS: dict[str, tuple[str, Callable[[Books, Any], Document]]] = {
    "invoice": ("invoice", render_sales.invoice),
    "contact": ("contact", render_contacts.full),
    "customerpayment": ("payment", render_money.payment),
    "creditnote": ("creditnote", render_credits.creditnote),
    "expense": ("expense", render_money.expense),
    "banktransaction": ("banktransaction", render_banking.banktransaction),
    "journal": ("journal", render_banking.journal),
}


class Wire(msgspec.Struct, frozen=True):
    """An answer ready to be sent."""

    status: int
    body: bytes
    headers: dict[str, str]


class Simulator:
    """Zoho Books in one world; it is `World.apis["zoho"]`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.limits = Limits()
        self.api_domain = ""
        self._batches = 0
        self._refresh_token = ""
        self._establish({}, Switches(), [])
        self.oauth = OAuth(self.books.ids, lambda: world.now)
        world.apis["zoho"] = self

    def answer(
        self, route: Route, path: Mapping[str, str], query: Mapping[str, str], headers: Mapping[str, str], raw: bytes
    ) -> Wire:
        """One API call: token, organisation, limits, scope, then the function of the route. Commits wholly or not at
        all.
        """
        try:
            scope = self.oauth.authorize(headers.get("Authorization", ""))
            if route.path != "/organizations" and query.get("organization_id") != self.books.org.id:
                wanted = query.get("organization_id", "")
                message = f"This user is not associated with the CompanyID/CompanyName:{wanted}."
                raise ApiError(400, _NOT_A_MEMBER, message)  # noqa: TRY301 - one way out for every refusal
            self.limits.enter(self.books)
            if not covers(scope, route.scope):
                raise UnauthorizedError
            body = read_body(headers.get("Content-Type", ""), raw)
            call = Call(self.books, route.name, path, query, headers, body, raw)
            answer = self._routes[route.name].answer(call)
        except ApiError as error:
            self.notifier.drop()
            return self.refusal(error)
        self.notifier.flush(by_api=True)
        return self._wire(answer)

    def refusal(self, error: ApiError) -> Wire:
        return Wire(error.status, encode({"code": error.code, "message": error.message}), self._headers())

    def routes(self) -> list[Route]:
        return list(self._routes.values())

    def populate(self, document: Mapping[str, Any]) -> Document:
        """Fills the books; with `organization`, in new books, which only untouched ones give way to.

        Raises ApiError, KeyError, TypeError or ValueError.
        """
        wanted = organization_of(document)
        if wanted is not None:
            if self.books.contacts.rows or self._batches:
                raise ValueError("the organisation is named in the first populate document")
            self._establish(wanted, self.books.switches, self.notifier.configured)
        self._batches += 1
        population = Population(self.books, self._later, self._batches)
        result = population.apply(document)
        # What was there before the program came is not news.
        self.notifier.drop()
        # One for all documents: each consent would count towards the twenty and end the oldest.
        if not self.oauth.lives(self._refresh_token):
            self._refresh_token = self.oauth.issue_refresh(FULL_ACCESS)
        result["oauth"] = {
            "client_id": self.oauth.client_id,
            "client_secret": self.oauth.client_secret,
            "refresh_token": self._refresh_token,
        }
        return result

    def edit(self, document: Mapping[str, Any]) -> Document:
        """One act of a person: the record's id, and of an invoice its number. Raises ApiError, KeyError, TypeError or
        ValueError.
        """
        try:
            record = self._person.act(document)
        except ApiError:
            self.notifier.drop()
            raise
        self.notifier.flush(by_api=False)
        return {"id": record.id} | ({"invoice_number": record.number} if isinstance(record, Invoice) else {})

    # the kernel's side

    def state(self) -> Document:
        return {
            **books_truth(self.books),
            "oauth": self.oauth.state(),
            "limits": self.limits.state(),
            "notifications": self.notifier.state(),
        }

    def configure(self, document: Mapping[str, Any]) -> None:
        """`{"webhooks": [...], "switches": {...}, "client": {...}, "api_domain": url}`; parts not named stay.

        The client has `client_id`, `client_secret`, `redirect_uri`, and a `refresh_token` that is good from then on.
        """
        unknown = set(document) - {"webhooks", "switches", "client", "api_domain"}
        if unknown:
            raise ValueError(f"not known: {', '.join(sorted(unknown))}")
        if "switches" in document:
            merged = {**msgspec.to_builtins(self.books.switches), **document["switches"]}
            switches = msgspec.convert(merged, Switches)
            if switches.lock_date:
                date.fromisoformat(switches.lock_date)
            self.books.switches = switches
            self.books.invoice_rows.clear()
            self.oauth.throttle_status = self.books.switches.throttle_status
        if "webhooks" in document:
            self.notifier.configured = msgspec.convert(document["webhooks"], list[Endpoint])
        client = document.get("client", {})
        self.oauth.client_id = client.get("client_id", self.oauth.client_id)
        self.oauth.client_secret = client.get("client_secret", self.oauth.client_secret)
        self.oauth.redirect_uri = client.get("redirect_uri", self.oauth.redirect_uri)
        if "refresh_token" in client:
            self.oauth.take_refresh(str(client["refresh_token"]), FULL_ACCESS)
        self.api_domain = document.get("api_domain", self.api_domain)

    def fault_response(self, kind: str) -> web.Response:
        if kind in _FAULT_CODES:
            wire = self.refusal(ThrottledError(_FAULT_CODES[kind], daily_limit(self.books)))
        else:
            wire = self.refusal(ApiError(500, _INTERNAL_ERROR, "Internal error"))
        return web.Response(body=wire.body, status=wire.status, headers=wire.headers)

    def fault_effect(self, kind: str) -> None:
        if kind == "token_death":
            self.oauth.kill_access_tokens()
        else:
            self.oauth.kill_refresh_tokens()

    def _establish(self, organization: Mapping[str, Any], switches: Switches, addresses: list[Endpoint]) -> None:
        books = Books(self._world.seed, lambda: self._world.now, organization)
        books.switches = switches
        self.books = books
        self.notifier = Notifier(self._world, books, self._rendered)
        self.notifier.configured = addresses
        books.announce = self.notifier.announce
        automation = Automation(books)
        self.notifier.registered = automation.endpoints
        self._routes = {route.name: route for route in routes(AutomationEndpoints(automation, self.notifier))}
        self._person = Person(books)

    def _later(self, when: datetime, what: Callable[[], None]) -> None:
        def happen() -> None:
            what()
            self.notifier.flush(by_api=False)

        self._world.at(when, happen)

    def _rendered(self, module: str, record: Record) -> tuple[str, Document]:
        key, render = _RENDERERS[module]
        if module == "customerpayment":
            key = self.books.switches.payment_key
        return key, render(self.books, record)

    def _wire(self, answer: Answer) -> Wire:
        headers = self._headers()
        if answer.location:
            headers["Location"] = f"/api/v3/{answer.location}"
        body = encode({"code": 0, "message": answer.message, **answer.document})
        return Wire(answer.status, body, headers)

    def _headers(self) -> dict[str, str]:
        return {
            "Content-Type": "application/json;charset=UTF-8",
            "Cache-Control": "no-store, no-cache, must-revalidate",
            **self.limits.headers(self.books),
        }


def read_body(content_type: str, raw: bytes) -> Any:
    """The JSON of a body: bare, or in the form field JSONString. No body: None. Raises InvalidError."""
    if not raw:
        return None
    if content_type.startswith("application/x-www-form-urlencoded"):
        raw = parse_qs(raw.decode("utf-8", "replace")).get("JSONString", [""])[0].encode()
    try:
        return _decode(raw)
    except msgspec.DecodeError:
        raise InvalidError("JSONString") from None
