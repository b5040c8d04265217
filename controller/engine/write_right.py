"""The right to write: a time on the monotonic clock until which this process may begin a write."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable


def steady_s() -> float:
    """Seconds that never go back and do not stand still while the machine is suspended."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class WriteRight:
    """It is asked immediately before each write. A process that was stopped and continues has lost
    it: no event is needed, only time.
    """

    def __init__(self, steady: Callable[[], float] = steady_s) -> None:
        self.steady = steady
        self._until = -math.inf

    def extend(self, until: float) -> None:
        """It lasts until this time of `steady`."""
        self._until = until

    def end(self) -> None:
        """It has ended."""
        self._until = -math.inf

    def may_write(self) -> bool:
        """Whether a write may begin now."""
        return self.steady() < self._until
