"""A running sandbox as the commands below `sandbox` reach it: its address, and `/_sandbox/*` over HTTP."""

import contextlib
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any, Final, TypeVar

import click
import msgspec

from adapters.errors import TransportError
from adapters.http import Answer, Call, HttpTransport, Transport
from streams.cli.codes import CannotCreate, Unavailable
from streams.cli.command import Session
from streams.cli.sandbox_address import last

#: Real seconds for an answer. Lower: a sandbox that is busy with thousands of customers looks like none. Higher: one
#: that hangs is told later.
_ANSWER_S: Final = 30.0

#: Characters shown of what the sandbox says. Lower: the reason is cut off. Higher: a page of HTML fills the terminal.
_SHOWN_MAX: Final = 300

_START: Final = "start one with `zoho-gocardless sandbox`, or name the address of one that runs with --at"

_F = TypeVar("_F", bound=Callable[..., Any])


def at_option(command: _F) -> _F:
    """Add `--at`."""
    return click.option(
        "--at",
        metavar="URL",
        callback=_url,
        help="Either address of the sandbox. Else the setting clock, else the sandbox that you started last.",
    )(command)


def _url(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    if not value.startswith(("http://", "https://")):
        raise click.BadParameter("use an address that begins with http://, as `sandbox` prints it")
    return value.rstrip("/")


class Remote:
    """The sandbox at an address. Raises `Unavailable` where none answers there."""

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport = transport
        self.url = url

    async def clock(self) -> dict[str, Any]:
        """What time it is there, how it goes, and who takes part."""
        found = await self.get("/_sandbox/clock")
        if not isinstance(found, dict) or not found.keys() >= {"now", "flowing", "participants"}:
            raise _other(HTTPStatus.OK, self.url)
        return found

    async def get(self, path: str, **query: str) -> Any:
        """Read something."""
        return self._decoded(await self._sent(Call("GET", path, query=query)))

    async def customers(self) -> list[dict[str, Any]]:
        """The customers in the simulated books."""
        contacts: list[dict[str, Any]] = await self.get("/_sandbox/state", part="zoho/contacts")
        return [held for held in contacts if held["contact_type"] == "customer"]

    async def post(self, path: str, document: dict[str, Any]) -> Any:
        """Have something done. Raises `CannotCreate` when the sandbox refuses it, with its words."""
        headers = {"Content-Type": "application/json"}
        answer = await self._sent(Call("POST", path, body=msgspec.json.encode(document), headers=headers))
        if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT):
            raise CannotCreate(f"the sandbox refused it: {_shown(answer)}", self.url, "correct it, and try again")
        return self._decoded(answer)

    async def _sent(self, call: Call) -> Answer:
        try:
            return await self._transport.exchange(self.url, call, {}, deadline_s=_ANSWER_S)
        except TransportError as error:
            raise Unavailable(f"no sandbox answers ({error.reason})", self.url, _START) from None

    def _decoded(self, answer: Answer) -> Any:
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Unavailable(f"the sandbox has failed: {_shown(answer)}", self.url, "report this, and start it again")
        try:
            if answer.status == HTTPStatus.OK:
                return msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
        raise _other(answer.status, self.url)


def _other(status: int, url: str) -> Unavailable:
    return Unavailable(f"what answers ({status}) is not the sandbox, or an older one", url, _START)


@contextlib.asynccontextmanager
async def opened(session: Session, at: str | None) -> AsyncIterator[Remote]:
    """Reach the sandbox that is meant: the one at `at`, else that of the settings, else the one that was started last.

    Raises:
        Unavailable: none of these is known.
        SettingsError: the settings that were named are wrong.

    """
    url = at or _of_settings(session)
    if not url:
        running = last()
        if running is None:
            raise Unavailable("no sandbox runs that you have started", "this machine", _START)
        url = running.gocardless
    http = HttpTransport()
    try:
        yield Remote(http, url)
    finally:
        await http.close()


def _of_settings(session: Session) -> str:
    """The setting `clock`, where settings are given at all."""
    return session.settings.clock.rstrip("/") if session.has_settings else ""


def _shown(answer: Answer) -> str:
    text = " ".join(answer.body.decode(errors="replace").split())
    return text if len(text) <= _SHOWN_MAX else f"…{text[-_SHOWN_MAX:]}"
