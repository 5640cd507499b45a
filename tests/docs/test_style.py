"""What `STYLE.md` and `SECURITY.md` say that no other tool holds."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("domain", "adapters", "projections", "streams", "sandbox")
MAX_COLUMNS = 120

#: Documents with longer lines outside tables and code, and why.
LONGER = {"docs/discrepancies.md": "written from the catalogue, a text a line"}


def documents():
    places = ("*.md", ".github/**/*.md", "docs/**/*.md", "sandbox/*.md", "examples/*.md")
    return sorted(path for place in places for path in ROOT.glob(place))


def exceptions(text):
    """(line, whether it says its rule and its reason) of every exception from lint or types."""
    for line in text.splitlines():
        if "# noqa" in line:
            yield line, re.search(r"# noqa: [A-Z0-9, ]+ - \S", line) is not None
        if "# type: ignore" in line:
            yield line, re.search(r"# type: ignore\[[\w, -]+\]\s+# \S", line) is not None


def test_every_exception_names_its_rule_and_its_reason():
    found = [
        (path.relative_to(ROOT).as_posix(), line, good)
        for room in PRODUCT
        for path in sorted((ROOT / room).rglob("*.py"))
        for line, good in exceptions(path.read_text(encoding="utf-8"))
    ]
    assert len(found) > 50
    assert [(path, line) for path, line, good in found if not good] == []


@pytest.mark.parametrize(
    ("line", "good"),
    [
        ("x = 1  # noqa: S105 - a reason, not a token", True),
        ("x = 1  # noqa: S105", False),
        ("x = 1  # noqa", False),
        ("x = 1  # type: ignore[misc]  # no types are shipped", True),
        ("x = 1  # type: ignore[misc]", False),
        ("x = 1  # type: ignore", False),
    ],
)
def test_an_exception_without_a_reason_is_noticed(line, good):
    assert [good for _, good in exceptions(line)] == [good]


def test_lines_of_prose_end_at_120():
    longer = {}
    for path in documents():
        text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        lines = [line for line in text.splitlines() if len(line) > MAX_COLUMNS and not line.startswith("|")]
        longer |= {path.relative_to(ROOT).as_posix(): lines} if lines else {}
    assert set(longer) == set(LONGER), longer


def test_what_the_style_says_is_held_by_a_test_is(document):
    held = re.findall(r"`(tests/[\w/.]+\.py)`", document("STYLE.md"))
    assert len(held) > 5
    names = re.findall(r"`(test_\w+)`", document("STYLE.md"))
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert names
    assert all(f"def {name}(" in tests for name in names)


def test_the_versions_that_are_repaired_are_the_newest(document):
    released = re.findall(r"^## (\d+\.\d+\.\d+) - ", document("CHANGELOG.md"), re.MULTILINE)
    assert re.findall(r"^\| (\d+\.\d+\.\d+), the newest release", document("SECURITY.md"), re.MULTILINE) == released[:1]
