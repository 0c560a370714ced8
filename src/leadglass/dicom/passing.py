"""A value that came without its end: pass on what arrives, hold nothing but offset tables."""

from __future__ import annotations

from leadglass.dicom.pixels import PixelLog
from leadglass.dicom.visitor import Buffer, Visitor


class PassingValue:
    """The one value under way; `remaining` is what its length still claims."""

    __slots__ = ("_is_wanted", "_pixels", "_table", "_table_tag", "_visitor", "remaining")

    def __init__(self, pixels: PixelLog, visitor: Visitor | None) -> None:
        self._pixels = pixels
        self._visitor = visitor
        self._is_wanted = False
        self._table: bytearray | None = None
        self._table_tag = 0
        self.remaining = 0

    def collect(self, tag: int) -> None:
        """Hold the value that begins next, as the offset table of this tag; the caller has bounded its length."""
        self._table, self._table_tag = bytearray(), tag

    def begin(self, tag: int, vr: bytes, length: int, offset: int) -> None:
        """Start a value at the byte after its header."""
        self.remaining = length
        visitor = self._visitor
        self._is_wanted = visitor is not None and visitor.begin_element(tag, vr, length, offset)
        if not length:
            self._table = None
            if self._is_wanted and visitor is not None:
                visitor.value(b"", True)

    def take(self, buf: Buffer, pos: int, end: int) -> int:
        """Take what this chunk has of the value; give where it ends."""
        taken = min(self.remaining, end - pos)
        if not taken:
            return pos
        self.remaining -= taken
        stop = pos + taken
        if self._table is not None:
            self._table += buf[pos:stop]
            if not self.remaining:
                self._pixels.take_table(self._table_tag, self._table)
                self._table = None
        if self._is_wanted and self._visitor is not None:
            self._visitor.value(buf[pos:stop], not self.remaining)
        return stop
