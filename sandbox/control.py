"""The control side: serves applications on real ports, each with all the endpoints under `/_sandbox/`.

GET  /_sandbox/state?part=zoho/contacts  everything, from both simulators, with calls per endpoint; or one part of it
POST /_sandbox/config   {"gocardless": {...}, "zoho": {...}, "webhooks": {"retries_s": {api: [...]}}}
GET  /_sandbox/faults, POST {"rules": [...], "clear": bool}
GET  /_sandbox/webhooks, POST {"rules": [...], "clear": bool}
the clock (see `barrier`), and each simulator's own (`gocardless.stage`, `zoho.app`). docs/sandbox.md has all of them.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import web

from sandbox.barrier import Barrier, clock_routes
from sandbox.http import CONTROL_PREFIX, bad_request, json_response, read_object
from sandbox.world import World, iso_utc

# Longest a server waits for its last requests at shutdown; long-polls are cancelled after it.
_SHUTDOWN_S = 0.2


@asynccontextmanager
async def serving(
    world: World, barrier: Barrier, apps: Mapping[str, web.Application], *, host: str, ports: Mapping[str, int]
) -> AsyncIterator[dict[str, str]]:
    """Serve the given applications, each with the control endpoints, and give their addresses by name."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(world.webhooks.close)
        stack.callback(barrier.close)
        urls = {}
        add_control_routes(world, barrier, apps)
        for name, app in apps.items():
            # A client that goes away must cancel its handler: that is how a killed program's token dies.
            runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_SHUTDOWN_S)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, host, ports[name]).start()
            urls[name] = f"http://{host}:{runner.addresses[0][1]}"
        yield urls


def add_control_routes(world: World, barrier: Barrier, apps: Mapping[str, web.Application]) -> None:
    """Give every application the endpoints under `/_sandbox/`: those of neither API, and those of all the others."""
    own = {
        name: [route for route in app.router.routes() if _path(route).startswith(CONTROL_PREFIX)]
        for name, app in apps.items()
    }
    for name, app in apps.items():
        app.add_routes(control_routes(world, barrier))
        for route in [route for other, routes in own.items() if other != name for route in routes]:
            app.router.add_route(route.method, _path(route), route.handler)


def _path(route: web.AbstractRoute) -> str:
    return "" if route.resource is None else route.resource.canonical


def control_routes(world: World, barrier: Barrier) -> list[web.RouteDef]:
    """Give the endpoints under `/_sandbox/` that belong to neither API alone."""

    async def state(request: web.Request) -> web.Response:
        part = request.query.get("part", "")
        try:
            return json_response(part_of(world, barrier, part) if part else state_of(world, barrier))
        except KeyError:
            raise web.HTTPNotFound(text=f"the state has no part {part}") from None

    async def configure(request: web.Request) -> web.Response:
        document = await read_object(request)
        try:
            _configure(world, document)
        except (KeyError, TypeError, ValueError) as error:
            raise bad_request(error) from error
        return json_response({})

    async def faults(request: web.Request) -> web.Response:
        document = await _posted(request)
        try:
            if document.get("clear"):
                world.faults.clear()
            world.faults.add(document.get("rules", []))
        except (TypeError, ValueError) as error:
            raise bad_request(error) from error
        return json_response({"rules": world.faults.state()})

    async def webhooks(request: web.Request) -> web.Response:
        document = await _posted(request)
        try:
            if document.get("clear"):
                world.webhooks.rules.clear()
            world.webhooks.add_rules(document.get("rules", []))
        except (TypeError, ValueError) as error:
            raise bad_request(error) from error
        return json_response(world.webhooks.state())

    return [
        *clock_routes(barrier),
        web.get("/_sandbox/state", state),
        web.post("/_sandbox/config", configure),
        web.get("/_sandbox/faults", faults),
        web.post("/_sandbox/faults", faults),
        web.get("/_sandbox/webhooks", webhooks),
        web.post("/_sandbox/webhooks", webhooks),
    ]


def state_of(world: World, barrier: Barrier) -> dict[str, Any]:
    """Give the whole truth of a world as one JSON document."""
    return {name: part() for name, part in _parts(world, barrier).items()}


def part_of(world: World, barrier: Barrier, part: str) -> Any:
    """Give one part of that document, named by its keys with "/" between. KeyError: there is none."""
    first, *below = part.split("/")
    found = _parts(world, barrier)[first]()
    for key in below:
        if not isinstance(found, dict):
            raise KeyError(key)
        found = found[key]
    return found


def _parts(world: World, barrier: Barrier) -> dict[str, Callable[[], Any]]:
    return {
        "now": lambda: iso_utc(world.now),
        "seed": lambda: world.seed,
        "activity": lambda: world.activity,
        "steps": lambda: barrier.steps,
        "calls": lambda: {api: dict(sorted(calls.items())) for api, calls in sorted(world.calls.items())},
        "webhooks": world.webhooks.state,
        "faults": world.faults.state,
        **{name: api.state for name, api in sorted(world.apis.items())},
    }


async def _posted(request: web.Request) -> dict[str, Any]:
    return await read_object(request) if request.method == "POST" else {}


def _configure(world: World, document: dict[str, Any]) -> None:
    for name, part in document.items():
        if name == "webhooks":
            for api, intervals_s in part["retries_s"].items():
                world.webhooks.retries_s[api] = tuple(int(interval_s) for interval_s in intervals_s)
        elif name in world.apis:
            world.apis[name].configure(part)
        else:
            raise ValueError(f"nothing here is called {name}")
