"""Follow the reconciled payments of an installation: `python examples/consumer.py sqlite:////path/to/log.db [--once]`.

Each record names its resource by its key and carries a rising version; a reader keeps the highest version of a key and
ignores the rest, so records that come twice, or in another order, do no harm.
"""

import asyncio
import json
import sys
from typing import Any

from streams.log import TopicPartition, open_log

TOPIC = "reconciled-payments"


async def follow(url: str, *, once: bool) -> dict[str, dict[str, Any]]:
    """Print each payment as it changes; the newest record of each, when `once`."""
    newest: dict[str, dict[str, Any]] = {}
    async with open_log(url) as log:
        offsets = {TopicPartition(TOPIC, number): 0 for number in range(log.partitions(TOPIC))}
        while True:
            for tp, offset in list(offsets.items()):
                for record in await log.read(tp, offset):
                    offsets[tp] = record.offset + 1
                    key, payment = (record.key or b"").decode(), json.loads(record.value or b"{}")
                    if payment["version"] > newest.get(key, {"version": -1})["version"]:
                        newest[key] = payment
                        print(
                            payment["invoice_number"], payment["status"], payment["amount_minor"], payment["currency"]
                        )
            if once and not await log.wait(offsets, 0):
                return newest
            await log.wait(offsets, 60)


if __name__ == "__main__":
    asyncio.run(follow(sys.argv[1], once="--once" in sys.argv))
