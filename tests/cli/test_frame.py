"""The frame: one envelope, one line for an error, documented exit codes, no traceback."""

import asyncio
import fcntl
import importlib
import io
import json
import os
import pkgutil
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

import streams.cli
from adapters.errors import AdapterError, CredentialError, TransportError, VaultError
from domain.errors import AmountError
from projections.store.errors import StoreError, StoreFenced, StoreUnavailable
from streams.cli import main, status
from streams.cli.codes import MEANINGS, CommandError
from streams.cli.command import CliCommand, CliGroup, table
from streams.cli.explain import code_of, explain
from streams.cli.run import _failed as failed
from streams.log.interface import LogCorrupt, LogError, LogFull, LogReadOnly
from streams.log.worker import WorkerFailed
from streams.operate.acts import Refused
from streams.settings import SettingsError
from tests.support.company import events_of

DOCS = Path(__file__).parents[2] / "docs"


def _all(kind: type[BaseException]) -> list[type[BaseException]]:
    return [kind, *(one for below in kind.__subclasses__() for one in _all(below))]


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        one = group.get_command(context, name)
        assert one is not None, name
        found += _commands(one, (*path, name)) if isinstance(one, click.Group) else [((*path, name), one)]
    return found


def test_every_command_has_the_common_options_and_its_section():
    documented = (DOCS / "cli.md").read_text()
    for path, command in _commands(main):
        assert isinstance(command, CliCommand), path
        assert {"config", "as_json", "debug"} <= {one.name for one in command.params}, path
        assert f"`{' '.join(path)}" in documented, path
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--"):
                    assert f"`{option}" in documented, (path, option)


def test_the_exit_codes_are_those_of_the_documentation():
    rows = re.findall(r"^\| (\d+) \| (.+?) \|$", (DOCS / "cli.md").read_text(), re.MULTILINE)
    assert {int(code): said for code, said in rows} == MEANINGS


def _kinds():
    for module in pkgutil.iter_modules(streams.cli.__path__):
        if module.name != "__main__":
            importlib.import_module(f"streams.cli.{module.name}")
    kinds = {
        one for base in (CommandError, LogError, StoreError, AdapterError, Refused, SettingsError) for one in _all(base)
    }
    bases = {CommandError, LogError, AdapterError, VaultError}
    return [one for one in kinds - bases if one.__module__.split(".")[0] in {"streams", "adapters", "projections"}]


def test_every_error_has_its_section_and_no_section_is_left_over():
    codes = {code_of(one) for one in _kinds()}
    codes |= {"usage", "internal", "interrupted", "address_in_use", "system", "rules"}
    sections = re.findall(r"^## `(\w+)`$", (DOCS / "errors.md").read_text(), re.MULTILINE)
    assert sorted(sections) == sorted(set(sections))
    assert set(sections) == codes


def _one(kind):
    if issubclass(kind, CommandError | LogError | StoreError | Refused):
        return kind("what", "where", "remedy")
    if issubclass(kind, TransportError):
        return kind("refused", sent=False)
    return kind("where: what")


def test_the_sections_tell_the_true_exit_code_and_whether_to_try_again():
    sections = re.findall(
        r"^## `(\w+)`\n.*?^Exit code (\d+)(; retriable)?\.$", (DOCS / "errors.md").read_text(), re.MULTILINE | re.DOTALL
    )
    told = {code: (int(exit_code), bool(retriable)) for code, exit_code, retriable in sections}
    for kind in _kinds():
        failure, exit_code = explain(_one(kind))
        assert told[failure.code] == (exit_code, failure.retriable), kind


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (LogFull("no room", "log.db", "free some"), "log_full", 75),
        (LogReadOnly("exists", "log.db", "move it"), "log_read_only", 73),
        (LogCorrupt("damaged", "log.db", "restore"), "log_corrupt", 69),
        (StoreUnavailable("locked", "store.db", "again"), "store_unavailable", 75),
        (StoreFenced("lost", "store.db", "restart"), "store_fenced", 69),
        (SettingsError("a.toml: log: wrong; write it so"), "settings", 3),
        (CredentialError("no token"), "credential", 4),
        (TransportError("refused", sent=False), "transport", 75),
        (AmountError("too long"), "rules", 70),
        (ConnectionRefusedError(111, "Connection refused"), "system", 69),
        (OSError(98, "Address already in use"), "address_in_use", 69),
        (ValueError("a secret of a customer"), "internal", 70),
    ],
)
def test_an_error_is_told_with_what_where_and_what_to_do(error, code, exit_code):
    failure, ends = explain(error)
    assert (failure.code, ends) == (code, exit_code)
    assert failure.what
    assert failure.where
    assert failure.remedy
    assert "secret of a customer" not in failure.line
    assert "\n" not in failure.line


def test_a_failed_stage_is_told_by_its_cause():
    error = WorkerFailed("handler core raised LogFull")
    error.__cause__ = LogFull("no room", "log.db", "free some")
    failure, ends = explain(failed(error))
    assert (failure.code, failure.what, ends) == ("stage_failed", "a stage failed: no room", 70)
    assert failure.remedy == "free some; then start it again"


def test_no_settings_is_one_line_and_an_envelope(monkeypatch, tmp_path):
    monkeypatch.delenv("ZOHO_GOCARDLESS_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(main, ["status"])
    assert (found.exit_code, found.stdout) == (3, "")
    assert found.stderr.startswith("error[settings]: none are given; at the settings; name the file with --config")
    assert found.stderr.count("\n") == 1
    found = CliRunner().invoke(main, ["status", "--json"])
    envelope = json.loads(found.stdout)
    assert (found.exit_code, found.stderr, envelope["ok"], envelope["command"], envelope["data"]) == (
        3,
        "",
        False,
        "status",
        None,
    )
    assert set(envelope["error"]) == {"code", "what", "where", "remedy", "retriable"}


def test_a_wrong_command_line_is_told_as_usage(installation):
    assert (
        "see `zoho-gocardless decide invoice --help`" in installation.cli("decide", "invoice", "INV-1", code=2).stderr
    )
    assert installation.json("events", "--limit", "none", code=2)["code"] == "usage"
    assert installation.json("status", "--connection", "c2", code=5)["code"] == "not_found"
    assert CliRunner().invoke(main, ["nothing"]).exit_code == 2
    shown = CliRunner().invoke(main, [])
    assert (shown.exit_code, "Commands:" in shown.output) == (2, True)


def test_a_wrong_setting_names_itself(installation):
    installation.config.write_text('log = "sqlite:////x"\nstore = "mysql://x"\n')
    assert installation.json("status", code=3)["what"].startswith("store: no store has such an address")
    installation.config.write_text('logg = "sqlite:////x"\n')
    assert "logg: is not a setting" in installation.cli("status", code=3).stderr


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("rabbit://x", "log: no log engine for rabbit;"),
        ("kafka://me:secret@x", "log: a user or password has no place in it;"),
        ("sqlite:////x.db?sync=off", "log: not all of it is understood;"),
        ("sqlite://x.db", "log: no log has such an address;"),
    ],
)
def test_a_wrong_address_is_told_with_the_variable_that_set_it(installation, monkeypatch, log, said):
    monkeypatch.setenv("ZOHO_GOCARDLESS__LOG", log)
    told = installation.cli("status", code=3).stderr
    assert told.startswith(f"error[settings]: {said} at ZOHO_GOCARDLESS__LOG; ")
    assert "secret" not in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stauts"], "Did you mean 'status'?"),
        (["decide", "invioce"], "Did you mean 'invoice'?"),
        (["status", "--conection", "c1"], "--connection"),
    ],
)
def test_a_misspelt_command_or_option_is_told_with_the_one_that_was_probably_meant(words, said):
    found = CliRunner().invoke(main, words)
    assert (found.exit_code, said in found.stderr) == (2, True), found.output


def test_a_defect_is_told_without_its_text_and_with_debug_in_full(installation, monkeypatch):
    def fault(*_):
        raise KeyError("value of a customer")

    installation.feed()
    monkeypatch.setattr(status, "_standing", fault)
    found = installation.cli("status", code=70)
    assert (
        found.stderr
        == "error[internal]: a defect: KeyError; at this program; run it again with --debug, and report it\n"
    )
    with pytest.raises(KeyError, match="value of a customer"):
        CliRunner().invoke(main, ["status", "--config", str(installation.config), "--debug"], catch_exceptions=False)


def test_an_interruption_ends_with_130(installation, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    installation.feed()
    monkeypatch.setattr(status, "_standing", stopped)
    assert installation.cli("status", code=130).stderr == ""
    assert installation.json("status", code=130)["code"] == "interrupted"


def test_a_reader_that_has_had_enough_ends_a_command_as_it_ends_others(installation, company):
    company.collect()
    installation.feed(events_of(company))
    words = ["events", "--values", "--limit", "10000", "--config", str(installation.config)]
    reads, writes = os.pipe()
    # A pipe of one page: all of the output in a larger one would look like a reader who reads on.
    fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 4_096)
    with subprocess.Popen([sys.executable, "-m", "streams.cli", *words], stdout=writes, stderr=subprocess.PIPE) as ran:
        os.close(writes)
        assert os.read(reads, 10)
        os.close(reads)
        _, said = ran.communicate(timeout=60)
    assert (ran.returncode, said) == (141, b"")


@pytest.mark.parametrize(
    "words", [("status",), ("status", "--json"), ("status", "--json", "--limit"), ("--help",), ("status", "--help")]
)
def test_a_reader_that_is_gone_from_the_start_gets_no_traceback(installation, words):
    installation.feed()
    reads, writes = os.pipe()
    os.close(reads)
    environment = {**os.environ, "ZOHO_GOCARDLESS_CONFIG": str(installation.config)}
    command = [sys.executable, "-m", "streams.cli", *words]
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, "")


# --- tables ---


LONG = """\
from streams.cli.command import Session, table
row = ("2026-03-06 12:00", "debit_failed", "word " * 30 + "x" * 150)
Session("it", None, as_json=False, debug=False).console.print(table("since", "code", "what", rows=[row]))
"""


def widest(text):
    """The longest line of the table; all of the row is in it."""
    lines = text.splitlines()
    words = "".join("".join(line.split()) for line in lines)
    assert (words.count("word"), words.count("x")) == (30, 150), "nothing is cut off"
    assert lines[1].startswith("2026-03-06 12:00  debit_failed  word word")
    return max(map(len, lines))


@pytest.mark.parametrize(("more", "width"), [({}, 100), ({"COLUMNS": "240"}, 240)])
def test_a_table_in_a_pipe_is_a_hundred_columns_wide_unless_told(more, width):
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | more
    done = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True, check=True, env=environment)
    assert widest(done.stdout) in (width, width - 1)


@pytest.mark.parametrize("width", [30, 60, 80, 100, 160])
def test_an_id_stays_whole_where_there_is_room_and_nothing_is_lost_where_there_is_none(width):
    key, since = "cm-" + "0123456789abcdef" * 2, "2026-03-06 12:00"
    shown = Console(file=io.StringIO(), width=width, markup=False)
    shown.print(table("since", "id", "about", "why", rows=[(since, key, "bookings:PM-1-1:1", "It gave up. " * 9)]))
    text = shown.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert (key in text) == (width >= 100)
    assert since in text or width < 80
    letters = sorted("".join(text.split()))
    assert letters == sorted(
        "".join(f"since id about why {since} {key} bookings:PM-1-1:1 {'It gave up. ' * 9}".split())
    )


def test_a_table_on_a_terminal_is_as_wide_as_that():
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    subprocess.run(
        [sys.executable, "-c", LONG], stdin=theirs, stdout=theirs, stderr=theirs, check=True, env=environment
    )
    os.close(theirs)
    assert widest(re.sub(r"\x1b\[[0-9;]*m", "", os.read(ours, 65_536).decode())) in (69, 70)
    os.close(ours)


def test_commands_are_loaded_only_when_asked_for():
    code = "import sys, streams.cli; print([name for name in sys.modules if name.split('.')[0] in ('faust', 'sqlalchemy', 'aiohttp')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_frame_runs_coroutines_of_commands():
    @click.group(cls=CliGroup)
    def group() -> None:
        """A group."""

    @group.command(cls=CliCommand)
    def one(session):
        """One."""
        from streams.cli.command import Reply, text

        return Reply(session.run(asyncio.sleep(0, result=[1])), text("shown"), 1)

    found = CliRunner().invoke(group, ["one"])
    assert (found.exit_code, found.stdout) == (1, "shown\n")
    found = CliRunner().invoke(group, ["one", "--json"])
    assert json.loads(found.stdout) == {"ok": True, "command": "one", "data": [1], "error": None}
