"""One executor of GoCardless in a process of its own: `owner.py JSON`. It says what becomes of its calls, a line each.

`stops`: before its first call it stops itself as `kill -STOP` does, "at the call", or "at the connection" that it just
got for it.
"""

import asyncio
import json
import os
import signal
import sys

from adapters.clock import SystemClock
from adapters.errors import TransportError
from adapters.gocardless.client import Client
from adapters.http import HttpTransport
from adapters.vault import Secret
from projections.store.store import open_store
from streams.log.engines import open_log
from streams.log.topics import Topics
from streams.settings import Calls
from streams.stages import api_access as access
from streams.stages.activity import Activity, Wakeups
from streams.stages.context import StageContext
from streams.stages.executor import Executor
from streams.stages.metrics import Metrics


def stop_before_the_first(step):
    """Wrap a coroutine function: this process is stopped once it has begun, or, with `after`, once it has ended."""
    left = [1]

    def stop():
        if left.pop() if left else 0:
            os.kill(os.getpid(), signal.SIGSTOP)

    async def at_the_call(*given, **named):
        stop()
        return await step(*given, **named)

    async def at_its_end(*given, **named):
        found = await step(*given, **named)
        stop()
        return found

    return at_the_call, at_its_end


def say(call, end):
    """Tell the test what became of a call."""
    sys.stdout.write(f"{call.method} {end}\n")
    sys.stdout.flush()


def sender(transport, told):
    """How this process calls the API."""
    client = Client(transport, Secret("token", b"a-token"), told["api"])

    async def send(call, deadline_s):
        try:
            answer = await client.send(call, deadline_s=deadline_s)
        except TransportError as error:
            say(call, error)
            raise
        say(call, answer.status)
        return answer

    if told["stops"] == "at the call":
        return stop_before_the_first(send)[0]
    if told["stops"] == "at the connection":
        connector = transport._session.connector
        connector.connect = stop_before_the_first(connector.connect)[1]
    return send


async def main(told):
    access.LEASE_S = told["lease_s"]
    clock = SystemClock()
    topics = Topics("", told["partitions"])
    calls = Calls(**told["calls"])
    with open_store(told["store"]) as store:
        async with open_log(told["log"]) as log, HttpTransport() as transport:
            await log.ensure_topics(topics)
            context = StageContext(log, topics, store, clock, Wakeups(Activity(clock)), Metrics(), {})
            own = access.ApiAccess(context, "acme", "gocardless", sender(transport, told), told["owner"], calls)
            executor = Executor(context, "gocardless", {"acme": own}, calls)
            await context.wakeups.loop(executor.name, executor.turn)


asyncio.run(main(json.loads(sys.argv[1])))
