"""The room of the control side: serves applications on real ports, each with the endpoints under `/_sandbox/`.

GET  /_sandbox/state                     everything, from both simulators, with calls per endpoint
POST /_sandbox/config   {"gocardless": {...}, "zoho": {...}, "webhooks": {"retries_s": {api: [...]}}}
GET  /_sandbox/faults, POST {"rules": [...], "clear": bool}
GET  /_sandbox/webhooks, POST {"rules": [...], "clear": bool}
and the clock (see `barrier`).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import web

from sandbox.barrier import Barrier, clock_routes
from sandbox.http import bad_request, json_response, read_object
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
        for name, app in apps.items():
            app.add_routes(control_routes(world, barrier))
            # A client that goes away must cancel its handler: that is how a killed program's token dies.
            runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_SHUTDOWN_S)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, host, ports[name]).start()
            urls[name] = f"http://{host}:{runner.addresses[0][1]}"
        yield urls


def control_routes(world: World, barrier: Barrier) -> list[web.RouteDef]:
    """Give the endpoints under `/_sandbox/` that belong to neither API alone."""

    async def state(_request: web.Request) -> web.Response:
        return json_response(state_of(world, barrier))

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
    return {
        "now": iso_utc(world.now),
        "seed": world.seed,
        "activity": world.activity,
        "steps": barrier.steps,
        "calls": {api: dict(sorted(calls.items())) for api, calls in sorted(world.calls.items())},
        "webhooks": world.webhooks.state(),
        "faults": world.faults.state(),
        **{name: api.state() for name, api in sorted(world.apis.items())},
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
