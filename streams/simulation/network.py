"""The network between the program and the simulators: no sockets, drawn delays, and everything that networks do.

A call that is on its way is not the program's any more: it arrives, or does not, also when the power of the program is
cut meanwhile.
"""

import asyncio
import errno
import random
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from email.utils import format_datetime
from functools import lru_cache, partial
from typing import Final, Self
from urllib.parse import quote_plus

from aiohttp import web
from multidict import CIMultiDict

from adapters.errors import TransportError
from adapters.http import MAX_ANSWER_BYTES, Answer, Call, last_moment_s
from domain.vocabulary import Api
from sandbox.gocardless.errors import usage
from sandbox.inprocess import InProcess, Reply
from sandbox.world import World
from streams.simulation.apis import gocardless_of, zoho_of
from streams.simulation.faults import CallFault, Outage, Rates
from streams.simulation.power import Power
from streams.simulation.trace import Trace
from streams.simulation.virtual_time import begin_for
from streams.stages.gateway import Gateway, Webhook

#: Seconds until a connection is given up that nobody takes: as the real client's.
_CONNECT_S: Final = 10.0

#: What a fault of the kernel's own is called there, for those that are an API's own words.
_WORDS: Final[Mapping[CallFault, Mapping[Api, str]]] = {
    "error_before": {"gocardless": "500_before", "zoho": "500_before"},
    "error_after": {"gocardless": "500_before", "zoho": "500_before"},
    "throttled_minute": {"gocardless": "429_gocardless", "zoho": "429_minute"},
    "throttled_day": {"gocardless": "429_gocardless", "zoho": "429_day"},
    "throttled_concurrency": {"gocardless": "429_gocardless", "zoho": "429_concurrency"},
}
_AFTER: Final[frozenset[CallFault]] = frozenset({"html_after", "error_after"})
_BEFORE: Final[frozenset[CallFault]] = frozenset(
    {"html_before", "error_before", "unavailable", "throttled_minute", "throttled_day", "throttled_concurrency"}
)

#: Answers by which a webhook is taken.
_TAKEN: Final = (200, 204)

_HTML: Final = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"

#: Headers that an API or what stands before it may send, and that must do no harm.
_ODD_HEADERS: Final = (
    {"date": "Tue, 31 Nov 2026 10:00:00 GMT"},
    {"date": "Mon, 01 Jan 99999 00:00:00 GMT"},
    {"date": "Sun, 31 Dec 2017 23:59:60 GMT"},
    {"x-rate-limit-reset": "99999999999999999999"},
    {"x-rate-limit-reset": "²"},
    {"x-rate-limit-limit": "9" * 5_000},
    {"x-rate-limit-remaining": "-5"},
    {"ratelimit-reset": "soon"},
)


def host_of(api: str, connection: str) -> str:
    """Where an API of a connection is reached."""
    return f"{api}.{connection}.example"


def url_of(api: str, connection: str) -> str:
    """The same as the settings have it."""
    return f"http://{host_of(api, connection)}"


class Side:
    """One API of one connection: its simulator, where it is reached, and how its network behaves."""

    def __init__(self, connection: str, api: Api, world: World, app: InProcess) -> None:
        self.connection = connection
        self.api: Api = api
        self.world = world
        self.app = app
        self.date_skew_s = 0.0
        self.token_refused_until_s = 0.0
        """Until when it does not take our token, in seconds of the run."""

    def today(self) -> str:
        """The day by which the API counts calls."""
        if self.api == "zoho":
            return zoho_of(self.world).books.today().isoformat()
        return self.world.now.date().isoformat()


class Network:
    """All sides of all connections, and the program's gateway while it is open."""

    def __init__(
        self, sides: Mapping[str, Side], rng: random.Random, rates: Rates, outages: list[Outage], trace: Trace
    ) -> None:
        self._sides = sides
        self._rng = rng
        self._rates = rates
        self._outages = outages
        self._trace = trace
        self._gateway: tuple[Gateway, Power] | None = None
        self.settle_s = 0.0
        """Seconds by which a request may come late after its sender has given it up: what the settings allow for."""
        self.calls: dict[tuple[str, str, str], int] = {}
        self.counts: dict[str, int] = {}
        self.taken: list[tuple[str, Api, bytes]] = []
        """Webhooks that the program has taken (connection, API, body): it says that it has them for good."""
        self.forged: list[tuple[str, Api]] = []
        """Those of them whose signature nobody has made."""

    def calm(self) -> None:
        """From now on nothing goes wrong."""
        self._rates = Rates()
        self._outages = []
        for side in self._sides.values():
            side.date_skew_s = 0.0
            side.token_refused_until_s = 0.0

    def count(self, what: str) -> None:
        """Note that a fault happened."""
        self.counts[what] = self.counts.get(what, 0) + 1

    # --- the program's side ---

    def open(self, gateway: Gateway | None, power: Power) -> None:
        """A program begins to take webhooks. Raises `OSError` when another has the address."""
        if self._gateway is not None and self._gateway[1].on:
            raise OSError(errno.EADDRINUSE, "the address is in use")
        self._gateway = None if gateway is None else (gateway, power)

    def shut(self, power: Power) -> None:
        """The program with this power takes none any more."""
        if self._gateway is not None and self._gateway[1] is power:
            self._gateway = None

    # --- calls ---

    async def call(
        self, power: Power, base_url: str, call: Call, headers: Mapping[str, str], deadline_s: float
    ) -> Answer:
        """As `Transport.exchange`, for the program whose power this is."""
        power.check()
        loop = asyncio.get_running_loop()
        left_s = min(deadline_s, last_moment_s() - loop.time())
        if left_s <= 0:
            raise TransportError("deadline", sent=False)
        side = self._side_of(base_url)
        fault = self._fault_of(side)
        if fault is not None:
            self.count(f"call.{fault}")
        path, struck = call.path, (fault,) if fault is not None else ()
        try:
            answer = await self._exchanged(side, base_url, call, headers, left_s, fault)
        except TransportError as error:
            self._trace.note("call", side.connection, side.api, call.method, path, error.reason, *struck)
            power.check()
            raise
        self._trace.note("call", side.connection, side.api, call.method, path, str(answer.status), *struck)
        power.check()
        return answer

    def _side_of(self, base_url: str) -> Side:
        host = base_url.removeprefix("http://").partition("/")[0]
        return self._sides[host]

    def _fault_of(self, side: Side) -> CallFault | None:
        now_s = asyncio.get_running_loop().time()
        for outage in self._outages:
            if outage.api == f"{side.connection}/{side.api}" and outage.holds(now_s):
                return "refused" if outage.silent else "unavailable"
        fault = self._rates.of_call(self._rng)
        # GoCardless's tokens do not die by themselves: there the one is the other.
        return None if fault == "token_death" and side.api == "gocardless" else fault

    async def _exchanged(
        self, side: Side, base_url: str, call: Call, headers: Mapping[str, str], left_s: float, fault: CallFault | None
    ) -> Answer:
        if fault in ("refused", "connect_timeout"):
            await asyncio.sleep(min(_CONNECT_S, left_s) if fault == "connect_timeout" else self._delay_s())
            raise TransportError(fault, sent=False)
        out_s, back_s = self._delay_s(), self._delay_s()
        if fault == "late_request":
            out_s = left_s + self._rng.random() * self.settle_s
        loop = asyncio.get_running_loop()
        received: asyncio.Future[Reply] = loop.create_future()
        if fault not in ("lost_request", "reset_before"):
            if not call.path.startswith("/oauth"):
                day = side.today()
                self.calls[side.connection, side.api, day] = self.calls.get((side.connection, side.api, day), 0) + 1
            # Of nobody: what is on its way arrives, whatever happens to who sent it.
            arriving = partial(self._arrive, received, side, base_url, call, headers, fault, back_s)
            loop.call_later(out_s, _begin, arriving)
        if fault in ("reset_before", "reset_after"):
            await asyncio.sleep(min(out_s + back_s, left_s))
            raise TransportError("reset", sent=True)
        if fault in ("lost_request", "lost_answer", "late_request"):
            await asyncio.sleep(left_s)
            raise TransportError("deadline", sent=True)
        too_late = loop.call_later(left_s, _settle, received, TransportError("deadline", sent=True))
        try:
            reply = await received
        finally:
            too_late.cancel()
        return self._received(side, reply, fault)

    async def _arrive(
        self,
        received: "asyncio.Future[Reply]",
        side: Side,
        base_url: str,
        call: Call,
        headers: Mapping[str, str],
        fault: CallFault | None,
        back_s: float,
    ) -> None:
        try:
            reply = await self._handled(side, base_url, call, headers, fault)
        except ConnectionResetError:
            _settle(received, TransportError("reset", sent=True))
        else:
            asyncio.get_running_loop().call_later(back_s, _settle, received, reply)

    async def _handled(
        self, side: Side, base_url: str, call: Call, headers: Mapping[str, str], fault: CallFault | None
    ) -> Reply:
        if fault is not None:
            side.world.keep_up()  # an application does it by itself
        if fault in ("token_death", "token_revoked"):
            side.world.apis[side.api].fault_effect(fault)
        if fault in _BEFORE:
            return self._spoilt(side, fault)
        if asyncio.get_running_loop().time() < side.token_refused_until_s:
            return self._reply(side, gocardless_of(side.world).refuse(usage("access_token_revoked", "Not taken now")))
        target = base_url.partition("//")[2].partition("/")[2]
        path = f"/{target}{call.path}" if target else call.path
        query = "&".join([f"{_quoted(name)}={_quoted(value)}" for name, value in call.query.items()])
        reply = await side.app.request(
            call.method,
            f"{path}?{query}" if query else path,
            {**call.headers, **headers, "Host": base_url.partition("//")[2].partition("/")[0]},
            call.body or b"",
        )
        return self._spoilt(side, fault) if fault in _AFTER and fault is not None else reply

    def _spoilt(self, side: Side, fault: CallFault) -> Reply:
        date = {"date": side.world.date_header()}
        if fault in ("html_before", "html_after"):
            return Reply(status=502, headers={"content-type": "text/html", **date}, body=_HTML)
        if fault == "unavailable":
            return Reply(status=503, headers=date, body=b"")
        return self._reply(side, side.world.apis[side.api].fault_response(_WORDS[fault][side.api]))

    def _reply(self, side: Side, made: web.Response) -> Reply:
        """A refusal that an API writes, as it comes over a network."""
        headers = {name.lower(): value for name, value in made.headers.items()}
        assert isinstance(made.body, bytes), "an API's refusal is written whole"
        return Reply(status=made.status, headers={**headers, "date": side.world.date_header()}, body=made.body)

    def _received(self, side: Side, reply: Reply, fault: CallFault | None) -> Answer:
        body, headers = reply.body, dict(reply.headers)
        if fault == "cut_answer":
            raise TransportError("truncated", sent=True)
        if fault == "damaged_answer" and body:
            # In no text: a damage that reads as something else cannot be told, and TLS lets none through.
            place = self._rng.randrange(len(body))
            body = body[:place] + b"\xff" + body[place + 1 :]
        if len(body) > MAX_ANSWER_BYTES:
            raise TransportError("too_large", sent=True)
        if fault == "odd_headers":
            headers |= self._rng.choice(_ODD_HEADERS)
        elif side.date_skew_s:
            said = side.world.now + timedelta(seconds=side.date_skew_s)
            headers["date"] = format_datetime(said, usegmt=True)
        return Answer(reply.status, headers, body)

    def _delay_s(self) -> float:
        """One way of a call: mostly tens of milliseconds, sometimes seconds."""
        drawn = self._rng.random()
        return 0.01 + 0.1 * drawn if drawn < 0.95 else 0.1 + 3 * self._rng.random()

    # --- webhooks ---

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes] | None:
        """A webhook of a simulator's to the program; None when nobody answered."""
        fault = self._rates.of_webhook(self._rng)
        if fault is not None:
            self.count(f"webhook.{fault}")
        if fault == "lost":
            await asyncio.sleep(_CONNECT_S)
            return None
        if fault == "late":
            await asyncio.sleep(self._rng.random() * 8)
        if fault in ("doubled", "replayed"):
            later_s = self._rng.random() * (5 if fault == "doubled" else 86_400 * 3)
            begin_for(None, self._again(url, headers, body, later_s))
        if fault == "forged":
            await self._delivered(url, {**headers, **_forged(headers, self._rng)}, body, forged=True)
        await asyncio.sleep(self._delay_s())
        status = await self._delivered(url, headers, body)
        return None if status is None else (status, {}, b"")

    async def _again(self, url: str, headers: Mapping[str, str], body: bytes, later_s: float) -> None:
        await asyncio.sleep(later_s)
        await self._delivered(url, headers, body)

    async def _delivered(
        self, url: str, headers: Mapping[str, str], body: bytes, *, forged: bool = False
    ) -> int | None:
        if self._gateway is None or not self._gateway[1].on:
            return None
        gateway, power = self._gateway
        parts, _, query = url.partition("//")[2].partition("?")
        _, _, api, connection, *module = parts.split("/")
        named: Api = "gocardless" if api == "gocardless" else "zoho"
        webhook = Webhook(connection, "".join(module), query, CIMultiDict(headers), "application/json", body)
        received = begin_for(power, gateway.receive(named, webhook))
        await asyncio.wait([received])
        if received.cancelled() or not power.on or received.exception() is not None:
            return None
        status = received.result()
        self._trace.note("webhook", connection, api, str(status))
        if status in _TAKEN:
            self.taken.append((connection, named, body))
            if forged:
                self.forged.append((connection, named))
        return status


@lru_cache(maxsize=4_096)  # names and most values come again with each call
def _quoted(text: str) -> str:
    return quote_plus(text)


def _begin(arriving: Callable[[], Coroutine[object, object, None]]) -> None:
    begin_for(None, arriving())


def _settle(received: "asyncio.Future[Reply]", end: Reply | TransportError) -> None:
    """The first end of a call counts; its sender may be gone, and nobody has to look."""
    if received.done():
        return
    if isinstance(end, Reply):
        received.set_result(end)
    else:
        received.set_exception(end)
        received.exception()


def _forged(headers: Mapping[str, str], rng: random.Random) -> dict[str, str]:
    """The same headers with another signature."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        if "signature" in name.lower():
            found[name] = "".join(rng.choice("0123456789abcdef") for _ in value)
    return found


class SimulatedTransport:
    """One incarnation's way to the APIs; the adapters' `Transport`."""

    def __init__(self, network: Network, power: Power) -> None:
        self._network = network
        self._power = power

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    async def exchange(self, base_url: str, call: Call, headers: Mapping[str, str], *, deadline_s: float) -> Answer:
        """As `Transport.exchange`."""
        return await self._network.call(self._power, base_url, call, headers, deadline_s)
