"""How many months of the whole program one core lives in a minute, in virtual time: beside the rules alone over the
same events, and beside the limit that makes a thousand months a night.

Each seed is one run of the simulation as `simulate` makes it: 31 days and those that heal, the store of production in
memory's file system, both simulators, and the oracles at the end; without faults, so that what is measured does not
depend on what is drawn to go wrong. How often the APIs are polled is drawn, and decides: so calls are told as well.
Run: `python bench/simulation.py [--seeds 6] [--first 1] [--quick]`.
"""

import argparse
import asyncio
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from domain import routing
from domain.state import State
from streams.gc_pause import without_collector
from streams.log.topics import Topics
from streams.operate.replay import events_of
from streams.simulation.memory_log import MemoryLog
from streams.simulation.plan import Plan, draw_plan
from streams.simulation.simulation import Simulation
from streams.simulation.virtual_time import run

LIMIT_MONTHS = 40

ROOT = Path(__file__).parents[1]

#: Where code lies → what it is counted as; the first that fits.
PARTS = {
    "domain/": "rules",
    "projections/": "store",
    "sandbox/": "simulators",
    "streams/simulation/virtual_time": "loop",
    "streams/simulation/": "log, network and people",
    "": "program",
}

#: Seconds of CPU between two looks at where it goes. Lower: the looks show in the figure. Higher: the shares of a short
#: run are chance.
LOOK_S = 0.005


class Looks:
    """Where the CPU goes: whose code is the innermost that is ours, each time somebody looks."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def look(self, _signal: int, frame: FrameType | None) -> None:
        while frame is not None:
            file = frame.f_code.co_filename
            if file.startswith(str(ROOT)):
                own = file.removeprefix(f"{ROOT}/")
                self.seen[next(part for begin, part in PARTS.items() if own.startswith(begin))] += 1
                return
            frame = frame.f_back

    @contextmanager
    def often(self) -> Iterator[None]:
        before = signal.signal(signal.SIGPROF, self.look)
        signal.setitimer(signal.ITIMER_PROF, LOOK_S, LOOK_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)

    def shares(self) -> str:
        total = max(1, self.seen.total())
        return ", ".join(f"{part} {100 * count / total:.0f} %" for part, count in self.seen.most_common())


class RunFigures:
    """What runs have cost: CPU seconds of the program and of the rules alone, calls and events."""

    def __init__(self) -> None:
        self.months = 0
        self.run_s = self.rules_s = 0.0
        self.calls = self.events = 0

    def add(self, plan: Plan, looks: Looks) -> None:
        """Live one plan, then decide its events once more with the rules alone."""
        folder = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
        with tempfile.TemporaryDirectory(dir=folder, prefix="bench-") as made:
            simulation = Simulation(plan, Path(made))

            async def main() -> None:
                await simulation.live()
                await simulation.judge()

            began_s = time.process_time()
            with without_collector(), looks.often():
                run(main())
            self.run_s += time.process_time() - began_s
        self.months += 1
        self.calls += sum(simulation.network.calls.values())
        began_s = time.process_time()
        with without_collector():
            self.events += asyncio.run(decided(simulation))
        self.rules_s += time.process_time() - began_s


async def decided(simulation: Simulation) -> int:
    """Decide all events of a run over dictionaries; how many there are."""
    count = 0
    states: dict[str, State] = {}
    topics = Topics(simulation.settings.topic_prefix, simulation.settings.partitions)
    async with MemoryLog(simulation.disk.log, now_ms=lambda: 0) as log:
        for partition in range(topics.partitions):
            for chunk in events_of(log, topics, partition):
                for _, event in chunk:
                    routing.step(states.setdefault(event.connection, State(event.connection)), event)
                count += len(chunk)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a small run that only shows that it works")
    options = parser.parse_args()
    lived, looks = RunFigures(), Looks()
    days = 1 if options.quick else 31
    for seed in range(options.first, options.first + (1 if options.quick else options.seeds)):
        lived.add(draw_plan(seed, days=days, allowed=()), looks)
    rate = 60 * lived.months / lived.run_s
    rules = 60 * lived.months / lived.rules_s
    each_ms = 1_000 * lived.run_s / max(1, lived.calls)
    print(f"{lived.months} months, {lived.calls:,} calls, {lived.events:,} events: {lived.run_s:.1f} s of CPU")
    print(f"the whole program: {rate:.1f} months a minute and core, {each_ms:.2f} ms a call")
    print(f"the rules alone over the same events: {rules:,.0f} months a minute and core, {rules / rate:.1f} times that")
    print(f"where the CPU went: {looks.shares()}")
    print(f"aim {LIMIT_MONTHS}: ratio {rate / LIMIT_MONTHS:.2f} ({'met' if rate >= LIMIT_MONTHS else 'missed'})")


if __name__ == "__main__":
    main()
