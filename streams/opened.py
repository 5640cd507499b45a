"""The log of an installation, opened without the program: for tools that read it, or append beside a running program. Loads little."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from streams.engines import open_log
from streams.log import Log
from streams.settings import Settings
from streams.topics import Topics

#: The consumer group of the stages; on the embedded log, whoever holds it is the running program.
GROUP: Final = "zoho-gocardless"


@contextlib.asynccontextmanager
async def opened_log(settings: Settings) -> AsyncIterator[Log]:
    """The log alone, for tools that read it or append an operator's event beside a running program."""
    log = open_log(settings.log)
    async with log:
        await log.ensure_topics(Topics(settings.topic_prefix, settings.partitions))
        yield log
