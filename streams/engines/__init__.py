"""The engines a log can run on, and what they share. `open_log` picks one by the scheme of a URL."""

from urllib.parse import urlsplit

from streams.log import Limits, Log


def open_log(url: str, *, limits: Limits | None = None) -> Log:
    """The log at a URL, not started yet: `sqlite:///absolute/path.db`.

    Raises:
        ValueError: no engine has that scheme, or the engine cannot read the rest.

    """
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        from streams.engines.sqlite import SqliteLog  # noqa: PLC0415 - an engine's libraries load only where it is used

        return SqliteLog.from_url(url, limits=limits)
    raise ValueError(f"no log engine for {scheme or 'a URL without scheme'}: use sqlite:///absolute/path.db")
