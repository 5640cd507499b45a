"""An earlier version of the program, unpacked from the wheel its users installed, and run beside the checkout without
mixing the two.

Everything that its user did with it is done by its own code: settings written, credentials entered, the check approved,
operator's acts. The simulators are the checkout's.
"""

import asyncio
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from streams.demo import demo
from streams.demo.demo import ProgramProcess, Simulators
from streams.demo.month import Month

WHEELS = Path(__file__).parents[1] / "compat"

#: Says whose code it is before it becomes the program; the process goes on as `python -m streams.cli` would.
_RUN = "import runpy, streams; print('code:', streams.__file__, flush=True); runpy.run_module('streams.cli', run_name='__main__')"

_ACTS = Path(__file__).with_name("earlier_acts.py")


@dataclass(frozen=True)
class Earlier:
    """One version's code in a folder of its own."""

    version: str
    code: Path

    @classmethod
    def unpack(cls, version: str, folder: Path, wheels: Path = WHEELS) -> "Earlier":
        """Unpack the wheel of a version into an empty folder."""
        with zipfile.ZipFile(wheels / f"zoho_gocardless-{version}-py3-none-any.whl") as wheel:
            wheel.extractall(folder)
        return cls(version, folder)

    @property
    def environment(self) -> dict[str, str]:
        """Its code before any other; nothing written into it."""
        return {**os.environ, "PYTHONPATH": str(self.code), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"}

    def program(self, folder: Path) -> "EarlierProgram":
        """The program of this version over an installation."""
        return EarlierProgram(self, folder)

    def says(self, *code: str) -> str:
        """What a Python of this version prints."""
        words = [sys.executable, *code]
        ran = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=120, env=self.environment, cwd=self.code
        )
        assert ran.returncode == 0, (words, ran.stdout, ran.stderr)
        return ran.stdout

    def command(self, folder: Path, *words: str) -> Any:
        """Run its command line on an installation; the answer's data. What waits for a person makes some of them end
        with 1.
        """
        config = ("--config", str(folder / "settings.toml"), "--json")
        ran = subprocess.run(
            [sys.executable, "-m", "streams.cli", *words, *config],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=self.environment,
            cwd=self.code,
        )
        answer = json.loads(ran.stdout.splitlines()[-1]) if ran.stdout else {"ok": False, "error": ran.stderr}
        assert answer["ok"], (words, answer)
        return answer["data"]

    async def act(self, name: str, world: Simulators, folder: Path, plan: Month) -> None:
        """Do one of `earlier_acts` with its code."""
        given = {
            "gocardless": world.gocardless,
            "zoho": world.zoho,
            "folder": str(folder),
            "plan": msgspec.to_builtins(plan),
        }
        await asyncio.to_thread(self.says, str(_ACTS), name, json.dumps(given))


class EarlierProgram(ProgramProcess):
    """The program of an earlier version as a process, for whoever lets time pass."""

    def __init__(self, earlier: Earlier, folder: Path) -> None:
        super().__init__(folder, name="program")
        self.earlier = earlier

    async def start(self, failpoint: str = "") -> None:
        """Start it, outside every checkout."""
        environment = {**self.earlier.environment, "ZOHO_GOCARDLESS_FAILPOINT": failpoint}
        words = ("run", "--role", "all", "--name", self.name, "--config", str(self.folder / "settings.toml"))
        with self.output.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _RUN, *words),
                stdout=output,
                stderr=output,
                env=environment,
                cwd=self.earlier.code,
            )

    def whose_code(self) -> set[Path]:
        """Where each process that was started here has its code from, by its own words."""
        lines = self.output.read_text().splitlines()
        return {Path(line.removeprefix("code: ")).parents[1] for line in lines if line.startswith("code: ")}


@asynccontextmanager
async def lived_in(
    earlier: Earlier, plan: Month, folder: Path, fill: Callable[..., Awaitable[None]] | None = None, *filled: Any
) -> AsyncIterator[tuple[Simulators, EarlierProgram]]:
    """An installation that the earlier version made: both sides filled (and more by `fill`), its program running, its
    gate open, the faults planted.
    """
    async with demo.sandbox(plan, folder) as world:
        await earlier.act("prepare", world, folder, plan)
        if fill is not None:
            await fill(world, *filled)
        program = earlier.program(folder)
        try:
            await program.start()
            await program.ready()
            await world.run_until(plan.opens_at.replace("T05:00", "T05:10"), program.watch)
            await earlier.act("open_gate", world, folder, plan)
            await demo.plant(plan, world)
            yield world, program
        finally:
            await program.stop()
