"""What the ladders of kafka_brokers and postgres_servers share: what is missing, who answers, which port is free."""

import gc
import os
import secrets
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from typing import Final

# Ports are known before a server starts (it tells them to its clients), so nobody else may take them meanwhile. Below
# Linux's range for outgoing connections (32768 and up) nothing takes one by chance; lower than 20000 is where other
# services live.
_PORTS: Final = range(20_000, 32_000)
# A Docker engine on this machine answers in milliseconds. Lower: a loaded one counts as absent; higher: a dead remote
# one delays every run.
_ENGINE_TIMEOUT_S: Final = 5
# Lower: the loop burns the processor that the server starts on; higher: every start waits for nothing.
_PAUSE_S: Final = 0.05


class Missing(Exception):
    """No such server can be had here. The text names everything that was looked for."""


class ServerDied(Exception):
    """A server that was started here ended by itself or does not answer. The text has the end of its log."""


def required(kind: str) -> bool:
    """Whether a run without this kind of server (`KAFKA`, `POSTGRES`) is a failure: CI says so by `REQUIRE_<kind>=1`."""
    return os.environ.get(f"REQUIRE_{kind}", "") not in ("", "0")


_promised: Final[set[int]] = set()


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on, none of them told before."""
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(_PORTS)
        if port in _promised:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _promised.add(port)
        found.append(port)
    return found


@cache
def docker_answers() -> bool:
    """Whether a Docker engine is there: the command alone is not enough."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the library leaves its socket open when nobody answers
        answered = _ask_docker()
        gc.collect()  # that socket, while its warning is not an error
    return answered


def _ask_docker() -> bool:
    import docker  # type: ignore[import-untyped]  # ships no types

    try:
        client = docker.from_env(timeout=_ENGINE_TIMEOUT_S)
        client.ping()
        client.close()
    except docker.errors.DockerException:
        return False
    return True


def wait_until(
    answers: Callable[[], bool], alive: Callable[[], bool], log: Callable[[], str], *, what: str, timeout_s: float
) -> None:
    """Ask again and again.

    Raises:
        ServerDied: its process has ended, or the time is up.

    """
    deadline = time.monotonic() + timeout_s
    while not answers():
        if not alive():
            raise ServerDied(f"{what} ended by itself:\n{_end_of(log())}")
        if time.monotonic() > deadline:
            raise ServerDied(f"{what} does not answer within {timeout_s} s:\n{_end_of(log())}")
        time.sleep(_PAUSE_S)


def accepts(port: int) -> bool:
    """Whether anybody listens on this port of the loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _end_of(log: str) -> str:
    return "\n".join(log.splitlines()[-20:])


def and_also(reasons: Iterable[str]) -> str:
    """One text of all that was looked for."""
    return "; ".join(reasons)
