"""Every link between documents leads somewhere, also where no site is built: in the files as they lie. And what they
name of the project is there.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PLACE = re.compile(r"(domain|adapters|projections|sandbox|streams|tests|bench|examples|docs|deploy|\.ci)/[\w./*-]+")
_CODE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)


#: Where documents lie.
PLACES = ("*.md", ".github/**/*.md", "docs/**/*.md", "examples/**/*.md", "sandbox/**/*.md")


def documents():
    return sorted(path.relative_to(ROOT).as_posix() for place in PLACES for path in ROOT.glob(place))


def anchors(text):
    """The anchors of a document's headings, as hosts of repositories and the site make them."""
    found = set()
    for title in re.findall(r"^#{1,6} (.*)$", _CODE.sub("", text), re.MULTILINE):
        bare = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        found.add(re.sub(r"[^\w\- ]", "", bare.lower()).strip().replace(" ", "-"))
    return found


def broken(path, text):
    """The links of a document that lead nowhere."""
    for target in _LINK.findall(_CODE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        file = (path.parent / place).resolve() if place else path
        found = file.exists() and (not anchor or anchor in anchors(text if file == path else file.read_text("utf-8")))
        if not found:
            yield target


def missing(text):
    """What a document names that is not there: a file of the project, or a name in one of its files."""
    bare = _CODE.sub("", text)
    new = set(re.findall(r"new file,\s+`([^`\n]+)`", bare))
    for place in re.findall(r"`([^`\n]+)`", bare):
        if _PLACE.fullmatch(place) and place not in new and not list(ROOT.glob(place.rstrip("/"))):
            yield place
    for name, place in re.findall(r"`(\w+)`\s+(?:in|of)\s+`([\w./]+\.py)`", bare):
        if not re.search(rf"\b{name}\b", (ROOT / place).read_text(encoding="utf-8")):
            yield f"{name} in {place}"


def test_there_are_documents():
    assert {"README.md", "CHANGELOG.md", "docs/index.md", "docs/errors/log.md"} <= set(documents())


@pytest.mark.parametrize("name", documents())
def test_every_link_leads_to_a_file_and_a_heading(name):
    path = ROOT / name
    assert list(broken(path, path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("name", documents())
def test_every_file_of_the_project_that_is_named_is_there(name):
    assert list(missing((ROOT / name).read_text(encoding="utf-8"))) == []


def test_a_file_or_a_name_that_is_not_there_is_noticed():
    assert list(missing("`domain/nothing.py`, `tests/docs`, `NOTHING` in `domain/ids.py`")) == [
        "domain/nothing.py",
        "NOTHING in domain/ids.py",
    ]


@pytest.mark.parametrize(
    ("link", "leads"),
    [
        ("docs/cli.md", True),
        ("docs/cli.md#connect", True),
        ("docs/errors.md#cannot_create", True),
        ("docs/nowhere.md", False),
        ("docs/cli.md#nowhere", False),
        ("#here", True),
        ("#there", False),
        ("https://example.com/there", True),
    ],
)
def test_a_link_that_leads_nowhere_is_noticed(link, leads):
    assert (list(broken(ROOT / "README.md", f"# Here\n\n[word]({link})\n")) == []) is leads
