"""Each row of `docs/bad-input.md` as a case. The table is read, so that document and tests cannot drift."""

import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.stages import bad_input_bodies, bad_input_inside, bad_input_servers
from tests.stages.bad_input import CASES, Bench

assert {bad_input_bodies, bad_input_inside, bad_input_servers}, "importing them is what makes their cases known"

DOCUMENT = Path(__file__).parents[2] / "docs" / "bad-input.md"


def rows():
    """(case, what happens, outcome) of each row of the tables of cases, and the outcomes that the first table explains."""
    outcomes, found, head = {}, [], []
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            head = []
        elif not head:
            head = cells
        elif not set(line) <= set("|-"):
            if head[0] == "case":
                found.append((cells[0], cells[-2], cells[-1]))
            else:
                outcomes[cells[0]] = cells[1]
    return found, outcomes


ROWS, OUTCOMES = rows()


def test_every_row_has_a_case_and_every_case_a_row():
    assert [name for name, *_ in ROWS] == list(dict.fromkeys(name for name, *_ in ROWS))
    assert {name for name, *_ in ROWS} == CASES.keys()
    assert {outcome for *_, outcome in ROWS} <= OUTCOMES.keys()
    assert {outcome for *_, outcome in ROWS} == OUTCOMES.keys(), "an outcome that no row has"


@pytest.mark.parametrize(
    ("name", "outcome"), [(name, outcome) for name, _, outcome in ROWS], ids=[name for name, *_ in ROWS]
)
async def test_row(name, outcome, gateway_program, again, monkeypatch, request):
    """The case says what came of it; the document must say the same."""
    bench = Bench(
        gateway_program, again, monkeypatch, request.getfixturevalue, {name: happens for name, happens, _ in ROWS}.get
    )
    with capture_logs():
        assert await CASES[name](bench) == outcome
    await bench.still_works()


def test_the_document_names_no_case_twice_and_speaks_in_full_rows():
    for line in DOCUMENT.read_text().splitlines():
        if re.match(r"\| [a-z0-9-]+ \|", line) and not line.startswith("| case"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert all(cells), line
