"""What is wrong with a tree of settings, in words for the person who wrote it: which setting, what stands there, what
is allowed. The types of `streams.settings` say what is allowed; msgspec's own words are shown to nobody.
"""

import difflib
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, get_origin

import msgspec
from msgspec import inspect

#: Settings whose value may hold a password or a key by mistake: it is never repeated.
_UNSHOWN: Final = frozenset({"log", "store", "keys", "password"})

#: Characters of a value, or of a name, that are shown. Lower: a value is not recognised. Higher: a line nobody reads.
_SHOWN: Final = 60

#: Stands in a path for a name that the person chooses, as a connection's.
_CHOSEN: Final = "NAME"

_BARE: Final = re.compile(r"[A-Za-z0-9_-]{1,40}\Z")

Path = tuple[str, ...]


class Fault(NamedTuple):
    """One thing that is wrong. `near`: the path of the name that was probably meant, when one is close."""

    path: Path
    what: str
    remedy: str
    near: Path = ()


def dotted(path: Path) -> str:
    """The path of a setting as the pages write it: "connections.acme.rules.send_hour"."""
    return ".".join(part if _BARE.match(part) else shown(part) for part in path) or "the top level"


def shown(value: Any, limit: int = _SHOWN) -> str:
    """A value as it stands in the file, cut to a length that a line can hold."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            text = msgspec.json.encode(value[:limit]).decode()
            return text if len(value) <= limit else f"{text[:-1]}…"
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            return str(value)[:limit]


def faults(tree: Any, kind: Any) -> Iterator[Fault]:
    """All that is wrong in a tree of the type `kind`, in the order of the type's fields."""
    return _faults(tree, kind, (), list(_settings(kind, ())))


def _settings(kind: Any, path: Path) -> Iterator[Path]:
    """The path of every setting and table of a type; NAME stands for a name that the person chooses."""
    if _is_table(kind):
        for field in msgspec.structs.fields(kind):
            yield (*path, field.name)
            yield from _settings(field.type, (*path, field.name))
    elif get_origin(kind) is dict:
        yield from _settings(kind.__args__[1], (*path, _CHOSEN))


def _faults(tree: Any, kind: Any, path: Path, known: list[Path]) -> Iterator[Fault]:
    if _is_table(kind):
        if not isinstance(tree, dict):
            yield Fault(path, f"{_given(path, tree)} is not a table", f"write its settings under [{dotted(path)}]")
            return
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for name in tree:
            if name not in fields:
                yield _unknown(name, list(fields), path, known)
        for name, field in fields.items():
            if name in tree:
                yield from _faults(tree[name], field.type, (*path, name), known)
            elif field.required:
                under = f"under [{dotted(path)}]" if path else "at the top of the file"
                yield Fault((*path, name), "is missing", f"add it {under}")
    elif get_origin(kind) is dict:
        if not isinstance(tree, dict):
            yield Fault(path, f"{_given(path, tree)} is not a table", f"write names and values under [{dotted(path)}]")
            return
        for name, value in tree.items():
            yield from _faults(value, kind.__args__[1], (*path, name), known)
    else:
        yield from _of_value(tree, kind, path)


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _unknown(name: str, here: list[str], path: Path, known: list[Path]) -> Fault:
    """A name that is no setting in this table: misspelt, or in the wrong table, or neither that we know of."""
    what = "is not a setting"
    close = difflib.get_close_matches(name, here, 1)
    if close:
        return Fault((*path, name), what, f"did you mean {close[0]}?", (*path, close[0]))
    elsewhere = [_beside(path, one) for one in known if one[-1] == name]
    if elsewhere:
        nearest = max(elsewhere, key=lambda one: len(_common(one, path)))
        table = f"[{dotted(nearest[:-1])}]" if nearest[:-1] else "no table, at the top of the file"
        return Fault((*path, name), what, f"write {name} under {table}", nearest)
    return Fault((*path, name), what, f"use one of {', '.join(here)}")


def _beside(path: Path, setting: Path) -> Path:
    """The path of a setting, in the connection that `path` is in."""
    return tuple(
        path[count] if part == _CHOSEN and setting[:count] == path[:count] and count < len(path) else part
        for count, part in enumerate(setting)
    )


def _common(left: Path, right: Path) -> Path:
    return left[: next((count for count, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), len(right))]


def _of_value(value: Any, kind: Any, path: Path) -> Iterator[Fault]:
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        yield Fault(path, f"{_given(path, value)} is not allowed", f"use {allowed(kind)}{_example(path, value, kind)}")


def _example(path: Path, value: Any, kind: Any) -> str:
    """A number where text belongs lacks its quotes."""
    lacks_quotes = kind is str and isinstance(value, int | float) and path[-1] not in _UNSHOWN
    return f', as in "{shown(value)}"' if lacks_quotes else ""


def _given(path: Path, value: Any) -> str:
    return "what stands there" if path[-1] in _UNSHOWN else shown(value)


def allowed(kind: Any) -> str:
    """What a value of this type may be, in words."""
    match inspect.type_info(kind):
        case inspect.LiteralType(values=values):
            return " or ".join('""' if not one else f'"{one}"' for one in values)
        case inspect.IntType(ge=low, le=high):
            return f"a whole number{bounds(low, high)}"
        case inspect.FloatType(ge=low, le=high):
            return f"a number{bounds(low, high)}"
        case _:
            return "text in quotes"


def bounds(low: float | None, high: float | None) -> str:
    """Bounds in words, with a space before them; nothing where there are none."""
    return "" if low is None or high is None else f" from {low:,} to {high:,}"
