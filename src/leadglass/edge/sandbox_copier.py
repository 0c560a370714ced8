"""Harmless copies made in other processes: the object goes in as sealed memory, which the worker cannot change.

What comes back is bounded and checked, and says of which ranges of the object the copy consists, so that pixels cross
no socket. The worker saw a hostile object: its copy is inspected by another one that never did. A worker that crashes,
falls silent or wants more than it may have is a refusal; it goes on to the next object only after one that an
inspection beside it calls clean.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from typing import IO

from leadglass import limits
from leadglass.edge.sandbox import COPIES, RemoteInspector, Sandbox, Worker
from leadglass.edge.sandbox_copy_wire import CopyHead, read_head, write_ask
from leadglass.edge.sandbox_wire import PIECE_BYTES_MAX, Kind, receive_message, send_message
from leadglass.errors import LeadglassError, Refused
from leadglass.finding import Inspection
from leadglass.malware.disarm import Disarmer
from leadglass.malware.rebuild.allowance import parse_allowance
from leadglass.malware.rebuild.copying import Copy, Objection
from leadglass.malware.rebuild.rope import Bytes, Rope
from leadglass.malware.verdict import Verdict, verdict_of

__all__ = ["RemoteCopier", "confined_disarmer"]

_INSPECTED_BYTES_MAX = 3 << 20
"""Inspecting a longer original costs more than a new worker does."""

_SILENT = "Making a copy took longer than it may."
_ENDED = "Making a copy ended before its answer."
_UNTRUE = "Making a copy gave an answer that cannot be true."
_NO_MEMORY = "The object needs more memory than there is."


def confined_disarmer(
    pool: Sandbox,
    policy: str = "",
    *,
    file: str = "disarm.toml",
    is_new_identity: bool = False,
    takes_only_held: bool = False,
) -> Disarmer:
    """Make what disarms with the workers of a pool, under an allow-list (the one that is shipped where it is empty).

    `takes_only_held` spares the inspection of originals that are known not to be clean. Raises ConfigurationError for
    a list that is wrong.
    """
    policy = policy or files("leadglass").joinpath("content/policies/disarm.toml").read_text(encoding="utf-8")
    allowance = parse_allowance(policy, file=file)
    ask = json.dumps({"policy": policy, "new_identity": is_new_identity}).encode()

    def inspect(pieces: Iterable[Bytes]) -> Inspection:
        inspector = pool.file()
        for piece in pieces:
            inspector.feed(piece)
        return inspector.finish()

    def begin() -> RemoteCopier:
        return RemoteCopier(pool, ask, None if takes_only_held else pool.file())

    return Disarmer(begin, inspect, allowance.texts)


class RemoteCopier:
    """One object of which a worker makes copies (`malware.disarm.Copier`)."""

    def __init__(self, pool: Sandbox, ask: bytes, original: RemoteInspector | None) -> None:
        """Begin an object; `original` inspects it, for whether its worker may go on to the next one."""
        self._pool = pool
        self._ask = ask
        self._original = original
        self._is_whole = False
        self._file = _memory()
        self._length = 0
        self._worker: Worker | None = None

    def feed(self, piece: Bytes) -> None:
        """Take the next bytes of the object. Raises Refused where there is no memory for them."""
        try:
            self._file.write(piece)
        except OSError as error:
            raise Refused(_NO_MEMORY) from error
        self._length += len(piece)
        if self._original is not None and self._length <= _INSPECTED_BYTES_MAX:
            self._original.feed(piece)
        elif self._original is not None:
            self._original.close()
            self._original = None

    def make(self, objections: Sequence[Objection]) -> Copy:
        """Have a copy made. Raises Refused, whatever becomes of the worker."""
        try:
            if self._worker is None:
                self._worker = self._begun()
            self._is_whole = False
            copy = self._answered(self._worker.link, objections)
            self._is_whole = not objections
            return copy
        except Refused:
            raise
        except LeadglassError as error:
            raise Refused(error.message, hint=error.hint) from error
        except TimeoutError as error:
            raise Refused(_SILENT) from error
        except (EOFError, OSError) as error:
            raise Refused(_ENDED) from error
        except (ValueError, TypeError, LookupError, RecursionError, OverflowError) as error:
            raise Refused(_UNTRUE) from error

    def close(self) -> None:
        """End the worker; copies that were made hold the object themselves."""
        original, self._original = self._original, None
        worker, self._worker = self._worker, None
        is_whole = self._is_whole and original is not None and verdict_of(original.finish()) is Verdict.CLEAN
        if original is not None:
            original.close()
        if worker is not None:
            worker.link.settimeout(self._pool.seconds)
            self._pool.give(worker, is_whole=is_whole)
        self._file.close()

    def _begun(self) -> Worker:
        """Show the object to a worker of its own, once nobody can change it any more."""
        self._file.flush()
        if hasattr(fcntl, "F_ADD_SEALS") and hasattr(os, "memfd_create"):
            seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
            fcntl.fcntl(self._file.fileno(), fcntl.F_ADD_SEALS, seals)
        worker = self._pool.take(COPIES)
        self._worker = worker
        send_message(worker.link, Kind.BEGIN, self._ask)
        socket.send_fds(worker.link, [b"O"], [self._file.fileno()])
        return worker

    def _answered(self, link: socket.socket, objections: Sequence[Objection]) -> Copy:
        ends = time.monotonic() + self._pool.seconds + self._length / limits.SANDBOX_BYTES_PER_SECOND_MIN
        send_message(link, Kind.COPY, write_ask(objections))
        head = read_head(self._received(link, ends, Kind.RESULT, limits.SANDBOX_RESULT_BYTES_MAX), self._length)
        made, want = bytearray(), head.literal_bytes
        while len(made) < want:
            piece = self._received(link, ends, Kind.PIECE, PIECE_BYTES_MAX)
            if not piece:
                raise ValueError("an empty piece")
            made += piece
        if len(made) != want:
            raise ValueError("more bytes than were told")
        content = Rope(_assembled(head, memoryview(made), self._mapped()))
        return Copy(content, content.length_bytes, head.changes, head.frame_digests)

    def _received(self, link: socket.socket, ends: float, expected: Kind, longest: int) -> memoryview:
        kind, payload = receive_message(link, bytearray(1 << 16), longest, ends)
        if kind is not expected:
            raise ValueError("another message")
        return payload

    def _mapped(self) -> memoryview:
        if not self._length:
            return memoryview(b"")
        return memoryview(mmap.mmap(self._file.fileno(), self._length, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))


def _assembled(head: CopyHead, made: memoryview, data: memoryview) -> Iterator[Bytes]:
    at = 0
    for offset, length in head.segments:
        if offset is None:
            yield made[at : at + length]
            at += length
        else:
            yield data[offset : offset + length]


def _memory() -> IO[bytes]:
    """Open memory that can be sealed and passed on; where the system has none, a file without a name."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("object", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb")
    return tempfile.TemporaryFile()
