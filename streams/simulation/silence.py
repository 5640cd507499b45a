"""While something is simulated, the program's own log lines are not written: they would be a simulated machine's."""

import contextlib
import logging
from collections.abc import Iterator

import structlog


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Within it no line of the program's is written; afterwards all is set as it was."""
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.ReturnLoggerFactory(),
    )
    try:
        yield
    finally:
        if before is None:
            structlog.reset_defaults()
        else:
            structlog.configure(**before)
