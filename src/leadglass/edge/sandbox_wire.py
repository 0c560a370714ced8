"""The words an inspection worker and its owner exchange over one socket, and what an answer may be.

A message is its kind (one byte), the length of its payload (four bytes, big endian) and the payload. The owner sends
BEGIN (JSON), PIECE (the object's bytes) and FINISH; the worker sends READY and LIMIT (both JSON) and RESULT (JSON).
The worker has touched the hostile object, so its answer is as hostile: types and bounds are checked here.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import struct
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from leadglass import limits
from leadglass.dicom.frame_digests import FrameDigests
from leadglass.dicom.structure import PixelData, Structure, packed
from leadglass.errors import LimitExceeded
from leadglass.finding import Assessed, Finding, Inspection, NotAssessed, Severity

__all__ = [
    "FINDINGS_MAX",
    "PIECE_BYTES_MAX",
    "SETUP_BYTES_MAX",
    "Answer",
    "Kind",
    "as_list",
    "as_text",
    "as_whole",
    "read_answer",
    "receive_message",
    "send_message",
    "write_answer",
]

PIECE_BYTES_MAX = 1 << 20
"""Objects are cut into pieces no longer than this."""

FINDINGS_MAX = 256
"""Findings in one answer."""

SETUP_BYTES_MAX = 1 << 20
"""What a nursery is told at its start."""

_HEADER = struct.Struct(">BI")
_TEXT_MAX = 2_000
_ID = re.compile(r"[A-Z0-9-]{3,24}")
_CLASS = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class Kind(IntEnum):
    """What a message is."""

    BEGIN = 1
    PIECE = 2
    FINISH = 3
    READY = 4
    LIMIT = 5
    RESULT = 6
    COPY = 7


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker says of one object, as far as it can be true."""

    inspection: Inspection
    values: Mapping[int, bytes]
    structure: Structure | None = None
    limit: LimitExceeded | None = None
    frames: FrameDigests | None = None


def send_message(link: socket.socket, kind: Kind, payload: bytes | bytearray | memoryview = b"") -> None:
    """Send one message whole, its head and its payload in one call where the socket takes both."""
    head = _HEADER.pack(kind, len(payload))
    sent = link.sendmsg((head, payload)) if len(payload) else link.send(head)
    if sent < len(head):
        link.sendall(head[sent:])
        sent = len(head)
    if sent - len(head) < len(payload):
        link.sendall(memoryview(payload)[sent - len(head) :])


def receive_message(
    link: socket.socket, buffer: bytearray, longest: int, ends: float | None = None
) -> tuple[Kind, memoryview]:
    """Receive one message into a buffer, which grows as it must; the payload is valid until the next call.

    `ends` is when it must be there whole, on the monotonic clock: a peer that sends a byte now and then gains nothing.
    Raises TimeoutError then, EOFError at the end and ValueError for anything that is not a message.
    """
    _fill(link, memoryview(buffer)[: _HEADER.size], ends)
    untrusted_kind, untrusted_length = _HEADER.unpack_from(buffer)
    if untrusted_length > longest:
        raise ValueError("message too long")
    if untrusted_length > len(buffer):
        buffer = bytearray(untrusted_length)
    view = memoryview(buffer)[:untrusted_length]
    _fill(link, view, ends)
    return Kind(untrusted_kind), view


def _fill(link: socket.socket, view: memoryview, ends: float | None) -> None:
    at = 0
    while at < len(view):
        if ends is not None:
            link.settimeout(max(0.001, ends - time.monotonic()))
        got = link.recv_into(view[at:])
        if not got:
            raise EOFError
        at += got


def write_answer(answer: Answer) -> bytes:
    """Write an answer down (in the worker)."""
    inspection = answer.inspection
    limit = answer.limit
    return json.dumps(
        {
            "reason": inspection.reason if isinstance(inspection, NotAssessed) else None,
            "findings": [
                [f.id, f.cls, int(f.severity), f.claim, f.offset, f.length, f.element, f.control]
                for f in inspection.findings
            ],
            "values": {str(tag): value.decode("latin-1") for tag, value in answer.values.items()},
            "structure": None if answer.structure is None else _write_structure(answer.structure),
            "frames": None if answer.frames is None else answer.frames.written(),
            "limit": None if limit is None else [limit.message, limit.code, limit.clause],
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode("utf-8", "replace")


def _write_structure(structure: Structure) -> list[object]:
    pixels = structure.pixel_data
    return [
        structure.element_count,
        structure.depth_max,
        structure.length_bytes,
        structure.wire_bytes,
        structure.last_tag,
        None
        if pixels is None
        else [
            pixels.tag,
            pixels.offset,
            pixels.length,
            pixels.is_encapsulated,
            _write_numbers("Q", pixels.fragment_offsets),
            _write_numbers("I", pixels.fragment_lengths),
            _write_numbers("I", pixels.basic_offset_table),
            _write_numbers("Q", pixels.extended_offset_table),
            _write_numbers("Q", pixels.extended_lengths),
        ],
    ]


def _write_numbers(kind: str, numbers: Sequence[int]) -> str:
    written = array(kind, numbers)
    return base64.b64encode(written.tobytes()).decode() if written else ""


def read_answer(untrusted: bytes | bytearray | memoryview, *, fed_bytes: int, keep: frozenset[int]) -> Answer:
    """Read an answer, of an object of which so many bytes were fed. Raises ValueError for what cannot be true."""
    said = json.loads(bytes(untrusted))
    if not isinstance(said, dict):
        raise ValueError("not an answer")
    findings = tuple(_finding(line, fed_bytes) for line in as_list(said.get("findings"), FINDINGS_MAX))
    reason = said.get("reason")
    values = said.get("values")
    if not isinstance(values, dict) or len(values) > len(keep):
        raise ValueError("values")
    kept: dict[int, bytes] = {}
    for tag, value in values.items():
        number = int(tag)
        if number not in keep or not isinstance(value, str) or len(value) > limits.ELEMENT_VALUE_KEPT_MAX:
            raise ValueError("value")
        kept[number] = value.encode("latin-1")
    frames = said.get("frames")
    return Answer(
        Assessed(findings) if reason is None else NotAssessed(as_text(reason), findings),
        kept,
        _structure(said.get("structure"), kept, fed_bytes),
        _limit(said.get("limit")),
        None if frames is None else FrameDigests.read(frames),
    )


def _finding(untrusted: object, fed_bytes: int) -> Finding:
    line = as_list(untrusted, 8)
    if len(line) != 8 or not isinstance(line[0], str) or not isinstance(line[1], str):
        raise ValueError("finding")
    if _ID.fullmatch(line[0]) is None or _CLASS.fullmatch(line[1]) is None:
        raise ValueError("finding")
    offset, length = (None if line[at] is None else as_whole(line[at], 1 << 62) for at in (4, 5))
    if offset is not None and offset > max(fed_bytes, limits.INFLATED_BYTES_MAX):
        offset = None
    element, control = (None if line[at] is None else as_text(line[at]) for at in (6, 7))
    return Finding(line[0], line[1], Severity(as_whole(line[2], 4)), as_text(line[3]), offset, length, element, control)


def _structure(untrusted: object, values: Mapping[int, bytes], fed_bytes: int) -> Structure | None:
    if untrusted is None:
        return None
    said = as_list(untrusted, 6)
    if len(said) != 6:
        raise ValueError("structure")
    counts = [as_whole(number, 1 << 62) for number in said[:5]]
    if counts[3] > fed_bytes or counts[2] > max(fed_bytes, limits.INFLATED_BYTES_MAX):
        raise ValueError("structure is longer than the object")
    pixels = None if said[5] is None else _pixels(as_list(said[5], 9), counts[2])
    return Structure(values, counts[0], counts[1], counts[2], counts[3], pixel_data=pixels, last_tag=counts[4])


def _pixels(said: Sequence[object], length_bytes: int) -> PixelData:
    """Read where the pixels lie; every range must lie in the data set."""
    if len(said) != 9 or not isinstance(said[3], bool):
        raise ValueError("pixels")
    offset, length = as_whole(said[1], length_bytes), None if said[2] is None else as_whole(said[2], length_bytes)
    if length is not None and offset + length > length_bytes:
        raise ValueError("pixels")
    offsets, lengths = _numbers("Q", said[4]), _numbers("I", said[5])
    if len(offsets) != len(lengths) or len(offsets) > limits.PIXEL_FRAGMENTS_MAX:
        raise ValueError("fragments")
    end = 0
    for at, size in zip(offsets, lengths, strict=True):
        if at < end or at + size > length_bytes:
            raise ValueError("fragments")
        end = at + size
    return PixelData(
        as_whole(said[0], 0xFFFFFFFF),
        offset,
        length,
        said[3],
        offsets,
        lengths,
        _numbers("I", said[6]),
        _numbers("Q", said[7]),
        _numbers("Q", said[8]),
    )


def _limit(untrusted: object) -> LimitExceeded | None:
    if untrusted is None:
        return None
    said = as_list(untrusted, 3)
    if len(said) != 3:
        raise ValueError("limit")
    return LimitExceeded(as_text(said[0]), code=as_text(said[1]), clause=as_text(said[2]))


def _numbers(kind: str, untrusted: object) -> Sequence[int]:
    if not isinstance(untrusted, str):
        raise ValueError("numbers")
    return packed(kind, base64.b64decode(untrusted, validate=True)) if untrusted else ()


def as_list(untrusted: object, longest: int) -> list[object]:
    """Give a list no longer than it may be. Raises ValueError."""
    if not isinstance(untrusted, list) or len(untrusted) > longest:
        raise ValueError("list")
    return untrusted


def as_whole(untrusted: object, largest: int) -> int:
    """Give a whole number from 0 to the largest. Raises ValueError."""
    if not isinstance(untrusted, int) or isinstance(untrusted, bool) or not 0 <= untrusted <= largest:
        raise ValueError("number")
    return untrusted


def as_text(untrusted: object) -> str:
    """Give a text bounded, without control characters: it goes into records and onto pages."""
    if not isinstance(untrusted, str):
        raise ValueError("text")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in untrusted[:_TEXT_MAX])
