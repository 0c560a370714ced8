"""Attribute matching (PS3.4 §C.2.2.2): single value, list, wildcard, range; universal matching is no matcher.

Values are decoded text. An attribute with several values matches when one of them does, and so does a key
with several (a list of UIDs, and leniently of anything else: `CT\\MR`). Person names match without regard to
case, which the standard leaves to us; everything else is exact. A wildcard costs time linear in the value
whatever a peer asks for: each part between asterisks is an atomic group, so nothing is tried twice.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from leadglass.archive.moments import Span, moment, moments
from leadglass.dicom.text import SINGLE_VRS

Matcher = Callable[[str], bool]
"""Tell whether an attribute's text (values joined by backslashes, empty when missing) matches."""

_WILDCARDS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_MOMENTS = frozenset({"DA", "TM", "DT"})
_NUMBERS = frozenset({"IS", "DS", "US", "SS", "UL", "SL", "FL", "FD"})
_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d*)?(?:[eE][+-]?\d{1,4})?", re.ASCII)
_BETWEEN_WORDS = re.compile(r"[\s^=,.\-_*?]+")
_ACCENTS = re.compile("[\u0300-\u036f]")


def matcher_for(vr: str, text: str, *, is_fuzzy: bool = False) -> Matcher | None:
    """Compile one key; None for universal matching (an empty key, or nothing but asterisks)."""
    text = text.strip(" \0")
    if not text.strip("*"):
        return None
    keys = [text] if vr in SINGLE_VRS else [part.strip(" \0") for part in text.split("\\")]
    if vr in _MOMENTS:
        one = _either([_moment(vr, key) for key in keys])
    elif vr == "PN":
        one = _either([_fuzzy_name(key) if is_fuzzy else _name(key) for key in keys])
    elif vr in _NUMBERS:
        numbers = frozenset(map(_number, keys))
        one = lambda value: _number(value) in numbers  # noqa: E731 -- named by its branch
    elif vr in _WILDCARDS and ("*" in text or "?" in text):
        one = _either([wildcard(_composed(key)) for key in keys])
    else:
        wanted = frozenset(map(_composed, keys))
        one = lambda value: _composed(value) in wanted  # noqa: E731 -- named by its branch
    if vr in SINGLE_VRS:
        return lambda value: one(value.strip(" \0"))
    return lambda value: any(one(part.strip(" \0")) for part in value.split("\\"))


def wildcard(text: str) -> Matcher:
    """Compile a wildcard (PS3.4 §C.2.2.2.4): `*` stands for any characters or none, `?` for one."""
    parts = ["".join("." if c == "?" else re.escape(c) for c in part) for part in text.split("*")]
    if len(parts) == 1:
        expression = parts[0]
    else:
        middle = "".join(f"(?>.*?{part})" for part in parts[1:-1] if part)
        expression = f"{parts[0]}{middle}.*{parts[-1]}"
    compiled = re.compile(expression, re.DOTALL)
    return lambda value: compiled.fullmatch(value) is not None


def _either(matchers: list[Matcher]) -> Matcher:
    if len(matchers) == 1:
        return matchers[0]
    return lambda value: any(matcher(value) for matcher in matchers)


def canonical(text: str) -> str:
    """Give the form under which equal values have equal tokens: no padding, composed characters."""
    return _composed(text.strip(" \0"))


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _number(text: str) -> float | str:
    """Read a number as written in IS or DS, so that 1, 01 and +1.0 are one value; text that is none stays text."""
    return float(text) if _NUMBER.fullmatch(text) else text


def _moment(vr: str, key: str) -> Matcher:
    """Match a date, time or date-time: one, or a range whose ends belong to it (PS3.4 §C.2.2.2.5)."""
    wanted = moments(vr, key)
    if wanted is None:
        return lambda value: value == key
    first, last = wanted

    def matches(value: str) -> bool:
        span: Span | None = moment(vr, value)
        return span is not None and first <= span[0] <= last

    return matches


# --- person names (PS3.5 §6.2.1) ----------------------------------------------------------------------


def _groups(text: str) -> list[str]:
    """Give the component groups, folded; padding and trailing delimiters mean nothing (PS3.5 §6.2.1)."""
    return [_components(group) for group in _composed(text.casefold()).split("=")]


def _components(group: str) -> str:
    if " " in group:
        group = "^".join(part.strip(" ") for part in group.split("^"))
    return group.rstrip("^")


def _name(key: str) -> Matcher:
    """Match a name: a key of one group against any group of the value, one of more group by group."""
    wanted = [None if not group.strip("*") else wildcard(group) for group in _groups(key)]
    if len(wanted) == 1:
        only = wanted[0]
        return lambda value: only is None or any(map(only, _groups(value)))

    def matches(value: str) -> bool:
        groups = _groups(value)
        groups += [""] * (len(wanted) - len(groups))
        return all(matcher is None or matcher(group) for matcher, group in zip(wanted, groups, strict=False))

    return matches


def folded(text: str) -> str:
    """Fold case, width and accents, for searches by people."""
    if text.isascii():
        return text.casefold()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", apart))


def _words(text: str) -> list[str]:
    return [word for word in _BETWEEN_WORDS.split(folded(text)) if word]


def _fuzzy_name(key: str) -> Matcher:
    """Match when each word asked for begins some word of the name, or the wildcard matches; accents and case aside."""
    wanted, exact = _words(key), _name(folded(key))

    def matches(value: str) -> bool:
        words = _words(value)
        if wanted and all(any(word.startswith(part) for word in words) for part in wanted):
            return True
        return exact(folded(value))

    return matches
