"""How a record lies in a row: its id, its compressed value, its headers, its checksum.

`id` = partition number in the log << 40 | offset, so that a partition is one range of the table's own key.
`behind_ms` = the highest timestamp of the partition so far, less this one: nearly always 0, which takes no room; it
makes the highest-so-far searchable by halves, which is what "first record at or after a time" asks for. `codec` = 0 as
it is, 1 zlib. `crc` = CRC-32 of what is stored, folded with id and timestamp: SQLite itself does not see a changed byte
within a value.
"""

import zlib
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from streams.log.interface import Headers, LogCorrupt, NewRecord, Record, RecordTooLarge

OFFSET_BITS: Final = 40
OFFSET_MASK: Final = (1 << OFFSET_BITS) - 1
_CRC_MASK: Final = 0xFFFFFFFF
PLAIN: Final = 0
ZLIB: Final = 1
# Lower: time spent on values that hardly shrink. Higher: pages of polls, which shrink eightfold, fill the disk.
COMPRESS_ABOVE_BYTES: Final = 1_024
# Level 1 costs about 0.7 ms for 100 KB on the loop's thread; 6 costs three times that for a tenth less.
_LEVEL: Final = 1

Row = tuple[int, int, bytes | None, bytes | None, bytes | None, int, int]

_encode_headers = msgspec.msgpack.Encoder().encode
_decode_headers = msgspec.msgpack.Decoder(Headers).decode


class Prepared(NamedTuple):
    """A record ready for its row, but for its offset and timestamp."""

    partition_number: int
    timestamp_ms: int | None
    key: bytes | None
    value: bytes | None
    headers: bytes | None
    codec: int
    crc: int
    size: int


def first_id(partition_number: int, offset: int = 0) -> int:
    """The row id of an offset; of the first one by default."""
    return partition_number << OFFSET_BITS | offset


def prepare(record: NewRecord, partition_number: int, *, compress_above_bytes: int, limit_bytes: int) -> Prepared:
    """Encode a record for its row.

    Raises:
        RecordTooLarge: its key, value and headers are above `limit_bytes` before compression.

    """
    key, value = record.key, record.value
    headers = _encode_headers(record.headers) if record.headers else None
    size = len(key or b"") + len(value or b"") + len(headers or b"")
    if size > limit_bytes:
        raise RecordTooLarge(f"a record of {size} bytes, above {limit_bytes}", record.topic, "send less at once")
    codec = PLAIN
    if value is not None and len(value) > compress_above_bytes:
        packed = zlib.compress(value, _LEVEL)
        if len(packed) < len(value):
            value, codec = packed, ZLIB
    return Prepared(partition_number, record.timestamp_ms, key, value, headers, codec, _crc(key, value, headers), size)


def folded(crc: int, row_id: int, timestamp_ms: int) -> int:
    """The checksum as stored: bound to its place and time, so that rows cannot be exchanged unseen."""
    return (crc ^ row_id ^ row_id >> 32 ^ timestamp_ms) & _CRC_MASK


def _crc(key: bytes | None, value: bytes | None, headers: bytes | None) -> int:
    return zlib.crc32(headers or b"", zlib.crc32(value or b"", zlib.crc32(key or b"")))


def records(topic: str, partition: int, rows: Iterable[Row]) -> list[Record]:
    """Decode rows of one partition.

    Raises:
        LogCorrupt: a row is not what was written.

    """
    crc32 = zlib.crc32
    found: list[Record] = []
    add = found.append
    for row_id, timestamp_ms, key, value, headers, codec, crc in rows:
        actual = crc32(headers or b"", crc32(value or b"", crc32(key or b"")))
        if (actual ^ row_id ^ row_id >> 32 ^ timestamp_ms) & _CRC_MASK != crc:
            raise damaged(topic, partition, row_id & OFFSET_MASK)
        if codec == ZLIB and value is not None:
            value = zlib.decompress(value)  # noqa: PLW2901 - the loop is the hot path of a replay
        add(
            Record(topic, partition, row_id & OFFSET_MASK, timestamp_ms, key, value, _decode_headers(headers))
            if headers
            else Record(topic, partition, row_id & OFFSET_MASK, timestamp_ms, key, value)
        )
    return found


def damaged(topic: str, partition: int, offset: int) -> LogCorrupt:
    return LogCorrupt(
        "a record is not what was written",
        f"{topic}[{partition}]@{offset}",
        "stop, keep the file, restore the last backup",
    )
