"""Python's cycle collector, held off while much is made that holds no cycles."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Rows, events and records hold no cycles: looking for some among so many takes a fifth of a batch's time, a third
    of a replay's.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
