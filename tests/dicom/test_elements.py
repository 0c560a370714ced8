"""The walk accounts for every byte, whatever the chunks, and gives up only with the errors it names."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadglass.dicom.elements import DatasetWalker
from leadglass.dicom.structure import DatasetError, DatasetLimit, OddityCode, Structure, WalkLimits
from leadglass.dicom.syntaxes import (
    DEFLATED_EXPLICIT_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    TransferSyntax,
)
from leadglass.errors import LimitExceeded, PeerError
from tests.dicom.made import Recorder, element, encapsulated, implicit, item, sequence

JPEG = TransferSyntax("1.2.840.10008.1.2.4.50", "JPEG", False, True, False, True)
PLAIN = element(0x00080018, "UI", b"1.2.3\0") + element(0x00100020, "LO", b"P1")


def walk(
    data: bytes, syntax: TransferSyntax = EXPLICIT_LITTLE, *, chunk: int = 0, limits: WalkLimits | None = None
) -> tuple[Structure, Recorder]:
    recorder = Recorder()
    walker = DatasetWalker(syntax, visitor=recorder, limits=limits or WalkLimits())
    for start in range(0, len(data), chunk or len(data) or 1):
        walker.feed(memoryview(bytearray(data[start : start + (chunk or len(data))])))
    return walker.finish(), recorder


def test_values_are_kept_as_soon_as_they_passed() -> None:
    walker = DatasetWalker(EXPLICIT_LITTLE)
    walker.feed(PLAIN[:-2])
    assert walker.values == {0x00080018: b"1.2.3\0"}
    walker.feed(PLAIN[-2:])
    assert walker.values == {0x00080018: b"1.2.3\0", 0x00100020: b"P1"}
    assert walker.finish().element_count == 2


def test_implicit_and_big_endian_read_alike() -> None:
    _, little = walk(element(0x00280010, "US", b"\1\2") + sequence(0x00081140, item(PLAIN)))
    _, other = walk(implicit(0x00280010, b"\1\2") + implicit(0x00081140, implicit(0xFFFEE000, b"")), IMPLICIT_LITTLE)
    assert next(e[:3] for e in little.events if e[0] == "element") == ("element", 0x00280010, b"US")
    assert ("element", 0x00280010, b"US", 2, 0) in other.events
    assert ("item", 18) in other.events
    big = element(0x00280010, "US", b"\2\1", order=">") + sequence(0x00081140, item(b"", order=">"), order=">")
    assert ("item", 22) in walk(big, EXPLICIT_BIG)[1].events


def test_sequences_with_and_without_lengths_read_alike() -> None:
    shapes = [
        sequence(0x00081140, *[item(PLAIN, is_defined=inner)] * 2, is_defined=outer)
        for outer in (True, False)
        for inner in (True, False)
    ]
    seen = [[(e[0], e[1]) for e in walk(shape)[1].events if e[0] in ("element", "value")] for shape in shapes]
    assert all(one == seen[0] for one in seen)


def test_un_of_undefined_length_is_implicit_inside() -> None:
    body = implicit(0xFFFEE000, implicit(0x00100020, b"P1"))
    data = element(0x00091010, "UN", body + implicit(0xFFFEE0DD, b""), 0xFFFFFFFF)
    structure, recorder = walk(data)
    assert ("value", b"P1") in recorder.events
    assert [oddity.code for oddity in structure.oddities] == [OddityCode.UN_SEQUENCE]


def test_pixel_data_is_located() -> None:
    native = walk(PLAIN + element(0x7FE00010, "OW", b"\0" * 100))[0].pixel_data
    assert native is not None and (native.offset, native.length) == (len(PLAIN) + 12, 100)
    packed = walk(PLAIN + encapsulated(b"ab", b"cdef", table=struct.pack("<II", 0, 10)), JPEG)[0].pixel_data
    assert packed is not None and packed.is_encapsulated
    start = len(PLAIN) + 12 + 16 + 8
    assert packed.fragments == [(start, 2), (start + 10, 4)]
    assert list(packed.basic_offset_table) == [0, 10]


def test_extended_offset_tables_are_held() -> None:
    tables = element(0x7FE00001, "OV", struct.pack("<QQ", 0, 10)) + element(0x7FE00002, "OV", struct.pack("<QQ", 2, 4))
    pixels = walk(tables + encapsulated(b"ab", b"cdef"), JPEG, chunk=7)[0].pixel_data
    assert pixels is not None
    assert (list(pixels.extended_offset_table), list(pixels.extended_lengths)) == ([0, 10], [2, 4])


def test_a_sequence_of_a_nested_icon_is_not_the_image() -> None:
    icon = sequence(0x00880200, item(encapsulated(b"icon")), is_defined=False)
    pixels = walk(icon + encapsulated(b"real"), JPEG)[0].pixel_data
    assert pixels is not None and [length for _, length in pixels.fragments] == [4]
    assert pixels.fragments[0][0] == len(icon) + 12 + 8 + 8


@pytest.mark.parametrize(
    ("data", "code", "offset"),
    [
        (PLAIN[:-1], "truncated", 14),
        (PLAIN + b"\x08\0", "truncated", len(PLAIN)),
        (element(0x00091010, "OB", b"", 0xFFFFFFF0), "truncated", 12),
        (element(0x00081140, "SQ", item(b"")[:-8], 8), "truncated", 12),
        (PLAIN + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), "stray-delimiter", len(PLAIN)),
        (sequence(0x00081140, PLAIN), "sequence-item", 12),
        (element(0x00081140, "SQ", item(PLAIN + b"xx")[:-2] + PLAIN, 8 + len(PLAIN)), "length-overrun", 12),
        (element(0x00081140, "SQ", item(PLAIN)[:-4], 8 + len(PLAIN) - 4), "length-overrun", 12),
        (element(0x00100020, "UT", b"", 0xFFFFFFFF), "undefined-length", 0),
        (PLAIN + b"\x20\0\x0d\0\1\2\3\4", "vr", len(PLAIN)),
        (sequence(0x7FE00010, item(b""), PLAIN, is_defined=False, vr="OB"), "fragment", 20),
        (element(0x00081140, "SQ", item(PLAIN, is_defined=False)[:-4] + b"\1\0\0\0", 56), "delimiter-length", 44),
    ],
)
@pytest.mark.parametrize("chunk", [0, 1, 5])
def test_a_broken_rule_is_named_with_its_place(data: bytes, code: str, offset: int, chunk: int) -> None:
    with pytest.raises(DatasetError) as caught:
        walk(data, chunk=chunk)
    assert (caught.value.code, caught.value.clause[:6]) == (code, "PS3.5 ")
    assert caught.value.offset == offset


def test_a_fault_inside_names_the_path() -> None:
    with pytest.raises(DatasetError) as caught:
        walk(sequence(0x00400275, item(PLAIN), item(element(0x00400007, "LO", b"", 40)), is_defined=True))
    assert caught.value.element == "(0040,0275)[1].(0040,0007)"


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (element(0x00100020, "LO", b"odd"), [OddityCode.ODD_LENGTH]),
        (PLAIN + PLAIN, [OddityCode.DUPLICATE] * 2),
        (PLAIN + element(0x00100020, "LO", b"P2"), [OddityCode.DUPLICATE, OddityCode.CONTRADICTION]),
        (PLAIN + element(0x00080060, "CS", b"CT"), [OddityCode.OUT_OF_ORDER]),
        (PLAIN + element(0x00080060, "CS", b"CT") * 2, [OddityCode.OUT_OF_ORDER, OddityCode.DUPLICATE]),
        (element(0x00091010, "ZZ", b"")[:6] + b"\0\0\2\0\0\0ok", [OddityCode.UNKNOWN_VR]),
        (element(0x00091010, "OB", b"ok")[:6] + b"\1\0\2\0\0\0ok", [OddityCode.RESERVED_BYTES]),
        (element(0x00070010, "LO", b"ok"), [OddityCode.FORBIDDEN_GROUP]),
        (element(0x00080000, "UL", b"\x0e\0\0\0") + PLAIN, [OddityCode.GROUP_LENGTH]),
        (element(0x00080000, "UL", b"\x0c\0\0\0") + PLAIN, [OddityCode.GROUP_LENGTH, OddityCode.GROUP_LENGTH_LIE]),
        (element(0x00080000, "UL", b"\x18\0\0\0") + PLAIN, [OddityCode.GROUP_LENGTH, OddityCode.GROUP_LENGTH_LIE]),
        (element(0x00080000, "UL", b"\xff\xff\0\0") + PLAIN, [OddityCode.GROUP_LENGTH, OddityCode.GROUP_LENGTH_LIE]),
        (
            element(0x00080000, "UL", b"\x22\0\0\0") + PLAIN + element(0x00080060, "CS", b"CT"),
            [OddityCode.GROUP_LENGTH, OddityCode.OUT_OF_ORDER, OddityCode.GROUP_LENGTH_LIE],
        ),
    ],
)
@pytest.mark.parametrize("chunk", [0, 1, 3])
def test_what_is_odd_is_noted_and_passed(data: bytes, codes: list[OddityCode], chunk: int) -> None:
    assert [oddity.code for oddity in walk(data, chunk=chunk)[0].oddities] == codes


def test_of_a_contradiction_the_first_value_counts() -> None:
    walker = DatasetWalker(EXPLICIT_LITTLE)
    walker.feed(PLAIN + element(0x00100020, "LO", b"P2"))
    assert walker.finish().values[0x00100020] == b"P1"


# --- chunks -----------------------------------------------------------------------------------------------

_TAGS = st.sampled_from(
    [0x00080005, 0x00080060, 0x00091001, 0x00100010, 0x00100020, 0x00280010, 0x00324000, 0x60003000]
)


def _elements(children: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    plain = st.builds(
        lambda tag, vr, value: element(tag, vr, value),
        _TAGS,
        st.sampled_from(["LO", "UI", "OB", "UT", "UN", "US"]),
        st.binary(max_size=20).map(lambda value: value + b" " * (len(value) & 1)),
    )
    items = st.builds(lambda body, is_defined: item(body, is_defined=is_defined), children, st.booleans())
    nested = st.builds(
        lambda tag, parts, is_defined: sequence(tag, *parts, is_defined=is_defined),
        _TAGS,
        st.lists(items, max_size=3),
        st.booleans(),
    )
    return st.lists(plain | nested, max_size=5).map(b"".join)


DATASETS = st.recursive(st.just(b""), _elements, max_leaves=12)


@settings(max_examples=150, deadline=None)
@given(DATASETS, st.booleans(), st.integers(1, 40))
def test_any_chunks_give_the_same_events(body: bytes, has_pixels: bool, chunk: int) -> None:
    data = body + (encapsulated(b"ab", b"cdef") if has_pixels else b"")
    assert walk(data, JPEG, chunk=chunk)[1].events == walk(data, JPEG)[1].events


@settings(max_examples=150, deadline=None)
@given(DATASETS, st.integers(1, 40))
def test_the_outcome_is_the_same_for_any_chunks_without_a_visitor(body: bytes, chunk: int) -> None:
    def outcome(size: int) -> object:
        walker = DatasetWalker(EXPLICIT_LITTLE, keep=frozenset({0x00100020}))
        for start in range(0, len(body), size):
            walker.feed(body[start : start + size])
        structure = walker.finish()
        return dict(structure.values), structure.element_count, structure.length_bytes, structure.oddities

    assert outcome(chunk) == outcome(len(body) + 1)


@settings(max_examples=200, deadline=None)
@given(DATASETS.filter(bool), st.data(), st.sampled_from([EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG]))
def test_a_mutated_data_set_parses_or_ends_in_a_peer_error(
    body: bytes, data: st.DataObject, syntax: TransferSyntax
) -> None:
    mutated = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    chunk = data.draw(st.sampled_from([1, 3, 1000]))
    with suppress(PeerError):
        walk(bytes(mutated), syntax, chunk=chunk)


# --- limits -----------------------------------------------------------------------------------------------


def _peak_bytes(run: Callable[[], None]) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _refused(
    pieces: Iterator[bytes], code: str, syntax: TransferSyntax = EXPLICIT_LITTLE, limits: WalkLimits | None = None
) -> None:
    walker = DatasetWalker(syntax, visitor=None, limits=limits or WalkLimits())
    with pytest.raises(LimitExceeded) as caught:
        for piece in pieces:
            walker.feed(piece)
    assert caught.value.code == code


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
def test_nesting_of_300000_is_refused_in_little_memory(syntax: TransferSyntax) -> None:
    level = (
        b"\x08\0\x40\x11" + (b"" if syntax.is_implicit else b"SQ\0\0") + b"\xff\xff\xff\xff"
    ) + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    assert _peak_bytes(lambda: _refused(iter([level * 300_000]), "depth", syntax)) < 12 << 20


def test_a_flood_of_empty_items_is_refused_in_little_memory() -> None:
    head = element(0x00081140, "SQ", b"", 0xFFFFFFFF)
    many = b"\xfe\xff\0\xe0\0\0\0\0" * 10_000
    limits = WalkLimits(elements=60_000)
    assert _peak_bytes(lambda: _refused(iter([head, *[many] * 7]), "elements", limits=limits)) < 1 << 20


def test_endless_elements_are_refused() -> None:
    many = element(0x00100020, "LO", b"") * 10_000
    _refused((many for _ in range(7)), "elements", limits=WalkLimits(elements=60_000))


def test_endless_disorder_is_refused() -> None:
    first = element(0x00FFFFFF, "LO", b"")
    tags = (b"".join(element(0x00100001 + n, "LO", b"") for n in range(k * 1000, k * 1000 + 1000)) for k in range(80))
    _refused((piece for part in ([first], tags) for piece in part), "disorder")


def test_a_claimed_length_allocates_nothing() -> None:
    def run() -> None:
        walker = DatasetWalker(EXPLICIT_LITTLE)
        walker.feed(element(0x00091010, "OB", b"", 0xFFFFFFF0))
        walker.feed(bytes(65_536))
        with pytest.raises(DatasetError):
            walker.finish()

    assert _peak_bytes(run) < 1 << 20


def test_endless_short_values_are_refused() -> None:
    value = element(0x00091010, "UN", bytes(60_000))
    limits = WalkLimits(unbulk_bytes=1 << 20)
    walker = DatasetWalker(EXPLICIT_LITTLE, limits=limits)
    with pytest.raises(DatasetLimit) as caught:
        for _ in range(40):
            walker.feed(value)
    assert caught.value.code == "unbulk-bytes"


def test_bulk_values_are_not_counted_as_overhead() -> None:
    limits = WalkLimits(unbulk_bytes=1 << 20)
    walker = DatasetWalker(EXPLICIT_LITTLE, limits=limits)
    walker.feed(element(0x7FE00010, "OW", b"", 8 << 20))
    for _ in range(8):
        walker.feed(bytes(1 << 20))
    assert walker.finish().length_bytes == (8 << 20) + 12


def test_too_many_fragments_are_refused() -> None:
    walker = DatasetWalker(JPEG, limits=WalkLimits(fragments=10))
    with pytest.raises(DatasetLimit) as caught:
        walker.feed(encapsulated(*[b"ab"] * 11))
    assert caught.value.code == "fragments"


def test_a_gigabyte_deflate_bomb_is_refused_in_little_memory() -> None:
    def bomb() -> Iterator[bytes]:
        engine = zlib.compressobj(9, zlib.DEFLATED, -15)
        yield engine.compress(element(0x7FE00010, "OB", b"", 1 << 30))
        for _ in range(1024):
            yield engine.compress(bytes(1 << 20))
        yield engine.flush()

    assert _peak_bytes(lambda: _refused(bomb(), "inflate-ratio", DEFLATED_EXPLICIT_LITTLE)) < 8 << 20


def test_deflated_reads_like_plain() -> None:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = engine.compress(PLAIN) + engine.flush()
    for tail in (b"", b"\0", struct.pack("<II", zlib.crc32(PLAIN), len(PLAIN))):
        structure, recorder = walk(data + tail, DEFLATED_EXPLICIT_LITTLE, chunk=3)
        assert recorder.events == walk(PLAIN)[1].events
        assert (structure.length_bytes, structure.wire_bytes) == (len(PLAIN), len(data + tail))
    for tail in (b"\1", b"\0\0", b"PK\3\4 and a whole archive"):
        with pytest.raises(DatasetError) as caught:
            walk(data + tail, DEFLATED_EXPLICIT_LITTLE)
        assert caught.value.code == "deflate-trailing"
    with pytest.raises(DatasetError, match="stops before its end"):
        walk(data[:-4], DEFLATED_EXPLICIT_LITTLE)


@pytest.mark.parametrize("chunk", [0, 1, 7])
def test_what_lies_before_damage_is_walked_in_any_chunks(chunk: int) -> None:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = engine.compress(PLAIN) + engine.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(DatasetError) as caught:
        walk(start + b"\xff" * 20, DEFLATED_EXPLICIT_LITTLE, chunk=chunk)
    assert (caught.value.code, caught.value.offset) == ("deflate", len(start))
    bad = engine.compress(b"\x20\0\x0d\0\1\2\3\4") + engine.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(DatasetError) as caught:
        walk(start + bad + b"\xff" * 20, DEFLATED_EXPLICIT_LITTLE, chunk=chunk)
    assert (caught.value.code, caught.value.offset) == ("vr", len(PLAIN))
