"""`docs/simulation.md`: its examples are run, and what it lists is what there is."""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from streams.cli import main
from streams.simulation.known import known_acts
from streams.simulation.plan import FAULTS
from streams.simulation.spec import PlanSpec, kinds_of
from streams.simulation.story import MOST_LINES
from tests.support.console import answers, blocks, matches

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "simulation.md"


def section(title):
    return PAGE.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(("command", "answer"), list(answers(PAGE)))
def test_the_examples_answer_as_written(command, answer):
    program, *words = shlex.split(command)
    assert program == "zoho-gocardless"
    ran = CliRunner().invoke(main, words)
    assert ran.exit_code == 0
    assert matches(answer, ran.output), ran.output


@pytest.mark.parametrize("line", [line for block in blocks(PAGE, "sh") for line in block.splitlines()])
def test_the_other_examples_are_well_formed(line):
    program, name, *words = shlex.split(line)
    command = main.get_command(click.Context(main), name)
    assert (program, name) == ("zoho-gocardless", "simulate")
    assert command is not None
    command.make_context(name, words)


def test_the_table_has_every_kind_of_fault():
    rows = re.findall(r"^\| (`.*?) \|", section("Run"), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(FAULTS)


def test_what_it_says_of_kinds_that_are_known_is_so():
    (said,) = re.findall(r"((?:`\w+`,? ?(?:and )?)+) happen only with\s+`--with-known`", section("Run"))

    def drawn(with_known):
        return {kind for seed in range(150) for kind in kinds_of(PlanSpec(seed=seed, with_known=with_known)).values()}

    assert set(re.findall(r"`(\w+)`", said)) == drawn(True) - drawn(False)
    assert drawn(True) == set(FAULTS)
    assert known_acts()


def test_the_number_of_lines_is_that_of_a_story():
    assert MOST_LINES == 60
    assert "At most sixty lines" in section("Read")


@pytest.mark.parametrize("name", re.findall(r"`(tests/\S+\.py::\w+)`", PAGE.read_text(encoding="utf-8")))
def test_the_tests_that_it_names_are_there(name):
    file, _, function = name.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
