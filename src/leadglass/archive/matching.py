"""Attribute matching (PS3.4 §C.2.2.2): single value, list of UIDs, wildcard, range; universal matching is no matcher.

Values are decoded text; an attribute with several values matches when any of them does. Person names match
without regard to case (the standard leaves that to us); everything else is exact.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

Matcher = Callable[[str], bool]
"""Tell whether an attribute's text (values joined by backslashes, empty when missing) matches."""

_RANGES = frozenset({"DA", "TM", "DT"})
_NO_WILDCARDS = frozenset(
    {"DA", "TM", "DT", "SL", "SS", "UL", "US", "FL", "FD", "OB", "OW", "UN", "AT", "DS", "IS", "AS", "UI"}
)


def matcher_for(vr: str, text: str, *, is_fuzzy: bool = False) -> Matcher | None:
    """Compile one key; None for universal matching (an empty key, or nothing but asterisks)."""
    text = text.strip(" \0")
    if (not text.strip("*") and vr not in _NO_WILDCARDS) or not text:
        return None
    if vr == "UI":
        wanted = frozenset(part.strip(" \0") for part in text.split("\\"))
        return _any(lambda value: value in wanted)
    if vr in _RANGES:
        return _any(_range(vr, text))
    if vr == "PN":
        return _any(_fuzzy_name(text) if is_fuzzy else _name(text))
    if vr not in _NO_WILDCARDS and ("*" in text or "?" in text):
        pattern = _wildcard(text)
        return _any(lambda value: pattern.fullmatch(value) is not None)
    wanted = frozenset(part.strip(" \0") for part in text.split("\\"))
    return _any(lambda value: value in wanted)


def _any(one: Matcher) -> Matcher:
    return lambda text: any(one(value.strip(" \0")) for value in text.split("\\"))


def _wildcard(text: str) -> re.Pattern[str]:
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in re.sub(r"\*+", "*", text))
    return re.compile("".join(parts), re.DOTALL)


def _range(vr: str, text: str) -> Matcher:
    """Match a date, time or date-time, single or range; partial times and date-times cover their whole unit."""
    fold = _date if vr == "DA" else _digits
    if "-" not in text[1:] and not text.startswith("-"):
        exact = fold(text)
        return lambda value: bool(value) and fold(value).startswith(exact)
    first, _, last = text.partition("-")
    low, high = fold(first), fold(last)

    def matches(value: str) -> bool:
        moment = fold(value)
        return bool(moment) and (not low or moment >= low) and (not high or moment[: len(high)] <= high)

    return matches


def _date(text: str) -> str:
    return text.strip().replace(".", "")


def _digits(text: str) -> str:
    return text.strip().replace(":", "").partition("+")[0]


def _folded(text: str) -> str:
    groups = [group.rstrip("^ ") for group in text.casefold().split("=")]
    return "=".join(groups).rstrip("=")


def _name(text: str) -> Matcher:
    """Match a person name: any one component group of the value, or the whole, without regard to case."""
    wanted = _folded(text)
    pattern = _wildcard(wanted)

    def matches(value: str) -> bool:
        folded = _folded(value)
        return any(pattern.fullmatch(candidate) is not None for candidate in (folded, *folded.split("=")))

    return matches


def _plain(text: str) -> list[str]:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"\w+", "".join(c for c in decomposed if not unicodedata.combining(c)))


def _fuzzy_name(text: str) -> Matcher:
    """Match when each word asked for begins some word of the name, accents and case aside."""
    wanted = _plain(text.replace("*", " ").replace("?", " "))

    def matches(value: str) -> bool:
        words = _plain(value)
        return all(any(word.startswith(part) for word in words) for part in wanted)

    return matches
