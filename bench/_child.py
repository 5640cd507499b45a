"""Processes of a bench that are asked by lines and answer by lines."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any


class Child:
    """A process that is asked by lines, and answers by lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self._in, self._out = process, process.stdin, process.stdout

    @classmethod
    async def start(cls, *words: str | Path, python: str | Path = sys.executable, **more: Any) -> "Child":
        """Run a Python file with these words."""
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(python, *words, stdin=pipe, stdout=pipe, **more))

    async def says(self) -> str:
        """Its next line."""
        line = (await self._out.readline()).decode().strip()
        if not line:
            raise RuntimeError("a process of the benchmark ended")
        return line

    async def ask(self, line: str) -> str:
        """Say a line, get a line."""
        self._in.write(f"{line}\n".encode())
        return await self.says()

    async def end(self) -> None:
        """Close its input, which ends it."""
        self._in.close()
        await self.process.wait()

    async def kill(self) -> None:
        """`kill -9`."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
