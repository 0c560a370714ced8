"""A copying worker with faults planted in it: a word in the object says what it shall do wrong."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from planted_faults import commit  # the folder of the program that is run is the first to be searched

from leadglass import limits
from leadglass.edge import sandbox_copying, sandbox_worker
from leadglass.malware.rebuild.copying import Copy, Copying, Objection


def drip(link: socket.socket, kind: object, payload: bytes = b"") -> None:
    """Send a byte now and then, for ever."""
    link.sendall(b"\x06\0\0\xff\xff")
    while True:
        link.sendall(b" ")
        time.sleep(0.1)


def planted(self: Copying, objections: Sequence[Objection] = ()) -> Copy:
    """Do what the object says."""
    word = bytes(self._data[-400:]).partition(b"DO:")[2][:6].strip()
    commit(word)
    match word:
        case b"LIE":
            sandbox_copying.write_head = lambda _: b'{"segments": "AAAA", "changes": 7}'
        case b"BEYOND":
            sandbox_copying.write_head = lambda _: (
                b'{"segments": "AAAAAAAAAAD//////38AAA==", "changes": [], "digests": ""}'
            )
        case b"DRIP":
            sandbox_copying.send_message = drip
        case b"NOISE":
            sandbox_copying.write_head = lambda _: b"\xff" * 100
        case b"PEEK":
            Path("/etc/hostname").read_text()
    return honest(self, objections)


if __name__ == "__main__":
    limits.DISARM_MEMORY_BYTES = 48 << 20
    honest = Copying.make
    Copying.make = planted  # type: ignore[method-assign]
    sys.exit(sandbox_worker.main())
