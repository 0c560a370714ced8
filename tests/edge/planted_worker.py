"""An inspection worker with a fault planted in a detector: values of Patient Comments say what it shall do wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from planted_faults import commit  # the folder of the program that is run is the first to be searched

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
        commit(value.strip())
        match value.strip():
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
