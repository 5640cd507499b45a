"""An application of the sandbox, called in this process: no sockets, no HTTP on the wire, the same answers.

Each call makes a real `web.Request` over a connection that only records, and runs the application's own chain:
middlewares, routes, handlers. The response is prepared as a server prepares it, so status, headers and body are those
of a real socket. Nothing here waits or asks the time; what a handler waits for, it waits for in the running loop.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec
from aiohttp import EMPTY_PAYLOAD, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11, RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from sandbox.http import BODY_BYTES_MAX

#: The name under which an application is reached where the caller names none. What an application builds addresses
#: from, so it must not be the machine's.
HOST: Final = "sandbox.example"


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What an application answered; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class InProcess:
    """Calls one application. It is started at the first call; an application is used in one event loop only."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._started = False

    async def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """Answer one request; `target` is path and query, encoded. A cancelled call cancels its handler, as a client
        that goes away does.

        Raises:
            ConnectionResetError: the application aborted the connection; what it had committed stays.

        """
        if not self._started:
            await self._start()
        transport = _Transport()
        writer = _Writer()
        request = _request(method, target, headers, body, cast(Any, _Protocol(transport)), writer)
        try:
            # What `AppRunner` gives the server as its handler; there is no public name for it.
            response = await self._app._handle(request)  # noqa: SLF001 - as the line above says
        except web.HTTPException as raised:
            response = raised
        if not transport.aborted:
            await response.prepare(request)
            await response.write_eof()
        if transport.aborted:
            raise ConnectionResetError("the application aborted the connection")
        return Reply(status=response.status, headers=writer.headers, body=bytes(writer.body))

    async def _start(self) -> None:
        self._started = True
        self._app.on_startup.freeze()
        await self._app.startup()
        self._app.freeze()


def _request(
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    protocol: Any,
    writer: AbstractStreamWriter,
) -> web.Request:
    loop = asyncio.get_running_loop()
    given = CIMultiDict(headers)
    given.setdefault("Host", HOST)
    if body:
        given.setdefault("Content-Length", str(len(body)))
    path, _, query = target.partition("?")
    message = RawRequestMessage(
        method=method,
        path=target,
        version=HttpVersion11,
        headers=CIMultiDictProxy(given),
        raw_headers=(),  # nobody asks for them
        should_close=False,
        compression=None,
        upgrade=False,
        chunked=False,
        url=URL.build(path=path, query_string=query, encoded=True),
    )
    content = EMPTY_PAYLOAD
    if body:
        content = StreamReader(protocol, limit=len(body), loop=loop)
        content.feed_data(body)
        content.feed_eof()
    task = cast("asyncio.Task[None]", asyncio.current_task())
    return web.Request(message, content, protocol, writer, task, loop, client_max_size=BODY_BYTES_MAX)


class _Transport:
    """The connection as an application sees it: it can be aborted, and says nothing of anybody."""

    def __init__(self) -> None:
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default


class _Protocol:
    """What a request asks of the server's side of its connection."""

    ssl_context = None
    peername = None
    sockname = None

    def __init__(self, transport: _Transport) -> None:
        self.transport = transport
        # Asked by the reader of the body, all of which is there.
        self._reading_paused = False

    def pause_reading(self) -> None:
        """Nothing comes that could be paused."""

    def resume_reading(self, *, resume_parser: bool = True) -> None:
        """Nothing was paused."""


class _Writer(AbstractStreamWriter):
    """Keeps what a response writes."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()

    async def write_headers(self, status_line: str, headers: "CIMultiDict[str]") -> None:  # noqa: ARG002 - the base's
        self.headers = {name.lower(): value for name, value in headers.items()}

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self.body += chunk

    async def write_eof(self, chunk: bytes = b"") -> None:
        self.body += chunk

    async def drain(self) -> None:
        """There is nothing that could be full."""

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        raise NotImplementedError("no application of the sandbox compresses")

    def enable_chunking(self) -> None:
        """Chunks are a matter of the wire."""
