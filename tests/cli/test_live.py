"""The command line beside the real program: the sandbox, `run` as a process, the check and its approval, decisions, a
backup, a clean stop.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from streams.cli import main
from streams.demo import demo
from streams.demo.demo import CONNECTION
from streams.demo.month import Month
from streams.operate.installation import opened_log
from streams.settings import GROUP
from tests.support.company import events_of

PLAN = Month(customers=4, invoices=6, seed=3, days=3, drain_days=2, fail_before=1, fail_after=0, faults=False)


class Beside:
    """Commands as processes, beside the program."""

    def __init__(self, config: Path) -> None:
        self.config = config

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "streams.cli", *words, "--config", str(self.config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )

    async def json(self, *words: str, code: int = 0) -> Any:
        """In a thread of this process: a start of Python takes seconds on a busy machine."""
        done = await asyncio.to_thread(CliRunner().invoke, main, [*words, "--json", "--config", str(self.config)])
        assert done.exit_code == code, (done.exit_code, done.output)
        envelope = json.loads(done.stdout)
        return envelope["data"] if envelope["ok"] else envelope["error"]


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


async def test_a_person_beside_the_running_program(tmp_path):
    folder = tmp_path / "installation"
    folder.mkdir()
    async with demo.sandbox(PLAN, folder) as world:
        await demo.prepare(PLAN, world, folder)
        beside = Beside(folder / "settings.toml")
        program = await beside.start("run", "--json")
        assert program.stdout is not None
        first = json.loads(await asyncio.wait_for(program.stdout.readline(), 60))
        assert (first["ok"], first["command"], first["data"]["state"]) == (True, "run", "running")

        def watch() -> None:
            assert program.returncode is None

        await world.run_until(PLAN.opens_at.replace("T05:00", "T05:10"), watch)
        found = await beside.json("check", CONNECTION, code=1)
        assert (found["stops"], found["gate"]) == ([], "closed")
        refused = await beside.json("check", CONNECTION, "--approve", "--by", "finance", code=1)
        assert (refused["code"], "not yet accepted: " in refused["what"]) == ("undecided", True)
        accepts = [word for code in found["decisions"] for word in ("--accept", code)]
        approved = await beside.json("check", CONNECTION, "--approve", "--by", "finance", *accepts)
        assert (approved["taken"], approved["gate"]) == (True, "open")
        status = await beside.json("status", code=0)
        assert (status["running"], status["connections"][0]["gate"]) == (True, "open")
        locked = await beside.json("rebuild", code=69)
        assert locked["code"] == "log_locked"
        await world.run_until("2026-03-01T12:00:00.000000Z", watch)
        assert (await beside.json("rebuild", "--verify"))["differences"] == []
        made = await beside.json("backup", str(tmp_path / "backup"))
        assert made["manifest"]["store_bytes"] > 0
        closed = await beside.json("decide", "gate", "--close", "--by", "finance")
        assert closed["taken"] is True
        program.send_signal(signal.SIGTERM)
        code, out, err = await ended(program)
        assert (code, json.loads(out)["data"]) == (0, {"state": "stopped"}), err
        for line in err.splitlines():
            assert set(json.loads(line)) >= {"event", "level", "timestamp"}
        assert "Traceback" not in err
        for name in ("log.db", "store.db"):
            for suffix in ("", "-wal", "-shm"):
                (folder / f"{name}{suffix}").unlink(missing_ok=True)
        await beside.json("restore", str(tmp_path / "backup"))
        restored = await beside.json("status")
        assert restored["connections"][0]["gate"] == "open"
        assert len(restored["connections"][0]["waits"]) == 2


async def test_the_sandbox_serves_until_it_is_stopped(tmp_path):
    config = tmp_path / "none.toml"
    config.write_text("")
    process = await Beside(config).start("sandbox", "--seed", "1", "--json")
    assert process.stdout is not None
    first = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    assert first["data"]["gocardless"].startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    code, out, _ = await ended(process)
    assert (code, json.loads(out)["data"]) == (0, {"state": "stopped"})


async def test_run_that_cannot_start_says_why(installation):
    beside = Beside(installation.config)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        text = installation.config.read_text().replace("port = 0", f"port = {taken.getsockname()[1]}")
        installation.config.write_text(text)
        code, out, err = await ended(await beside.start("run"))
    assert (code, out) == (69, "")
    assert err.startswith("error[address_in_use]: another process has this port;")
    assert err.count("\n") == 1


async def test_a_second_program_is_refused(installation):
    async with opened_log(installation.settings) as log:
        with log.hold_group(GROUP):
            code, _, err = await ended(await Beside(installation.config).start("run"))
    assert (code, err.split(":")[0]) == (69, "error[log_locked]")
    assert f"process {os.getpid()}, `" in err
    assert f"`kill {os.getpid()}` lets it finish its calls" in err


async def test_following_the_log_ends_cleanly(installation, company):
    company.ready()
    await asyncio.to_thread(installation.feed, events_of(company))
    process = await Beside(installation.config).start("events", "--follow", "--json", "--limit", "1")
    assert process.stdout is not None
    shown = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    assert shown["data"]["type"] == "zoho.invoice_seen"
    await asyncio.to_thread(installation.json, "decide", "gate", "--close", "--by", "finance")
    followed = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    assert followed["data"]["type"] == "operator.gate_closed"
    process.send_signal(signal.SIGINT)
    code, _, err = await ended(process)
    assert (code, err) == (0, "")
