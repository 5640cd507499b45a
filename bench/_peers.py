"""Peers: other projects, each in a Python environment of its own outside of this tree, made once with the network."""

import os
import subprocess
import sys
import venv
from pathlib import Path

QUIX = "quixstreams==3.28.1"
#: Making the environment. Lower: a slow line counts as none. Higher: a bench hangs without the network.
_MAKING_S = 300


class NoPeer(Exception):  # noqa: N818 - it tells of a state of the machine
    """The peer cannot be had here. The text says why."""


def python_of(requirement: str, *, make: bool = True) -> Path:
    """The Python that has this package; made in the user's cache folder when it is not there and `make`.

    Raises:
        NoPeer: it is not there and cannot be made.

    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = (
        cache
        / "zoho-gocardless"
        / "peers"
        / f"{requirement.replace('==', '-')}-py{sys.version_info.major}.{sys.version_info.minor}"
    )
    python, made = folder / "bin" / "python", folder / ".made"
    if made.exists():
        return python
    if not make:
        raise NoPeer(f"{requirement} is not installed in {folder}; a full run installs it")
    try:
        venv.create(folder, clear=True, with_pip=True)
        words = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
        subprocess.run(words, check=True, capture_output=True, text=True, timeout=_MAKING_S)
    except (OSError, subprocess.SubprocessError) as fault:
        said = (getattr(fault, "stderr", "") or str(fault)).strip().splitlines()
        raise NoPeer(f"{requirement} cannot be installed ({said[-1] if said else type(fault).__name__})") from None
    made.touch()
    return python
