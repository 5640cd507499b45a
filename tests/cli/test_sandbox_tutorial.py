"""The first invoice of docs/sandbox.md: every command of the page, as it stands there, in a shell, against the real
program; only ports are others.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sandbox.md"
DONE = "--- done"

#: Real seconds in which a command must have ended, or a process be ready.
WAIT_S = 60

#: Ports of the page.
PORTS = ("8101", "8102", "8090")


def section():
    """The first section of the page, with ports that are free here."""
    text = PAGE.read_text().split("\n## ")[1]
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    free = [str(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    for port, other in zip(PORTS, free, strict=True):
        assert port in text
        text = text.replace(port, other)
    return text, dict(zip(PORTS, free, strict=True))


class Terminal:
    """A shell that is given one block of commands after another."""

    def __init__(self, folder, environment):
        self.shell = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, commands):
        """Everything the commands say, and how the last of them ended."""
        watch = threading.Timer(WAIT_S, self.shell.kill)
        watch.start()
        self.shell.stdin.write(f'{commands}\necho "{DONE} $?"\n')
        self.shell.stdin.flush()
        said = ""
        for line in self.shell.stdout:
            before, found, code = line.partition(DONE)
            said += before
            if found:
                watch.cancel()
                return said, int(code)
        raise AssertionError(f"{commands}\nended the shell, or took more than {WAIT_S} s: {said}")

    def close(self):
        self.shell.stdin.close()
        self.shell.wait(WAIT_S)
        self.shell.stdout.close()


def started(command, folder, environment, processes):
    """Start a command of a terminal of its own; return when it says that it is ready."""
    assert "\n" not in command
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    processes.append(process)
    watch = threading.Timer(WAIT_S, process.kill)
    watch.start()
    line = process.stdout.readline()
    watch.cancel()
    assert "Ctrl-C stops it." in line, line


def matches(expected, got):
    """A line of "…" alone stands for any lines, within a line for any text."""
    parts = [r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*?") + r"[ ]*\n" for line in expected]
    return re.fullmatch("".join(parts), got) is not None


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands need curl")
@pytest.mark.timeout(300)
def test_the_first_invoice_is_collected_by_the_commands_of_the_page(tmp_path):
    text, ports = section()
    program = tmp_path / "bin" / "zoho-gocardless"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m streams.cli "$@"\n')
    program.chmod(0o755)
    folder = tmp_path / "first"
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZOHO_GOCARDLESS")}
    environment |= {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "COLUMNS": "200",
    }
    processes, terminal, commands = [], Terminal(folder, environment), 0
    try:
        for language, block in re.findall(r"^```(sh|console)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            if language == "console":
                for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                    command, *answer = part.splitlines()
                    said, _ = terminal.run(command)
                    assert matches(answer, said), f"{command}\n--- expected\n{answer}\n--- got\n{said}"
                    commands += 1
            elif re.match(r"zoho-gocardless (sandbox --|run )", block):
                more = {"ZOHO_GOCARDLESS__GATEWAY__PORT": ports["8090"]} if " run " in block else {}
                started(block.strip(), folder, environment | more, processes)
                commands += 1
            else:
                said, code = terminal.run(f"(set -e\n{block}\n) && {exports(block)}")
                assert code == 0, f"{block}\n{said}"
                commands += 1
        assert commands == 10
        url = f"http://127.0.0.1:{ports['8102']}/_sandbox/state?part=zoho/invoices"
        with urllib.request.urlopen(url) as answer:
            (invoice,) = json.load(answer)
        assert (invoice["status"], invoice["total_minor"], invoice["balance_minor"]) == ("paid", 12_000, 0)
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGINT)
            process.wait(WAIT_S)
            process.stdout.close()
        terminal.close()
    assert [process.returncode for process in processes] == [0, 0]


def exports(block):
    """The exports of a block, which its subshell keeps to itself."""
    return "; ".join([line for line in block.splitlines() if line.startswith("export ")] or [":"])


def test_the_comparison_can_fail():
    assert matches(["a … c"], "a b c\n")
    assert not matches(["a … c"], "a b d\n")
    assert matches(["…", "d"], "a\nb\nd\n")
    assert not matches(["d"], "a\nd\n")
