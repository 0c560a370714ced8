"""The account knows what is open and holds claims about groups against what came."""

from __future__ import annotations

import pytest

from leadglass.dicom.account import Account
from leadglass.dicom.levels import Kind
from leadglass.dicom.structure import DatasetError, DatasetLimit, OddityCode, WalkLimits
from tests.dicom.made import Recorder


def account(limits: WalkLimits | None = None) -> Account:
    return Account(limits or WalkLimits(), Recorder(), is_implicit=False)


def codes(one: Account) -> list[OddityCode]:
    return [oddity.code for oddity in one.oddities.kept]


@pytest.mark.parametrize(
    ("length", "next_tag", "next_offset", "is_true"),
    [(10, 0x00100010, 22, True), (10, 0x00080060, 22, False), (8, 0x00100010, 22, False)],
)
def test_a_group_ends_where_its_length_says(length: int, next_tag: int, next_offset: int, is_true: bool) -> None:
    one = account()
    one.commit(0x00080000, 4, 0, one.levels[0])
    one.open_group(length, 0, 12, 0x00080000)
    one.commit(0x00080018, 2, 12, one.levels[0])
    one.commit(next_tag, 2, next_offset, one.levels[0])
    assert (OddityCode.GROUP_LENGTH_LIE not in codes(one)) == is_true


def test_what_is_opened_fits_in_what_holds_it() -> None:
    one = account()
    one.push(Kind.SEQUENCE, 0x00081140, 100, 0, is_implicit=False)
    with pytest.raises(DatasetError) as caught:
        one.push(Kind.ITEM, 0xFFFEE000, 101, 12, is_implicit=False)
    assert (caught.value.code, caught.value.offset) == ("length-overrun", 12)
    one.push(Kind.ITEM, 0xFFFEE000, 100, 12, is_implicit=False)
    assert (one.levels[-1].bound, one.path(0x00080018)) == (100, "(0008,1140)[0].(0008,0018)")
    one.pop()
    one.pop()
    assert (len(one.levels), one.sequences, one.depth_max) == (1, 0, 1)


def test_depth_is_bounded() -> None:
    one = account(WalkLimits(depth=2))
    one.push(Kind.SEQUENCE, 0x00081140, -1, 0, is_implicit=False)
    one.push(Kind.SEQUENCE, 0x00081140, -1, 0, is_implicit=False)
    with pytest.raises(DatasetLimit):
        one.push(Kind.SEQUENCE, 0x00081140, -1, 0, is_implicit=False)


def test_a_header_read_again_is_noted_once() -> None:
    one = account()
    for _ in range(3):
        one.note_header(OddityCode.RESERVED_BYTES, 7, 0x00091010)
    assert codes(one) == [OddityCode.RESERVED_BYTES]
