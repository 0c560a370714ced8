"""Dates and times become spans that hold every instant their text can mean, and nothing else does."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadglass.archive.moments import FOREVER, moment, moments


@given(st.datetimes(min_value=datetime(1, 2, 1), max_value=datetime(9998, 1, 1)), st.integers(2, 7))
def test_a_shorter_date_time_holds_the_longer(when: datetime, parts: int) -> None:
    text = when.strftime("%Y").zfill(4) + when.strftime("%m%d%H%M%S.%f")
    length = (4, 6, 8, 10, 12, 14, 21)[parts - 1]
    whole, part = moment("DT", text), moment("DT", text[:length])
    assert whole is not None and part is not None
    assert whole[0] == whole[1]
    assert part[0] <= whole[0] <= part[1]


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)), st.integers(-12 * 60, 14 * 60))
def test_an_offset_moves_the_instant(when: datetime, minutes: int) -> None:
    local = when.replace(microsecond=0, second=0)
    sign = "-" if minutes < 0 else "+"
    offset = f"{sign}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    utc = local - timedelta(minutes=minutes)

    def text(at: datetime) -> str:
        return f"{at.year:04}" + at.strftime("%m%d%H%M")

    assert moment("DT", text(local) + offset) == moment("DT", text(utc) + "+0000")


@pytest.mark.parametrize(
    ("vr", "text"),
    [("DA", "2024"), ("DA", "2024-1"), ("DA", ""), ("TM", "1"), ("TM", "101"), ("TM", "10:1"), ("DT", "20241301"),
     ("DT", "202"), ("DT", "20240101-9999"), ("DA", "２０２４０１０１"), ("DT", "20240230")],
)  # fmt: skip
def test_what_is_no_moment_is_none(vr: str, text: str) -> None:
    assert moment(vr, text) is None


@pytest.mark.parametrize("key", ["-", "", " - ", "x-y", "20240101-x", "x-20240101", "20240101-20240102-20240103"])
def test_what_is_no_range_is_none(key: str) -> None:
    assert moments("DA", key) is None


def test_open_ends_reach_for_ever() -> None:
    assert moments("DA", "20240101-") == (20240101, FOREVER)
    assert moments("DA", "-20240101") == (-FOREVER, 20240101)


def test_the_last_second_and_a_leap_second_are_one_minute() -> None:
    leap, last = moment("DT", "20161231235960"), moment("DT", "20161231235959")
    assert leap == last and leap is not None


@given(st.text(max_size=30))
def test_any_text_is_read_or_none(text: str) -> None:
    for vr in ("DA", "TM", "DT"):
        span = moments(vr, text)
        assert span is None or isinstance(span[0], int)
