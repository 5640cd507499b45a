"""The records of decisions: numbered without a gap, of one form, and all in the table."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "decisions"
RECORDS = sorted(path for path in FOLDER.glob("*.md") if path.name != "index.md")
HEADINGS = ["Context", "Decision", "Consequences", "What would change our mind"]


def test_the_numbers_have_no_gap():
    assert [path.name[:5] for path in RECORDS] == [f"{number:04d}-" for number in range(1, len(RECORDS) + 1)]


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_a_record_has_the_four_parts_and_stands_in_the_table(path):
    text = path.read_text()
    (title,) = re.findall(r"^# (.*)$", text, re.MULTILINE)
    assert title.startswith(f"{path.name[:4]} ")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    assert f"({path.name})" in (FOLDER / "index.md").read_text()
