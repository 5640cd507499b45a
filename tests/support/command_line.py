"""The checkout's command line, as a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def command(folder: Path, *words: str) -> Any:
    """Run it on an installation; its answer's data."""
    config = ("--config", str(folder / "settings.toml"), "--json")
    ran = subprocess.run(
        [sys.executable, "-m", "streams.cli", *words, *config], capture_output=True, text=True, check=False, timeout=120
    )
    answer = json.loads(ran.stdout.splitlines()[-1]) if ran.stdout else {"ok": False, "error": ran.stderr}
    assert answer["ok"], (words, answer)
    return answer["data"]
