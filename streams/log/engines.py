"""The engines a log can run on, and what they share. `open_log` picks one by the scheme of a URL."""

from urllib.parse import urlsplit

from streams.log.interface import Limits, Log
from streams.settings import Kafka, Settings


def open_log(url: str, *, limits: Limits | None = None, kafka: Kafka | None = None, prefix: str = "") -> Log:
    """The log at a URL, not started yet: `sqlite:////absolute/path.db`, or `kafka://host:port,host:port`.

    `kafka` says how a cluster is reached; `prefix` is that of the installation's topics on it.

    Raises:
        ValueError: no engine has that scheme, or the engine cannot read the rest.

    """
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        from streams.log.sqlite import SqliteLog  # noqa: PLC0415 - an engine's libraries load only where it is used

        return SqliteLog.from_url(url, limits=limits)
    if scheme == "kafka":
        from streams.log.kafka import KafkaLog  # noqa: PLC0415 - as above

        return KafkaLog.from_url(url, limits=limits, kafka=kafka or Kafka(), prefix=prefix)
    raise ValueError(
        f"no log engine for {scheme or 'a URL without scheme'}: use sqlite:////absolute/path.db or kafka://host:port"
    )


def log_of(settings: Settings) -> Log:
    """The log of an installation, not started yet. Raises `ValueError` as `open_log`."""
    return open_log(settings.log, kafka=settings.kafka, prefix=settings.topic_prefix)
