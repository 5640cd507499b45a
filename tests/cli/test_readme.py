"""The README's "For real", followed line by line: the settings, the commands, in one shell, against both simulators.

What differs from a reader's machine comes from the environment: where the two APIs are, whose books, the credentials,
and the time. The lines themselves are run as they stand.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.settings import decode

ROOT = Path(__file__).parents[2]
START = "2026-04-02T05:00:00Z"
SECRET = "hook-secret-1234"


def block() -> str:
    """The shell's lines under "For real"."""
    section = (ROOT / "README.md").read_text().partition("## For real\n")[2].partition("\n## ")[0]
    (found,) = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return str(found)


def commands() -> list[str]:
    """One by one; a here-document belongs to the command above it, a line that goes on is one."""
    found: list[str] = []
    end = ""
    for line in block().replace("\\\n", "").splitlines():
        if end:
            found[-1] += f"\n{line}"
            end = "" if line == end else end
        else:
            found.append(line)
            end = line.partition("<<")[2].strip()
    return found


def codes(command: str) -> set[str]:
    """What a command accepts."""
    return set(re.findall(r"--accept (\w+)", command))


class SandboxProcess:
    """Both simulators as a process, filled like the example of docs/deploy.md, with one invoice."""

    def __init__(self, port: int) -> None:
        words = ("--seed", "1", "--start", START)
        self.process = subprocess.Popen([sys.executable, "-m", "sandbox", *words], stdout=subprocess.PIPE, cwd=ROOT)
        assert self.process.stdout is not None
        urls = json.loads(self.process.stdout.readline())
        self.gocardless, self.zoho = urls["gocardless"], urls["zoho"]
        books = json.loads((ROOT / "deploy" / "sandbox-books.json").read_text())
        books["taxes"] = [{"name": "VAT 20%", "percentage": 20, "key": "vat"}]
        books["invoices"] = [
            {
                "contact": 0,
                "invoice_number": "INV-1",
                "date": "2026-04-02",
                "due_date": "2026-04-03",
                "currency": "GBP",
                "line_items": [{"name": "Bread", "rate": "100.00", "quantity": 1}],
            }
        ]
        self.books = self.post(f"{self.zoho}/_sandbox/zoho/populate", books)
        payers = json.loads((ROOT / "deploy" / "sandbox-payers.json").read_text())
        self.post(f"{self.gocardless}/_sandbox/gocardless/populate", payers)
        hooks = f"http://127.0.0.1:{port}/webhooks"
        hook = {"url": f"{hooks}/gocardless/acme", "secret": SECRET}
        zoho = {"url": f"{hooks}/zoho/acme", "secret": SECRET, "modules": ["invoice", "contact"]}
        documents = {"gocardless": {"endpoints": [hook]}, "zoho": {"webhooks": [zoho]}}
        self.post(f"{self.gocardless}/_sandbox/config", documents)

    @staticmethod
    def post(url: str, document: Any) -> Any:
        request = urllib.request.Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def until(self, instant: str) -> None:
        """Let time go on, and everything become quiet."""
        self.post(f"{self.gocardless}/_sandbox/clock/run", {"until": instant, "participants": ["program"]})
        for _ in range(90):
            with urllib.request.urlopen(f"{self.gocardless}/_sandbox/clock/wait?timeout_s=1", timeout=60) as answer:
                if json.loads(answer.read())["idle"]:
                    return
        raise AssertionError(f"not quiet before {instant}")

    def environment(self, port: int) -> dict[str, str]:
        """What points the reader's lines at the simulators."""
        oauth = self.books["oauth"]
        acme = "ZOHO_GOCARDLESS__CONNECTIONS__ACME"
        secret = "ZOHO_GOCARDLESS_SECRET"
        return {
            "ZOHO_GOCARDLESS__CLOCK": self.gocardless,
            "ZOHO_GOCARDLESS__GATEWAY__PORT": str(port),
            f"{acme}__GOCARDLESS__URL": self.gocardless,
            f"{acme}__ZOHO__URL": self.zoho,
            f"{acme}__ZOHO__ORGANIZATION_ID": self.books["organization_id"],
            f"{acme}__RULES__MATCH_BY_EMAIL": "auto",
            f"{secret}_GOCARDLESS_TOKEN": "sandbox-token",
            f"{secret}_ZOHO_CLIENT": json.dumps({name: oauth[name] for name in ("client_id", "client_secret")}),
            f"{secret}_ZOHO_REFRESH_TOKEN": oauth["refresh_token"],
            f"{secret}_WEBHOOK_GOCARDLESS_MAIN": SECRET,
            f"{secret}_WEBHOOK_ZOHO_MAIN": SECRET,
        }


class Shell:
    """One shell that is typed into: the folder, and what runs in the background, go on from line to line."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=environment,
        )

    def type(self, command: str) -> tuple[int, str]:
        """Run a command; its exit code, and what it said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f'{command}\necho "[ended with $?]"\n')
        self.process.stdin.flush()
        said = ""
        for line in self.process.stdout:
            if ended := re.fullmatch(r"\[ended with (\d+)\]\n", line):
                return int(ended[1]), said
            said += line
        raise AssertionError(f"the shell ended: {said}")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def sandbox(port: int) -> Iterator[SandboxProcess]:
    found = SandboxProcess(port)
    yield found
    found.process.terminate()
    found.process.communicate(timeout=30)


@pytest.fixture
def shell(tmp_path: Path, sandbox: SandboxProcess, port: int) -> Iterator[Shell]:
    """A shell in which the command is this checkout's; its user has nothing of ours yet."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "zoho-gocardless"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m streams.cli \"$@\"\n")
    program.chmod(0o755)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("ZOHO_GOCARDLESS", "XDG_"))}
    environment = plain | sandbox.environment(port)
    environment |= {
        "PATH": f"{folder}:{plain['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(ROOT), plain.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    found = Shell(tmp_path, environment)
    yield found
    found.type("kill %1; wait")
    found.process.communicate("exit\n", timeout=30)


@pytest.mark.timeout(180)
def test_each_line_does_what_the_readme_says(shell: Shell, sandbox: SandboxProcess, tmp_path: Path) -> None:
    made, install, *lines = [], *commands()
    assert install.partition(" #")[0].split() == ["make", "install"]
    folder = tmp_path / "acme"
    for line in lines:
        code, said = shell.type(line)
        words = line.partition(" #")[0].split()
        made.append(" ".join(words[:3]))
        match words:
            case ["zoho-gocardless", "run", *_]:
                sandbox.until("2026-04-02T05:10:00.000000Z")
            case ["zoho-gocardless", "check", "acme"]:
                assert code == 1, said
                told = said.splitlines()[-1].strip()
            case ["zoho-gocardless", "check", "acme", "--approve", *_]:
                assert (code, "Approved. The gate is open." in said) == (0, True), said
                assert told.startswith("To begin: zoho-gocardless check acme --approve --by WHO --accept ")
                assert codes(told) == codes(line), "the check ends with the line that the README shows"
            case ["zoho-gocardless", "status"]:
                assert (code, "acme (sandbox): gate open, policy 1" in said) == (0, True), said
            case _:
                assert code == 0, (line, said)
    assert made == [
        "mkdir -m 700",
        "zoho-gocardless keys new",
        "cat > settings.toml",
        "zoho-gocardless connect acme",
        "zoho-gocardless run >",
        "zoho-gocardless check acme",
        "zoho-gocardless check acme",
        "zoho-gocardless status",
    ]
    assert (folder.stat().st_mode & 0o777, (folder / "keys").stat().st_mode & 0o777) == (0o700, 0o600)
    sandbox.until("2026-04-20T12:00:00.000000Z")
    code, said = shell.type("zoho-gocardless status")
    assert (code, "invoices: 1 collected" in said) == (0, True), said
    assert '"level": "error"' not in (folder / "run.log").read_text()


def test_the_settings_shown_are_settings_that_the_pages_explain() -> None:
    text = next(one for one in commands() if one.startswith("cat > settings.toml")).partition("\n")[2]
    tree = tomllib.loads(text.removesuffix("END").replace("$PWD", "/srv/acme"))
    found = decode(tree, "the README")
    assert (found.log, found.store) == ("sqlite:////srv/acme/log.db", "sqlite:////srv/acme/store.db")
    page = (ROOT / "docs" / "settings.md").read_text()
    for name in ("log", "store", "keys", *tree["connections"]["acme"], *tree["connections"]["acme"]["rules"]):
        assert re.search(rf"^{name} = |\.{name}\]", page, re.MULTILINE), name


def test_the_install_line_is_a_target_that_needs_no_tests(tmp_path: Path) -> None:
    words = ["make", "--dry-run", "install", f"PREFIX={tmp_path}"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "requirements-run.lock" in said
    assert f"{tmp_path}/bin/zoho-gocardless" in said
    assert "requirements.lock" not in said


@pytest.mark.soak
def test_the_install_line_gives_the_command(tmp_path: Path) -> None:
    subprocess.run(["make", "install", f"PREFIX={tmp_path}"], cwd=ROOT, check=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(tmp_path / "bin" / "zoho-gocardless"), "--version"]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment).stdout
    assert said.startswith("zoho-gocardless, version ")
