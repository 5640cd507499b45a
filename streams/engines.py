"""Where `open_log` lay until version 0.1.0: `from streams.log import open_log` instead. This module goes with the next
version.
"""

import warnings
from typing import Any

from streams.log import engines


def __getattr__(name: str) -> Any:
    found = getattr(engines, name)
    warnings.warn(f"streams.engines.{name} has moved: from streams.log import {name}", DeprecationWarning, stacklevel=2)
    return found
