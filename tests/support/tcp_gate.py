"""A door between clients and one server, to be shut and opened while they talk: a network cut, as both sides feel it."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, Self, TypeVar

_T = TypeVar("_T")

# One read. Lower: more turns of the loop per megabyte; higher: more is under way inside the door when it shuts.
_CHUNK_BYTES: Final = 64 * 1024
# The loop's thread only moves bytes. Lower: a false alarm on a loaded machine; higher: a hang is seen later.
_ANSWER_WITHIN_S: Final = 10.0


class Gate:
    """Listens on the loopback and forwards to a server's port, from a thread of its own: for synchronous and
    asynchronous tests alike.
    """

    def __init__(self, server_port: int, port: int = 0) -> None:
        """Forward from `port` (0: any free one) to `server_port`; nobody has to listen there yet."""
        self._server_port = server_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._talks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gate", daemon=True)
        self._thread.start()
        self._server = self._in_loop(asyncio.start_server(self._talk, "127.0.0.1", port))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Nothing passes any more, in either direction, and nobody is told: no end, no reset.

        As with packets that are lost: what was sent meanwhile arrives after `mend`, if both sides still hold the
        connection.
        """
        self._call(self._open.clear)

    def mend(self) -> None:
        self._call(self._open.set)

    def close_all(self) -> None:
        """Reset every connection of the moment; new ones pass."""
        self._call(self._reset)

    def stop(self) -> None:
        """Reset all and listen no more. Nothing if done already."""
        if not self._loop.is_closed():
            self._in_loop(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_ANSWER_WITHIN_S)
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _in_loop(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_WITHIN_S)

    def _call(self, action: Callable[[], None]) -> None:
        async def acted() -> None:
            action()

        self._in_loop(acted())

    def _reset(self) -> None:
        for writer in self._writers:
            # Lingering for no time at all is how a socket is told to end with a reset and not with an orderly end.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        self._reset()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _talk(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """One client's connection, from its beginning to its end."""
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        self._writers.add(to_client)
        try:
            await self._open.wait()
            server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
            self._writers.add(to_server)
            try:
                await self._both(self._pass(client, to_server), self._pass(server, to_client))
            finally:
                self._writers.discard(to_server)
                to_server.close()
        except OSError:  # nobody listens behind the gate: the client's connection ends
            return
        finally:
            self._writers.discard(to_client)
            to_client.close()
            self._talks.discard(talk)

    async def _both(self, *directions: Coroutine[Any, Any, None]) -> None:
        """Until one ends: neither Kafka nor PostgreSQL goes on over half a connection."""
        tasks = [asyncio.ensure_future(direction) for direction in directions]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until either end is gone; that end is seen only while the gate is open."""
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                await self._open.wait()
                writer.write(chunk)
                await writer.drain()
        except OSError:
            return
        finally:
            await self._open.wait()
