"""A sealed object gives back exactly what was sealed, or an IntegrityError; whatever was done to the file."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from leadglass.archive import envelope
from leadglass.archive.envelope import DESCRIPTION_BYTES_MAX, HEADER_BYTES, Opener, Sealer, Workspace
from leadglass.archive.frames import FRAMES_MAX, FrameTable, Ranges
from leadglass.archive.keys import Scope
from leadglass.errors import IntegrityError, LeadglassError, LimitExceeded, NotFound, UsageError

SCOPE = Scope(b"scope-id-16bytes", b"k" * 32)
OBJECT_ID = b"object-id-16byte"
SECRETS = {"object_id": OBJECT_ID, "data_key": b"d" * 32, "salt": b"s" * 32}
CHUNK, SEALED_CHUNK = 4096, 4096 + 16


@dataclass
class Written:
    """What a sealer wrote, in the pieces it wrote it in."""

    pieces: list[bytes]

    def write(self, data: memoryview) -> None:
        self.pieces.append(bytes(data))


def seal(
    fragments: Sequence[bytes], *, frames: tuple[Ranges, ...] = (), description: bytes = b"{}",
    workspace: Workspace | None = None, header_fragments: int = 0,
) -> bytes:  # fmt: skip
    """Seal fragments as a receive buffer would give them: each is overwritten after the call."""
    written = Written([])
    sealer = Sealer(**SECRETS, write=written.write, workspace=workspace or Workspace(12))
    for number, fragment in enumerate(fragments):
        if number == header_fragments:
            sealer.begin_data_set()
        buffer = bytearray(fragment)
        sealer.update(memoryview(buffer))
        buffer[:] = b"\xff" * len(buffer)
    sealed = sealer.finish(scope=SCOPE, frames=frames, description=description)
    body = b"".join(written.pieces)
    assert body[:HEADER_BYTES] == bytes(HEADER_BYTES), "the header stays blank until the object is finished"
    assert sealed.sealed_length == len(body) and sealed.plaintext_length == sum(map(len, fragments))
    return sealed.header + body[HEADER_BYTES:]


def open_file(
    data: bytes, *, object_id: bytes = OBJECT_ID, key: Callable[[bytes], bytes] = lambda _: SCOPE.key
) -> Opener:
    return Opener(lambda offset, length: data[offset : offset + length], len(data), key, expected_object_id=object_id)


def content(length: int) -> bytes:
    return blake3(b"content").digest(length)


# --- round trips ------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 3 * CHUNK), max_size=8), st.data())
def test_any_split_of_the_bytes_gives_the_same_file(sizes: list[int], data: st.DataObject) -> None:
    plaintext = content(sum(sizes))
    fragments, at = [], 0
    for size in sizes:
        fragments.append(plaintext[at : at + size])
        at += size
    sealed = seal(fragments)
    assert sealed == seal([plaintext])

    opener = open_file(sealed)
    opener.verify()
    assert b"".join(opener.stream()) == plaintext
    start = data.draw(st.integers(0, len(plaintext)))
    length = data.draw(st.integers(0, len(plaintext) - start))
    assert opener.read(start, length) == plaintext[start : start + length]
    assert b"".join(opener.stream(start)) == plaintext[start:]


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 300 * CHUNK + 5])
def test_lengths_around_a_chunk_and_beyond_every_buffer(length: int) -> None:
    opener = open_file(seal([content(length)]))
    opener.verify()
    assert opener.footer.plaintext_length == length
    assert b"".join(opener.stream()) == content(length)


@pytest.mark.parametrize("chunk_log2", [12, 16, 20])
def test_every_chunk_length_opens(chunk_log2: int) -> None:
    plaintext = content((1 << chunk_log2) * 2 + 3)
    opener = open_file(seal([plaintext], workspace=Workspace(chunk_log2)))
    assert opener.read((1 << chunk_log2) - 2, 4) == plaintext[(1 << chunk_log2) - 2 :][:4]
    opener.verify()


def test_a_workspace_is_used_again_without_a_trace() -> None:
    space = Workspace(12)
    assert seal([content(90_000)], workspace=space) == seal([content(90_000)])
    assert seal([content(10)], workspace=space) == seal([content(10)])
    assert seal([], workspace=space) == seal([])


def test_the_footer_says_what_the_object_is() -> None:
    frames: tuple[Ranges, ...] = (((5, 10),), (), ((15, 1), (16, 3)), ((0, 2),))
    opener = open_file(seal([b"head", content(50)], frames=frames, description=b'{"a":1}', header_fragments=1))
    footer = opener.footer
    assert tuple(footer.frames) == frames and footer.frames[2] == ((15, 1), (16, 3)) and len(footer.frames) == 4
    assert footer.frames[-1] == ((0, 2),) and footer.frames[1:3] == frames[1:3]
    assert footer.description == b'{"a":1}'
    assert (footer.dataset_offset, footer.digest) == (4, blake3(content(50)).digest())
    assert opener.scope_id == SCOPE.scope_id
    opener.verify()


def test_the_digest_is_the_data_sets_whatever_the_file_header() -> None:
    one = open_file(seal([b"a header", content(9000)], header_fragments=1))
    other = open_file(seal([b"another one", content(9000)], header_fragments=1))
    assert one.footer.digest == other.footer.digest
    one.verify()
    other.verify()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40)), max_size=3), max_size=40))
def test_frame_tables_come_back(frames: list[list[tuple[int, int]]]) -> None:
    table = FrameTable.of([tuple(frame) for frame in frames])
    encoding, data = table.encode()
    again = FrameTable.decode(encoding, data, len(table), table.range_count)
    assert list(again) == [tuple(frame) for frame in frames]


def test_a_read_touches_only_its_chunks() -> None:
    sealed = seal([content(600 * CHUNK)])
    asked: list[tuple[int, int]] = []

    def read_at(offset: int, length: int) -> bytes:
        asked.append((offset, length))
        return sealed[offset : offset + length]

    opener = Opener(read_at, len(sealed), lambda _: SCOPE.key, expected_object_id=OBJECT_ID)
    asked.clear()
    assert opener.read(100 * CHUNK + 7, CHUNK) == content(600 * CHUNK)[100 * CHUNK + 7 :][:CHUNK]
    assert asked == [(HEADER_BYTES + 100 * SEALED_CHUNK, 2 * SEALED_CHUNK)]


# --- refusals ---------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 3 * CHUNK), st.data())
def test_one_flipped_bit_anywhere_is_refused(length: int, data: st.DataObject) -> None:
    sealed = bytearray(seal([content(length)], frames=(((0, length),),)))
    position = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[position // 8] ^= 1 << position % 8
    with pytest.raises(IntegrityError):
        open_file(bytes(sealed)).verify()


def test_every_bit_of_header_footer_and_trailer_is_refused_at_opening() -> None:
    sealed = seal([content(20)], frames=(((0, 20),),))
    for position in range(len(sealed) * 8):
        damaged = bytearray(sealed)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(IntegrityError):
            open_file(bytes(damaged))


def test_no_prefix_and_no_extension_opens() -> None:
    sealed = seal([content(2 * CHUNK)])
    for cut in (*range(0, len(sealed), 37), len(sealed) - 1, HEADER_BYTES, HEADER_BYTES + SEALED_CHUNK):
        with pytest.raises(IntegrityError):
            open_file(sealed[:cut])
    for added in (b"\0", sealed[-16:], sealed[HEADER_BYTES:], bytes(SEALED_CHUNK)):
        with pytest.raises(IntegrityError):
            open_file(sealed + added)


def test_a_file_that_shrinks_while_it_is_read_is_refused() -> None:
    sealed = seal([content(50 * CHUNK)])
    held = [sealed]

    def read_at(offset: int, length: int) -> bytes:
        return held[0][offset : offset + length]

    opener = Opener(read_at, len(sealed), lambda _: SCOPE.key, expected_object_id=OBJECT_ID)
    held[0] = sealed[: 20 * CHUNK]
    with pytest.raises(IntegrityError, match="ended before"):
        opener.read(30 * CHUNK, 10)


def test_what_a_stream_gave_before_a_fault_is_authentic() -> None:
    plaintext = content(10 * CHUNK)
    damaged = bytearray(seal([plaintext]))
    damaged[HEADER_BYTES + 4 * SEALED_CHUNK + 9] ^= 1
    got = bytearray()
    with pytest.raises(IntegrityError):
        for piece in open_file(bytes(damaged)).stream():
            got += piece
    assert got == plaintext[: 4 * CHUNK]


def test_an_erased_scope_is_not_found() -> None:
    def erased(scope_id: bytes) -> bytes:
        assert scope_id == SCOPE.scope_id
        raise NotFound("erased")

    with pytest.raises(NotFound):
        open_file(seal([b"x"]), key=erased)


def test_no_key_is_asked_for_before_the_header_is_sound() -> None:
    def never(_: bytes) -> bytes:
        raise AssertionError

    sealed = seal([content(100)])
    with pytest.raises(IntegrityError):
        open_file(sealed, object_id=b"another-object-1", key=never)
    with pytest.raises(IntegrityError, match="never finished"):
        open_file(bytes(HEADER_BYTES) + sealed[HEADER_BYTES:], key=never)


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, 4), (4, 0), (2, 2), (1, -1)])
def test_a_range_outside_the_object_is_a_usage_error(offset: int, length: int) -> None:
    opener = open_file(seal([b"abc"]))
    with pytest.raises(UsageError):
        opener.read(offset, length)


def test_limits_hold_while_sealing() -> None:
    def fresh(**more: int) -> Sealer:
        return Sealer(**SECRETS, write=lambda _: None, workspace=Workspace(12), **more)

    sealer = fresh(length_max=10)
    sealer.update(b"x" * 10)
    with pytest.raises(LimitExceeded):
        sealer.update(b"x")
    with pytest.raises(LimitExceeded):
        fresh().finish(scope=SCOPE, description=bytes(DESCRIPTION_BYTES_MAX + 1))
    with pytest.raises(LimitExceeded):
        fresh().finish(scope=SCOPE, frames=[()] * (FRAMES_MAX + 1))


def test_what_write_raises_passes_through() -> None:
    class Full(LeadglassError):
        pass

    def write(_: memoryview) -> None:
        raise Full("full")

    sealer = Sealer(**SECRETS, write=write, workspace=Workspace(12))
    with pytest.raises(Full):
        sealer.update(content(8 << 20))


def test_keys_differ_for_every_object_and_salt() -> None:
    files = []
    for change in ({}, {"salt": b"t" * 32}, {"data_key": b"e" * 32}, {"object_id": b"another-object-1"}):
        written = Written([])
        sealer = Sealer(**{**SECRETS, **change}, write=written.write, workspace=Workspace(12))
        sealer.update(content(100))
        sealer.finish(scope=SCOPE)
        files.append(b"".join(written.pieces)[HEADER_BYTES : HEADER_BYTES + 100])
    assert len(set(files)) == 4


def test_a_description_longer_than_the_limit_is_refused_at_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as generous:
        generous.setattr(envelope, "DESCRIPTION_BYTES_MAX", 1 << 20)
        sealed = seal([b"x"], description=bytes(DESCRIPTION_BYTES_MAX + 1))
    with pytest.raises(IntegrityError, match="footer"):
        open_file(sealed)


# --- vectors ----------------------------------------------------------------------------------------------

VECTORS = sorted((Path(__file__).parents[1] / "vectors" / "envelope").glob("*.lge"))


@dataclass(frozen=True)
class Vector:
    """One file of tests/vectors/envelope (docs/spec/envelope.md, "Vectors")."""

    lines: dict[str, str]
    data: bytes

    @classmethod
    def read(cls, path: Path) -> Vector:
        head, _, data = path.read_bytes().partition(b"\n\n")
        return cls(dict(line.split(": ", 1) for line in head.decode().split("\n")), data)

    def bytes_of(self, key: str) -> bytes:
        return bytes.fromhex(self.lines[key])

    def range_of(self, key: str) -> tuple[int, int]:
        start, end = map(int, self.lines[key].split("-"))
        return start, end - start

    def open(self) -> Opener:
        return open_file(self.data, object_id=self.bytes_of("object-id"), key=lambda _: self.bytes_of("scope-key"))

    @property
    def frames(self) -> tuple[Ranges, ...]:
        def parse(text: str) -> Ranges:
            return (
                tuple((int(a), int(b)) for a, b in (part.split(":") for part in text.split("+"))) if text != "-" else ()
            )

        return tuple(map(parse, self.lines["frames"].split()))


def vectors(expect: str, at: str = "") -> list[object]:
    found = [(path.stem, Vector.read(path)) for path in VECTORS]
    return [
        pytest.param(vector, id=name)
        for name, vector in found
        if vector.lines["expect"] == expect and vector.lines.get("at", "") == at
    ]


def test_every_vector_is_one_of_the_four_kinds() -> None:
    kinds = [vectors("success"), *(vectors("refused", at) for at in ("open", "read", "verify"))]
    assert sum(map(len, kinds)) == len(VECTORS) and all(kinds)


@pytest.mark.parametrize("vector", vectors("success"))
def test_a_vector_opens_and_sealing_it_again_gives_the_same_bytes(vector: Vector) -> None:
    length, start = int(vector.lines["length"]), int(vector.lines["data-set-offset"])
    plaintext = blake3(vector.lines["plaintext-seed"].encode()).digest(length)
    opener = vector.open()
    assert opener.read(0, length) == b"".join(opener.stream()) == plaintext
    opener.verify()
    assert opener.footer.digest == vector.bytes_of("digest") and opener.footer.dataset_offset == start
    assert tuple(opener.footer.frames) == vector.frames
    assert hashlib.sha256(opener.footer.description).hexdigest() == vector.lines["description"]

    if len(vector.frames) > 16:
        return  # another zlib may deflate the table into other bytes
    written = Written([])
    sealer = Sealer(
        object_id=vector.bytes_of("object-id"), data_key=vector.bytes_of("data-key"), salt=vector.bytes_of("salt"),
        write=written.write, workspace=Workspace(int(vector.lines["k"])),
    )  # fmt: skip
    sealer.update(plaintext[:start])
    sealer.begin_data_set()
    sealer.update(plaintext[start:])
    scope = Scope(vector.bytes_of("scope-id"), vector.bytes_of("scope-key"))
    sealed = sealer.finish(scope=scope, frames=vector.frames, description=opener.footer.description)
    assert sealed.header + b"".join(written.pieces)[HEADER_BYTES:] == vector.data


@pytest.mark.parametrize("vector", vectors("refused", "open"))
def test_a_vector_is_refused_at_opening(vector: Vector) -> None:
    with pytest.raises(IntegrityError):
        vector.open()


@pytest.mark.parametrize("vector", vectors("refused", "read"))
def test_a_vector_is_refused_where_it_is_touched(vector: Vector) -> None:
    opener = vector.open()
    opener.read(*vector.range_of("good"))
    for use in (
        lambda: opener.read(*vector.range_of("bad")),
        lambda: b"".join(opener.stream()),
        opener.verify,
    ):
        with pytest.raises(IntegrityError):
            use()


@pytest.mark.parametrize("vector", vectors("refused", "verify"))
def test_a_vector_is_refused_by_its_digest(vector: Vector) -> None:
    opener = vector.open()
    opener.read(*vector.range_of("good"))
    with pytest.raises(IntegrityError):
        opener.verify()


@pytest.mark.parametrize("name", ["footer-table-bomb", "footer-table-huge"])
def test_a_frame_table_is_not_inflated_beyond_its_size(name: str) -> None:
    vector = next(Vector.read(path) for path in VECTORS if path.stem == name)
    tracemalloc.start()
    try:
        with pytest.raises(IntegrityError):
            vector.open()
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
