"""`run`: the program itself, until SIGTERM or SIGINT. It logs JSON lines to stderr, without secrets or personal
data.
"""

import asyncio
import contextlib
import logging
import signal
import sys
import traceback
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import click
import structlog

from streams.cli.codes import INTERNAL, CommandError
from streams.cli.command import CliCommand, Reply, Session, text
from streams.cli.explain import explain
from streams.log.interface import LogLocked
from streams.log.worker import WorkerFailed
from streams.operate.replay import mend_outbox
from streams.process.health import Role
from streams.process.program import ROLES, Pages, Program
from streams.process.stall_watch import LastResort
from streams.web.pages import Web

#: Frames of a traceback that are logged. Lower: the place of a fault may be missing. Higher: longer lines.
_FRAMES: Final = 12
#: Starts that are tried while the lock is taken, and seconds between them. Lower: a look in the same instant keeps it
#: from starting. Higher: that another one runs is told later.
_TRIES: Final = 3
_AGAIN_S: Final = 0.2
#: Characters of a library's text that are logged.
_TEXT: Final = 200


class StageFailed(CommandError):  # noqa: N818 - named by the condition
    """A stage failed while the program ran; it stopped whole, and goes on from its stored positions when it is started
    again.
    """

    exit_code = INTERNAL


@click.command(cls=CliCommand)
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="all",
    show_default=True,
    help="What this process does; one log shared by several needs kafka://.",
)
@click.option(
    "--name", default="", help="What tells this process apart from others of its role to the simulators' clock."
)
def run(session: Session, role: Role, name: str) -> Reply:
    """Run until asked to stop (SIGTERM, or Ctrl-C); then finish the calls under way, and end with 0.

    A failed stage ends the program with 70: start it again, and every stage goes on from where it had come.
    """
    log_to_stderr()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(session, role, name))
    return Reply({"state": "stopped"}, text("Stopped."))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - it is not there on Windows

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _run(session: Session, role: Role, name: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        last = LastResort(INTERNAL)
        stack.callback(last.cancel)
        program = await _started(session, stack, role, name)
        loop = asyncio.get_running_loop()

        def end() -> None:
            program.stop()
            last.start()  # with the brokers away, a client of theirs may wait for them

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, end)
            stack.callback(loop.remove_signal_handler, number)
        url = f"http://{session.settings.gateway.host}:{program.port}"
        served = (
            "webhooks, /health, /ready and /metrics" if role in ("all", "gateway") else "/health, /ready and /metrics"
        )
        session.say({"state": "running", "role": role, "url": url}, f"Running; {served} at {url}. Ctrl-C stops it.")
        try:
            await program.run()
        except Exception as error:
            last.start()
            raise _failed(error) from error


async def _started(session: Session, stack: contextlib.AsyncExitStack, role: Role, name: str) -> Program:
    """The program, started; it begins again when a command that looks whether one runs had the lock just then."""
    pages: Pages | None = (lambda store, names: Web(store, names).routes()) if role == "web" else None
    for left in range(_TRIES, 0, -1):
        try:
            return await stack.enter_async_context(Program(session.making(), role, name, pages=pages, mend=mend_outbox))
        except LogLocked:
            if left == 1:
                raise
            await asyncio.sleep(_AGAIN_S)
        except WorkerFailed as error:
            raise _failed(error) from error
    raise AssertionError("the last try returns or raises")


def _failed(error: Exception) -> StageFailed:
    """What to tell of a failed stage: its own error, not that of the worker around it."""
    cause = error.__cause__ if isinstance(error, WorkerFailed) and error.__cause__ is not None else error
    failure, _ = explain(cause)
    structlog.get_logger("zoho_gocardless").error("stage_failed", code=failure.code, what=failure.what, exc_info=cause)
    return StageFailed(f"a stage failed: {failure.what}", failure.where, f"{failure.remedy}; then start it again")


# --- logging ---


def log_to_stderr() -> None:
    """JSON lines on stderr: what this program says, and warnings of the libraries as their fixed texts, without the
    values in them.
    """
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _only_places,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    handler = _Library(logging.WARNING)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _only_places(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception becomes its type and where it was raised: its message may hold what came from outside."""
    found = line.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()[1]
    if isinstance(found, BaseException):
        line["fault"] = type(found).__name__
        frames = traceback.extract_tb(found.__traceback__)[-_FRAMES:]
        line["at"] = [f"{frame.filename.rsplit('/', maxsplit=1)[-1]}:{frame.lineno} {frame.name}" for frame in frames]
    return line


class _Library(logging.Handler):
    """A library's warning: its own fixed text. The values that belong into it may hold anything."""

    def emit(self, record: logging.LogRecord) -> None:
        fault = record.exc_info[1] if record.exc_info else None
        said = {"library": record.name, "text": str(record.msg)[:_TEXT]}
        structlog.get_logger("zoho_gocardless").log(record.levelno, "library", **said, exc_info=fault)
