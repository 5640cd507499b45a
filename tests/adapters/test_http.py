"""Real sockets that misbehave in every way that decides whether a write may have happened."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from adapters import http
from adapters.errors import TransportError
from adapters.http import Answer, Call, HttpTransport

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
READ = Call("GET", "/payments")
WRITE = Call("PUT", "/customerpayments", body=b'{"amount": 1}')


@asynccontextmanager
async def listening(peer: Peer) -> AsyncIterator[str]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await peer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client hung up first, as some tests mean it to
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def replying(raw: bytes) -> Peer:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(raw)
        await writer.drain()

    return peer


async def ask(peer: Peer, call: Call = READ, *, deadline_s: float = 5.0) -> Answer:
    async with listening(peer) as url, HttpTransport() as opened:
        return await opened.exchange(url, call, {}, deadline_s=deadline_s)


async def failure(peer: Peer, call: Call = READ, *, deadline_s: float = 5.0) -> tuple[str, bool]:
    with pytest.raises(TransportError) as caught:
        await ask(peer, call, deadline_s=deadline_s)
    assert caught.value.retriable
    return caught.value.reason, caught.value.sent


async def test_an_answer_is_given_whole_whatever_its_status() -> None:
    answer = await ask(replying(b"HTTP/1.1 502 Bad Gateway\r\nX-Mixed-Case: a\r\nContent-Length: 9\r\n\r\n<html>502"))
    assert (answer.status, answer.body, answer.headers["x-mixed-case"]) == (502, b"<html>502", "a")


async def test_path_query_headers_and_body_arrive_as_they_were_given() -> None:
    seen: list[bytes] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await head(reader))
        seen.append(await reader.readexactly(2))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()

    call = Call(
        "POST",
        "/a%2Fb",
        {"created_at[gte]": "2026-03-02T09:00:00.000Z", "q": "a+b&c"},
        b"{}",
        {"Idempotency-Key": "zg01-1"},
    )
    async with listening(peer) as url, HttpTransport() as opened:
        answer = await opened.exchange(
            url + "/", call, {"Authorization": "Bearer t", "Content-Type": "application/json"}, deadline_s=5
        )
    assert answer.status == 204
    line, *fields = seen[0].split(b"\r\n")
    assert line == b"POST /a%2Fb?created_at%5Bgte%5D=2026-03-02T09:00:00.000Z&q=a%2Bb%26c HTTP/1.1"
    assert {b"Idempotency-Key: zg01-1", b"Authorization: Bearer t", b"Content-Type: application/json"} <= set(fields)
    assert seen[1] == b"{}"


async def test_credentials_win_over_headers_of_the_call() -> None:
    seen: list[bytes] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await head(reader))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()

    async with listening(peer) as url, HttpTransport() as opened:
        await opened.exchange(
            url, Call("GET", "/", headers={"Authorization": "old"}), {"Authorization": "new"}, deadline_s=5
        )
    assert b"Authorization: new\r\n" in seen[0]
    assert b"old" not in seen[0]


async def test_nobody_listening_was_surely_not_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused for as long as we hold it
        async with HttpTransport() as opened:
            with pytest.raises(TransportError) as caught:
                await opened.exchange(f"http://127.0.0.1:{taken.getsockname()[1]}", WRITE, {}, deadline_s=5)
    assert (caught.value.reason, caught.value.sent) == ("refused", False)


async def test_a_peer_without_tls_was_surely_not_sent() -> None:
    async def peer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with listening(peer) as url, HttpTransport() as opened:
        with pytest.raises(TransportError) as caught:
            await opened.exchange(url.replace("http:", "https:"), WRITE, {}, deadline_s=5)
    assert (caught.value.reason, caught.value.sent) == ("refused", False)


async def test_a_spent_deadline_sends_nothing() -> None:
    async def peer(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        pytest.fail("a connection was made")

    assert await failure(peer, deadline_s=0.0) == ("deadline", False)


async def test_silence_ends_at_the_deadline_and_may_have_been_sent() -> None:
    async def peer(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await head(reader)
        await reader.read()  # until the client gives up

    assert await failure(peer, WRITE, deadline_s=0.2) == ("deadline", True)


async def test_a_body_that_trickles_ends_at_the_deadline() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    assert await failure(peer, deadline_s=0.3) == ("deadline", True)


async def test_a_full_pool_was_surely_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr(http, "CONNECT_TIMEOUT_S", 0.1)

    async def peer(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await head(reader)
        await reader.read()

    async with listening(peer) as url, HttpTransport() as opened:
        first = asyncio.create_task(opened.exchange(url, WRITE, {}, deadline_s=0.5))
        await asyncio.sleep(0.05)
        with pytest.raises(TransportError) as caught:
            await opened.exchange(url, WRITE, {}, deadline_s=0.4)
        assert (caught.value.reason, caught.value.sent) == ("connect_timeout", False)
        with pytest.raises(TransportError):
            await first


async def test_a_reset_may_have_been_sent() -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head(reader)
        writer.transport.abort()

    assert await failure(peer, WRITE) == ("reset", True)


async def test_a_close_without_an_answer_may_have_been_sent() -> None:
    assert await failure(replying(b""), WRITE) == ("reset", True)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nshort",
    ],
)
async def test_a_truncated_body_is_no_answer(raw: bytes) -> None:
    assert await failure(replying(raw), WRITE) == ("truncated", True)


async def test_something_that_is_not_http_is_no_answer() -> None:
    assert await failure(replying(b"220 mail.example ESMTP\r\n\r\n"), WRITE) == ("malformed", True)


async def test_a_huge_body_is_cut_off() -> None:
    size = http.MAX_ANSWER_BYTES + 1
    raw = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * size
    assert await failure(replying(raw), WRITE) == ("too_large", True)


async def test_a_body_that_unpacks_to_something_huge_is_cut_off() -> None:
    packed = gzip.compress(b"\0" * (http.MAX_ANSWER_BYTES + 1))
    raw = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode() + packed
    assert await failure(replying(raw), WRITE) == ("too_large", True)


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    answer = await ask(
        replying(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), WRITE
    )
    assert (answer.status, answer.headers["location"]) == (302, "http://127.0.0.1:1/")


async def test_cookies_are_not_kept() -> None:
    heads: list[bytes] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await head(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    async with listening(peer) as url, HttpTransport() as opened:
        for _ in range(2):
            await opened.exchange(url, READ, {}, deadline_s=5)
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


async def test_a_write_into_a_dying_kept_connection_is_not_sent_again() -> None:
    requests = 0

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while True:
            await head(reader)
            requests += 1
            if requests > 1:
                return  # closes: the write may or may not have been carried out
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

    async with listening(peer) as url, HttpTransport() as opened:
        await opened.exchange(url, READ, {}, deadline_s=5)
        with pytest.raises(TransportError) as caught:
            await opened.exchange(url, WRITE, {}, deadline_s=5)
    assert (caught.value.reason, caught.value.sent) == ("reset", True)
    assert requests == 2


async def test_no_error_repeats_what_was_sent() -> None:
    with pytest.raises(TransportError) as caught:
        await ask(replying(b""), Call("GET", "/customers", {"email": "someone@example.com"}))
    assert "example.com" not in f"{caught.value!r}{caught.value.__cause__}"
    assert caught.value.__suppress_context__
