"""Lists: filters, sorting, paging and `page_context` (reference 2.3, 2.4).

A filter nobody knows is ignored: the answer is then the whole list. `applied_filter` tells only `filter_by`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sandbox.zoho.books import Books
from sandbox.zoho.call import Answer, Call, Document
from sandbox.zoho.errors import InvalidError
from sandbox.zoho.money import minor, number, precision_of
from sandbox.zoho.values import moment, parsed_day

PER_PAGE_MAX = 200

Predicate = Callable[[Any], bool]
Filter = Callable[[Books, str], Predicate]
Getter = Callable[[Any], Any]


@dataclass(slots=True, frozen=True, kw_only=True)
class Spec:
    """What a list can do. `statuses` turns the part of `filter_by` after the dot into a predicate."""

    key: str
    report: str
    filters: Mapping[str, Filter]
    sorts: Mapping[str, Getter]
    default_sort: tuple[str, str]
    default_filter: str = "Status.All"
    statuses: Callable[[Books, str], Predicate] | None = None
    context: Document = field(default_factory=lambda: {"custom_fields": []})


def listed(call: Call, spec: Spec, records: Iterable[Any], render: Callable[[Books, Any], object]) -> Answer:
    """One page of a list. Raises InvalidError for a page, sort column or filter value that cannot be read."""
    books, query = call.books, call.query
    page, per_page = _whole(query, "page", 1), min(_whole(query, "per_page", PER_PAGE_MAX), PER_PAGE_MAX)
    tests = [spec.filters[name](books, value) for name, value in query.items() if name in spec.filters and value]
    filter_by = query.get("filter_by") or spec.default_filter
    if spec.statuses is not None and not filter_by.endswith(".All"):
        tests.append(spec.statuses(books, filter_by.partition(".")[2]))
    rows = list(records)
    for test in tests:
        rows = [record for record in rows if test(record)]
    column, order = _sorting(query, spec)
    rows.sort(key=spec.sorts[column], reverse=order == "D")
    first = (page - 1) * per_page
    return Answer(
        {
            spec.key: [render(books, record) for record in rows[first : first + per_page]],
            "page_context": {
                "page": page,
                "per_page": per_page,
                "has_more_page": len(rows) > first + per_page,
                "report_name": spec.report,
                "applied_filter": filter_by,
                **spec.context,
                "sort_column": column,
                "sort_order": order,
            },
        }
    )


def texts(name: str, get: Getter) -> dict[str, Filter]:
    """`name`, `name_startswith`, `name_contains`; letter case does not matter."""
    return {
        name: lambda _books, value: lambda record: get(record).lower() == value.lower(),
        f"{name}_startswith": lambda _books, value: lambda record: get(record).lower().startswith(value.lower()),
        f"{name}_contains": lambda _books, value: lambda record: value.lower() in get(record).lower(),
    }


def exact(name: str, get: Getter) -> dict[str, Filter]:
    """`name` alone, for ids and enumerations."""
    return {name: lambda _books, value: lambda record: bool(get(record) == value)}


def days(name: str, get: Getter) -> dict[str, Filter]:
    """`name`, `_start`, `_end` (inclusive), `_before`, `_after` (exclusive)."""

    def made(suffix: str, holds: Callable[[date, date], bool]) -> Filter:
        def build(_books: Books, value: str) -> Predicate:
            wanted = parsed_day(value, f"{name}{suffix}")
            return lambda record: holds(get(record), wanted)

        return build

    return {
        name: made("", lambda held, wanted: held == wanted),
        f"{name}_start": made("_start", lambda held, wanted: held >= wanted),
        f"{name}_end": made("_end", lambda held, wanted: held <= wanted),
        f"{name}_before": made("_before", lambda held, wanted: held < wanted),
        f"{name}_after": made("_after", lambda held, wanted: held > wanted),
    }


def amounts(name: str, get: Getter) -> dict[str, Filter]:
    """`name`, `_less_than`, `_less_equals`, `_greater_than`, `_greater_equals`, and `_start`, `_end` of banking."""

    def made(suffix: str, holds: Callable[[int, int], bool]) -> Filter:
        def build(_books: Books, value: str) -> Predicate:
            wanted = number(value, f"{name}{suffix}")
            return lambda record: holds(get(record), minor(wanted, precision_of(record.currency)))

        return build

    def equal(held: int, wanted: int) -> bool:
        return held == wanted

    def at_least(held: int, wanted: int) -> bool:
        return held >= wanted

    def at_most(held: int, wanted: int) -> bool:
        return held <= wanted

    return {
        name: made("", equal),
        f"{name}_less_than": made("_less_than", lambda held, wanted: held < wanted),
        f"{name}_less_equals": made("_less_equals", at_most),
        f"{name}_greater_than": made("_greater_than", lambda held, wanted: held > wanted),
        f"{name}_greater_equals": made("_greater_equals", at_least),
        f"{name}_start": made("_start", at_least),
        f"{name}_end": made("_end", at_most),
    }


def modified_after(books: Books, value: str) -> Predicate:
    """`last_modified_time`: changed after that second (or in it, by a switch)."""
    since: datetime = moment(value, "last_modified_time")
    if books.switches.modified_after_inclusive:
        return lambda record: bool(record.modified_at >= since)
    return lambda record: bool(record.modified_at > since)


def custom_values() -> dict[str, Filter]:
    """`custom_field` and its suffixes: any custom field that holds the value."""

    def made(holds: Callable[[str, str], bool]) -> Filter:
        return lambda _books, value: lambda record: any(holds(held, value) for held in record.custom.values())

    return {
        "custom_field": made(lambda held, value: held == value),
        "custom_field_startswith": made(lambda held, value: held.startswith(value)),
        "custom_field_contains": made(lambda held, value: value in held),
    }


def search(*getters: Getter) -> dict[str, Filter]:
    """`search_text`: in any of the texts."""
    return {
        "search_text": lambda _books, value: lambda record: any(value.lower() in get(record).lower() for get in getters)
    }


def _sorting(query: Mapping[str, str], spec: Spec) -> tuple[str, str]:
    column, order = spec.default_sort
    wanted = query.get("sort_column")
    if wanted and wanted != column:
        if wanted not in spec.sorts:
            raise InvalidError("sort_column")
        column, order = wanted, "A"
    if query.get("sort_order"):
        order = {"A": "A", "D": "D", "ascending": "A", "descending": "D"}.get(query["sort_order"], "")
        if not order:
            raise InvalidError("sort_order")
    return column, order


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name, "")
    if not value:
        return default
    if not value.isdecimal() or int(value) < 1:
        raise InvalidError(name)
    return int(value)
