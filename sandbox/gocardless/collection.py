"""Collections: one collection per resource, in order of creation, with ids, filters and cursors.

Cursors as recorded: page 1 has `after` = the id of its last record and `before` = null; the page asked for with that
`after` has `before` = the id of its own first record. Lists run from new to old. `before` gives what is newer than
the record named (inferred).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from multidict import MultiMapping

from sandbox.gocardless.errors import usage

Doc = dict[str, Any]
Getter = Callable[[Doc], object]

LIMIT_DEFAULT = 50
LIMIT_MAX = 500
_PAGE_WORDS = frozenset({"after", "before", "limit", "sort_field", "sort_direction"})
_RANGE = re.compile(r"(?P<field>created_at|charge_date)\[(?P<bound>gte?|lte?)\]$")


def moment(when: datetime) -> str:
    """Write a moment as the API does: UTC, milliseconds, `Z`."""
    return when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def getter(path: str) -> Getter:
    """Make the getter of a field, or of a link ("links.payment")."""
    first, _, link = path.partition(".")
    if link:
        return lambda doc: doc[first].get(link)
    return lambda doc: doc.get(first)


class Collection:
    """All records of one resource, oldest first."""

    def __init__(self, name: str, prefix: str, filters: Mapping[str, Getter] | None = None) -> None:
        self.name = name
        self.prefix = prefix
        self.filters = dict(filters or {})
        self.records: list[Doc] = []
        self.place: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.records)

    def add(self, doc: Doc) -> Doc:
        """Keep a new record."""
        self.place[doc["id"]] = len(self.records)
        self.records.append(doc)
        return doc

    def find(self, identity: str) -> Doc | None:
        """Give the record with this id."""
        place = self.place.get(identity)
        return None if place is None else self.records[place]

    def __getitem__(self, identity: str) -> Doc:
        return self.records[self.place[identity]]

    def get(self, identity: str) -> Doc:
        """Give the record with this id. Refusal 404: there is none."""
        doc = self.find(identity)
        if doc is None:
            raise usage("resource_not_found", "Resource not found")
        return doc


class Query:
    """The query string of one list request, read and checked. Refusal 400 `invalid_filters`: a word or value is not
    understood.
    """

    def __init__(self, collection: Collection, query: MultiMapping[str], *, refuse_unknown: bool) -> None:
        self._collection = collection
        self._equals: list[tuple[Getter, frozenset[str]]] = []
        self._ranges: list[tuple[str, str, str]] = []
        self.limit = _limit(query.get("limit"))
        self.after = query.get("after")
        self.before = query.get("before")
        self._sort_field = query.get("sort_field", "created_at")
        self._ascending = _direction(query.get("sort_direction"))
        for word in dict.fromkeys(query):
            self._read(word, [part for value in query.getall(word) for part in value.split(",")], refuse_unknown)
        self.oldest = next(
            (value for field, bound, value in self._ranges if (field, bound) == ("created_at", "gte")), ""
        )

    def matches(self, doc: Doc) -> bool:
        """Say whether the record passes every filter."""
        return all(_text(get(doc)) in wanted for get, wanted in self._equals) and all(
            _within(doc.get(field), bound, value) for field, bound, value in self._ranges
        )

    def page(self, visible: Callable[[Doc], bool]) -> tuple[list[Doc], Doc]:
        """Give the page's records and its `meta`."""
        if self._sort_field != "created_at" or self._ascending:
            return self._sorted_page(visible)
        if self.before is not None:
            found = self._take(self._newer(self._position(self.before)), visible)
            records = found[: self.limit][::-1]
            has_newer, has_older = len(found) > self.limit, bool(records)
        else:
            position = len(self._collection) if self.after is None else self._position(self.after)
            found = self._take(self._older(position), visible)
            records = found[: self.limit]
            has_newer, has_older = self.after is not None and bool(records), len(found) > self.limit
        return records, self._meta(records, has_newer=has_newer, has_older=has_older)

    def _sorted_page(self, visible: Callable[[Doc], bool]) -> tuple[list[Doc], Doc]:
        records = [doc for doc in self._collection.records if visible(doc) and self.matches(doc)]
        records.sort(key=lambda doc: (doc.get(self._sort_field) is not None, doc.get(self._sort_field) or ""))
        if not self._ascending:
            records.reverse()
        places = {doc["id"]: place for place, doc in enumerate(records)}
        start = 0
        if self.after is not None:
            start = places.get(self.after, -1) + 1
        elif self.before is not None:
            start = max(0, places.get(self.before, 0) - self.limit)
        page = records[start : start + self.limit]
        return page, self._meta(page, has_newer=start > 0, has_older=start + self.limit < len(records))

    def _meta(self, records: list[Doc], *, has_newer: bool, has_older: bool) -> Doc:
        before = records[0]["id"] if has_newer else None
        after = records[-1]["id"] if has_older else None
        return {"cursors": {"before": before, "after": after}, "limit": self.limit}

    def _take(self, docs: Iterator[Doc], visible: Callable[[Doc], bool]) -> list[Doc]:
        """Give the matches, one more than the page holds: it says whether there is a next page."""
        found: list[Doc] = []
        for doc in docs:
            if visible(doc) and self.matches(doc):
                found.append(doc)
                if len(found) > self.limit:
                    break
        return found

    def _older(self, position: int) -> Iterator[Doc]:
        records = self._collection.records
        for place in range(position - 1, -1, -1):
            doc = records[place]
            # Records lie in order of creation: what is older than the lower bound ends the search.
            if doc["created_at"] < self.oldest:
                return
            yield doc

    def _newer(self, position: int) -> Iterator[Doc]:
        records = self._collection.records
        for place in range(position + 1, len(records)):
            yield records[place]

    def _position(self, cursor: str) -> int:
        place = self._collection.place.get(cursor)
        if place is None:
            raise usage("invalid_filters", "The cursor is not valid")
        return place

    def _read(self, word: str, values: list[str], refuse_unknown: bool) -> None:
        name = word.removesuffix("[]")
        bound = _RANGE.match(word)
        if name in self._collection.filters:
            self._equals.append((self._collection.filters[name], frozenset(values)))
        elif bound is not None and (bound["field"] == "created_at" or self._collection.name == "payments"):
            self._ranges.append((bound["field"], bound["bound"], _bound(bound["field"], bound["bound"], values[0])))
        elif word not in _PAGE_WORDS and refuse_unknown:
            raise usage("invalid_filters", f"{word} is not a filter of {self._collection.name}")


def metadata_filter(query: MultiMapping[str]) -> dict[str, str]:
    """Read `metadata[key]=value` filters."""
    return {word[9:-1]: query[word] for word in query if word.startswith("metadata[") and word.endswith("]")}


def _limit(text: str | None) -> int:
    if text is None:
        return LIMIT_DEFAULT
    if not text.isdecimal() or not 1 <= int(text) <= LIMIT_MAX:
        raise usage("invalid_filters", f"limit must be between 1 and {LIMIT_MAX}")
    return int(text)


def _direction(text: str | None) -> bool:
    if text not in (None, "asc", "desc"):
        raise usage("invalid_filters", "sort_direction is asc or desc")
    return text == "asc"


def _bound(field: str, bound: str, text: str) -> str:
    """Bring a bound to the form of the field, so that text compares as time does."""
    try:
        # In a query string a "+" of a zone arrives as a space.
        when = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise usage("invalid_filters", f"{text} is not a date") from None
    if field == "charge_date":
        return when.date().isoformat()
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    # Records have milliseconds: a finer bound is moved to the next one where that keeps its meaning.
    if when.microsecond % 1000 and bound in ("gte", "lt"):
        when += timedelta(milliseconds=1)
    return moment(when)


def _within(value: str | None, bound: str, limit: str) -> bool:
    if value is None:
        return False
    if bound == "gt":
        return value > limit
    if bound == "gte":
        return value >= limit
    return value < limit if bound == "lt" else value <= limit


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
