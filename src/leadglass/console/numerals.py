"""Numbers, dates and punctuation as each language writes them, and a number that chooses its noun's form.

A text says `{count} {count:objet|objets}`: the number, then the word that goes with it. French counts 0 and 1 as one,
English counts 1 alone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

__all__ = ["Count", "moment_words", "number_words", "size_words", "typeset"]

_NARROW = "\u202f"
_BEFORE = re.compile(r"[ \u00a0]([:;?!»])")
_AFTER = re.compile(r"«[ \u00a0]")


class Count(int):
    """A whole number that formats itself in a language; a format of `one|many` gives the word that goes with it."""

    language: str

    def __new__(cls, value: int, language: str) -> Count:
        """Make it."""
        made = super().__new__(cls, value)
        made.language = language
        return made

    def __format__(self, spec: str) -> str:
        """Give the number, or one of the two forms."""
        if "|" in spec:
            one, many = spec.split("|", 1)
            return one if is_one(int(self), self.language) else many
        return number_words(int(self), self.language)


def is_one(number: int, language: str) -> bool:
    """Tell whether a noun beside this number is singular."""
    return abs(number) < 2 if language == "fr" else abs(number) == 1


def number_words(number: int, language: str) -> str:
    """Write a whole number with its thousands apart."""
    return f"{number:,}".replace(",", _NARROW) if language == "fr" else f"{number:,}"


def size_words(length_bytes: int, language: str) -> str:
    """Write a length in the unit a person reads."""
    units = ("o", "Kio", "Mio", "Gio", "Tio") if language == "fr" else ("B", "KiB", "MiB", "GiB", "TiB")
    value, unit = float(length_bytes), 0
    while value >= 1024 and unit < len(units) - 1:
        value, unit = value / 1024, unit + 1
    text = f"{value:.0f}" if unit == 0 or value >= 100 else f"{value:.1f}"
    return f"{text.replace('.', ',') if language == 'fr' else text}\u00a0{units[unit]}"


def moment_words(microseconds: int, language: str) -> str:
    """Write a moment in UTC; a browser writes its own time over it (`static/page.js`)."""
    moment = datetime.fromtimestamp(microseconds / 1_000_000, UTC)
    return moment.strftime("%d/%m/%Y %H:%M:%S UTC" if language == "fr" else "%Y-%m-%d %H:%M:%S UTC")


def typeset(text: str, language: str) -> str:
    """Put the narrow no-break spaces of French where they belong, so that nobody need type what cannot be seen."""
    if language != "fr":
        return text
    return _AFTER.sub(f"«{_NARROW}", _BEFORE.sub(rf"{_NARROW}\1", text))
