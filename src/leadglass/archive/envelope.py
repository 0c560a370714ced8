"""Seal an object while it arrives, and open any range of it later (docs/spec/envelope.md).

AES-256-GCM in chunks (STREAM), so that cutting, reordering, splicing and altering are refused and a frame
is read without the rest. The header is written last: the scope (study) is known only after part of the
object was parsed, so the payload key does not depend on it. Nothing here reads, writes or draws randomness;
the caller passes `write`, `read_at` and fresh random bytes.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from leadglass import limits
from leadglass.archive.frames import FRAMES_MAX, FrameTable, Ranges
from leadglass.archive.keys import ID_BYTES, KEY_BYTES, TAG_BYTES
from leadglass.errors import IntegrityError, LimitExceeded, UsageError

Buffer = bytes | bytearray | memoryview

MAGIC = b"LGE1"
SUITE = 1
HEADER_BYTES = 152
TRAILER_BYTES = 16
SALT_BYTES = 32
CHUNK_LOG2 = 16
CHUNK_LOG2_MIN, CHUNK_LOG2_MAX = 12, 20
DESCRIPTION_BYTES_MAX = 256 << 10

_HEADER = struct.Struct(">4sBBH16s16s32s48s32s")
_WRAPPED_AT, _COMMITMENT_AT = 72, 120
_FOOTER = struct.Struct(">QQ32sIIIIB7x")
_TRAILER = struct.Struct(">I8x4s")
_TRAILER_MAGIC = b"LGEF"
_FOOTER_BYTES_MAX = _FOOTER.size + DESCRIPTION_BYTES_MAX + FRAMES_MAX * 21 + TAG_BYTES
_NONCE = struct.Struct(">B2xQB")
_ZERO_NONCE = bytes(12)

_OUTPUT_BYTES = 256 << 10
"""Sealed bytes handed to `write` at a time, so that the disk begins while more arrives."""
_TAIL_BYTES = 80 << 10
"""Read at once at the end of a file: the last chunk of 64 KiB and a usual footer."""
_READ_BYTES = 1 << 20
"""Sealed bytes asked of `read_at` at a time while streaming."""


class ScopeKey(Protocol):
    """What an object is sealed to: `leadglass.archive.keys.Scope`, or anything of its shape."""

    @property
    def scope_id(self) -> bytes: ...
    @property
    def key(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a finished seal leaves to do and to remember: write `header` over the first bytes of the file."""

    header: bytes
    plaintext_length: int
    sealed_length: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Footer:
    """What an object says of itself, authenticated."""

    plaintext_length: int
    dataset_offset: int
    digest: bytes
    frames: FrameTable
    description: bytes


class Workspace:
    """The two buffers a sealer works in; one for each thread spares a megabyte of page faults an object."""

    __slots__ = ("chunk_log2", "output", "pending")

    def __init__(self, chunk_log2: int = CHUNK_LOG2) -> None:
        assert CHUNK_LOG2_MIN <= chunk_log2 <= CHUNK_LOG2_MAX
        sealed_chunk = (1 << chunk_log2) + TAG_BYTES
        self.chunk_log2 = chunk_log2
        self.pending = bytearray(1 << chunk_log2)
        self.output = bytearray(max(_OUTPUT_BYTES // sealed_chunk + 1, 2) * sealed_chunk)


class Sealer:
    """Seals one object. Call `update` for each fragment, then `finish`; one dropped halfway leaves nothing to undo.

    `write` gets the file's bytes in order, beginning with a blank header, in few large pieces; a piece is
    valid during the call only, because its buffer is used again. What `write` raises passes through, and
    the sealer is then of no more use. `object_id`, `data_key` and `salt` are fresh random bytes for every
    seal: a data key and salt used twice would break the cipher.
    """

    __slots__ = ("_aead", "_chunk", "_commitment_key", "_count", "_data_key", "_dataset_offset", "_digest", "_filled",
                 "_finished", "_held", "_length", "_limit", "_object_id", "_output", "_pending", "_salt", "_suite",
                 "_write", "_written")  # fmt: skip

    def __init__(
        self,
        *,
        object_id: bytes,
        data_key: bytes,
        salt: bytes,
        write: Callable[[memoryview], object],
        workspace: Workspace | None = None,
        length_max: int = limits.OBJECT_BYTES_MAX,
    ) -> None:
        assert len(object_id) == ID_BYTES and len(data_key) == KEY_BYTES and len(salt) == SALT_BYTES
        space = workspace or Workspace()
        self._suite = bytes([SUITE, space.chunk_log2])
        self._aead, self._commitment_key = _payload_keys(data_key, salt, self._suite + object_id)
        self._object_id, self._data_key, self._salt = object_id, data_key, salt
        self._write = write
        self._limit = length_max
        self._chunk = 1 << space.chunk_log2
        self._pending = memoryview(space.pending)
        self._output = memoryview(space.output)
        self._output[:HEADER_BYTES] = bytes(HEADER_BYTES)
        self._filled = HEADER_BYTES
        self._digest = blake3()
        self._dataset_offset = 0
        self._held = self._count = self._length = self._written = 0
        self._finished = False

    @property
    def digest(self) -> bytes:
        """Give the BLAKE3 digest of the data set so far: the same content is the same whoever wrote its header."""
        return self._digest.digest()

    def begin_data_set(self) -> None:
        """Say that what follows is the data set; what came before is its file header, and not part of the digest."""
        assert not self._finished
        self._dataset_offset = self._length
        self._digest = blake3()

    def update(self, data: Buffer) -> None:
        """Take the next bytes of the plaintext; `data` is not kept after the call.

        Raises LimitExceeded beyond `length_max`.
        """
        assert not self._finished
        view = memoryview(data)
        end = len(view)
        if not end:
            return
        self._length += end
        if self._length > self._limit:
            raise LimitExceeded("The object is longer than the limit.", code="object-size", hint="Send it in parts.")
        self._digest.update(view)
        chunk, position = self._chunk, 0
        if self._held:
            # A full chunk waits here until more arrives, because the last one is marked.
            position = min(chunk - self._held, end)
            self._pending[self._held : self._held + position] = view[:position]
            self._held += position
            if position == end:
                return
            self._seal(self._pending, is_last=0)
        while end - position > chunk:
            self._seal(view[position : position + chunk], is_last=0)
            position += chunk
        self._held = end - position
        self._pending[: self._held] = view[position:]

    def finish(self, *, scope: ScopeKey, frames: Iterable[Ranges] = (), description: bytes = b"") -> Sealed:
        """Seal the last chunk and the footer, hand them to `write`, and give the header to write at offset 0.

        LimitExceeded where there are too many frames or the description is too long: the object cannot be kept.
        """
        assert not self._finished
        table = frames if isinstance(frames, FrameTable) else FrameTable.of(frames)
        if len(description) > DESCRIPTION_BYTES_MAX:
            raise LimitExceeded("The object's description is longer than can be kept.", code="description")
        assert table.fits(self._length), "a frame lies outside the object"
        self._finished = True
        self._seal(self._pending[: self._held], is_last=1)
        header = self._header(scope)
        digest = self.digest
        encoding, frame_bytes = table.encode()
        plain = (
            _FOOTER.pack(self._length, self._dataset_offset, digest, len(description), len(table), table.range_count,
                         len(frame_bytes), encoding) + description + frame_bytes
        )  # fmt: skip
        trailer = _TRAILER.pack(len(plain) + TAG_BYTES, _TRAILER_MAGIC)
        end = self._aead.encrypt(_NONCE.pack(1, self._count, 1), plain, header + trailer) + trailer
        if self._filled + len(end) <= len(self._output):
            self._output[self._filled : self._filled + len(end)] = end
            self._filled += len(end)
            self._flush()
        else:
            self._flush()
            self._write(memoryview(end))
            self._written += len(end)
        return Sealed(header, self._length, self._written, digest)

    def _seal(self, plaintext: memoryview, *, is_last: int) -> None:
        end = self._filled + len(plaintext) + TAG_BYTES
        if end > len(self._output):
            self._flush()
            end = len(plaintext) + TAG_BYTES
        nonce = _NONCE.pack(0, self._count, is_last)
        self._aead.encrypt_into(nonce, plaintext, None, self._output[self._filled : end])
        self._count += 1
        self._filled = end

    def _flush(self) -> None:
        if self._filled:
            self._write(self._output[: self._filled])
            self._written += self._filled
            self._filled = 0

    def _header(self, scope: ScopeKey) -> bytes:
        assert len(scope.scope_id) == ID_BYTES
        head = MAGIC + self._suite + bytes(2) + self._object_id + scope.scope_id + self._salt
        head += _wrapping(scope.key, head).encrypt(_ZERO_NONCE, self._data_key, head)
        return head + hmac.digest(self._commitment_key, head, "sha256")


class Opener:
    """An opened object: its footer, and any range of its plaintext.

    Making one authenticates header, footer and last chunk, so a file that was cut, extended, spliced or
    put in another's place is refused here with IntegrityError; an erased scope raises what `scope_key`
    raises (NotFound). `read_at(offset, length)` gives sealed bytes, `size` is the file's length.
    """

    __slots__ = ("_aead", "_chunk", "_count", "_read_at", "footer", "scope_id")

    def __init__(
        self,
        read_at: Callable[[int, int], Buffer],
        size: int,
        scope_key: Callable[[bytes], bytes],
        *,
        expected_object_id: bytes,
    ) -> None:
        if size < HEADER_BYTES + TAG_BYTES + _FOOTER.size + TAG_BYTES + TRAILER_BYTES:
            raise IntegrityError("The sealed object is shorter than any can be: it was cut or never finished.")
        self._read_at = read_at
        tail_at = max(0, size - _TAIL_BYTES)
        tail = memoryview(self._exactly(tail_at, size - tail_at))
        header = bytes(tail[:HEADER_BYTES]) if tail_at == 0 else bytes(self._exactly(0, HEADER_BYTES))
        self._chunk, self.scope_id = _checked_header(header, expected_object_id)
        self._aead = _opened_header(header, scope_key(self.scope_id))

        trailer = bytes(tail[-TRAILER_BYTES:])
        footer_length, plaintext_length, self._count = _layout(trailer, size, self._chunk)
        footer_at = size - TRAILER_BYTES - footer_length
        last_at = HEADER_BYTES + (self._count - 1) * (self._chunk + TAG_BYTES)
        end = tail[last_at - tail_at :] if last_at >= tail_at else memoryview(self._exactly(last_at, size - last_at))
        sealed_footer = end[footer_at - last_at : footer_at - last_at + footer_length]
        try:
            plain = self._aead.decrypt(_NONCE.pack(1, self._count, 1), sealed_footer, header + trailer)
            self._aead.decrypt(_NONCE.pack(0, self._count - 1, 1), end[: footer_at - last_at], None)
        except InvalidTag as error:
            raise IntegrityError("The end of the sealed object was altered, or is another object's.") from error
        self.footer = _parsed_footer(plain)
        if self.footer.plaintext_length != plaintext_length:
            raise IntegrityError("The sealed object does not have the length its footer says.")

    def read(self, offset: int, length: int) -> bytes:
        """Give a range of the plaintext; opens the chunks it touches and no other.

        UsageError where the range is not inside the object, IntegrityError where a chunk was altered.
        """
        return b"".join(self.stream(offset, length))

    def stream(self, offset: int = 0, length: int | None = None) -> Iterator[memoryview]:
        """Give a range (all of it by default) in pieces of at most a chunk, each opened before it is given.

        The range is checked at once; IntegrityError may come between pieces, and what came before is authentic.
        """
        total = self.footer.plaintext_length
        if length is None:
            length = total - offset
        if offset < 0 or length < 0 or offset + length > total:
            raise UsageError(f"The range {offset}+{length} is not inside the object of {total} bytes.")
        return self._pieces(offset, offset + length) if length else iter(())

    def verify(self) -> None:
        """Open every chunk and compare the digest; IntegrityError says what was found."""
        digest, skip = blake3(), self.footer.dataset_offset
        for piece in self._pieces(0, max(1, self.footer.plaintext_length)):
            digest.update(piece[skip:])
            skip = max(0, skip - len(piece))
        if digest.digest() != self.footer.digest:
            raise IntegrityError("Every chunk opens, but the content is not what the footer's digest says.")

    def _pieces(self, start: int, end: int) -> Iterator[memoryview]:
        chunk, sealed_chunk = self._chunk, self._chunk + TAG_BYTES
        index, stop = start // chunk, -(-end // chunk)
        group = max(1, _READ_BYTES // sealed_chunk)
        while index < stop:
            first, index = index, min(index + group, stop)
            sealed_end = min(index * sealed_chunk, self.footer.plaintext_length + self._count * TAG_BYTES)
            at = first * sealed_chunk
            sealed = memoryview(self._exactly(HEADER_BYTES + at, sealed_end - at))
            for number in range(first, index):
                here = (number - first) * sealed_chunk
                plain = memoryview(self._opened(number, sealed[here : here + sealed_chunk]))
                yield plain[max(0, start - number * chunk) : end - number * chunk]

    def _opened(self, number: int, sealed: memoryview) -> bytes:
        try:
            return self._aead.decrypt(_NONCE.pack(0, number, number == self._count - 1), sealed, None)
        except InvalidTag as error:
            raise IntegrityError(
                f"Chunk {number} of the sealed object was altered.",
                hint="Restore the object from a copy that verifies.",
            ) from error

    def _exactly(self, offset: int, length: int) -> Buffer:
        data = self._read_at(offset, length)
        if len(data) != length:
            raise IntegrityError("The sealed object ended before its length: it was cut while it was read.")
        return data


def _payload_keys(data_key: bytes, salt: bytes, context: bytes) -> tuple[AESGCM, bytes]:
    kdf = HKDF(hashes.SHA256(), 64, salt=salt, info=b"leadglass LGE1 payload" + context)
    keys = kdf.derive(data_key)
    return AESGCM(keys[:32]), keys[32:]


def _wrapping(scope_key: bytes, head: bytes) -> AESGCM:
    return AESGCM(hmac.digest(scope_key, b"leadglass LGE1 wrap" + head, "sha256"))


def _checked_header(header: bytes, expected_object_id: bytes) -> tuple[int, bytes]:
    magic, suite, chunk_log2, flags, object_id, scope_id, *_ = _HEADER.unpack(header)
    if magic != MAGIC:
        finished = "" if any(header) else ": it was never finished"
        raise IntegrityError(f"This is no sealed object{finished}.")
    if suite != SUITE or flags or not CHUNK_LOG2_MIN <= chunk_log2 <= CHUNK_LOG2_MAX:
        raise IntegrityError("The sealed object's header was altered, or a newer version wrote it.")
    if object_id != expected_object_id:
        raise IntegrityError("Another object lies in this object's place.")
    return 1 << chunk_log2, scope_id


def _opened_header(header: bytes, scope_key: bytes) -> AESGCM:
    head = header[:_WRAPPED_AT]
    try:
        data_key = _wrapping(scope_key, head).decrypt(_ZERO_NONCE, header[_WRAPPED_AT:_COMMITMENT_AT], head)
    except InvalidTag as error:
        raise IntegrityError("The data key does not open: the header was altered, or is another scope's.") from error
    aead, commitment_key = _payload_keys(data_key, header[40:72], header[4:6] + header[8:24])
    expected = hmac.digest(commitment_key, header[:_COMMITMENT_AT], "sha256")
    if not hmac.compare_digest(expected, header[_COMMITMENT_AT:]):
        raise IntegrityError("The header does not match its commitment: it was altered.")
    return aead


def _layout(trailer: bytes, size: int, chunk: int) -> tuple[int, int, int]:
    """Give footer length, plaintext length and number of chunks, as size and trailer say they must be."""
    footer_length, magic = _TRAILER.unpack(trailer)
    if magic != _TRAILER_MAGIC or any(trailer[4:12]):
        raise IntegrityError("The sealed object does not end as one must: it was cut, or something was added.")
    body = size - HEADER_BYTES - TRAILER_BYTES - footer_length
    if not _FOOTER.size + TAG_BYTES <= footer_length <= _FOOTER_BYTES_MAX or body < TAG_BYTES:
        raise IntegrityError("The sealed object's footer cannot have the length its trailer says.")
    count = -(-body // (chunk + TAG_BYTES))
    last = body - (count - 1) * (chunk + TAG_BYTES)
    if count > 1 and last <= TAG_BYTES:
        raise IntegrityError("The sealed object's length is one no chunking gives: it was cut, or something was added.")
    return footer_length, body - count * TAG_BYTES, count


def _parsed_footer(plain: bytes) -> Footer:
    length, dataset_offset, digest, described, frame_count, range_count, table_length, encoding = _FOOTER.unpack_from(
        plain
    )
    table_at = _FOOTER.size + described
    if len(plain) != table_at + table_length or dataset_offset > length or described > DESCRIPTION_BYTES_MAX:
        raise IntegrityError("The footer's lengths do not fit together.")
    table = FrameTable.decode(encoding, memoryview(plain)[table_at:], frame_count, range_count)
    return Footer(length, dataset_offset, digest, table, plain[_FOOTER.size : table_at])
