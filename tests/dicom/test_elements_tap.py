"""Who taps a walk sees every byte of the data set once, in order, before it is walked."""

from __future__ import annotations

import zlib

import pytest

from leadglass.dicom.elements import DatasetWalker
from leadglass.dicom.structure import DatasetError
from leadglass.dicom.syntaxes import DEFLATED_EXPLICIT_LITTLE, EXPLICIT_LITTLE
from leadglass.dicom.visitor import Buffer
from tests.dicom.made import element, item, sequence

BODY = element(0x00080018, "UI", b"1.2.3\0") + sequence(0x00081140, item(element(0x00080018, "UI", b"1.2\0")))
BODY += element(0x7FE00010, "OW", bytes(range(256)) * 40)


class Tap:
    def __init__(self) -> None:
        self.seen = bytearray()
        self.walker: DatasetWalker | None = None

    def __call__(self, piece: Buffer, position: int) -> None:
        assert position == len(self.seen)
        assert self.walker is not None and self.walker.position <= position
        self.seen += piece


def tapped(data: bytes, chunk: int, *, is_deflated: bool = False) -> bytes:
    tap = Tap()
    tap.walker = DatasetWalker(DEFLATED_EXPLICIT_LITTLE if is_deflated else EXPLICIT_LITTLE, tap=tap)
    for at in range(0, len(data), chunk):
        tap.walker.feed(data[at : at + chunk])
    return bytes(tap.seen)


@pytest.mark.parametrize("chunk", [1, 7, 100, 100_000])
def test_every_byte_is_seen_once_in_order(chunk: int) -> None:
    assert tapped(BODY, chunk) == BODY
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    assert tapped(engine.compress(BODY) + engine.flush(), chunk, is_deflated=True) == BODY


def test_a_piece_that_breaks_the_walk_is_seen() -> None:
    tap = Tap()
    tap.walker = DatasetWalker(EXPLICIT_LITTLE, tap=tap)
    with pytest.raises(DatasetError):
        tap.walker.feed(BODY[:14] + b"\x09\0\1\x10??" + bytes(99))
    assert len(tap.seen) == 14 + 6 + 99
