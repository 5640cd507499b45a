"""What every command shares: its options, one envelope for `--json`, one line for an error, the exit code, progress.

A command is a function of a `Session` that returns a `Reply`; how that is shown, and what an error becomes, is decided
here alone.
"""

import asyncio
import contextlib
import difflib
import io
import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, MutableMapping
from datetime import datetime
from functools import cached_property
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

import click
import msgspec
from click.shell_completion import CompletionItem
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from domain import times
from streams.cli import places
from streams.cli.codes import INTERRUPTED, READER_GONE, USAGE, NotFound
from streams.log.engines import log_of
from streams.setting_faults import Fault
from streams.settings import (
    FILE_VARIABLE,
    PREFIX,
    Settings,
    SettingsError,
    load_with_origin,
    settings_file,
    usual_files,
)

PROGRAM: Final = "zoho-gocardless"

#: Columns of a table that is not shown on a terminal. Lower: rows of more lines. Higher: lines that a mail or a log
#: breaks anywhere.
_PIPE_WIDTH: Final = 100
#: Least columns for what is broken into lines. Lower: words are broken as well. Higher: fewer columns stay whole.
_LEAST: Final = 12
#: Columns between two columns of a table, as rich has it.
_BETWEEN: Final = 2

#: Seconds from one line about progress to the next. Lower: a log full of them. Higher: it looks as if it hung.
_MILESTONE_S: Final = 1.0

_STORES: Final = ("sqlite:///", "postgresql://", "postgresql+psycopg://")

T = TypeVar("T")

_encode: Final = msgspec.json.Encoder(order="deterministic", enc_hook=str).encode


#: Where click keeps a `--config` that stands before the command.
_CONFIG: Final = f"{PROGRAM}.config"


class Reply(NamedTuple):
    """What a command answers: `data` for the envelope, `show` for people, and how it ends."""

    data: Any
    show: Callable[[Console], None]
    exit_code: int = 0


def text(*lines: str) -> Callable[[Console], None]:
    """Show lines of text."""

    def show(console: Console) -> None:
        for line in lines:
            console.print(line)

    return show


class _Fitted:
    """A table that is made when its width is known."""

    def __init__(self, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        self._columns = columns
        self._rows = rows

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        whole = self._whole(options.max_width)
        found = Table(box=None, pad_edge=False, header_style="bold")
        for number, name in enumerate(self._columns):
            found.add_column(name, overflow="fold", no_wrap=number in whole)
        for row in self._rows:
            found.add_row(*row)
        yield found

    def _whole(self, width: int) -> set[int]:
        """The columns that stay on one line: those of single words first, since a part of an id helps nobody; as many
        as leave room for the others.
        """
        cells = list(zip(self._columns, *self._rows, strict=True))
        longest = [max(map(len, one)) for one in cells]
        words = [any(" " in cell for cell in one[1:]) for one in cells]
        room, found = width - _BETWEEN * (len(cells) - 1) - _LEAST * len(cells), set[int]()
        for number in sorted(range(len(cells)), key=lambda number: (words[number], longest[number])):
            room -= max(0, longest[number] - _LEAST)
            if room < 0:
                break
            found.add(number)
        return found


def table(*columns: str, rows: Iterable[tuple[str, ...]]) -> _Fitted:
    """A plain table, as wide as the terminal: what is too long goes on in the next line, and nothing is cut off."""
    return _Fitted(columns, list(rows))


def day_of(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Read an option or argument that is a day; "" stays as it is."""
    try:
        return times.day(value).isoformat() if value else ""
    except times.TimeError as error:
        raise click.BadParameter(str(error)) from None


def instant_of(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    """Read an option that is an instant; None where it was not given."""
    try:
        return None if value is None else times.parse(value)
    except times.TimeError as error:
        raise click.BadParameter(str(error)) from None


def envelope(command: str, data: Any, error: Any = None) -> str:
    """The one line of `--json`."""
    return _encode({"ok": error is None, "command": command, "data": data, "error": error}).decode()


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich would exit with 1 (`CliGroup.main` says with what we do)."""
        raise BrokenPipeError


class Session:
    """What a command is given: the settings, how to show progress, how to run a coroutine, how to say something while
    it runs.
    """

    def __init__(self, name: str, config: Path | None, *, as_json: bool, debug: bool) -> None:
        self.name = name
        self.as_json = as_json
        self.debug = debug
        self._config = config
        self._next_milestone_s = 0.0
        self.console = _Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
        if not self.console.is_terminal and "COLUMNS" not in os.environ:
            self.console.width = _PIPE_WIDTH

    @property
    def has_settings(self) -> bool:
        """Whether settings were given at all: a file, or the environment."""
        return self._settings_file is not None or any(name.startswith(PREFIX) for name in os.environ)

    @cached_property
    def _settings_file(self) -> Path | None:
        return self._config or settings_file(os.environ)

    @cached_property
    def settings(self) -> Settings:
        """The settings. Raises `SettingsError`."""
        if not self.has_settings:
            usual = ", ".join(map(str, usual_files(os.environ)))
            remedy = f"name the file with --config or in {FILE_VARIABLE}, or put it where it is looked for: {usual}"
            raise SettingsError(f"the settings: none are given; {remedy}")
        found, origin = load_with_origin(self._settings_file)
        if not found.store.startswith(_STORES):
            raise origin.refuse(Fault(("store",), "no store has such an address", f"use {' or '.join(_STORES)}…"))
        try:
            log_of(found)
        except ValueError as error:
            raise origin.refuse(_of_log(str(error))) from None
        return found

    def existing(self, *parts: places.Part) -> Settings:
        """The settings of an installation whose log or store is there: for what only looks. Raises as `settings`, and
        `Unavailable`.
        """
        places.require(self.settings, *parts)
        return self.settings

    def making(self) -> Settings:
        """The settings, for what makes log or store. Raises as `settings`, and `CannotCreate` without their folders."""
        places.require_folders(self.settings)
        return self.settings

    def connection(self, name: str | None) -> str:
        """The connection that is meant: the one named, or the only one there is.

        Raises:
            NotFound: no such connection in the settings.
            SettingsError: none, or several and none named.

        """
        names = sorted(self.settings.connections)
        if name is not None:
            if name not in names:
                known = f"there are {', '.join(names)}" if names else "there is none"
                raise NotFound(f"no connection {name[:40]!r}", "the settings", known)
            return name
        if len(names) != 1:
            what = (
                "several connections; say which with --connection"
                if names
                else "no connection; add one under [connections.NAME]"
            )
            raise SettingsError(f"the settings: {what}")
        return names[0]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return asyncio.run(work)

    def say(self, data: Any, line: str) -> None:
        """Something that cannot wait for the end: a line for people, or an envelope of its own."""
        click.echo(envelope(self.name, data) if self.as_json else line)
        with contextlib.suppress(io.UnsupportedOperation):
            sys.stdout.flush()

    def note(self, line: str) -> None:
        """Something to know on the way, on stderr, which no envelope shares."""
        click.echo(line, err=True)

    def milestone(self, line: str) -> None:
        """How far it is, on stderr where that shows no bar: a log of a long command must not look like one that hangs.
        At most one line a second.
        """
        if self.as_json or sys.stderr.isatty() or monotonic() < self._next_milestone_s:
            return
        self._next_milestone_s = monotonic() + _MILESTONE_S
        self.note(line)

    @contextlib.contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Count along on stderr, when that is a terminal; otherwise nothing is shown."""
        if self.as_json or not sys.stderr.isatty():
            yield lambda _: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.advance(task, count)


def _first_sentence(help_text: str) -> str:
    return " ".join(help_text.split("\n\n", maxsplit=1)[0].split()).partition(". ")[0].rstrip(".:") + "."


def _of_log(said: str) -> Fault:
    """What an engine says of an address that is none of its own."""
    what, _, remedy = said.removeprefix("log URL: ").partition("; ")
    if not remedy:
        what, _, remedy = what.rpartition("use ")
        remedy = f"use {remedy}"
    return Fault(("log",), what.rstrip(": ") or "no log has such an address", remedy)


def _config_option(**more: Any) -> click.Option:
    return click.Option(
        ["--config"],
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"The settings file; else ${FILE_VARIABLE}, ./settings.toml, or in ~/.config or /etc.",
        **more,
    )


def _keep_config(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    """Keep what stands before the command for the command."""
    if value is not None:
        context.meta[_CONFIG] = value


class CliCommand(click.Command):
    """A command with the options that all have."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.short_help = self.short_help or _first_sentence(self.help or "")
        self.params += [
            _config_option(),
            click.Option(["--json", "as_json"], is_flag=True, help="One JSON envelope on stdout."),
            click.Option(["--debug"], is_flag=True, help="Show the traceback of an error."),
        ]

    def invoke(self, ctx: click.Context) -> int:
        """Call the function with its session, show the reply, give the exit code."""
        name = ctx.command_path.removeprefix(f"{PROGRAM} ")
        given = dict(ctx.params)
        config = given.pop("config") or ctx.meta.get(_CONFIG)
        session = Session(name, config, as_json=given.pop("as_json"), debug=given.pop("debug"))
        try:
            assert self.callback is not None, "every command is a function"
            reply: Reply = ctx.invoke(self.callback, session, **given)
            if session.as_json:
                click.echo(envelope(name, reply.data))
            else:
                reply.show(session.console)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except BrokenPipeError:
            raise _Enough from None
        except (KeyboardInterrupt, click.Abort):
            raise _Interrupted(name) from None
        except Exception as error:
            if session.debug:
                raise
            raise _Failed(name, error) from error
        return reply.exit_code


class _Enough(Exception):  # noqa: N818 - whoever read our output has had enough; it must pass by click, which ends with 1
    pass


class _Failed(Exception):  # noqa: N818 - never shown: it carries the name of the command to where the error is told
    def __init__(self, command: str, error: BaseException) -> None:
        super().__init__(command)
        self.command = command
        self.error = error


class _Interrupted(_Failed):
    def __init__(self, command: str) -> None:
        super().__init__(command, KeyboardInterrupt())


class _Loaded(MutableMapping[str, click.Command]):
    """Commands by name; those of `lazy` (name → module, attribute, short help) are loaded when they are asked for."""

    def __init__(self, lazy: dict[str, tuple[str, str, str]]) -> None:
        self._lazy = lazy
        self._made: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._made and name in self._lazy:
            module, attribute, said = self._lazy[name]
            self._made[name] = getattr(import_module(module), attribute)
            self._made[name].short_help = said
        return self._made[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._lazy, *self._made)))

    def __len__(self) -> int:
        return len(self._lazy.keys() | self._made.keys())


class CliGroup(click.Group):
    """Commands that are loaded when they are asked for. `lazy`: name → (module, attribute, short help). `--config` may
    stand before the command as well as after it.
    """

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str, str]] | None = None, **kwargs: Any) -> None:
        self._lazy = lazy or {}
        super().__init__(*args, **kwargs)
        self.commands = _Loaded(self._lazy)
        self.short_help = self.short_help or _first_sentence(self.help or "")
        if all(one.name != "config" for one in self.params):  # a group that is a command as well has its own
            self.params.append(_config_option(expose_value=False, callback=_keep_config))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which one needs them, or of the alphabet."""
        return list(self._lazy) or super().list_commands(ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, without loading any: a key press must not take seconds."""
        if not self._lazy:
            return super().shell_complete(ctx, incomplete)
        found = [
            CompletionItem(name, help=said) for name, (*_, said) in self._lazy.items() if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the command that was probably meant when there is none of the name."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchOption:
            raise
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            if not close:
                raise
            raise click.UsageError(f"{error.message} Did you mean '{close[0]}'?", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, without loading any."""
        if not self._lazy:
            super().format_commands(ctx, formatter)
            return
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, _, said) in self._lazy.items()])

    def main(self, args: Any = None, prog_name: str | None = None, **extra: Any) -> NoReturn:  # type: ignore[override] # it always exits
        """Run, and exit with the documented code; an error is one line, or one envelope."""
        del prog_name
        words = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            code = self._run(words, extra)
        except (_Enough, BrokenPipeError):
            # Python would complain once more while it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = READER_GONE
        sys.exit(code)

    def _run(self, words: list[str], extra: dict[str, Any]) -> int:
        try:
            code = super().main(words, PROGRAM, **extra)
        except SystemExit as ended:
            if isinstance(ended.__context__, BrokenPipeError):  # click's own way, where it has written the help
                raise _Enough from None
            raise
        except _Interrupted as stopped:
            code = _tell_interrupted(stopped.command, as_json="--json" in words)
        except click.Abort:
            code = _tell_interrupted("", as_json="--json" in words)
        except _Failed as failed:
            code = _tell(failed.command, failed.error, as_json="--json" in words)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            code = USAGE
        except click.ClickException as error:
            code = _tell_usage(error, as_json="--json" in words)
        return code if isinstance(code, int) else 0


def _tell(command: str, error: BaseException, *, as_json: bool) -> int:
    from streams.cli.explain import explain  # noqa: PLC0415 - it knows every room's errors, and so loads them

    failure, code = explain(error)
    click.echo(envelope(command, None, failure) if as_json else failure.line, err=not as_json)
    return code


def _tell_interrupted(command: str, *, as_json: bool) -> int:
    if as_json:
        error = {
            "code": "interrupted",
            "what": "interrupted",
            "where": "the keyboard",
            "remedy": "run it again",
            "retriable": True,
        }
        click.echo(envelope(command, None, error))
    return INTERRUPTED


def _tell_usage(error: click.ClickException, *, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    remedy = f"see `{path} --help`"
    failure = {
        "code": "usage",
        "what": error.format_message(),
        "where": "the command line",
        "remedy": remedy,
        "retriable": False,
    }
    if as_json:
        click.echo(envelope(path.removeprefix(PROGRAM).strip(), None, failure))
    else:
        click.echo(f"error[usage]: {failure['what']}; {remedy}", err=True)
    return USAGE
