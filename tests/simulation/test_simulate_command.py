"""The command `simulate` as a process: what it prints, how it ends, and that a seed is the same run everywhere."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner

from streams.cli import main, simulate
from streams.simulation import oracles, silence
from streams.simulation.known import KNOWN
from streams.simulation.oracles import Breach
from streams.simulation.plan import FAULTS
from streams.simulation.spec import spec_of
from streams.simulation.virtual_time import DeadlockError, OverrunError, run

ROOT = Path(__file__).parents[2]
SHORT = ("--days", "1", "--invoices", "1", "--heal-days", "1")


def process(*words, **environment):
    """The command in a process of its own, in a folder without settings."""
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", "simulate", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.fixture
def cli():
    """The command in this process: its result, code and output."""
    return lambda *words: CliRunner().invoke(main, ["simulate", *words])


@pytest.fixture
def broken(monkeypatch):
    """Every run breaks a promise."""
    breach = Breach("debit_twice", "c1", "commands:cm-1", "one command makes one debit; found 2")
    monkeypatch.setattr(oracles, "breaches", lambda _evidence: [breach])
    return breach


def test_a_seed_is_lived_and_told_in_a_line():
    ran = process("--seed", "8", *SHORT, "--faults", "none")
    assert (ran.returncode, ran.stderr) == (0, "")
    (line,) = ran.stdout.splitlines()
    assert line.startswith("seed 8: 2 days; ")
    assert "faults: none; breaches: 0; digest " in line


def test_the_same_seed_is_the_same_run_in_every_process():
    words = (
        "--seed",
        "4",
        "--days",
        "2",
        "--invoices",
        "2",
        "--heal-days",
        "1",
        "--faults",
        "act,crash,failpoint,lost",
        "--json",
    )
    runs = [process(*words, PYTHONHASHSEED=seed) for seed in ("0", "1")]
    first, second = (json.loads(ran.stdout)["data"] for ran in runs)
    assert first == second
    assert first["results"][0]["digest"]
    assert first["results"][0]["acts"] > 0
    assert runs[0].stderr == ""


def test_a_seed_is_the_same_run_after_another_one(cli):
    together = json.loads(cli("--seed", "7", "--seeds", "2", *SHORT, "--faults", "none", "--json").stdout)["data"]
    alone = json.loads(cli("--seed", "8", *SHORT, "--faults", "none", "--json").stdout)["data"]
    assert [result["seed"] for result in together["results"]] == [7, 8]
    assert together["results"][1] == alone["results"][0]


def test_with_json_one_envelope_says_everything(cli):
    ran = cli("--seed", "8", *SHORT, "--faults", "none", "--json")
    envelope = json.loads(ran.stdout)
    assert (envelope["ok"], envelope["command"], envelope["error"]) == (True, "simulate", None)
    (result,) = envelope["data"]["results"]
    assert envelope["data"]["found"] == []
    assert result["replay"] == "zoho-gocardless simulate --seed 8 --days 1 --invoices 1 --heal-days 1 --faults none"
    assert result["breaches"] == []
    assert result["calls"] > 20


def test_what_breaks_is_told_with_the_command_that_plays_it_again(cli, broken):
    ran = cli("--seed", "8", *SHORT, "--faults", "none", "--no-shrink")
    assert ran.exit_code == 1
    assert "breaches: 1;" in ran.stdout.splitlines()[0]
    assert str(broken) in ran.stdout
    assert "Again: zoho-gocardless simulate --seed 8 --days 1 --invoices 1 --heal-days 1 --faults none" in ran.stdout
    assert "Made smaller" not in ran.stdout


def test_what_breaks_is_made_smaller(cli, broken):
    ran = cli("--seed", "4", "--days", "2", "--invoices", "2", "--heal-days", "1", "--faults", "act", "--json")
    assert ran.exit_code == 1
    data = json.loads(ran.stdout)["data"]
    assert data["found"] == [4]
    (result,) = data["results"]
    assert result["replay"] == "zoho-gocardless simulate --seed 4 --days 1 --invoices 1 --heal-days 1 --faults none"
    assert result["story"].splitlines()[-1] == "Made smaller by 3 runs; nothing more can be left out alone."
    assert result["acts"] == 6  # of the run that was asked for


def test_many_seeds_end_with_which_are_to_be_looked_at(cli, monkeypatch):
    monkeypatch.setattr(oracles, "breaches", lambda evidence: [])
    ran = cli("--seed", "7", "--seeds", "2", *SHORT, "--faults", "none")
    assert ran.stdout.splitlines()[-1] == "2 seeds: nothing is wrong."
    monkeypatch.setattr(simulate, "simulate", lambda plan, limit_s: raised(plan.seed))
    ran = cli("--seed", "7", "--seeds", "3", *SHORT)
    assert ran.exit_code == 1
    assert ran.stdout.splitlines()[-1] == "3 seeds: something is wrong with 7, 8, 9."


def raised(seed):
    raise DeadlockError(f"nothing is left that could happen in {seed}")


def test_a_run_without_a_report_is_told_with_what_it_ended_with(cli, monkeypatch):
    monkeypatch.setattr(simulate, "simulate", lambda plan, limit_s: raised(plan.seed))
    ran = cli("--seed", "7", *SHORT)
    assert ran.stdout == (
        "seed 7: no report: DeadlockError: nothing is left that could happen in 7; "
        "zoho-gocardless simulate --seed 7 --days 1 --invoices 1 --heal-days 1\n"
    )
    assert isinstance(cli("--seed", "7", "--debug", *SHORT).exception, DeadlockError)


def test_a_run_that_takes_too_long_is_given_up(cli, monkeypatch):
    monkeypatch.setattr(simulate, "_RUN_S", 0.5)
    ran = cli("--seed", "8", "--faults", "none")
    assert ran.exit_code == 1
    assert "no report: OverrunError: given up on day " in ran.stdout


async def _for_ever():
    while True:  # noqa: ASYNC110 - it is to wait for nothing
        await asyncio.sleep(0)


def test_time_that_stands_still_is_given_up_too():
    with pytest.raises(OverrunError):
        run(_for_ever(), limit_s=0.05)


def test_what_is_known_is_no_reason_to_look(cli):
    spec = spec_of(next(entry for entry in KNOWN if entry.oracle == "debit_left"))
    ran = cli(*spec.command().split()[2:])
    assert ran.exit_code == 0
    assert "breaches: 0; known: 1 A3: " in ran.stdout
    assert "Again" not in ran.stdout
    without = spec.command().removesuffix(" --with-known").split()[2:]
    assert "known" not in cli(*without).stdout


@pytest.mark.parametrize("name", ["crashes", "crash,refuse", "ALL"])
def test_a_fault_that_is_none_is_refused_with_those_that_there_are(cli, name):
    ran = cli("--faults", name)
    assert ran.exit_code == 2
    assert "error[usage]" in ran.stderr
    for fault in ("none", *FAULTS):
        assert f" {fault}" in ran.stderr


def test_a_name_of_nothing_that_happens_is_refused_with_those_that_there_are(cli):
    ran = cli("--seed", "1", "--without", "crash:1,crash:77")
    assert ran.exit_code == 5
    assert "'crash:77'" in ran.stderr
    assert "crash:1," in ran.stderr


def test_interrupted_it_ends_with_the_code_for_that():
    words = [
        sys.executable,
        "-m",
        "streams.cli",
        "simulate",
        "--seed",
        "8",
        "--seeds",
        "1000",
        *SHORT,
        "--faults",
        "none",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        words, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("seed 8: 2 days; ")
        running.send_signal(signal.SIGINT)
        out, error = running.communicate(timeout=30)
    assert (running.returncode, error) == (130, "")
    assert "seeds:" not in out


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Tests of a process share its logging: whatever one of them has set is set again afterwards."""
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
    if before is not None:
        structlog.configure(**before)


@pytest.mark.usefixtures("logging_as_before")
def test_the_programs_own_lines_are_not_written_and_logging_is_as_before_afterwards(capsys):
    journal = structlog.get_logger("zoho_gocardless")
    with silence.silent():
        journal.error("gateway.log_unavailable")
    assert capsys.readouterr() == ("", "")
    assert not structlog.is_configured()
    journal.error("gateway.log_unavailable")
    assert "gateway.log_unavailable" in "".join(capsys.readouterr())
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    configured = structlog.get_config()
    with silence.silent():
        journal.error("gateway.log_unavailable")
    assert structlog.get_config() == configured
    journal.error("afterwards")
    assert capsys.readouterr().out == '{"event": "afterwards"}\n'
