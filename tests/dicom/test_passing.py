"""A value passes in pieces to who asked for it, and only offset tables are held."""

from __future__ import annotations

import pytest

from leadglass.dicom.passing import PassingValue
from leadglass.dicom.pixels import EXTENDED_OFFSET_TABLE, PixelLog
from tests.dicom.made import Recorder


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_value_arrives_whole_whatever_the_pieces(size: int) -> None:
    recorder = Recorder()
    passing = PassingValue(PixelLog(), recorder)
    passing.begin(0x00091010, b"OB", 10, 4)
    data, at = b"0123456789tail", 0
    while passing.remaining:
        at = passing.take(data, at, min(at + size, len(data)))
    assert at == 10
    assert recorder.events == [("element", 0x00091010, b"OB", 10, 4), ("value", b"0123456789")]


def test_an_empty_value_is_told_at_once() -> None:
    recorder = Recorder()
    PassingValue(PixelLog(), recorder).begin(0x00091010, b"OB", 0, 4)
    assert recorder.events[-1] == ("value", b"")


def test_nothing_is_taken_where_nothing_is_there() -> None:
    passing = PassingValue(PixelLog(), None)
    passing.begin(0x00091010, b"OB", 5, 0)
    assert (passing.take(b"abc", 3, 3), passing.remaining) == (3, 5)


def test_offset_tables_are_held() -> None:
    log = PixelLog()
    log.encapsulated(0x7FE00010, 0)
    passing = PassingValue(log, None)
    passing.collect(EXTENDED_OFFSET_TABLE)
    passing.begin(EXTENDED_OFFSET_TABLE, b"OV", 8, 0)
    passing.take(b"\7" + bytes(3), 0, 4)
    passing.take(bytes(4), 0, 4)
    found = log.result()
    assert found is not None and list(found.extended_offset_table) == [7]
