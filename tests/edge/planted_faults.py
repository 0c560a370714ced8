"""What a planted worker does wrong on command, whatever its work is."""

from __future__ import annotations

import ctypes
import os
import time


def commit(word: bytes) -> None:
    """Crash, raise, fall silent, spin, eat memory or end, as the word says; any other word does nothing."""
    match word:
        case b"CRASH":
            ctypes.string_at(0)
        case b"RAISE":
            raise ZeroDivisionError
        case b"SLEEP":
            time.sleep(600)
        case b"SPIN":
            while True:
                pass
        case b"EAT":
            held = [bytearray(64 << 20) for _ in range(1_000)]
            del held
        case b"EXIT":
            os._exit(0)
