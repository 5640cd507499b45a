"""The site builds without a warning, and would not with a link or an anchor that leads nowhere."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from streams.cli import main

ROOT = Path(__file__).parents[2]


def build(folder):
    words = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=100)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """What the site is made from."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("docs", "examples", "sandbox", ".ci"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.py[co]"))
    shutil.copy(ROOT / ".ci" / "site.py", folder / ".ci")
    for path in [*ROOT.glob("*.md"), ROOT / "mkdocs.yml"]:
        shutil.copy(path, folder)
    return folder


def test_it_builds_and_links_between_places_become_links_between_pages(copy):
    ran = build(copy)
    assert ran.returncode == 0, ran.stderr
    deploy = (copy / "site" / "deploy.html").read_text()
    assert 'href="index.html">README</a>' in deploy
    assert 'href="errors.html#cannot_create"' in (copy / "site" / "cli.html").read_text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[word](nowhere.md)", "nowhere.md"),
        ("[word](../nowhere.md)", "nowhere.md"),
        ("[word](cli.md#nowhere)", "#nowhere"),
        ('<img src="https://example.com/picture.png">', "loads from elsewhere"),
    ],
)
def test_what_leads_nowhere_fails_the_build(copy, text, told):
    page = copy / "docs" / "dependencies.md"
    before = page.read_text()
    page.write_text(f"{before}\n{text}\n")
    ran = build(copy)
    page.write_text(before)
    assert ran.returncode != 0
    assert told in ran.stderr


def test_what_belongs_to_a_step_is_indented_so_that_the_steps_stay_one_list():
    """Markdown as MkDocs reads it wants four spaces; with three, each step would be number one."""
    for path in sorted((ROOT / "docs").rglob("*.md")):
        assert not re.findall(r"^ {1,3}```", path.read_text(), re.MULTILINE), path


def test_the_commands_of_the_front_page_are_the_programs():
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs" / "index.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    ours = [words[1:] for words in lines if words[0] == ".venv/bin/zoho-gocardless"]
    assert len(ours) > 3
    for words in ours:
        command: click.Command = main
        context = click.Context(main)
        while isinstance(command, click.Group):
            command = command.get_command(context, words.pop(0))
        command.make_context("it", words)
