"""Lists of any length, kept as rows: adding, removing and looking cost the same however long a list is.

A list that lay in a row would be written whole with each change, and its bytes would grow with the square of its length
(rule 17). Here each key has a row that knows its neighbours, and the list's own row knows its ends. A list that is
empty has no row, so two histories that lead to the same keys in the same order lead to the same rows.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from domain.refs import ListName
from domain.state import Element, ListRow, State


def element(name: ListName, key: str) -> str:
    """The id of the row of a key in a list."""
    return f"{name}|{key}"


def has(state: State, name: ListName, key: str) -> bool:
    """Whether the key is in the list."""
    return element(name, key) in state.elements


def first(state: State, name: ListName) -> str:
    """The key that has been in the list for longest, "" when it is empty."""
    row = state.lists.get(name)
    return row.first if row is not None else ""


def only(state: State, name: ListName) -> str:
    """The key of a list that holds exactly one, else ""."""
    row = state.lists.get(name)
    return row.first if row is not None and row.first == row.last else ""


def oldest(state: State, name: ListName, limit: int) -> list[str]:
    """At most `limit` keys, from the first."""
    return list(_walk(state, name, limit, newest=False))


def newest(state: State, name: ListName, limit: int) -> list[str]:
    """At most `limit` keys, from the last."""
    return list(_walk(state, name, limit, newest=True))


def _walk(state: State, name: ListName, limit: int, *, newest: bool) -> Iterator[str]:
    row = state.lists.get(name)
    key = "" if row is None else row.last if newest else row.first
    for _ in range(limit):
        if not key:
            return
        yield key
        held = state.elements[element(name, key)]
        key = held.before if newest else held.after


def add(state: State, name: ListName, key: str) -> bool:
    """Put a key at the end; False when the list has it already."""
    place = element(name, key)
    if not key or place in state.elements:
        return False
    row = state.lists.get(name) or ListRow(name)
    if row.last:
        last = element(name, row.last)
        state.elements[last] = replace(state.elements[last], after=key)
    state.elements[place] = Element(place, before=row.last)
    state.lists[name] = replace(row, first=row.first or key, last=key)
    return True


def remove(state: State, name: ListName, key: str) -> bool:
    """Take a key out; False when the list does not have it. A walk that was to end with it ends one earlier."""
    place = element(name, key)
    held = state.elements.get(place)
    if held is None:
        return False
    row = state.lists[name]
    if held.before:
        before = element(name, held.before)
        state.elements[before] = replace(state.elements[before], after=held.after)
    if held.after:
        after = element(name, held.after)
        state.elements[after] = replace(state.elements[after], before=held.before)
    del state.elements[place]
    if not (held.before or held.after):
        del state.lists[name]
        return True
    state.lists[name] = replace(
        row,
        first=row.first if held.before else held.after,
        last=row.last if held.after else held.before,
        until=held.before if row.until == key else row.until,
    )
    return True


def become(state: State, name: ListName, keys: tuple[str, ...]) -> None:
    """Make the list hold these keys: those that are missing come to its end, in their order; others go.

    For decisions of version 0.1.0, which recorded a list whole with each change; its rules only ever added at the end,
    or took out.
    """
    wanted = dict.fromkeys(keys)
    row = state.lists.get(name)
    held: list[str] = []
    key = row.first if row is not None else ""
    while key:
        held.append(key)
        key = state.elements[element(name, key)].after
    for key in held:
        if key not in wanted:
            remove(state, name, key)
    for key in wanted:
        add(state, name, key)


def begin_walk(state: State, name: ListName) -> bool:
    """Note that a walk from the first key ends with the key that is the last one now; False when there is none."""
    row = state.lists.get(name)
    if row is None:
        return False
    state.lists[name] = replace(row, until=row.last)
    return True
