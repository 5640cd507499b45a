"""A gateway in a process of its own, to be killed: `process.py FOLDER`. It says its port, then serves until then."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.installation import GatewayProgram


async def main(folder: Path) -> None:
    async with GatewayProgram(folder, folder / "store.db") as program:
        sys.stdout.write(f"{program.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1])))
