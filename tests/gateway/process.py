"""A gateway in a process of its own, to be killed: `process.py FOLDER`. It says its port, then serves until then."""

import asyncio
import sys
from importlib import util
from pathlib import Path


def _installation():
    spec = util.spec_from_file_location("installation", Path(__file__).parents[1] / "stages" / "installation.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def main(folder: Path) -> None:
    async with _installation().GatewayProgram(folder, folder / "store.db") as program:
        sys.stdout.write(f"{program.port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1])))
