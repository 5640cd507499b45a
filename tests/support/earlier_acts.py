"""What a user did with an earlier version before its program ran: done by that version's own code, in a process of its
own.

`python earlier_acts.py prepare|open_gate '{"gocardless": url, "zoho": url, "folder": path, "plan": {...}}'`
"""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
import msgspec

from streams import demo
from streams.month import Month


async def main(name: str, given: dict) -> None:
    plan = msgspec.convert(given["plan"], Month)
    folder = Path(given["folder"])
    async with aiohttp.ClientSession() as session:
        world = demo.World(session, given["gocardless"], given["zoho"], None)
        if name == "prepare":
            await demo.prepare(plan, world, folder)
        elif name == "open_gate":
            await demo.open_gate(demo.load(folder / "settings.toml", {}), world)
        else:
            raise SystemExit(f"nobody did {name}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
