"""Oracle of the gateway: what it has taken is in the log, and what it has taken was signed."""

from collections import Counter
from collections.abc import Iterable, Iterator

from domain.vocabulary import Api
from streams.log.interface import Log
from streams.log.records import read_delivery
from streams.log.topics import Topics
from streams.simulation.oracles.breach import Breach


def webhook_breaches(
    log: Log, topics: Topics, taken: Iterable[tuple[str, Api, bytes]], forged: Iterable[tuple[str, Api]]
) -> Iterator[Breach]:
    """Each webhook of `taken` (connection, API, body) was answered 2xx, so the log has it; none of `forged`, which were
    answered so too, should have been. Of an intact log only.
    """
    kept: Counter[tuple[str, Api, bytes]] = Counter()
    for topic in (topics.deliveries_gocardless, topics.deliveries_zoho):
        for partition in range(topic.partitions):
            for records in log.scan(topic.name, partition):
                for record in records:
                    meta, body = read_delivery(record)
                    if meta.kind == "webhook":
                        kept[meta.connection, meta.api, body] += 1
    for (connection, api, _), count in (Counter(taken) - kept).items():
        words = f"a webhook of {api} was answered 2xx, and {count} of it are not in the log"
        yield Breach("webhook_taken", connection, f"api {api}", words)
    for (connection, api), count in Counter(forged).items():
        words = f"{count} webhooks whose signature nobody has made were answered 2xx"
        yield Breach("webhook_taken", connection, f"api {api}", words)
