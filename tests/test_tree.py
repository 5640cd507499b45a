"""What holds for every file: a newcomer can read each in one go, and tests import what they use."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]

ROOMS = ("domain", "adapters", "projections", "sandbox", "streams", "tests", "bench", "examples")

#: Lines of a file. Higher: a file holds more than one thing.
MAX_LINES = 500

#: Longer files, and why.
LONGER = {
    "projections/store/migrations/versions/0001_the_first_schema.py": "what a version did is history; it stays as it is",
}

#: Ways of loading a module that neither a reader nor the type check can follow.
BY_PATH = {"spec_from_file_location", "SourceFileLoader", "run_path"}


def files():
    """Every Python file that is kept, by its path."""
    found = {
        str(file.relative_to(ROOT)): file.read_text() for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))
    }
    assert len(found) > 400
    return found


def test_no_file_is_longer_than_can_be_read_in_one_go():
    assert {name for name, text in files().items() if text.count("\n") > MAX_LINES} == set(LONGER)


def test_nothing_is_loaded_by_path():
    by_path = {
        name
        for name, text in files().items()
        for node in ast.walk(ast.parse(text))
        if (isinstance(node, ast.Attribute) and node.attr in BY_PATH)
        or (isinstance(node, ast.ImportFrom) and any(one.name in BY_PATH for one in node.names))
    }
    assert by_path == set()
