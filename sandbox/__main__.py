"""The sandbox as a process: `python -m sandbox --gocardless-port 0 --zoho-port 0 --seed 1`.

Prints one JSON line with both addresses when ready, and runs until interrupted or terminated.
"""

import argparse
import asyncio
import signal
import sys

import orjson

from sandbox.flow import checked, speed_of_day
from sandbox.server import SandboxConfig, running_sandbox
from sandbox.world import DEFAULT_START, iso_utc, parse_utc


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="Simulators of GoCardless and Zoho Books.")
    parser.add_argument("--gocardless-port", type=int, default=0)
    parser.add_argument("--zoho-port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--start", type=parse_utc, default=DEFAULT_START, help=f"simulated start, default {iso_utc(DEFAULT_START)}"
    )
    flow = parser.add_mutually_exclusive_group()
    flow.add_argument("--speed", type=_speed, help="simulated seconds per real second; without, time stands still")
    flow.add_argument("--day-s", type=_day_s, dest="speed", help="real seconds that a simulated day takes, instead")
    given = parser.parse_args()
    asyncio.run(
        _serve(
            SandboxConfig(
                seed=given.seed,
                start=given.start,
                gocardless_port=given.gocardless_port,
                zoho_port=given.zoho_port,
                speed=given.speed,
            )
        )
    )


def _speed(text: str) -> float:
    return checked(float(text))


def _day_s(text: str) -> float:
    return speed_of_day(float(text))


async def _serve(config: SandboxConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with running_sandbox(config) as sandbox:
        line = orjson.dumps({"gocardless": sandbox.gocardless_url, "zoho": sandbox.zoho_url})
        sys.stdout.write(line.decode() + "\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    main()
