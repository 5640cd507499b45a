"""An application of the sandbox on a real port, and a server that keeps what the sandbox sends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from sandbox.barrier import Barrier
from sandbox.control import serving
from sandbox.world import World


class Receiver:
    """A real HTTP server that keeps what it is sent and answers as told."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        return web.Response(status=self.answers.pop(0) if self.answers else 200)


class Served:
    """One application on a real port, with a client."""

    def __init__(self, url: str, world: World, barrier: Barrier, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.world = world
        self.barrier = barrier
        self.http = http

    async def get(self, path: str, **kwargs: Any) -> tuple[int, Any]:
        return await self.call("GET", path, **kwargs)

    async def post(self, path: str, document: Any = None, **kwargs: Any) -> tuple[int, Any]:
        return await self.call("POST", path, json=document, **kwargs)

    async def call(self, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
        async with self.http.request(method, self.url + path, **kwargs) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await (answer.json() if is_json else answer.text())

    async def run_until(self, until: str) -> dict[str, Any]:
        status, body = await self.post("/_sandbox/clock/run", {"until": until, "participants": []})
        assert status == 200, body
        status, body = await self.get("/_sandbox/clock/wait", params={"timeout_s": "20"})
        assert status == 200, body
        assert body["idle"], body
        return dict(body)


@asynccontextmanager
async def served(world: World, name: str, app: web.Application) -> AsyncIterator[Served]:
    barrier = Barrier(world)
    async with (
        serving(world, barrier, {name: app}, host="127.0.0.1", ports={name: 0}) as urls,
        aiohttp.ClientSession() as http,
    ):
        yield Served(urls[name], world, barrier, http)
