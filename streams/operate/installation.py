"""The log of an installation, opened without the program: for tools that read it, or append beside a running program.
Loads little.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from adapters.clock import Clock, StoppedClock, SystemClock
from adapters.errors import ClockError
from adapters.sandbox_clock import SandboxClock
from domain import codec
from streams.log.engines import log_of
from streams.log.interface import Log, TopicPartition
from streams.log.topics import Topics
from streams.setting_paths import log_file
from streams.settings import Settings

#: Real seconds in which a sandbox must answer a tool. Lower: a busy machine is taken for a sandbox that is gone.
#: Higher: looking at a demo that has ended takes that much longer.
_SANDBOX_ANSWERS_S: Final = 0.5


@contextlib.asynccontextmanager
async def opened_log(settings: Settings) -> AsyncIterator[Log]:
    """The log alone, for tools that read it or append an operator's event beside a running program."""
    log = log_of(settings)
    async with log:
        await log.require_topics(Topics(settings.topic_prefix, settings.partitions))
        yield log


async def events_in(log: Log, topics: Topics) -> int:
    """How many events there have been."""
    events = topics.events
    return sum(
        (await log.end_offsets(TopicPartition(events.name, number) for number in range(events.partitions))).values()
    )


async def last_learned(log: Log, topics: Topics) -> str:
    """The newest instant that the log knows of; the machine's time when it knows of none."""
    found = ""
    for partition in range(topics.partitions):
        tp = TopicPartition(topics.events.name, partition)
        end = await log.end_offset(tp)
        for record in await log.read(tp, max(end - 1, await log.start_offset(tp))):
            found = max(found, codec.decode_event(record.value or b"").learned_at)
    return found or SystemClock().now()


@contextlib.asynccontextmanager
async def opened_clock(settings: Settings) -> AsyncIterator[Clock]:
    """The clock of an installation: the machine's, or the sandbox's, which is only read and never held. Where the
    sandbox is gone, time stands where the log has last been; where there is no log, at the machine's.
    """
    if not settings.clock:
        yield SystemClock()
        return
    clock = SandboxClock(settings.clock, participant="", gone_after_s=_SANDBOX_ANSWERS_S)
    try:
        await clock.start(lambda: False)
    except ClockError:
        file = log_file(settings.log)
        if file is not None and not file.exists():  # opening it would make one
            yield StoppedClock(SystemClock().now())
            return
        async with opened_log(settings) as log:
            at = await last_learned(log, Topics(settings.topic_prefix, settings.partitions))
        yield StoppedClock(at)
        return
    try:
        yield clock
    finally:
        await clock.close()
