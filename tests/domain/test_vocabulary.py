"""Closed vocabularies: nothing outside them is compared with, marked or opened; what a text names is always given."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from domain import discrepancies
from domain.draft import Draft
from domain.envelope import Event
from domain.state import CLOSED, KINDS, Invoice, State
from domain.vocabulary import Code, CommandStatus, Environment, narrowed
from projections.store.tables import STATE

DOMAIN = Path(discrepancies.__file__).parent
AT = "2026-03-02T09:00:00.000Z"

WRONG = {
    "a status that is compared": 'from domain.state import Invoice\nfound = Invoice("1").stage == "colecting"\n',
    "a status that a row is made with": 'from domain.state import Booking\nfound = Booking("1", stage="unaplying")\n',
    "an end of a command that is compared": 'from domain.events import Outcome\n\n\ndef rule(data: Outcome) -> bool:\n    return data.status == "witheld"\n',
    "a step that an answer belongs to": 'from adapters.verdicts import Step\nstep: Step = "lookup"\n',
    "a module that lacks a verb of its protocol": "from adapters.gocardless import pages\nfrom adapters.interface import Perform\nfound: Perform = pages\n",
    "a code that is opened": 'from domain.draft import Draft\nfrom domain.refs import Ref\n\n\ndef rule(draft: Draft) -> None:\n    draft.open("debit_faild", Ref("invoices", "1"))\n',
    "a row that something is about": 'from domain.refs import Ref\nfound = Ref("invoces", "1")\n',
    "a purpose's kind": 'from domain import refs\nfound = refs.purpose("read_payuot", "PO1")\n',
    "a purpose made by hand": 'from domain.draft import Draft\n\n\ndef rule(draft: Draft) -> int:\n    return draft.attempts("debit:1")\n',
    "a list's name made by hand": 'from domain.draft import Draft\n\n\ndef rule(draft: Draft) -> None:\n    draft.wake("viewing:MD1")\n',
    "a due time made by hand": 'from domain.draft import Draft\n\n\ndef rule(draft: Draft) -> None:\n    draft.cancel_timer("view:1")\n',
    "a rule that is to look again": 'from domain.draft import Draft\n\n\ndef rule(draft: Draft) -> None:\n    draft.touch("invoice", "1")\n',
    "a kind of rows that is marked": 'from domain.draft import Draft\n\n\ndef rule(draft: Draft) -> None:\n    draft.mark("invoice", "1", stage="hold")\n',
    "a row that the rules are said to read": 'from domain.reads import Named\n\n\ndef rows() -> Named:\n    yield "invoice", "1"\n',
    "a finding that is of another level": 'from domain.onboarding_findings import Findings\nFindings().stop("creditors", "two")\n',
}
RIGHT = 'from domain.state import Invoice\nfound = Invoice("1", stage="collecting").stage == "collected"\n'


@pytest.fixture(scope="module")
def check_types(tmp_path_factory):
    """What the type check says of each of several modules."""
    folder = tmp_path_factory.mktemp("wrong")
    for number, text in enumerate([RIGHT, *WRONG.values()]):
        (folder / f"module_{number:02d}.py").write_text(text)
    words = (
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--config-file",
        str(DOMAIN.parent / "pyproject.toml"),
    )
    ran = subprocess.run(
        [*words, *map(str, sorted(folder.iterdir()))], cwd=DOMAIN.parent, capture_output=True, text=True, check=False
    )
    return ran.stdout


def test_a_misspelt_status_or_code_fails_the_type_check(check_types):
    told = {int(number) for number in re.findall(r"module_(\d+)\.py:\d+: error", check_types)}
    assert told == {number for number, _ in enumerate(WRONG, start=1)}, check_types


def test_a_mark_outside_its_words_is_a_fault_at_once():
    state = State("c1")
    state.invoices["1"] = Invoice("1")
    draft = Draft(state, Event("e-1", "x", "c1", AT, AT, "test", None))
    with pytest.raises(AssertionError, match=r"a mark of invoices outside its words: \['stage'\]"):
        draft.mark("invoices", "1", stage="colecting")


def test_an_end_of_a_command_that_this_version_does_not_know_is_kept_as_unknown():
    assert narrowed("succeeded", CommandStatus, "unknown") == "succeeded"
    assert narrowed("evaporated", CommandStatus, "unknown") == "unknown"
    assert narrowed("staging", Environment, "") == ""


def test_the_codes_are_those_of_the_catalogue():
    assert set(get_args(Code)) == set(discrepancies.CATALOGUE)


def test_the_column_of_a_closed_vocabulary_is_text_and_its_comment_names_every_value():
    for kind, fields in CLOSED.items():
        for name, values in fields.items():
            column = STATE[kind].columns[name]
            assert str(column.type) == "TEXT"
            assert column.comment is not None
            assert set(column.comment.removeprefix("One of ").rstrip(".").split(", ")) == {one for one in values if one}
    assert sum(map(len, CLOSED.values())) >= 9
    assert set(CLOSED) == set(KINDS)


def test_the_page_about_the_tables_names_every_word_of_every_column():
    page = (DOMAIN.parent / "docs" / "projections.md").read_text()
    shown = dict(re.findall(r"^\| `(\w+\.\w+)` \| ([\w, ]+) \|$", page, re.MULTILINE))
    assert shown == {
        f"{kind}.{name}": ", ".join(one for one in values if one)
        for kind, fields in CLOSED.items()
        for name, values in fields.items()
    }


def openings():
    """(file, line, code, names of the facts) of every discrepancy that a rule opens by its name; None where the facts
    are gathered before.
    """
    for file in sorted(DOMAIN.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "open"):
                continue
            code = node.args[0] if node.args else None
            if isinstance(code, ast.Constant) and isinstance(code.value, str):
                gathered = any(one.arg is None for one in node.keywords)
                yield file.name, node.lineno, code.value, None if gathered else {one.arg for one in node.keywords}


def test_every_discrepancy_is_opened_with_all_facts_that_its_text_needs():
    """A forgotten one would raise, and set a customer's connection aside."""
    found = list(openings())
    assert len(found) > 25
    for file, line, code, facts in found:
        kind = discrepancies.CATALOGUE[code]
        needed = set(re.findall(r"\{(\w+)\}", kind.text + kind.remedy))
        assert facts is None or needed <= facts - {"amount_minor", "currency"}, (file, line, code)
    assert [(file, code) for file, _, code, facts in found if facts is None] == [("invoices.py", "day_over_limit")]
