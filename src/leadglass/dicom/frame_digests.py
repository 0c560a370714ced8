"""What the stored pixels of each frame hash to, taken while the object passes (docs/spec/tamper.md).

A range's digest is BLAKE3 of its bytes; a frame of one range has that digest, one of several the BLAKE3 of theirs, one
after another. One digest over the list stands for all of them in the ledger; the list itself, shortened to runs of
frames where there are many, is kept beside the object and tells which frame differs.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from blake3 import blake3

from leadglass.dicom.pixels import PixelLog, Ranges, frames, native_frames
from leadglass.dicom.structure import DatasetError, Structure

DIGEST_BYTES = 32
RUN_BYTES = 16
"""Kept of each digest in the list: 128 bits stand against a second frame of the same digest, which is all it tells."""

RUNS_MAX = 1_024
"""Entries of the list: 22 KB in the row and the sealed object. Of 2 GiB of CT frames each entry stands for four."""

RANGES_HASHED_MAX = 262_144
"""Fragments and frames hashed one by one; an object of more is digested whole, as every object is."""

_BLOCK_BYTES = 16_384
_ROOT = b"leadglass frames"


@dataclass(frozen=True, slots=True)
class FrameDigests:
    """The digests of an object's frames: `root` stands for all, `runs` tell them apart."""

    count: int
    root: bytes
    run_length: int = 1
    runs: bytes = b""
    """Empty where there is one frame, for which the root speaks."""

    @classmethod
    def of(cls, digests: bytes | bytearray) -> FrameDigests:
        """Take the digests of all frames, one after another."""
        count = len(digests) // DIGEST_BYTES
        assert count and count * DIGEST_BYTES == len(digests)
        root = blake3(_ROOT + count.to_bytes(8, "big") + digests).digest()
        if count == 1:
            return cls(1, root)
        run_length = -(-count // RUNS_MAX)
        step = run_length * DIGEST_BYTES
        runs = (_joined(digests[at : at + step]) for at in range(0, len(digests), step))
        return cls(count, root, run_length, b"".join(run[:RUN_BYTES] for run in runs))

    @property
    def named(self) -> str:
        """Give the root as the ledger writes it."""
        return self.root.hex()

    def differing(self, other: FrameDigests) -> list[tuple[int, int]]:
        """List the first and last frame, from 1, of each run that differs from another digest of as many frames."""
        if self.root == other.root or self.count != other.count:
            return []
        mine, theirs = self.runs, other.runs
        spans = [
            (at // RUN_BYTES * self.run_length + 1, min(self.count, (at // RUN_BYTES + 1) * self.run_length))
            for at in range(0, len(mine), RUN_BYTES)
            if mine[at : at + RUN_BYTES] != theirs[at : at + RUN_BYTES]
        ]
        return spans or ([(1, 1)] if self.count == 1 else [])

    def written(self) -> list[int | str]:
        """Give it as JSON holds it."""
        return [self.count, self.root.hex(), self.run_length, base64.b64encode(self.runs).decode()]

    @classmethod
    def read(cls, untrusted: object) -> FrameDigests:
        """Read what `written` gave. Raises ValueError for anything else."""
        if not isinstance(untrusted, list) or len(untrusted) != 4:
            raise ValueError("frame digests")
        count, root, run_length, runs = untrusted
        if not (isinstance(count, int) and isinstance(root, str) and isinstance(run_length, int)):
            raise ValueError("frame digests")
        known = cls(count, bytes.fromhex(root), run_length, base64.b64decode(str(runs), validate=True))
        if count < 1 or len(known.root) != DIGEST_BYTES or run_length != -(-count // RUNS_MAX):
            raise ValueError("frame digests")
        if len(known.runs) != (0 if count == 1 else -(-count // run_length) * RUN_BYTES):
            raise ValueError("frame digests")
        return known


class RangeHasher:
    """Hash ranges of a stream of bytes, in order; each begins where the last ended, behind it, or on its last byte."""

    __slots__ = ("_begun", "_held", "_last", "_left", "digests")

    def __init__(self) -> None:
        self.digests = bytearray()
        self._begun: blake3 | None = None
        self._left = 0
        self._held = b""
        self._last = b""

    def take(self, piece: memoryview, start: int, offsets: Sequence[int], lengths: Sequence[int]) -> None:
        """Take the next piece, which begins at `start`; ranges that begin in it must be known."""
        end, at = start + len(piece), 0
        while True:
            begun = self._begun
            if begun is None:
                index = len(self.digests) // DIGEST_BYTES
                if index >= len(offsets) or offsets[index] >= end:
                    break
                begun, self._left, at = blake3(), lengths[index], offsets[index] - start
                if at < 0 < self._left:  # packed bits: the frame shares its first byte with the one before
                    self._held = self._last
                    self._left -= len(self._last)
                at = max(0, at)
            part = piece[at : at + self._left]
            self._left, at = self._left - len(part), at + len(part)
            if self._left:
                self._begun = begun
                self._update(begun, part)
                break
            begun.update(self._held + part if self._held else part)
            self._begun, self._held = None, b""
            self.digests += begun.digest()
        if end > start:
            self._last = bytes(piece[-1:])

    def _update(self, begun: blake3, part: memoryview) -> None:
        """Hash whole blocks and hold the rest: BLAKE3 takes 16 KiB abreast, and longer for less."""
        if self._held:
            fill = _BLOCK_BYTES - len(self._held)
            self._held += part[:fill]
            if len(self._held) < _BLOCK_BYTES:
                return
            begun.update(self._held)
            part = part[fill:]
        whole = len(part) - len(part) % _BLOCK_BYTES
        begun.update(part[:whole])
        self._held = bytes(part[whole:])

    def is_whole(self, count: int) -> bool:
        """Tell whether so many ranges were hashed to their ends."""
        return self._begun is None and len(self.digests) == count * DIGEST_BYTES


class FrameHasher:
    """Hash the frames of one data set while it is walked; call `follow` after each piece of the walk."""

    __slots__ = ("_hasher", "_is_over", "_lengths", "_native", "_offsets", "_position", "_rest")

    def __init__(self) -> None:
        self._hasher = RangeHasher()
        self._native: tuple[int, int] | None = None
        self._offsets: Sequence[int] = ()
        self._lengths: Sequence[int] = ()
        self._position = 0
        self._rest = bytearray()
        self._is_over = False

    def follow(
        self, piece: memoryview, walked: int, log: PixelLog, values: Mapping[int, bytes], *, is_little: bool
    ) -> None:
        """Hash what is pixels of the bytes up to `walked`; those behind it the walk holds back, and so does this."""
        start, self._position = self._position, walked
        if self._rest:
            self._rest += piece
            if walked == start:
                return
            piece = memoryview(bytes(self._rest))
            self._rest.clear()
        if len(piece) > walked - start:
            self._rest += piece[walked - start :]
            piece = piece[: walked - start]
        if self._offsets:
            self._hasher.take(piece, start, self._offsets, self._lengths)
            return
        found = log.found
        if found is None or self._is_over:
            return
        if found.is_encapsulated:
            self._hasher.take(piece, start, log.offsets, log.lengths)
            self._is_over = len(log.offsets) > RANGES_HASHED_MAX
            return
        self._native = count, bits = native_frames(values, is_little=is_little)
        if count > RANGES_HASHED_MAX or not 0 < count * bits <= (found.length or 0) * 8:
            self._is_over = True
            return
        self._offsets, self._lengths = _columns(frames(found, count, bits))
        self._hasher.take(piece, start, self._offsets, self._lengths)

    def finish(self, structure: Structure, values: Mapping[int, bytes], *, is_little: bool) -> FrameDigests | None:
        """Give the digests; None where the object has no pixels, or its frames cannot be told apart."""
        pixels = structure.pixel_data
        if pixels is None or self._is_over or structure.length_bytes != structure.wire_bytes:
            return None
        count, bits = native_frames(values, is_little=is_little)
        if not pixels.is_encapsulated:
            is_whole = self._native == (count, bits) and self._hasher.is_whole(len(self._offsets))
            return FrameDigests.of(self._hasher.digests) if is_whole else None
        try:
            table = frames(pixels, count, bits)
        except DatasetError:
            return None
        self._hasher.take(memoryview(b""), self._position + 1, *_columns(table))  # an empty fragment at the very end
        if not self._hasher.is_whole(sum(map(len, table))):
            return None
        return FrameDigests.of(_by_frame(self._hasher.digests, table))


def digests_of(table: Sequence[Ranges], pieces: Iterator[memoryview | bytes]) -> FrameDigests | None:
    """Hash the frames of a whole file whose frames are known; None where it has none."""
    hasher, position = RangeHasher(), 0
    offsets, lengths = _columns(table)
    for piece in pieces:
        hasher.take(memoryview(piece), position, offsets, lengths)
        position += len(piece)
    hasher.take(memoryview(b""), position + 1, offsets, lengths)
    if not len(table) or not hasher.is_whole(len(offsets)):
        return None
    return FrameDigests.of(_by_frame(hasher.digests, table))


def _columns(table: Sequence[Ranges]) -> tuple[Sequence[int], Sequence[int]]:
    offsets, lengths = array("Q"), array("Q")
    for ranges in table:
        for offset, length in ranges:
            offsets.append(offset)
            lengths.append(length)
    return offsets, lengths


def _by_frame(digests: bytearray, table: Sequence[Ranges]) -> bytes | bytearray:
    if len(table) * DIGEST_BYTES == len(digests) and all(len(ranges) == 1 for ranges in table):
        return digests
    joined, at = bytearray(), 0
    for ranges in table:
        end = at + len(ranges) * DIGEST_BYTES
        joined += _joined(digests[at:end])
        at = end
    return joined


def _joined(digests: bytes | bytearray) -> bytes:
    """Make one digest of several; one stays as it is."""
    return bytes(digests) if len(digests) == DIGEST_BYTES else blake3(digests).digest()
