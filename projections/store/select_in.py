"""Parts of a SELECT: many keys, so that each engine finds every one of them by its index; a limit."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from projections.store.store import Store

#: How many keys one SELECT asks for. SQLite's last one is filled up by repeating a key, so that few statements are
#: compiled.
_SIZES: Final = (1, 16, 128, 512)


def chunks(store: Store, keys: Sequence[Any]) -> Iterator[tuple[int, list[Any]]]:
    """Keys as (size, parameters) of statements made with `among(…, size)`."""
    largest = _SIZES[-1]
    for start in range(0, len(keys), largest):
        chunk = list(keys[start : start + largest])
        size = next(size for size in _SIZES if size >= len(chunk))
        if size == 1:
            yield 1, chunk
        elif store.dialect == "postgresql":
            yield largest, [chunk]
        else:
            yield size, chunk + chunk[-1:] * (size - len(chunk))


def among(store: Store, column: sa.Column[Any], size: int) -> sa.ColumnElement[bool]:
    """The condition that a column is one of the keys of a chunk of this size."""
    if size == 1:
        return column == sa.bindparam("key")
    if store.dialect == "postgresql":
        # One array, not many parameters: a plan made while the table is small would compare each of its rows with each
        # key for ever.
        return column == sa.any_(sa.bindparam("keys", type_=ARRAY(column.type)))
    keys: list[sa.BindParameter[Any]] = [sa.bindparam(f"k{number}") for number in range(size)]
    return column.in_(keys)


def literals(*numbers: int) -> list[sa.ColumnElement[int]]:
    """A limit and an offset as text: SQLAlchemy binds an offset of its own where SQLite is given a limit alone."""
    return [sa.literal_column(str(number)) for number in numbers]
