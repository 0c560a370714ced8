"""The upper layer as bytes (PS3.8 §9.3), for senders that must be fast and senders that must be wrong.

A client here does what it is told, not what the standard says: every field can be forged.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
APPLICATION = "1.2.840.10008.3.1.1.1"

Context = tuple[int, str, Sequence[str]]
"""Presentation context: odd id, abstract syntax, transfer syntaxes."""


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def pdu(kind: int, body: bytes, claimed: int | None = None) -> bytes:
    """Give one PDU; `claimed` lies about its length."""
    return struct.pack(">BBI", kind, 0, len(body) if claimed is None else claimed) + body


def associate_request(calling: str, called: str, contexts: Iterable[Context], pdu_length: int = 131072) -> bytes:
    """Give an A-ASSOCIATE-RQ."""
    body = struct.pack(">HH16s16s32x", 1, 0, called.encode().ljust(16), calling.encode().ljust(16))
    body += item(0x10, APPLICATION.encode())
    for context_id, abstract, syntaxes in contexts:
        inside = struct.pack(">BBBB", context_id, 0, 0, 0) + item(0x30, abstract.encode())
        inside += b"".join(item(0x40, syntax.encode()) for syntax in syntaxes)
        body += item(0x20, inside)
    user = item(0x51, struct.pack(">I", pdu_length)) + item(0x52, b"1.2.826.0.1.3680043.9.9999.1")
    return pdu(1, body + item(0x50, user))


def element(tag: int, value: bytes) -> bytes:
    """Give one implicit little endian element."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def text(tag: int, value: str) -> bytes:
    raw = value.encode()
    return element(tag, raw + (b"\0" if len(raw) % 2 else b""))


def command(*elements: bytes) -> bytes:
    """Give a command set with its group length."""
    body = b"".join(elements)
    return element(0x00000000, struct.pack("<I", len(body))) + body


def short(tag: int, value: int) -> bytes:
    return element(tag, struct.pack("<H", value))


def echo_request(message_id: int) -> bytes:
    return command(
        text(0x00000002, VERIFICATION),
        short(0x00000100, 0x0030),
        short(0x00000110, message_id),
        short(0x00000800, 0x0101),
    )


def store_request(message_id: int, sop_class: str, sop_instance: str) -> bytes:
    return command(
        text(0x00000002, sop_class),
        short(0x00000100, 0x0001),
        short(0x00000110, message_id),
        short(0x00000700, 0),
        short(0x00000800, 0),
        text(0x00001000, sop_instance),
    )


def data_pdus(
    context_id: int, payload: bytes | memoryview, *, is_command: bool, pdu_length: int = 131072, is_last: bool = True
) -> bytearray:
    """Cut a message into P-DATA-TF PDUs of at most `pdu_length`."""
    room = pdu_length - 6
    total = len(payload)
    out = bytearray()
    offset = 0
    while True:
        part = payload[offset : offset + room]
        offset += len(part)
        ends = offset >= total
        header = (1 if is_command else 0) | (2 if ends and is_last else 0)
        out += struct.pack(">BBIIBB", 4, 0, len(part) + 6, len(part) + 2, context_id, header)
        out += part
        if ends:
            return out


def message_pdus(
    message_id: int,
    context_id: int,
    sop_class: str,
    sop_instance: str,
    dataset: bytes | memoryview,
    pdu_length: int = 131072,
) -> bytearray:
    """Give a whole C-STORE request, ready for the wire."""
    out = data_pdus(context_id, store_request(message_id, sop_class, sop_instance), is_command=True)
    out += data_pdus(context_id, dataset, is_command=False, pdu_length=pdu_length)
    return out


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server did last: an A-ABORT, a reject, a status, a closed connection, or nothing in time."""

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.detail}".strip()


class Refused(Exception):
    """The server did not let us on."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(str(answer))
        self.answer = answer


@dataclass
class Client:
    """One connection. `connect` and `associate` raise Refused; everything is bounded by `timeout`."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    timeout: float = 30.0
    source: str = "127.0.0.1"
    accepted: dict[int, str] = field(default_factory=dict)
    peer_pdu_length: int = 16384
    sock: socket.socket | None = None

    def connect(self) -> Client:
        try:
            raw = socket.create_connection((self.host, self.port), self.timeout, source_address=(self.source, 0))
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock = raw
            if self.tls is not None:
                self.sock = self.tls.wrap_socket(raw, server_hostname="localhost")
            self.sock.settimeout(self.timeout)
        except TimeoutError as error:
            raise Refused(Answer("no answer in time")) from error
        except ssl.SSLError as error:
            raise Refused(Answer("TLS alert", error.reason or str(error))) from error
        except OSError as error:
            raise Refused(Answer("closed", type(error).__name__)) from error
        return self

    def associate(self, calling: str, called: str, contexts: Iterable[Context], pdu_length: int = 131072) -> Client:
        if self.sock is None:
            self.connect()
        try:
            self.send(associate_request(calling, called, contexts, pdu_length))
            kind, body = self.read_pdu()
        except OSError as error:
            raise Refused(_failure(error)) from error
        if kind == 2:
            self._read_accept(body)
            return self
        raise Refused(_ending(kind, body))

    def send(self, data: bytes | bytearray | memoryview) -> None:
        assert self.sock is not None
        self.sock.sendall(data)

    def read_exactly(self, count: int) -> bytes:
        assert self.sock is not None
        out = bytearray()
        while len(out) < count:
            part = self.sock.recv(count - len(out))
            if not part:
                raise ConnectionResetError("closed by the server")
            out += part
        return bytes(out)

    def read_pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxI", self.read_exactly(6))
        if length > 1 << 24:
            raise ConnectionResetError("the server sent an absurd PDU")
        return kind, self.read_exactly(length)

    def read_status(self) -> int:
        """Give the status of the next response; Refused when the server ended the association instead."""
        try:
            collected = b""
            while True:
                kind, body = self.read_pdu()
                if kind != 4:
                    raise Refused(_ending(kind, body))
                at = 0
                while at + 6 <= len(body):
                    length = int.from_bytes(body[at : at + 4])
                    header = body[at + 5]
                    if header & 1:
                        collected += body[at + 6 : at + 4 + length]
                        if header & 2:
                            return _status(collected)
                    at += 4 + length
        except OSError as error:
            raise Refused(_failure(error)) from error

    def echo(self, context_id: int = 1, message_id: int = 1) -> int:
        self.send(data_pdus(context_id, echo_request(message_id), is_command=True))
        return self.read_status()

    def release(self) -> None:
        """Release in good order, then close; a server that is gone is no error."""
        try:
            self.send(pdu(5, b"\0\0\0\0"))
            self.read_pdu()
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def ending(self) -> Answer:
        """Wait for how the server ends or answers."""
        try:
            return Answer("status", f"{self.read_status():04X}")
        except Refused as refused:
            return refused.answer

    def _read_accept(self, body: bytes) -> None:
        at = 68
        while at + 4 <= len(body):
            kind, length = struct.unpack_from(">BxH", body, at)
            inside = body[at + 4 : at + 4 + length]
            if kind == 0x21 and inside[2] == 0:
                self.accepted[inside[0]] = inside[8:].decode()
            if kind == 0x50 and inside[:1] == b"\x51":
                self.peer_pdu_length = int.from_bytes(inside[4:8]) or 131072
            at += 4 + length


def _status(collected: bytes) -> int:
    at = 0
    while at + 8 <= len(collected):
        group, number, length = struct.unpack_from("<HHI", collected, at)
        if (group, number) == (0, 0x0900):
            return int(struct.unpack_from("<H", collected, at + 8)[0])
        at += 8 + length
    return 0xFFFF


def _ending(kind: int, body: bytes) -> Answer:
    if kind == 3:
        return Answer("A-ASSOCIATE-RJ", f"result {body[1]} source {body[2]} reason {body[3]}")
    if kind == 7:
        return Answer("A-ABORT", f"source {body[2]} reason {body[3]}")
    return Answer(f"PDU {kind}")


def _failure(error: OSError) -> Answer:
    if isinstance(error, TimeoutError):
        return Answer("no answer in time")
    if isinstance(error, ssl.SSLError):
        return Answer("TLS alert", error.reason or "")
    return Answer("closed", "" if str(error) == "closed by the server" else type(error).__name__)
