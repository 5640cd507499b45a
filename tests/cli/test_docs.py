"""The examples of `docs/cli.md`: those with an answer are run, one after the other, on one installation; the others
must be well formed.
"""

import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from streams.cli import main
from tests.support.company import events_of
from tests.support.console import answers, blocks, matches
from tests.support.deliveries import gc_event, webhook

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_examples_answer_as_written(installation, company, monkeypatch):
    first = company.collect()
    company.customer(2)
    company.invoice("2", "c-2", 5_000)
    company.reach("2026-03-04T12:00:00.000Z")
    company.now = "2026-03-06T12:00:00.000Z"
    company.pay(company.state.invoices["2"].payment, "failed", cause="insufficient_funds", will_attempt_retry=False)
    installation.feed(events_of(company))
    confirmed = gc_event("EV1", first, "confirmed", "2026-03-06T11:40:00.000Z")
    installation.feed(deliveries=[webhook([confirmed], received_at="2026-03-06T12:00:00.000Z")])
    for name in ("gocardless.token", "gocardless.webhook.main", "zoho.webhook.main"):
        installation.put_secret(name, b"value")
    monkeypatch.chdir(installation.folder)
    monkeypatch.setenv("ZOHO_GOCARDLESS_CONFIG", str(installation.config))
    Path("token").write_text("token")
    Path("webhook").write_text("secret")
    runner, code, seen = CliRunner(), 0, 0
    for command, answer in answers(PAGE):
        if command == "echo $?":
            assert answer.strip() == str(code), command
            continue
        words = shlex.split(command)
        assert words.pop(0) == "zoho-gocardless"
        found = runner.invoke(main, words)
        code = found.exit_code
        assert matches(answer, found.output), f"{command}\n--- expected\n{answer}\n--- got\n{found.output}"
        seen += 1
    assert seen > 15


@pytest.mark.parametrize("line", [line for block in blocks(PAGE, "sh") for line in block.splitlines()])
def test_the_other_examples_are_well_formed(line):
    words = shlex.split(line)
    assert words.pop(0) == "zoho-gocardless"
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    command.make_context("it", words)


def test_the_comparison_can_fail():
    assert matches("a … c\n", "a b c\n")
    assert not matches("a … c\n", "a b d\n")
    assert matches("a\n…\nd\n", "a\nb\nc\nd\n")
    assert not matches("a\nd\n", "a\nb\nd\n")
