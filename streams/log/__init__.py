"""The log: its interface, what lies in it, the worker that reads it, and the two engines.

What others may use (docs/consumers.md): `open_log` and `TopicPartition`.
"""

from streams.log.engines import open_log
from streams.log.interface import TopicPartition

__all__ = ["TopicPartition", "open_log"]
