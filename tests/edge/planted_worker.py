"""An inspection worker with a fault planted in a detector: values of Patient Comments say what it shall do wrong."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from leadglass.edge import sandbox_worker
from leadglass.finding import Finding
from leadglass.malware import anatomy
from leadglass.malware.watch import Detector, Where
from leadglass.malware.watching import Watchlist


class Planted(Detector):
    """Do what the object says."""

    def wants_value(self, tag: int, vr: bytes) -> bool:
        return tag == 0x00104000

    def look(self, where: Where, value: bytes) -> Iterable[Finding]:
        match value.strip():
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
            case b"LIE":
                sandbox_worker.write_answer = lambda _: b'{"findings": 7}'
            case b"NOISE":
                sandbox_worker.write_answer = lambda _: b"\xff" * 100
            case b"PEEK":
                try:
                    Path("/etc/hostname").read_text()
                except OSError:
                    raise PermissionError from None
        return ()


if __name__ == "__main__":
    anatomy.EVERY_OBJECT = Watchlist((Planted,))
    sys.exit(sandbox_worker.main())
