"""Processes that never outlive the one that started them, however it ends.

A keeper, one small process for all of them, holds the other end of a pipe: the system closes the pipe when this process
ends, killed or not, and the keeper then ends whatever is left. It asks nothing of a thread or of the platform (Linux's
parent-death signal comes already when the starting thread ends).
"""

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import IO, Final, Self

# SIGKILL takes effect at once; a server under load may need a moment to be gone. Lower: a false alarm; higher: a hang
# is seen later.
_GONE_WITHIN_S: Final = 30.0


class KeptProcess:
    """One server process, its output in a file. `last`: the signal that ends it at once with all its children."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        user: str | None = None,
        last: signal.Signals = signal.SIGKILL,
    ) -> None:
        self._last = last
        with log.open("ab") as output:
            # A session of its own: Ctrl-C in the terminal is for the tests, which then stop their servers.
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=log.parent,
                user=user,
                extra_groups=[] if user else None,
            )
        _tell_keeper(f"+{self.pid} {int(last)}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        """Now, without a chance to finish anything. Nothing if it has ended already."""
        self.send(self._last)
        self._process.wait(_GONE_WITHIN_S)
        _tell_keeper(f"-{self.pid} {int(self._last)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


@cache
def _keeper() -> IO[bytes]:
    process = subprocess.Popen([sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    atexit.register(_dismiss, process)
    return process.stdin


def _dismiss(keeper: "subprocess.Popen[bytes]") -> None:
    """This process ends: so does all that it started."""
    keeper.communicate(timeout=_GONE_WITHIN_S)


def _tell_keeper(line: str) -> None:
    pipe = _keeper()
    pipe.write(line.encode() + b"\n")
    pipe.flush()


def _keep() -> None:
    """The keeper: lines of `+pid signal` and `-pid signal`, until the other end is gone."""
    kept = {}
    for line in sys.stdin:
        pid, number = line[1:].split()
        if line[0] == "+":
            kept[int(pid)] = int(number)
        else:
            kept.pop(int(pid), None)
    for left, number in kept.items():
        try:
            os.kill(left, number)
            os.kill(left, signal.SIGCONT)  # a stopped process takes every signal but SIGKILL only when it goes on
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    _keep()
