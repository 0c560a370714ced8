"""What a worker does that makes copies: it maps an object and makes copies of it as long as it is asked.

The nursery loads this module before the first of them is forked, sees no object, and hands nothing on but code.
"""

from __future__ import annotations

import ctypes
import gc
import json
import mmap
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import NoReturn

import pikepdf

from leadglass import limits
from leadglass.dicom.part10 import encode_file_meta
from leadglass.dicom.syntaxes import EXPLICIT_LITTLE
from leadglass.edge.confine import allow_cpu, allow_memory, confine_worker
from leadglass.edge.sandbox_copy_wire import SEGMENTS_MAX, CopyHead, read_ask, write_head
from leadglass.edge.sandbox_wire import PIECE_BYTES_MAX, SETUP_BYTES_MAX, Kind, receive_message, send_message
from leadglass.errors import Refused
from leadglass.gateway.negotiation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from leadglass.malware.rebuild.allowance import parse_allowance
from leadglass.malware.rebuild.changes import ChangeLog
from leadglass.malware.rebuild.copying import Copy, Copying, Implementation, Objection, Terms
from leadglass.malware.rebuild.pdf import clean_pdf
from leadglass.malware.rebuild.rope import Bytes

_allowance = cache(parse_allowance)
_OUT_OF_MEMORY = "Making a copy needs more memory than it may have."


@cache
def warm() -> None:
    """Make a copy of an object of ours and write a PDF anew, once, before the first fork.

    What is loaded, read or compiled at first use is then there, and shared by every worker.
    """
    out = BytesIO()
    with pikepdf.new() as pdf:
        pdf.add_blank_page()
        pdf.save(out)
    clean_pdf(out.getvalue(), ChangeLog())
    head = encode_file_meta(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
        sop_instance_uid="2.25.1",
        transfer_syntax_uid=EXPLICIT_LITTLE.uid,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
    )
    shipped = files("leadglass").joinpath("content/policies/disarm.toml").read_text(encoding="utf-8")
    name = struct.pack("<HH2sH", 0x0010, 0x0010, b"PN", 4) + b"WARM"
    creator = struct.pack("<HH2sH", 0x0019, 0x0010, b"LO", 4) + b"WARM"
    Copying(memoryview(head + name + creator), _terms({"policy": shipped, "new_identity": False})).make()
    gc.collect()
    gc.freeze()


def make_copies(link: socket.socket) -> NoReturn:
    """Make copies of one object after another until the owner closes the socket."""
    base = confine_worker(limits.DISARM_BYTES_MAX + limits.DISARM_MEMORY_BYTES)
    buffer = bytearray(PIECE_BYTES_MAX)
    bench: _Bench | None = None
    with suppress(EOFError, OSError):
        while True:
            kind, payload = receive_message(link, buffer, SETUP_BYTES_MAX)
            if kind is Kind.BEGIN:
                bench = None
                gc.collect()  # trees have cycles, and hold the object that went before, with its descriptor
                terms = _terms(json.loads(bytes(payload)))
                _, descriptors, _, _ = socket.recv_fds(link, 1, 1)
                length = os.lseek(descriptors[0], 0, os.SEEK_END)
                allow_memory(base + length + limits.DISARM_MEMORY_BYTES)
                bench = _Bench(link, descriptors[0], length, terms)
                os.close(descriptors[0])
            elif bench is None or kind is not Kind.COPY:
                break
            else:
                bench.answer(read_ask(payload))
    os._exit(0)


def _terms(ask: dict[str, object]) -> Terms:
    implementation = Implementation(IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME)
    return Terms(_allowance(str(ask["policy"])), implementation, is_new_identity=ask["new_identity"] is True)


class _Bench:
    """The object on the bench of a worker."""

    def __init__(self, link: socket.socket, descriptor: int, length: int, terms: Terms) -> None:
        self._link = link
        self._length = length
        # Mapped so that it could be written, in pages of this process alone: only then does ctypes tell an address.
        self._data = memoryview(mmap.mmap(descriptor, length, access=mmap.ACCESS_COPY) if length else b"")
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self._data)) if length else 0
        self._copying = Copying(self._data, terms)

    def answer(self, objections: Sequence[Objection]) -> None:
        """Make a copy and send it, or say why there is none."""
        allow_cpu(limits.SANDBOX_SECONDS + self._length / limits.SANDBOX_BYTES_PER_SECOND_MIN)
        copy = self._made(objections)
        if isinstance(copy, Refused):
            send_message(self._link, Kind.RESULT, write_head(copy))
        else:
            self._send(copy)

    def _made(self, objections: Sequence[Objection]) -> Copy | Refused:
        try:
            return self._copying.make(objections)
        except Refused as error:
            return error
        except MemoryError:
            return Refused(_OUT_OF_MEMORY)
        except Exception as error:  # noqa: BLE001 -- our own bug: this object is not proved, the others go on
            why = f"A fault of Leadglass itself ({type(error).__name__}) stopped it: nothing is proved."
            return Refused(why, hint="Please report this object's kind and this line.")

    def _send(self, copy: Copy) -> None:
        """Send which ranges of the object a copy consists of, and the bytes between them."""
        placed = [(self._place(block), block) for block in copy.content]
        if len(placed) > SEGMENTS_MAX:
            send_message(self._link, Kind.RESULT, write_head(Refused(_OUT_OF_MEMORY)))
            return
        segments = [(place, len(block)) for place, block in placed]
        send_message(self._link, Kind.RESULT, write_head(CopyHead(segments, copy.changes, copy.frame_digests)))
        for place, block in placed:
            if place is None:
                view = memoryview(block)
                for at in range(0, len(view), PIECE_BYTES_MAX):
                    send_message(self._link, Kind.PIECE, view[at : at + PIECE_BYTES_MAX])

    def _place(self, block: Bytes) -> int | None:
        """Tell where in the object a block lies, None where it was made here."""
        if not isinstance(block, memoryview) or block.readonly or not len(block):
            return None
        at = ctypes.addressof(ctypes.c_char.from_buffer(block)) - self._start
        return at if 0 <= at <= self._length - len(block) else None
