"""Dates, times and date-times as spans that compare (PS3.5 §6.2 DA, TM, DT; PS3.4 §C.2.2.2.1, §C.2.2.2.5).

A value of less precision is the span of its whole unit: the range `-10` ends with 10:59:59.999999. Without an
offset a date-time counts as UTC. Old forms with dots and colons (ACR-NEMA 2.0) are read.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

Span = tuple[int, int]
"""First and last instant in units that compare within one VR: days as yyyymmdd, microseconds otherwise."""

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})", re.ASCII)
_TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?", re.ASCII)
_DATE_TIME = r"\d{4}(?:\d{2}(?:\d{2}(?:\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?)?)?(?:[+-]\d{4})?"
_DATE_TIME_ONE = re.compile(_DATE_TIME, re.ASCII)
_DATE_TIME_RANGE = re.compile(f"({_DATE_TIME})?-({_DATE_TIME})?", re.ASCII)
_OFFSET = re.compile(r"[+-]\d{4}$")
_OFFSETS = range(-1200, 1401)
"""UTC offsets there are (PS3.5 §6.2 DT): what follows a hyphen and lies outside them is the end of a range."""

FOREVER = 1 << 62


def moment(vr: str, text: str) -> Span | None:
    """Read one value; None where it is none."""
    if vr == "DA":
        return _date(text)
    return _time(text) if vr == "TM" else _date_time(text)


def moments(vr: str, key: str) -> Span | None:
    """Read a key: the first instant asked for and the last; None where it is neither value nor range."""
    one = moment(vr, key)
    if one is not None:
        return one[0], one[0]
    ends = _ends(vr, key)
    if ends is None:
        return None
    first, last = (moment(vr, end) if end else None for end in ends)
    if (ends[0] and first is None) or (ends[1] and last is None):
        return None
    return first[0] if first else -FOREVER, last[1] if last else FOREVER


def _ends(vr: str, key: str) -> tuple[str, str] | None:
    if vr != "DT":
        first, hyphen, last = (part.strip(" ") for part in key.partition("-"))
        return (first, last) if hyphen and (first or last) else None
    match = _DATE_TIME_RANGE.fullmatch(key.replace(" ", ""))
    return (match[1] or "", match[2] or "") if match and (match[1] or match[2]) else None


def _date(text: str) -> Span | None:
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    day = int(match[1] + match[2] + match[3])
    return day, day


def _time(text: str) -> Span | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups()
    start = (int(hours) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)) * 1_000_000
    start += int((fraction or "").ljust(6, "0"))
    unit_seconds = 3600 if minutes is None else 60 if seconds is None else 1
    width = 10 ** (6 - len(fraction)) if fraction else unit_seconds * 1_000_000
    return start, start + width - 1


def _date_time(text: str) -> Span | None:
    text = text.replace(" ", "")
    if _DATE_TIME_ONE.fullmatch(text) is None:
        return None
    offset = _OFFSET.search(text) if len(text) > 4 else None
    ahead = timedelta()
    if offset is not None:
        number = int(offset[0])
        if number not in _OFFSETS:
            return None
        ahead = timedelta(hours=abs(number) // 100, minutes=abs(number) % 100) * (1 if number >= 0 else -1)
        text = text[: offset.start()]
    digits, _, fraction = text.partition(".")
    try:
        start = datetime(
            int(digits[:4]),
            int(digits[4:6] or 1),
            int(digits[6:8] or 1),
            int(digits[8:10] or 0),
            int(digits[10:12] or 0),
            min(59, int(digits[12:14] or 0)),  # a leap second is the last one of its minute
            int(fraction.ljust(6, "0")),
            tzinfo=UTC,
        )
        end = _after(start, len(digits), len(fraction))
    except (ValueError, OverflowError):
        return None
    return _microseconds(start, ahead), _microseconds(end, ahead) - 1


def _after(start: datetime, digits: int, fraction: int) -> datetime:
    """Give the first instant after the unit that begins at `start`."""
    if fraction:
        return start + timedelta(microseconds=10 ** (6 - fraction))
    if digits == 4:
        return start.replace(year=start.year + 1)
    if digits == 6:
        return (start + timedelta(days=32)).replace(day=1)
    width = {8: timedelta(days=1), 10: timedelta(hours=1), 12: timedelta(minutes=1), 14: timedelta(seconds=1)}
    return start + width[digits]


def _microseconds(local: datetime, ahead: timedelta) -> int:
    return (local - datetime(1, 1, 1, tzinfo=UTC) - ahead) // timedelta(microseconds=1)
