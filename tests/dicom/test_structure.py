"""Reports stay short, and packed tables read as the standard writes them."""

from __future__ import annotations

from leadglass.dicom.structure import ODDITIES_KEPT_MAX, OddityCode, OddityLog, PixelData, packed


def test_oddities_are_counted_and_a_few_of_each_kept() -> None:
    log = OddityLog()
    for place in range(1000):
        log.add(OddityCode.ODD_LENGTH, place, 0x00100010, 0)
    log.add(OddityCode.DUPLICATE, 5000, 0x00100010, 0)
    assert (log.count, len(log.kept), log.kept[-1].offset) == (1001, 9, 5000)
    assert len(log.kept) < ODDITIES_KEPT_MAX


def test_tables_are_little_endian_and_ragged_tails_go() -> None:
    assert list(packed("I", b"\1\0\0\0\2\0\0\0\3")) == [1, 2]
    assert list(packed("Q", b"\1" + bytes(7))) == [1]


def test_fragments_pair_places_with_lengths() -> None:
    assert PixelData(0x7FE00010, 0, None, True, (8, 20), (4, 6)).fragments == [(8, 4), (20, 6)]
