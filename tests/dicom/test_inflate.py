"""Inflating is bounded, gives the same for any chunks, and accounts for what follows the stream."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadglass.dicom.inflate import Inflater
from leadglass.dicom.structure import DatasetError, DatasetLimit, WalkLimits


def deflated(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return engine.compress(data) + engine.flush()


def inflated(data: bytes, chunk: int = 0, limits: WalkLimits | None = None) -> tuple[bytes, bool]:
    inflater = Inflater(limits or WalkLimits())
    size = chunk or len(data) or 1
    pieces = [piece for at in range(0, len(data), size) for piece in inflater.feed(data[at : at + size])]
    return b"".join(pieces), inflater.finish()


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_chunks_inflate_to_the_same(data: bytes, chunk: int) -> None:
    assert inflated(deflated(data), chunk) == (data, False)


def test_pieces_are_small_however_much_comes_out() -> None:
    pieces = list(Inflater(WalkLimits()).feed(deflated(bytes(900_000))))
    assert (max(map(len, pieces)), sum(map(len, pieces))) == (65_536, 900_000)


@pytest.mark.parametrize("chunk", [0, 1])
def test_pad_and_trailer_may_follow_and_nothing_else(chunk: int) -> None:
    data = b"abcdef" * 10
    trailer = struct.pack("<II", zlib.crc32(data), len(data))
    for tail in (b"\0", trailer, trailer + b"\0"):
        assert inflated(deflated(data) + tail, chunk) == (data, True)
    for tail in (b"\1", b"\0\0", trailer[:-1], trailer[:-1] + b"\1", trailer + b"\0\0"):
        with pytest.raises(DatasetError) as caught:
            inflated(deflated(data) + tail, chunk)
        assert (caught.value.code, caught.value.offset) == ("deflate-trailing", len(deflated(data)))


def test_an_unfinished_stream_is_truncated() -> None:
    for data in (b"", deflated(b"abc" * 100)[:-3]):
        with pytest.raises(DatasetError) as caught:
            inflated(data)
        assert caught.value.code == "truncated"


def test_growth_is_bounded_in_size_and_in_ratio() -> None:
    with pytest.raises(DatasetLimit) as caught:
        inflated(deflated(bytes(8 << 20)))
    assert caught.value.code == "inflate-ratio"
    with pytest.raises(DatasetLimit) as caught:
        inflated(deflated(bytes(200_000)), limits=WalkLimits(inflated_bytes=100_000))
    assert caught.value.code == "inflated-bytes"


def test_what_follows_the_stream_can_be_looked_at() -> None:
    for size in (1, 7, 100_000):
        inflater = Inflater(WalkLimits())
        tail = b"MZ and a whole program after it"
        whole = deflated(b"value " * 99) + tail
        with pytest.raises(DatasetError):
            for at in range(0, len(whole), size):
                list(inflater.feed(whole[at : at + size]))
        assert inflater.beyond and tail.startswith(inflater.beyond)
