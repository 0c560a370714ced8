"""The words in which a copying worker is asked for a copy, and what its answer may be.

The object itself comes as a descriptor: sealed memory, which the worker maps and cannot change. The owner sends BEGIN
(JSON: the terms), the descriptor, then COPY (JSON: what was objected to) for each copy; the worker answers RESULT
(JSON) and, in PIECEs, the bytes that are not ranges of the object. The answer of a worker that touched the object is
as hostile as the object: types and bounds are checked here.
"""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from leadglass import limits
from leadglass.dicom.structure import packed
from leadglass.edge.sandbox_wire import as_list, as_text, as_whole
from leadglass.errors import Refused
from leadglass.malware.rebuild.changes import CHANGES_MAX, Act, Change
from leadglass.malware.rebuild.copying import Objection

__all__ = ["FINDINGS_SENT_MAX", "SEGMENTS_MAX", "CopyHead", "read_ask", "read_head", "write_ask", "write_head"]

FINDINGS_SENT_MAX = 256
SEGMENTS_MAX = 1 << 21
"""Ranges of the object and literal bytes between them: one frame in four kilobytes, in an object of 2 GiB, and more."""

_LITERAL = (1 << 64) - 1
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class CopyHead:
    """What a copy consists of: segments are (offset in the object, length), or (None, length) for literal bytes."""

    segments: Sequence[tuple[int | None, int]]
    changes: tuple[Change, ...]
    frame_digests: tuple[bytes, ...]

    @property
    def literal_bytes(self) -> int:
        """Count the bytes that follow in PIECEs."""
        return sum(length for offset, length in self.segments if offset is None)


def write_ask(objections: Sequence[Objection]) -> bytes:
    """Write down what the last copy was objected for (by the owner)."""
    return json.dumps([[one.element, one.offset] for one in objections[:FINDINGS_SENT_MAX]]).encode()


def read_ask(payload: bytes | memoryview) -> tuple[Objection, ...]:
    """Read it (in the worker)."""
    return tuple(Objection(element, offset) for element, offset in json.loads(bytes(payload)))


def write_head(head: CopyHead | Refused) -> bytes:
    """Write an answer down (in the worker)."""
    if isinstance(head, Refused):
        return json.dumps({"refused": [head.message, head.hint]}).encode()
    numbers = array("Q")
    for offset, length in head.segments:
        numbers.extend((_LITERAL if offset is None else offset, length))
    said = {
        "segments": base64.b64encode(numbers.tobytes()).decode(),
        "changes": [[change.act.value, change.element, change.bytes_gone, change.why] for change in head.changes],
        "digests": base64.b64encode(b"".join(head.frame_digests)).decode(),
    }
    return json.dumps(said, separators=(",", ":")).encode()


def read_head(untrusted: bytes | memoryview, object_bytes: int) -> CopyHead:
    """Read an answer about an object of so many bytes. Raises Refused for a refusal, ValueError for what cannot be."""
    said = json.loads(bytes(untrusted))
    if not isinstance(said, dict):
        raise ValueError("not an answer")
    if "refused" in said:
        message, hint = (as_text(part) for part in as_list(said["refused"], 2))
        raise Refused(message, hint=hint)
    numbers = packed("Q", _bytes(said.get("segments")))
    if len(numbers) % 2 or len(numbers) > 2 * SEGMENTS_MAX:
        raise ValueError("segments")
    segments = [
        (None if offset == _LITERAL else offset, length)
        for offset, length in zip(numbers[::2], numbers[1::2], strict=True)
    ]
    if any(offset is not None and offset + length > object_bytes for offset, length in segments):
        raise ValueError("a segment lies outside the object")
    digests = _bytes(said.get("digests"))
    if len(digests) % _DIGEST_BYTES:
        raise ValueError("digests")
    head = CopyHead(
        segments,
        tuple(_change(line) for line in as_list(said.get("changes"), CHANGES_MAX + 1)),
        tuple(digests[at : at + _DIGEST_BYTES] for at in range(0, len(digests), _DIGEST_BYTES)),
    )
    if head.literal_bytes > limits.DISARM_MEMORY_BYTES:
        raise ValueError("more bytes than the worker can hold")
    if sum(length for _, length in segments) > limits.DISARM_BYTES_MAX + limits.DISARM_MEMORY_BYTES:
        raise ValueError("a copy too long")
    return head


def _change(untrusted: object) -> Change:
    line = as_list(untrusted, 4)
    if len(line) != 4:
        raise ValueError("change")
    return Change(Act(as_text(line[0])), as_text(line[1]), as_whole(line[2], 1 << 62), as_text(line[3]))


def _bytes(untrusted: object) -> bytes:
    if not isinstance(untrusted, str):
        raise ValueError("bytes")
    return base64.b64decode(untrusted, validate=True)
