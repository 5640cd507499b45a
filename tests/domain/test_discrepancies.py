import re
from pathlib import Path
from string import Formatter

import pytest

from domain.discrepancies import CATALOGUE, describe
from tests.domain.documents import DOCS, discrepancies_page

RULES = Path(__file__).parents[2] / "domain"


def test_the_page_says_what_the_catalogue_says():
    assert (DOCS / "discrepancies.md").read_text(encoding="utf-8") == discrepancies_page(), (
        "run `python tests/domain/documents.py`"
    )


def test_every_code_is_opened_by_a_rule_and_every_code_a_rule_opens_is_known():
    text = "".join(path.read_text(encoding="utf-8") for path in RULES.glob("*.py") if path.name != "discrepancies.py")
    named = set(re.findall(r'"([a-z]+(?:_[a-z]+)*)"', text))
    assert set(CATALOGUE) <= named
    opened = set(re.findall(r'draft\.open\(\s*"([a-z_]+)"', text))
    assert opened <= set(CATALOGUE)


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_code_says_what_to_do(code):
    kind = CATALOGUE[code]
    assert kind.text.endswith(".")
    assert kind.remedy.endswith(".")
    words = {name for text in kind for _, name, _, _ in Formatter().parse(text) if name}
    text, remedy = describe(code, dict.fromkeys(words, "X"))
    assert "{" not in text + remedy


def test_words_from_outside_are_not_filled_in_again():
    assert (
        describe("debit_failed", {"number": "{reason}", "reason": "{number}"})[0]
        == "The debit for {reason} failed: {number}."
    )
