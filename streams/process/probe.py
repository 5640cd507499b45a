"""Probe: a question to the store that may hang, asked from a thread of its own, so that the answer to a person never
does.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Probe(Generic[T]):
    """Asks `work` in a thread, one at a time: while an answer is outstanding, everybody waits for that one. The thread
    holds up no exit.
    """

    def __init__(self, work: Callable[[], T], timeout_s: float) -> None:
        self._work = work
        self._timeout_s = timeout_s
        self._asked: asyncio.Future[T] | None = None

    async def ask(self) -> T:
        """The answer. Raises `TimeoutError` after `timeout_s` real seconds, and whatever `work` raises."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().create_future()
            self._asked.add_done_callback(_seen)
            threading.Thread(target=self._answer, args=(self._asked,), name="probe", daemon=True).start()
        async with asyncio.timeout(self._timeout_s):
            return await asyncio.shield(self._asked)

    def _answer(self, asked: asyncio.Future[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile: nobody waits for the answer
            try:
                found = self._work()
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to whoever asked
                asked.get_loop().call_soon_threadsafe(_fail, asked, error)
            else:
                asked.get_loop().call_soon_threadsafe(_give, asked, found)


def _give(asked: asyncio.Future[T], found: T) -> None:
    if not asked.done():
        asked.set_result(found)


def _fail(asked: asyncio.Future[T], error: Exception) -> None:
    if not asked.done():
        asked.set_exception(error)


def _seen(asked: asyncio.Future[T]) -> None:
    """An error that came after everybody had gone is no defect."""
    if not asked.cancelled():
        asked.exception()
