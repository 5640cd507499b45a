"""The rules that every call to an API obeys: one write, a hard deadline, a bounded answer, and a clear word on what is
unknown.

Both clients use this; neither adds a retry of its own. `HttpTransport.exchange` sends one `Call` exactly once: aiohttp
would silently send GET, PUT and DELETE again on a kept connection that died, which for a payment record in Zoho (PUT)
would be a blind second write.

A process may be stopped anywhere (a signal, a debugger, a machine that sleeps) and go on when another has taken its
work over. So the deadline is an absolute instant, and is compared with the clock once more when the connection stands
and the bytes are about to go; timers alone would fire after them. What cannot be told from here is a stop in the
microseconds between that and the system's own `send`.
"""

import asyncio
import contextlib
import math
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Final, Literal, Protocol, Self

import aiohttp
from yarl import URL

from adapters.errors import TransportError
from adapters.machine import uptime_s
from adapters.texts import encodable

#: Seconds to get a connection (DNS, TCP, TLS, and a free place in the pool). Lower: a slow handshake fails calls that
#: would have worked. Higher: when an API is down, each call holds its place longer before it is known not to have been
#: sent.
CONNECT_TIMEOUT_S: Final = 10.0

#: Seconds of silence while reading an answer. Lower: Zoho's slow pages are cut off. Higher: a dead peer is noticed only
#: by the deadline.
SILENCE_TIMEOUT_S: Final = 60.0

#: Longest answer accepted, bytes after decompression. Lower: a full page of 500 GoCardless events (about 1 kB each) or
#: 200 Zoho invoices with custom fields would not fit. Higher: with its headers an answer could outgrow the log's
#: largest record (8 MiB), and could not be kept.
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024

#: Connections of one session. Lower: calls of different connections wait for each other. Higher: more than the APIs'
#: concurrency allows.
MAX_CONNECTIONS: Final = 20

#: Seconds an idle connection is kept. Lower: a TLS handshake per call. Higher: servers close first, and a write into a
#: dying connection is an unknown outcome that must be looked up.
KEEP_ALIVE_S: Final = 15.0

_USER_AGENT: Final = "zoho-gocardless/1"
_CHUNK_BYTES: Final = 65536


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call, ready to send. `path` starts with "/"; `body` is exact bytes; `headers` hold no credentials."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whole. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


_last_moment_s: Final[ContextVar[float]] = ContextVar("last_moment_s", default=math.inf)


@contextlib.contextmanager
def nothing_sent_after(last_moment_s: float) -> Iterator[None]:
    """No request that is begun inside goes out after `last_moment_s` (of `uptime_s`), however much time its own
    deadline leaves it.

    An ambient value, and not a parameter, because a duration that is handed on loses what passes between two hands.
    """
    token = _last_moment_s.set(min(last_moment_s, _last_moment_s.get()))
    try:
        yield
    finally:
        _last_moment_s.reset(token)


def last_moment_s() -> float:
    """The instant of `uptime_s` after which nothing may be sent here; infinite outside of `nothing_sent_after`."""
    return _last_moment_s.get()


class Transport(Protocol):
    """The way to an API and back."""

    async def exchange(self, base_url: str, call: Call, headers: Mapping[str, str], *, deadline_s: float) -> Answer:
        """Send `call` once to `base_url` + `call.path` and give the whole answer, whatever its status; redirects are
        answers too.

        `headers` (credentials, fixed headers) win over `call.headers`. `deadline_s`: seconds from now for everything,
        the body included; less where `nothing_sent_after` leaves less. Raises `TransportError` when no whole answer
        came.
        """


class _SecondSendError(aiohttp.ClientError):
    """aiohttp wanted to send the same request again."""


class _Gate:
    """One request's way out: open once, as middleware, and until its last moment, as the context of its trace."""

    def __init__(self, last_moment_s: float) -> None:
        self._last_moment_s = last_moment_s
        self._begun = False
        self.late = False

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._begun:
            raise _SecondSendError
        self._begun = True
        return await handler(request)

    def check(self) -> None:
        """Raise `TransportError` when it is too late for the first byte."""
        if uptime_s() >= self._last_moment_s:
            self.late = True
            raise TransportError("deadline", sent=False)


async def _about_to_send(_session: aiohttp.ClientSession, context: SimpleNamespace, _about: object) -> None:
    if context.trace_request_ctx is not None:  # what is sent without `exchange` has no last moment
        context.trace_request_ctx.check()


def _at_the_last_moment() -> aiohttp.TraceConfig:
    """The gate's check. Of headers, and of a body's first part, aiohttp tells once the connection stands and right
    before it writes them (a body's headers go with its first part); what is raised then keeps them back.
    """
    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(_about_to_send)
    tracing.on_request_chunk_sent.append(_about_to_send)
    return tracing


class HttpTransport:
    """Over sockets: no cookies, no proxies or credentials from the environment, bounded connections. Made where a loop
    runs; whoever made it closes it.
    """

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": _USER_AGENT, "Accept": "application/json"},
            trace_configs=[_at_the_last_moment()],
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def exchange(self, base_url: str, call: Call, headers: Mapping[str, str], *, deadline_s: float) -> Answer:
        """As `Transport.exchange`."""
        now_s = uptime_s()
        end_s = min(now_s + deadline_s, last_moment_s())
        left_s = end_s - now_s
        if left_s <= 0:
            raise TransportError("deadline", sent=False)
        gate = _Gate(end_s)
        try:
            # aiohttp rounds its own long timeouts up to whole seconds; the deadline is exact.
            async with asyncio.timeout(left_s):
                return await _send(self._session, base_url, call, headers, min(CONNECT_TIMEOUT_S, left_s), gate)
        except aiohttp.ConnectionTimeoutError:
            raise TransportError("connect_timeout", sent=False) from None
        except TimeoutError:
            raise TransportError("deadline", sent=not gate.late) from None
        except aiohttp.ClientConnectorError:  # DNS, TCP and TLS failures: before the request
            raise TransportError("refused", sent=False) from None
        except aiohttp.ClientPayloadError:
            raise TransportError("truncated", sent=True) from None
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError, _SecondSendError, ConnectionError):
            raise TransportError("reset", sent=True) from None
        except aiohttp.ClientError:
            if gate.late:  # aiohttp's wrapping of what the gate raised for a body
                raise TransportError("deadline", sent=False) from None
            raise TransportError("malformed", sent=True) from None


async def _send(
    session: aiohttp.ClientSession, base_url: str, call: Call, headers: Mapping[str, str], connect_s: float, gate: _Gate
) -> Answer:
    async with session.request(
        call.method,
        URL(base_url.rstrip("/") + call.path, encoded=True).update_query(call.query),
        data=call.body,
        headers={**call.headers, **headers},
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_s, sock_read=SILENCE_TIMEOUT_S),
        middlewares=(gate,),
        trace_request_ctx=gate,
    ) as response:
        body = await _read(response)
        return Answer(response.status, _lower(response.headers), body)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            response.close()
            raise TransportError("too_large", sent=True)
    return bytes(body)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    """Header names in lower case, values that can be kept; of a repeated header the last counts."""
    return {name.lower(): encodable(value) for name, value in headers.items()}
