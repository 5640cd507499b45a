"""Translate everything, in a process of its own that a failpoint may kill: `process.py FOLDER`."""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.installation import Installation


async def main(folder: Path) -> None:
    async with Installation(folder, folder / "store.db") as company:
        await company.translate()


asyncio.run(main(Path(sys.argv[1])))
