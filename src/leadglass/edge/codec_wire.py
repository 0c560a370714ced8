"""The words a codec worker and its owner exchange over one socket: so few that they fit in the head.

A message is its kind (one byte), the length of its payload (four bytes, big endian) and the payload. The owner sends
ASK and DATA; the worker sends NEED (offset, length), INFO (JSON), CHUNK, DONE and ERROR (JSON).
"""

from __future__ import annotations

import socket
import struct
from enum import IntEnum

__all__ = ["MESSAGE_BYTES_MAX", "NEED", "Kind", "receive_message", "send_message"]

MESSAGE_BYTES_MAX = 4 << 20
"""No message is longer; results are cut into chunks."""

NEED = struct.Struct(">QI")
_HEADER = struct.Struct(">BI")


class Kind(IntEnum):
    """What a message is."""

    ASK = 1
    DATA = 2
    NEED = 3
    INFO = 4
    CHUNK = 5
    DONE = 6
    ERROR = 7


def send_message(link: socket.socket, kind: Kind, payload: bytes | memoryview = b"") -> None:
    """Send one message whole."""
    link.sendall(_HEADER.pack(kind, len(payload)))
    if payload:
        link.sendall(payload)


def receive_message(link: socket.socket) -> tuple[Kind, bytes]:
    """Receive one message; raises EOFError at the end and ValueError for anything that is not one."""
    untrusted_kind, untrusted_length = _HEADER.unpack(_exactly(link, _HEADER.size))
    if untrusted_length > MESSAGE_BYTES_MAX:
        raise ValueError("message too long")
    return Kind(untrusted_kind), _exactly(link, untrusted_length)


def _exactly(link: socket.socket, length: int) -> bytes:
    out = bytearray(length)
    view, at = memoryview(out), 0
    while at < length:
        got = link.recv_into(view[at:])
        if not got:
            raise EOFError
        at += got
    return bytes(out)
