"""The demo as a user runs it: the command, its screen, its document, and what can be asked afterwards."""

import json
import re
import subprocess
import sys

import pytest

from streams.demo import folder as demo_folder


def ask(*words, timeout_s=120):
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *words], capture_output=True, text=True, check=False, timeout=timeout_s
    )


@pytest.mark.timeout(200)
def test_the_demo_ends_with_one_document(tmp_path):
    ran = ask(
        "demo",
        "--folder",
        str(tmp_path / "demo"),
        "--customers",
        "8",
        "--invoices",
        "12",
        "--seed",
        "3",
        "--json",
        timeout_s=180,
    )
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout.splitlines()[-1])
    books = answer["data"]
    assert answer["ok"]
    assert books["invoices"] == 12
    assert books["invoices_paid"] == 8
    assert books["payments"] == 12
    assert books["payouts"] >= 1
    assert books["ledger_balanced"] is True
    assert books["clearing_minor"] == books["clearing_open_items_minor"]
    assert books["discrepancies"] == 4
    assert books["events"] > 100
    assert books["gocardless_calls"] > 24
    assert books["zoho_calls"] > 8
    assert 1 <= books["zoho_calls_marginal"] < 2
    assert books["wrong"] == []


@pytest.mark.timeout(240)
def test_a_second_demo_in_the_same_folder_says_what_it_removes_and_leaves_a_persons_own_file(tmp_path):
    folder = tmp_path / "demo"
    words = ("demo", "--folder", str(folder), "--customers", "5", "--invoices", "5", "--no-faults", "--json")
    first = ask(*words)
    assert (first.returncode, first.stderr) == (0, "")
    made = {one.name for one in folder.iterdir()}
    assert made <= {*demo_folder.NAMES, demo_folder.MARKER}, (
        "every name that a demo makes is one that the next may remove"
    )
    keys = (folder / "keys").read_text()
    (folder / "notes.txt").write_text("mine")
    second = ask(*words)
    assert second.returncode == 0, second.stderr
    assert [json.loads(line)["ok"] for line in second.stdout.splitlines()] == [True], (
        "one envelope, and nothing beside it"
    )
    said = second.stderr.splitlines()
    assert said[0].startswith(f"Removing what the last demo left in {folder}: settings.toml, keys, log.db")
    assert said[1:] == ["Left as it is, since no demo made it: notes.txt."]
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "keys").read_text() != keys


@pytest.mark.timeout(200)
def test_without_a_terminal_the_demo_says_which_day_it_is(tmp_path):
    words = ("demo", "--folder", str(tmp_path / "demo"), "--customers", "5", "--invoices", "5", "--no-faults")
    ran = ask(*words, timeout_s=180)
    assert ran.returncode == 0, ran.stderr
    said = ran.stderr.splitlines()
    found = [re.fullmatch(r"Day (\d+) of (\d+), until \d{4}-\d\d-\d\d\.", line) for line in said]
    assert all(found)
    numbers, (days, *_) = [int(one[1]) for one in found], [int(one[2]) for one in found]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 1
    assert 2 <= len(numbers) <= days
    assert "Counted inside the simulators" in ran.stdout


def test_an_open_invoice_can_be_asked_about(short_month, short_month_folder):
    config = str(short_month_folder / "settings.toml")
    failed = next(number for number, (status, _) in short_month["zoho"]["invoices"].items() if status == "overdue")
    ran = ask("why", "invoice", failed, "--config", config)
    assert ran.returncode == 0, ran.stderr
    assert failed in ran.stdout
    assert "deliveries." in ran.stdout


def test_a_person_opened_the_gate_and_the_log_says_who(short_month, short_month_folder):
    assert short_month["invoices"]["collected"]
    config = str(short_month_folder / "settings.toml")
    ran = ask("events", "--from", "0", "--type", "operator.gate_opened", "--json", "--config", config)
    events = json.loads(ran.stdout.splitlines()[-1])["data"]
    assert '"by":"demo"' in json.dumps(events, separators=(",", ":"))
