"""The deadline is checked right before the bytes go: whatever time passed on the way there, nothing late leaves this
process.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from adapters import http
from adapters.errors import TransportError
from adapters.http import Call

READ = Call("GET", "/payments")
WRITE = Call("POST", "/payments", body=b'{"payments": {}}')


class Peer:
    """A server that answers everything, and keeps every byte it got."""

    def __init__(self) -> None:
        self.got = b""
        self.url = ""
        self.closed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(65_536):
            self.got += part
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        self.closed.set()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with http.HttpTransport() as opened:
        yield opened


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[float]]:
    """The process is stopped for a hundred seconds after so many looks at the clock."""

    def stop(looks: int) -> list[float]:
        seen: list[float] = []

        def uptime_s() -> float:
            seen.append(0.0 if len(seen) < looks else 100.0)
            return seen[-1]

        monkeypatch.setattr(http, "uptime_s", uptime_s)
        return seen

    return stop


@pytest.mark.parametrize(
    ("call", "looks"), [(READ, 1), (WRITE, 1), (WRITE, 2)], ids=["read", "before the headers", "before the body"]
)
@pytest.mark.parametrize("kept", [False, True], ids=["a new connection", "a kept one"])
async def test_a_stop_on_the_way_to_the_write_keeps_it_back(peer, session, stop_after, call, looks, kept) -> None:
    if kept:
        await session.exchange(peer.url, READ, {}, deadline_s=5)
    before = peer.got
    seen = stop_after(looks)
    with pytest.raises(TransportError) as caught:
        await session.exchange(peer.url, call, {}, deadline_s=5)
    assert (caught.value.reason, caught.value.sent) == ("deadline", False)
    assert len(seen) == looks + 1, "the clock was looked at again, and that look was late"
    await asyncio.wait_for(peer.closed.wait(), 5)
    assert peer.got == before, "the connection was given up, and nothing had gone over it"


@pytest.mark.parametrize("call", [READ, WRITE])
async def test_what_is_in_time_goes_out(peer, session, stop_after, call) -> None:
    seen = stop_after(99)
    assert (await session.exchange(peer.url, call, {}, deadline_s=5)).status == 200
    assert len(seen) == (3 if call.body else 2)
    assert peer.got.startswith(call.method.encode())
    assert peer.got.endswith(call.body or b"\r\n\r\n")


async def test_the_last_moment_holds_whatever_the_deadline_of_the_call_says(peer, session) -> None:
    with http.nothing_sent_after(http.uptime_s()), pytest.raises(TransportError) as caught:
        await session.exchange(peer.url, WRITE, {}, deadline_s=5)
    assert (caught.value.reason, caught.value.sent) == ("deadline", False)
    with http.nothing_sent_after(http.uptime_s() + 5):
        await session.exchange(peer.url, WRITE, {}, deadline_s=5)
    with (
        http.nothing_sent_after(http.uptime_s() - 5),
        http.nothing_sent_after(http.uptime_s() + 5),
        pytest.raises(TransportError),
    ):
        await session.exchange(peer.url, WRITE, {}, deadline_s=5)
    await session.exchange(peer.url, READ, {}, deadline_s=5)
    assert (peer.got.count(b"POST /"), peer.got.count(b"GET /")) == (1, 1)


async def test_a_last_moment_that_comes_while_waiting_ends_the_call(session) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with http.nothing_sent_after(http.uptime_s() + 0.1), pytest.raises(TransportError) as caught:
        await session.exchange(url, WRITE, {}, deadline_s=30)
    assert (caught.value.reason, caught.value.sent) == ("deadline", True)
    server.close()
