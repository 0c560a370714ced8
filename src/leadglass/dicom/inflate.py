"""Inflate a deflated data set piece by piece and bounded (PS3.5 §A.5, RFC 1951).

Raw deflate, no zlib header. Output comes in pieces of at most 64 KiB, so a bomb is seen for what it is
before it has grown. After the end of the stream one pad byte may follow, or the trailer of gzip (CRC and
length, both checked: real writers leave it there), and nothing else.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from leadglass.dicom.structure import DatasetError, DatasetLimit, WalkLimits

_PIECE = 65_536
_RATIO_FREE_BYTES = 1 << 20
_TAIL_MAX = 9


class Inflater:
    """Turn deflated bytes into data set bytes."""

    __slots__ = ("_consumed", "_crc", "_engine", "_limits", "_produced", "_tail", "beyond")

    def __init__(self, limits: WalkLimits) -> None:
        self._engine = zlib.decompressobj(-zlib.MAX_WBITS)
        self._limits = limits
        self._consumed = 0
        self._produced = 0
        self._crc = 0
        self._tail = b""
        self.beyond = b""
        """What was seen of the bytes after the end of the stream, where they are no pad and no trailer."""

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Give inflated pieces as they come.

        Raises DatasetError ("deflate", "deflate-trailing") and DatasetLimit ("inflated-bytes", "inflate-ratio").
        """
        for start in range(0, len(data), _PIECE):
            rest: bytes | memoryview = data[start : start + _PIECE]
            while True:
                if self._engine.eof:
                    self._take_tail(rest, data[start + _PIECE :])
                    break
                before = self._engine.copy()
                try:
                    piece = self._engine.decompress(rest, _PIECE)
                except zlib.error:
                    self._engine = before
                    yield from self._salvage(rest)
                    return
                left = self._engine.unused_data or self._engine.unconsumed_tail
                self._account(len(rest) - len(left), piece)
                if piece:
                    yield piece
                rest = left
                if not rest and len(piece) < _PIECE:
                    break

    def _salvage(self, rest: bytes | memoryview) -> Iterator[bytes]:
        """Give what lies before the damage byte by byte, so that chunks do not change what a walk sees; then raise."""
        for at in range(len(rest)):
            try:
                piece = self._engine.decompress(rest[at : at + 1])
            except zlib.error as error:
                raise DatasetError(
                    f"The deflated stream is damaged ({error}).",
                    code="deflate",
                    clause="PS3.5 §A.5",
                    offset=self._consumed,
                ) from error
            self._account(1, piece)
            if piece:
                yield piece

    def _account(self, consumed: int, piece: bytes) -> None:
        self._consumed += consumed
        self._produced += len(piece)
        self._crc = zlib.crc32(piece, self._crc)
        self._check()

    def finish(self) -> bool:
        """Confirm that the stream ended; tell whether pad or trailer followed.

        Raises DatasetError ("truncated", "deflate-trailing").
        """
        if not self._engine.eof:
            raise DatasetError(
                "The deflated stream stops before its end.",
                code="truncated",
                clause="PS3.5 §A.5",
                offset=self._consumed,
            )
        tail = self._tail
        trailer = self._crc.to_bytes(4, "little") + (self._produced & 0xFFFFFFFF).to_bytes(4, "little")
        if tail not in (b"", b"\0", trailer, trailer + b"\0"):
            self.beyond = tail
            raise self._trailing()
        return bool(tail)

    def _take_tail(self, rest: bytes | memoryview, more: bytes | memoryview) -> None:
        before = self._tail
        self._tail += bytes(rest[: _TAIL_MAX + 1 - len(self._tail)])
        if len(self._tail) > _TAIL_MAX:
            self.beyond = before + bytes(rest) + bytes(more)
            raise self._trailing()

    def _trailing(self) -> DatasetError:
        return DatasetError(
            "Bytes follow the end of the deflated stream.",
            code="deflate-trailing",
            clause="PS3.5 §A.5",
            offset=self._consumed,
        )

    def _check(self) -> None:
        if self._produced > self._limits.inflated_bytes:
            raise DatasetLimit(
                f"The data set inflates beyond {self._limits.inflated_bytes} bytes.",
                code="inflated-bytes",
                clause="PS3.5 §A.5",
                offset=self._consumed,
            )
        if self._produced > _RATIO_FREE_BYTES and self._produced > self._limits.inflate_ratio * self._consumed:
            raise DatasetLimit(
                f"The data set inflates more than {self._limits.inflate_ratio} to 1.",
                code="inflate-ratio",
                clause="PS3.5 §A.5",
                offset=self._consumed,
            )
