"""What a walk tells those who want to look inside elements while they pass."""

from __future__ import annotations

from typing import Protocol

Buffer = bytes | memoryview


class Visitor(Protocol):
    """See every element as it passes; memory given to `value` is good only during the call."""

    def begin_element(self, tag: int, vr: bytes, length: int, offset: int) -> bool:
        """Learn of an element (or, with the item tag, of a fragment) at its header; True asks for its value."""

    def value(self, data: Buffer, is_last: bool) -> None:
        """Take the value: whole up to `WalkLimits.value_kept`, in pieces beyond, fragments always in pieces."""

    def begin_sequence(self, tag: int, vr: bytes, offset: int) -> None:
        """Learn of a sequence, or of encapsulated pixel data (VR OB or OW)."""

    def end_sequence(self) -> None:
        """Leave it."""

    def begin_item(self, offset: int) -> None:
        """Learn of an item of the sequence."""

    def end_item(self) -> None:
        """Leave it."""
