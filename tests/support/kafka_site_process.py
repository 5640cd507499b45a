"""The command line in a process of its own, with shorter times than anyone would wait for in the field: `process.py
CHANGES word…`.

`CHANGES`, a JSON object: `lease_s`, `delivery_limit_s` and `append_timeout_s` replace those constants; with `stalls`,
SIGUSR1 makes the consumer of a worker fetch nothing any more, while it stays in its group and keeps its partitions.
"""

import json
import signal
import sys

from streams.cli import main
from streams.log.kafka import KafkaLog
from streams.stages import api_access as access
from streams.stages import gateway

changes = json.loads(sys.argv[1])
if "lease_s" in changes:
    access.LEASE_S = changes["lease_s"]
if "append_timeout_s" in changes:
    gateway.APPEND_TIMEOUT_S = changes["append_timeout_s"]
if "delivery_limit_s" in changes:
    KafkaLog.__init__.__kwdefaults__["delivery_limit_s"] = changes["delivery_limit_s"]
if "stalls" in changes:
    from streams.log.kafka import transport

    fetch = transport._Thread.getmany
    stalled = []

    async def fetch_or_nothing(self, *given, **named):
        found = await fetch(self, *given, **named)
        return {} if stalled else found

    transport._Thread.getmany = fetch_or_nothing
    signal.signal(signal.SIGUSR1, lambda *_: stalled.append(True))

main(sys.argv[2:])
