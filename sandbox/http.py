"""What every request of either API passes through, and the small helpers all handlers share.

The middleware takes flowing time to where it has come, counts requests in flight, calls per endpoint and activity,
puts simulated time into the `Date` header, and lets the fault rules strike before or after the simulator has done its
work. Requests under `/_sandbox/` (the control side) pass uncounted and unharmed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from sandbox.faults import TOKEN_EFFECTS, FaultRule
from sandbox.world import World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CONTROL_PREFIX = "/_sandbox/"

# Scenarios post thousands of customers at once (`web.Application(client_max_size=...)`); far above any page either API
# takes, so each API's own limit (413) is its own business.
BODY_BYTES_MAX = 64 * 1024 * 1024

_HTML_502 = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1></body>\r\n</html>\r\n"
)


def json_response(document: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Answer `document` as JSON."""
    return web.Response(
        body=orjson.dumps(document), status=status, headers=headers, content_type="application/json", charset="utf-8"
    )


def bad_request(error: Exception) -> web.HTTPBadRequest:
    """Make the control side's 400, in words."""
    return web.HTTPBadRequest(text=f"{type(error).__name__}: {error}")


async def read_object(request: web.Request) -> dict[str, Any]:
    """Read a control request's JSON object. HTTPBadRequest: it is none."""
    try:
        document = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise bad_request(error) from error
    if not isinstance(document, dict):
        raise bad_request(TypeError("an object is wanted"))
    return document


def kernel_middleware(world: World, api: str) -> Middleware:
    """Make the outermost middleware of one API's application."""

    @web.middleware
    async def kernel(request: web.Request, handler: Handler) -> web.StreamResponse:
        world.keep_up()
        if request.path.startswith(CONTROL_PREFIX):
            response = await _answer(request, handler)
            if request.method == "POST":
                # What the control side has put into the world may be due at once.
                world.changed()
        else:
            world.in_flight += 1
            try:
                response = await _with_faults(world, api, request, handler)
            finally:
                world.in_flight -= 1
                world.count_call(api, endpoint_of(request))
                world.happened()
        response.headers["Date"] = world.date_header()
        return response

    return kernel


def endpoint_of(request: web.Request) -> str:
    """Name the endpoint of a request: method and path template ("POST /payments/{id}/actions/cancel"); the raw path
    where none matched.
    """
    resource = request.match_info.route.resource
    return f"{request.method} {request.path if resource is None else resource.canonical}"


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        # Raised answers are answers; as such they get their Date header too.
        return web.Response(body=error.body, status=error.status, headers=error.headers)


async def _with_faults(world: World, api: str, request: web.Request, handler: Handler) -> web.StreamResponse:
    rule = world.faults.take(api, request.method, request.path)
    if rule is None:
        return await _answer(request, handler)
    if rule.kind in TOKEN_EFFECTS:
        world.apis[api].fault_effect(rule.kind)
        return await _answer(request, handler)
    if rule.after_commit:
        await _answer(request, handler)
    return await _spoil(world, api, request, rule)


async def _spoil(world: World, api: str, request: web.Request, rule: FaultRule) -> web.StreamResponse:
    if rule.kind == "html_502":
        return web.Response(text=_HTML_502, status=502, content_type="text/html")
    if rule.kind in ("timeout_after_commit", "reset_after_commit"):
        if rule.kind == "timeout_after_commit":
            await asyncio.sleep(rule.hold_s)
        if request.transport is not None:
            request.transport.abort()
        # Goes nowhere: the connection is gone.
        return web.Response(status=499)
    return world.apis[api].fault_response(rule.kind)
