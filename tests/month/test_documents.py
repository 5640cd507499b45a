"""What README and docs promise, run: the commands exist, the examples give what they say, every setting is explained."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import msgspec
import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from streams import settings as rules_of_settings
from streams.cli import main
from streams.settings import Settings, decode

ROOT = Path(__file__).resolve().parents[2]


def log_url(folder):
    return f"sqlite:///{folder / 'log.db'}"


def test_the_examples_for_consumers_run(short_month, short_month_folder):
    assert short_month["public"]
    sybil = Sybil(parsers=[PythonCodeBlockParser()], path=str(ROOT / "docs"), patterns=["consumers.md"])
    document = sybil.parse(ROOT / "docs" / "consumers.md")
    document.namespace["log_url"] = log_url(short_month_folder)
    examples = list(document.examples())
    assert examples
    for example in examples:
        example.evaluate()


def test_the_example_consumer_prints_every_payment(short_month, short_month_folder):
    words = [sys.executable, str(ROOT / "examples" / "consumer.py"), log_url(short_month_folder), "--once"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    paid = {number for number, (status, _) in short_month["zoho"]["invoices"].items() if status == "paid"}
    assert {line.split()[0] for line in shown if line.split()[1] == "reconciled"} >= paid
    assert len((ROOT / "examples" / "consumer.py").read_text().splitlines()) <= 40


@pytest.mark.parametrize("topic", ["reconciled-payments", "reconciled-payouts", "discrepancies"])
def test_published_records_fit_their_schema(short_month, topic):
    name = {
        "reconciled-payments": "reconciled-payment-1",
        "reconciled-payouts": "reconciled-payout-1",
        "discrepancies": "discrepancy-1",
    }
    schema = json.loads((ROOT / "docs" / "schemas" / f"{name[topic]}.json").read_text())
    records = [value for key, value in short_month["public"].items() if key.startswith(f"{topic}/")]
    assert records
    for record in records:
        jsonschema.validate({**record, "version": 1, "event": "EV1"}, schema)


def test_every_command_that_the_readme_names_exists():
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "consumers.md").read_text()
    named = set(re.findall(r"zoho-gocardless ([a-z]+)", text))
    assert {"demo", "why", "connect", "check", "run", "keys"} <= named
    assert named <= set(main.list_commands(None))
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make ([a-z]+)", text):
        assert f"\n{target}:" in makefile


def test_the_settings_of_the_docs_are_valid_and_name_every_setting():
    text = (ROOT / "docs" / "settings.md").read_text()
    tree = tomllib.loads(re.search(r"```toml\n(.*?)```", text, re.DOTALL).group(1))
    assert isinstance(decode(tree, "docs/settings.md"), Settings)

    def named(shape):
        for field in msgspec.structs.fields(shape):
            yield field.name
        for inner in (
            rules_of_settings.GatewayTable,
            rules_of_settings.Polling,
            rules_of_settings.Calls,
            rules_of_settings.Rules,
            rules_of_settings.Zoho,
            rules_of_settings.GoCardless,
            rules_of_settings.Connection,
            rules_of_settings.Kafka,
        ):
            yield from (field.name for field in msgspec.structs.fields(inner))

    missing = [name for name in named(Settings) if name not in text]
    assert missing == []
