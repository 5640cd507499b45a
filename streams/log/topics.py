"""Which topics exist: their names, keys, partitions and how long they are kept.

One table, `TOPICS`, is the statement; `Topics` gives it the configured prefix and partition count. Every engine makes
its topics from it, and refuses one that exists with another partition count, because a key would then change its
partition.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Final, Literal

import msgspec

# Lower: less can be worked on side by side. Higher: more file handles and idle reads. It is fixed when the log is made.
DEFAULT_PARTITIONS: Final = 8
# Kafka's bound for a topic name; one bound for every engine, so that a log can move.
MAX_NAME_LENGTH: Final = 249
# Above this, a start has to seek in too many places; Kafka brokers suffer as well.
MAX_PARTITIONS: Final = 256

DAY_S: Final = 24 * 60 * 60
# Bookkeeping evidence is kept ten years where the law asks longest; the end of it limits evidence and re-translation
# only.
DELIVERIES_RETENTION_S: Final = 3_660 * DAY_S
# Readers of the public topics have over a year to catch up; the records can be published again from `decisions`.
PUBLIC_RETENTION_S: Final = 400 * DAY_S

_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,120}")


class TopicSpec(msgspec.Struct, frozen=True):
    """One topic. `retention_s` None: for ever. `key`: what a record's key is; the partition is always the
    connection's.
    """

    name: str
    key: Literal["connection", "resource"]
    partitions: int
    retention_s: int | None
    purpose: str

    def __post_init__(self) -> None:
        """Refuse what no engine could hold.

        Raises:
            ValueError: the name is longer than 249 characters, or the partitions are not within 1 to 256.

        """
        if not 0 < len(self.name) <= MAX_NAME_LENGTH:
            raise ValueError(f"topic name of {len(self.name)} characters: use 1 to {MAX_NAME_LENGTH}")
        if not 0 < self.partitions <= MAX_PARTITIONS:
            raise ValueError(f"topic {self.name} with {self.partitions} partitions: use 1 to {MAX_PARTITIONS}")


TOPICS: Final[tuple[TopicSpec, ...]] = (
    TopicSpec(
        "deliveries.gocardless",
        "connection",
        DEFAULT_PARTITIONS,
        DELIVERIES_RETENTION_S,
        "bytes that came from GoCardless: webhooks, pages of polls, answers to our calls",
    ),
    TopicSpec(
        "deliveries.zoho",
        "connection",
        DEFAULT_PARTITIONS,
        DELIVERIES_RETENTION_S,
        "bytes that came from Zoho Books: webhooks, pages of polls, answers to our calls",
    ),
    TopicSpec("events", "connection", DEFAULT_PARTITIONS, None, "the total order of each connection's facts"),
    TopicSpec("decisions", "connection", DEFAULT_PARTITIONS, None, "all that one event decided, one record each"),
    TopicSpec(
        "reconciled-payments",
        "resource",
        DEFAULT_PARTITIONS,
        PUBLIC_RETENTION_S,
        "public: a payment and what was booked for it, with lineage",
    ),
    TopicSpec(
        "reconciled-payouts",
        "resource",
        DEFAULT_PARTITIONS,
        PUBLIC_RETENTION_S,
        "public: a payout, its items and how it foots, with lineage",
    ),
    TopicSpec(
        "discrepancies",
        "resource",
        DEFAULT_PARTITIONS,
        PUBLIC_RETENTION_S,
        "public: what a person must look at, with reason, evidence and remedy",
    ),
)
_BY_NAME: Final = {spec.name: spec for spec in TOPICS}


class Topics:
    """The topics of one installation: `TOPICS` under a prefix, all with the same partition count.

    The counts must be equal, so that one connection has the same partition number in every topic.
    """

    def __init__(self, prefix: str = "", partitions: int = DEFAULT_PARTITIONS) -> None:
        """Name the topics.

        Raises:
            ValueError: the prefix has other characters than letters, digits, `.`, `_`, `-`, or more than 120 of them.

        """
        if not _PREFIX.fullmatch(prefix):
            raise ValueError("topic prefix: use up to 120 letters, digits, '.', '_' or '-'")
        self.prefix = prefix
        self.partitions = partitions

    def _spec(self, name: str) -> TopicSpec:
        return msgspec.structs.replace(_BY_NAME[name], name=self.prefix + name, partitions=self.partitions)

    def __iter__(self) -> Iterator[TopicSpec]:
        """All topics, as their specifications."""
        return (self._spec(spec.name) for spec in TOPICS)

    def here(self, name: str) -> str:
        """Our name of a topic that a record names: before a move it may have had another prefix.

        Raises:
            ValueError: it is none of our topics under any prefix.

        """
        for spec in TOPICS:
            if name.endswith(spec.name):
                return self.prefix + spec.name
        raise ValueError(f"not a topic of an installation: {name[:MAX_NAME_LENGTH]!r}")

    @cached_property
    def deliveries_gocardless(self) -> TopicSpec:
        return self._spec("deliveries.gocardless")

    @cached_property
    def deliveries_zoho(self) -> TopicSpec:
        return self._spec("deliveries.zoho")

    @cached_property
    def events(self) -> TopicSpec:
        return self._spec("events")

    @cached_property
    def decisions(self) -> TopicSpec:
        return self._spec("decisions")

    @cached_property
    def reconciled_payments(self) -> TopicSpec:
        return self._spec("reconciled-payments")

    @cached_property
    def reconciled_payouts(self) -> TopicSpec:
        return self._spec("reconciled-payouts")

    @cached_property
    def discrepancies(self) -> TopicSpec:
        return self._spec("discrepancies")
