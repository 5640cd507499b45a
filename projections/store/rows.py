"""A row of state ↔ the values of its table: the one place that knows which field is a native column and which is JSON
text.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, get_origin, get_type_hints

import msgspec

from domain.state import KINDS, Row

Shape = Literal["text", "integer", "boolean", "json"]

_NATIVE: Final[dict[Any, Shape]] = {str: "text", int: "integer", bool: "boolean"}
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class Field(NamedTuple):
    """One column of a kind: its name, its shape, and the type of its value in the struct."""

    name: str
    shape: Shape
    type: Any


def fields_of(row: type[Row]) -> tuple[Field, ...]:
    """The columns of a kind, in the order of the struct; `id` is the first."""
    hints = get_type_hints(row)
    return tuple(Field(name, _shape(hints[name]), hints[name]) for name in row.__struct_fields__)


def _shape(hint: Any) -> Shape:
    """A closed vocabulary is text, as its values are."""
    return "text" if get_origin(hint) is Literal else _NATIVE.get(hint, "json")


class RowCodec:
    """Rows of one kind ↔ tuples of column values."""

    __slots__ = ("_decoders", "_flags", "_json", "fields", "row")

    def __init__(self, row: type[Row]) -> None:
        self.row = row
        self.fields = fields_of(row)
        self._json = tuple(index for index, field in enumerate(self.fields) if field.shape == "json")
        self._flags = tuple(index for index, field in enumerate(self.fields) if field.shape == "boolean")
        self._decoders: tuple[tuple[int, Callable[[str], Any]], ...] = tuple(
            (index, msgspec.json.Decoder(self.fields[index].type).decode) for index in self._json
        )

    def values(self, connection: str, row: Row) -> tuple[Any, ...]:
        """(connection, id, …) in the order of the table's columns."""
        plain = msgspec.structs.astuple(row)
        if not self._json:
            return (connection, *plain)
        values = [connection, *plain]
        for index in self._json:
            value = plain[index]
            values[index + 1] = "[]" if value == () else _encode(value).decode()
        return tuple(values)

    def from_values(self, values: Sequence[Any]) -> Row:
        """The row of (id, …), as selected. Raises `msgspec.DecodeError` where JSON text does not fit the field."""
        if not (self._json or self._flags):
            return self.row(*values)
        mutable = list(values)
        for index in self._flags:
            mutable[index] = bool(mutable[index])
        for index, decode in self._decoders:
            mutable[index] = decode(mutable[index])
        return self.row(*mutable)


#: The codec of every kind.
CODECS: Final[dict[str, RowCodec]] = {kind: RowCodec(row) for kind, row in KINDS.items()}
