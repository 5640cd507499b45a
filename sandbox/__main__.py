"""The sandbox as a process: `python -m sandbox --gocardless-port 0 --zoho-port 0 --seed 1`.

Prints one JSON line with both addresses when ready, and runs until interrupted or terminated.
"""

import argparse
import asyncio
import signal
import sys

import orjson

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
    given = parser.parse_args()
    asyncio.run(
        _serve(
            SandboxConfig(
                seed=given.seed, start=given.start, gocardless_port=given.gocardless_port, zoho_port=given.zoho_port
            )
        )
    )


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
