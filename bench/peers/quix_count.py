"""A Quix Streams application that keeps one count per key: `quix_count.py BROKER TOPIC EVENTS FOLDER`. Run by its own
Python.

It says "SECONDS EVENTS" at the end: from its first event to its last one, and how many it counted. What it commits
after that is not in the figure.
"""

import logging
import sys
import time

from quixstreams import Application, State


def main() -> None:
    broker, topic, events, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    logging.disable(logging.INFO)
    app = Application(
        broker_address=broker,
        consumer_group=f"quix-{topic}-{time.time_ns()}",
        auto_offset_reset="earliest",
        state_dir=folder,
    )
    seen = 0
    times = [0.0, 0.0]

    def count(_event: dict[str, object], state: State) -> None:
        nonlocal seen
        if not seen:
            times[0] = time.perf_counter()
        state.set("events", state.get("events", 0) + 1)
        seen += 1
        if seen == events:
            times[1] = time.perf_counter()

    app.dataframe(app.topic(topic)).update(count, stateful=True)
    app.run(count=events, timeout=60)
    print(times[1] - times[0], seen, flush=True)


main()
