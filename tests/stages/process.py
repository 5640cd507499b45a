"""Translate everything, in a process of its own that a failpoint may kill: `process.py FOLDER`."""

import asyncio
import sys
from importlib import util
from pathlib import Path


def _installation():
    spec = util.spec_from_file_location("installation", Path(__file__).with_name("installation.py"))
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def main(folder: Path) -> None:
    async with _installation().Installation(folder, folder / "store.db") as company:
        await company.translate()


asyncio.run(main(Path(sys.argv[1])))
