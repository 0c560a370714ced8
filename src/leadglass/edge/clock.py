"""Time and randomness: the two facts no room may make up."""

from __future__ import annotations

import os
import time


class SystemClock:
    """The machine's wall clock."""

    def now_us(self) -> int:
        """Give microseconds since 1970 UTC."""
        return time.time_ns() // 1000


def system_random(length: int) -> bytes:
    """Give unpredictable bytes from the kernel."""
    return os.urandom(length)
