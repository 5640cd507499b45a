"""`CONTRIBUTING.md`, done: its steps are applied to a copy of the project, in order, and what it says of them is run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
LEFT_BEHIND = shutil.ignore_patterns(
    ".git", ".venv", ".demo", "site", "build", "dist", "*.egg-info", ".*_cache", ".hypothesis", "*.db*"
)

_STEP = re.compile(
    r"In\s+`(?P<file>[^`\s]+)`,\s+(?P<how>before|after|instead\s+of)\s+(?P<fence>`+) ?(?P<anchor>.+?) ?(?P=fence):\n\n"
    r"```\w+\n(?P<text>.*?)^```$"
    r"|[aA] new file,\s+`(?P<new>[^`\s]+)`:\n\n```\w+\n(?P<whole>.*?)^```$"
    r"|^```sh\n(?P<command>.*?)^```$"
    r"|Forgotten(?:\s+in\s+`(?P<of>[^`\s]+)`)?:\s+`(?P<told>[^`]+)`",
    re.MULTILINE | re.DOTALL,
)


class Edit(NamedTuple):
    """One thing to do in a file, or a command to run; `told` by: what says that it was forgotten."""

    section: str
    file: str
    how: str
    anchor: str
    text: str
    told: str


def steps():
    """The steps of the four changes, in order."""
    afternoon = PAGE.read_text(encoding="utf-8").split("## A stranger's afternoon", 1)[1]
    found = []
    for part in re.split(r"^### (?=[A-Z])", afternoon, flags=re.MULTILINE)[1:]:
        section = part.splitlines()[0]
        waiting = []
        for match in _STEP.finditer(part):
            if match["told"]:
                meant = [one for one in waiting if match["of"] in {None, one.file}]
                assert meant, f"{section}: nothing is forgotten by {match['told']}"
                found = [one._replace(told=match["told"]) if one in meant else one for one in found]
                waiting = [one for one in waiting if one not in meant]
                continue
            if match["new"]:
                step = Edit(section, match["new"], "new", "", match["whole"], "")
            elif match["command"]:
                step = Edit(section, "", "run", "", match["command"], "")
            else:
                step = Edit(section, match["file"], " ".join(match["how"].split()), match["anchor"], match["text"], "")
            found.append(step)
            waiting += [] if match["new"] else [step]
        assert waiting == [], f"{section}: nothing says that these were forgotten: {waiting}"
    return found


STEPS = steps()
SECTIONS = list(dict.fromkeys(step.section for step in STEPS))
FORGETTABLE = [step for step in STEPS if step.told]


def run(folder, *words):
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=110
    )


def do(step, folder):
    """Do one step in a copy of the project; whether its place was there."""
    if step.how == "run":
        for line in step.text.splitlines():
            python, *words = shlex.split(line)
            assert python == ".venv/bin/python"
            ran = run(folder, *words)
            if ran.returncode:
                return False
        return True
    path = folder / step.file
    if step.how == "new":
        path.write_text(step.text, encoding="utf-8")
        return True
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if step.anchor in line]
    if len(places) != 1:
        return False
    place = places[0]
    lines[place : place + 1] = {
        "before": [step.text, lines[place]],
        "after": [lines[place], step.text],
        "instead of": [step.text],
    }[step.how]
    path.write_text("".join(lines), encoding="utf-8")
    return True


def copy_to(folder):
    shutil.copytree(ROOT, folder, ignore=LEFT_BEHIND)
    return folder


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """The project with all four changes."""
    folder = copy_to(tmp_path_factory.mktemp("afternoon") / "project")
    for step in STEPS:
        assert do(step, folder), f"its place is not there, or not once: {step.file}: {step.anchor}"
    return folder


def test_there_are_four_changes_and_each_can_be_forgotten():
    assert SECTIONS == ["An event type", "A discrepancy", "A setting", "A command"]
    assert {step.section for step in FORGETTABLE} == set(SECTIONS)
    assert len(FORGETTABLE) > 12


def test_the_tests_that_it_names_hold_and_so_do_those_it_adds(changed):
    """The event comes back from the codec, the discrepancy opens with its text, the setting is explained, …"""
    named = {step.told for step in FORGETTABLE if step.told.startswith("tests/")}
    added = {step.file for step in STEPS if step.how == "new" and step.file.startswith("tests/")}
    ran = run(changed, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sorted(named | added))
    assert ran.returncode == 0, ran.stdout[-4_000:] + ran.stderr[-2_000:]


def test_the_new_command_is_one(changed):
    ran = run(changed, "-m", "streams.cli", "backlog", "--help")
    assert ran.returncode == 0, ran.stderr
    assert "What waits to be sent" in ran.stdout


def test_the_code_it_shows_is_in_its_style(changed):
    for words in ("format", "check"):
        ran = run(changed, "-m", "ruff", words, "--no-cache", ".")
        assert ran.returncode == 0, ran.stdout[-2_000:]


def test_the_commands_for_one_test_name_what_is_there():
    for line in re.findall(r"^\.venv/bin/python -m pytest (.*)$", PAGE.read_text(), re.MULTILINE):
        assert all((ROOT / word).exists() for word in shlex.split(line) if word.startswith("tests/")), line


@pytest.mark.soak
def test_the_types_and_imports_hold(changed):
    for module in ("mypy", "importlinter.cli"):
        words = ["-m", module] if module == "mypy" else ["-c", f"from {module} import lint_imports_command as c; c()"]
        ran = run(changed, *words)
        assert ran.returncode == 0, ran.stdout[-2_000:] + ran.stderr[-2_000:]


@pytest.mark.soak
@pytest.mark.parametrize(
    "forgotten", FORGETTABLE, ids=lambda step: f"{step.section}: {step.file or 'the command'} {step.anchor}"
)
def test_what_was_forgotten_is_told(forgotten, tmp_path):
    folder = copy_to(tmp_path / "project")
    last = SECTIONS.index(forgotten.section)
    for step in STEPS:
        if step is not forgotten and SECTIONS.index(step.section) <= last:
            do(step, folder)
    words = ["-m", "mypy"] if forgotten.told == "make lint" else ["-m", "pytest", "-q", "-x", forgotten.told]
    ran = run(folder, *words)
    unimportable = "ImportError while loading conftest" in ran.stderr
    assert ran.returncode in {1, 2} or unimportable, "neither a test that fails nor a file that cannot be imported"
