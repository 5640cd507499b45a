"""A program in a process of its own, which orders its sets by a hash seed: what it does must not rest on the order."""

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def said_by(program: str, *words: str, hash_seed: str) -> list[str]:
    """What it prints, word by word."""
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        check=False,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        cwd=_ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
