"""Examples in documents: which commands a page shows, and whether what one answered is what the page says."""

import re
from collections.abc import Iterator
from pathlib import Path


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of a page in this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def answers(page: Path) -> Iterator[tuple[str, str]]:
    """(command, expected answer) of every line of a console that begins with "$ "."""
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = part.partition("\n")
            yield command, answer


def matches(expected: str, got: str) -> bool:
    """A line of "…" alone stands for any lines, within a line for any text. Runs of spaces are one: columns are as wide
    as their text.
    """
    parts = []
    for line in expected.splitlines():
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(re.sub(r"(?:\\ )+", r"[ ]+", re.escape(line.rstrip())).replace("…", ".*?") + r"[ ]*\n")
    return re.fullmatch("".join(parts) + r"\s*", got) is not None
