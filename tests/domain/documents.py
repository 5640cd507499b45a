"""The documents that are written from the rules: run `python tests/domain/documents.py` to write them; a test holds
them together.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from domain.discrepancies import CATALOGUE
from domain.publications import RECORDS

DOCS = Path(__file__).parents[2] / "docs"

_HEAD = """# Discrepancies

What a person must look at. Each has a code, a text that says what was found, and a remedy. They are shown by `zoho-gocardless status`,
on the pages, and published on the topic `discrepancies`. One closes by itself when its cause is gone; any can be closed by a person who
has dealt with it, and the rule that opened it then looks again. `{words}` are filled in with ids and document numbers, never with
personal data.

This page is written from `domain/discrepancies.py`.
"""


def discrepancies_page() -> str:
    """The catalogue as a page."""
    parts = [_HEAD]
    for code, kind in sorted(CATALOGUE.items()):
        parts.append(f"\n## {code}\n\n{kind.text}\n\n**What to do:** {kind.remedy}\n")
    return "".join(parts)


def schemas() -> dict[str, dict[str, Any]]:
    """File name → JSON Schema of the records of one public topic, as they are on the wire."""
    return {_file_name(shape): _schema(topic, shape) for topic, shape in RECORDS.items()}


def _file_name(shape: type[msgspec.Struct]) -> str:
    return f"{_version(shape).replace('/', '-')}.json"


def _version(shape: type[msgspec.Struct]) -> str:
    field = next(one for one in msgspec.structs.fields(shape) if one.name == "schema")
    return str(field.default)


def _schema(topic: str, shape: type[msgspec.Struct]) -> dict[str, Any]:
    found = msgspec.json.schema(shape)
    body: dict[str, Any] = found["$defs"][shape.__name__]
    version = {
        "type": "integer",
        "minimum": 0,
        "description": "Rises with every record of a key; readers ignore lower ones.",
    }
    # A published record carries every field, so that a reader needs no defaults.
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": _version(shape),
        "title": body["title"],
        "description": " ".join(f"Topic `{topic}`. {body['description']}".split()),
        "type": "object",
        "properties": {"version": version, **body["properties"]},
        "required": ["version", *body["properties"]],
    }


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write() -> None:
    """Write the page and the schemas."""
    (DOCS / "schemas").mkdir(parents=True, exist_ok=True)
    (DOCS / "discrepancies.md").write_text(discrepancies_page(), encoding="utf-8")
    for name, schema in schemas().items():
        (DOCS / "schemas" / name).write_text(schema_text(schema), encoding="utf-8")


if __name__ == "__main__":
    write()
