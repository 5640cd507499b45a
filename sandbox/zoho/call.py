"""One API call and its answer, as the endpoint functions see them: no HTTP library, no JSON library."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from sandbox.zoho.books import Books
from sandbox.zoho.errors import InvalidError, MissingError

Document = dict[str, Any]


@dataclass(slots=True, frozen=True)
class Call:
    """`path` holds the ids of the path, `body` what the JSON said (an object, a list, or None), `raw` its bytes."""

    books: Books
    route: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    raw: bytes

    @property
    def cause(self) -> str:
        """What ids derive from: the same call gives the same ids."""
        return f"{self.route} {sorted(self.path.items())} {blake2b(self.raw, digest_size=16).hexdigest()}"

    def object(self) -> Document:
        """The body as an object. Raises InvalidError."""
        if not isinstance(self.body, dict):
            raise InvalidError("JSONString")
        return self.body

    def array(self) -> list[Document]:
        """The body as a list of objects, bare or under `custom_fields`. Raises InvalidError."""
        found = self.body.get("custom_fields") if isinstance(self.body, dict) else self.body
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise InvalidError("JSONString")
        return found

    def unique_key(self) -> tuple[str, str, bool]:
        """The field, the value and whether to create when absent, from the headers of an upsert (reference 2.5)."""
        key = self.headers.get("X-Unique-Identifier-Key", "")
        value = self.headers.get("X-Unique-Identifier-Value", "")
        if not key or not value:
            raise MissingError("X-Unique-Identifier-Key")
        return key, value, self.headers.get("X-Upsert", "").lower() == "true"


@dataclass(slots=True, frozen=True)
class Answer:
    """`{"code": 0, "message": message, **document}` under `status`; `location` is the path of a record just made."""

    document: Document = field(default_factory=dict)
    message: str = "success"
    status: int = 200
    location: str = ""
