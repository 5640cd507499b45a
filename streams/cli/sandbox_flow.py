"""The options by which time flows by itself in the sandbox."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from sandbox.flow import checked, speed_of_day

_F = TypeVar("_F", bound=Callable[..., Any])


def flow_options(command: _F) -> _F:
    """Add `--speed` and `--day-s`, to be read by `speed_given`."""
    command = click.option("--day-s", type=float, help="Instead of --speed: real seconds that a simulated day takes.")(
        command
    )
    return click.option(
        "--speed",
        type=float,
        help="Let time flow by itself: simulated seconds per real second. Else it stands still until it is moved.",
    )(command)


def speed_given(speed: float | None, day_s: float | None) -> float | None:
    """Give the speed of `--speed` or `--day-s`; None: neither was given. Raises `click.UsageError`."""
    if speed is not None and day_s is not None:
        raise click.UsageError("--speed and --day-s exclude each other", click.get_current_context())
    try:
        if day_s is not None:
            return speed_of_day(day_s)
        return None if speed is None else checked(speed)
    except ValueError as error:
        raise click.UsageError(str(error), click.get_current_context()) from None
