"""The reader gives the same parts however the bytes are cut, and refuses what is no multipart."""

from __future__ import annotations

import contextlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadglass.console.multipart import MultipartReader, PartBegins, PartEnds, Piece, media_type, part_head, parts_end
from leadglass.errors import LimitExceeded, PeerError

BODIES = st.lists(st.binary(max_size=200) | st.just(b"\r\n--b\r\nnearly") | st.just(b"\r\n--boundar"), max_size=4)


def parts_of(stream: bytes, cuts: list[int]) -> tuple[list[tuple[dict[str, str], bytes]], bool]:
    reader, parts, body, headers = MultipartReader("boundary"), [], bytearray(), {}
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in pairwise(edges):
        for event in reader.feed(stream[start:end]):
            match event:
                case PartBegins(headers=headers):
                    body = bytearray()
                case Piece(data=data):
                    body += data
                case PartEnds():
                    parts.append((dict(headers), bytes(body)))
    return parts, reader.is_complete


@given(BODIES, st.lists(st.integers(0, 2000), max_size=30))
def test_what_is_written_is_read_however_it_is_cut(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(
        part_head("boundary", "application/dicom", is_first=at == 0) + body for at, body in enumerate(bodies)
    ) + parts_end("boundary")
    parts, complete = parts_of(stream, cuts)
    assert parts == [({"content-type": "application/dicom"}, body) for body in bodies]
    assert complete


@given(st.binary(max_size=500), st.lists(st.integers(0, 500), max_size=5))
def test_anything_is_parts_or_a_peer_error(stream: bytes, cuts: list[int]) -> None:
    with contextlib.suppress(PeerError):
        parts_of(b"--boundary\r\n" + stream, cuts)


def test_headers_without_end_are_refused() -> None:
    with pytest.raises(LimitExceeded):
        for _ in range(1000):
            list(MultipartReader("boundary").feed(b"--boundary\r\n" + b"a: b\r\n" * 2000))


def test_the_reader_holds_little() -> None:
    reader = MultipartReader("boundary")
    list(reader.feed(b"--boundary\r\n\r\n"))
    for _ in range(100):
        list(reader.feed(b"x" * 65536))
        assert len(reader._held) < 100


def test_media_types_are_split_from_their_parameters() -> None:
    kind, parameters = media_type('Multipart/Related; type="application/dicom;x"; boundary=abc')
    assert (kind, parameters) == ("multipart/related", {"type": "application/dicom;x", "boundary": "abc"})


def test_a_location_stays_one_line() -> None:
    """Whatever an address holds, it ends no header and begins none."""
    head = part_head("b", "application/dicom", location="https://x/a\r\nSet-Cookie: y=1\u202e<", is_first=True)
    assert head == (
        b"--b\r\nContent-Type: application/dicom\r\nContent-Location: https://x/a%0D%0ASet-Cookie:%20y=1%E2%80%AE%3C\r\n\r\n"
    )
