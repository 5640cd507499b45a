"""Zoho Books over HTTP: accounts server, API and control side on one port."""

from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from sandbox.http import bad_request, json_response, kernel_middleware
from sandbox.world import World
from sandbox.zoho.errors import ApiError
from sandbox.zoho.oauth import FULL_ACCESS
from sandbox.zoho.routes import Route
from sandbox.zoho.simulator import Simulator, Wire, read_body

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BASE = "/books/v3"
# Scenarios put thousands of customers and invoices in at once; API calls are far smaller.
_BODY_BYTES_MAX = 64 * 1024 * 1024


def zoho_app(world: World) -> web.Application:
    """The application of the simulated Zoho Books; it puts itself into `world.apis["zoho"]`."""
    simulator = Simulator(world)
    app = web.Application(middlewares=[kernel_middleware(world, "zoho")], client_max_size=_BODY_BYTES_MAX)
    for route in simulator.routes():
        app.router.add_route(route.method, f"{BASE}{route.path}", _books(simulator, route))
    app.router.add_route("*", f"{BASE}/{{tail:.*}}", _unknown(simulator))
    app.add_routes(_accounts(simulator))
    app.add_routes(_control(simulator))
    return app


def _books(simulator: Simulator, route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        simulator.limits.in_flight += 1
        try:
            raw = await request.read()
            return _sent(simulator.answer(route, request.match_info, request.query, request.headers, raw))
        finally:
            simulator.limits.in_flight -= 1

    return handle


def _unknown(simulator: Simulator) -> Handler:
    """An address nobody knows is 404 with code 5, a known one with another method 405 with code 37."""
    known = [route.path.split("/") for route in simulator.routes()]

    async def handle(request: web.Request) -> web.StreamResponse:
        parts = request.path.removeprefix(BASE).split("/")
        for path in known:
            if len(path) == len(parts) and all(a == b or a.startswith("{") for a, b in zip(path, parts, strict=True)):
                refused = ApiError(405, 37, "The HTTP method is not allowed for the requested resource")
                break
        else:
            refused = ApiError(404, 5, "Invalid URL Passed")
        return _sent(simulator.refusal(refused))

    return handle


def _accounts(simulator: Simulator) -> list[web.RouteDef]:
    """The accounts server (reference 1)."""

    async def consent(request: web.Request) -> web.StreamResponse:
        """Whoever comes here agrees at once and is sent back with a code."""
        query, oauth = request.query, simulator.oauth
        redirect_uri = query.get("redirect_uri", "")
        if query.get("client_id") != oauth.client_id or query.get("response_type") != "code":
            return web.Response(status=400, text="invalid_client")
        if not redirect_uri or oauth.redirect_uri not in ("", redirect_uri):
            return web.Response(status=400, text="invalid_redirect_uri")
        code = oauth.grant(query.get("scope", ""), redirect_uri, offline=query.get("access_type") == "offline")
        back = {"code": code, "location": "us", "accounts-server": _origin(request)}
        if "state" in query:
            back["state"] = query["state"]
        joint = "&" if "?" in redirect_uri else "?"
        return web.Response(status=302, headers={"Location": f"{redirect_uri}{joint}{urlencode(back)}"})

    async def token(request: web.Request) -> web.StreamResponse:
        form = {**request.query, **await _form(request)}
        status, document = simulator.oauth.token(form, simulator.api_domain or _origin(request))
        return json_response(document, status=status)

    async def revoke(request: web.Request) -> web.StreamResponse:
        form = {**request.query, **await _form(request)}
        known = simulator.oauth.revoke(form.get("token", ""))
        return json_response({"status": "success"} if known else {"error": "invalid_code"})

    async def revoke_as_client(request: web.Request) -> web.StreamResponse:
        pair = f"{simulator.oauth.client_id}:{simulator.oauth.client_secret}".encode()
        if request.headers.get("Authorization", "") != f"Basic {b64encode(pair).decode()}":
            return json_response({"error": "invalid_client"})
        return await revoke(request)

    async def locations(request: web.Request) -> web.StreamResponse:
        return json_response({"result": "success", "locations": {"us": _origin(request)}})

    return [
        web.get("/oauth/v2/auth", consent),
        web.post("/oauth/v2/token", token),
        web.post("/oauth/v2/token/revoke", revoke),
        web.post("/oauth/v2/revoke/token", revoke_as_client),
        web.get("/oauth/serverinfo", locations),
    ]


def _control(simulator: Simulator) -> list[web.RouteDef]:
    """The control side: populate, edit as a person, give a grant code as the API console does."""

    def grant(document: dict[str, Any]) -> dict[str, Any]:
        oauth = simulator.oauth
        return {
            "code": oauth.grant(document.get("scope", FULL_ACCESS)),
            "client_id": oauth.client_id,
            "client_secret": oauth.client_secret,
        }

    return [
        web.post("/_sandbox/zoho/populate", _controlled(simulator.populate)),
        web.post("/_sandbox/zoho/edit", _controlled(simulator.edit)),
        web.post("/_sandbox/zoho/grant", _controlled(grant)),
    ]


def _controlled(act: Callable[[dict[str, Any]], dict[str, Any]]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            document = read_body("", await request.read()) or {}
            return json_response(act(document))
        except (ApiError, KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
            raise bad_request(error) from error

    return handle


async def _form(request: web.Request) -> dict[str, str]:
    return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _sent(wire: Wire) -> web.Response:
    return web.Response(body=wire.body, status=wire.status, headers=wire.headers)
