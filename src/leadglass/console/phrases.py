"""What the rooms below say in English, said again in the visitor's language: by the sentence's shape and its values.

Reasons, findings and refusals are made, sealed and printed as English sentences (`malware/`, `gateway/`,
`journeys/`). Each has one shape with blanks, and `messages/phrases.toml` holds that shape as a key with its words in
French, and in English where a page says it better than the record (one and many). Recognising the shape gives the
values back, so that what was sealed years ago is read in either language.

A blank is `{name}` (any text), `{name:n}` (a number), `{name:d}` (digits, shown as they are), `{name:decimal}` (1.5),
`{name:date}` (2026-03-01), `{name:any}` (a sentence, or any text) or `{name:SECTION}`, a phrase of that section of the
file or nothing.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final

from leadglass.console.attributes import date_words
from leadglass.console.numerals import Count, typeset

__all__ = ["SENTENCE", "Phrase", "Said", "phrases", "say", "say_all"]

SENTENCE: Final = "sentence"
_LENGTH_MAX: Final = 2000
"""Longer texts are nobody's sentence; reading them costs a page its speed."""

_SEGMENTS_MAX: Final = 16
_DEPTH_MAX: Final = 40
"""Phrases inside phrases; a list of doors or counts takes one level an entry."""

_ENDS: Final = re.compile(r"(?<=\.) (?=[^\s(])")
_PATTERNS: Final = {
    "n": r"\d+",
    "d": r"\d+",
    "decimal": r"\d+\.\d+",
    "date": r"\d{4}-\d\d-\d\d",
    "any": r".+?",
    "": r".+?",
}


@dataclass(frozen=True, slots=True)
class Phrase:
    """One shape: how it is recognised, what its blanks are, and its words by language."""

    shape: str
    pattern: re.Pattern[str]
    kinds: Mapping[str, str]
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    """A text for a page; `is_known` is false where a part of it has no words in the language."""

    text: str
    is_known: bool


def phrases(section: str) -> Mapping[str, Phrase]:
    """Give a section of the file, by shape."""
    return _BOOK[section]


def say(language: str, text: str, section: str = SENTENCE) -> str | None:
    """Say one phrase in a language; None where its shape is not in the section."""
    return _say(language, text, section, 0)


@lru_cache(maxsize=8192)
def _say(language: str, text: str, section: str, depth: int) -> str | None:
    if len(text) > _LENGTH_MAX or depth > _DEPTH_MAX:
        return None
    bare = text.rstrip(". ")
    for phrase in _BOOK[section].values():
        match = phrase.pattern.fullmatch(bare)
        values = None if match is None else _values(language, phrase, match.groupdict(), depth + 1)
        if values is not None:
            said = phrase.texts[language].format(**values)
            return said.rstrip(". ") + "." if text.endswith(".") else said
    return None


def say_all(language: str, text: str) -> Said:
    """Say a text of several sentences, each by its shape; one of no known shape stays as it was written."""
    return _say_all(language, text, 0)


def _say_all(language: str, text: str, depth: int) -> Said:
    parts = _ENDS.split(text) if len(text) <= _LENGTH_MAX else [text]
    if len(parts) > _SEGMENTS_MAX:
        parts = [text]
    said, at, is_known = [], 0, True
    while at < len(parts):
        for end in range(at + 1, len(parts) + 1):  # the shortest first; a shape, or a name in it, may hold a full stop
            found = _say(language, " ".join(parts[at:end]), SENTENCE, depth)
            if found is not None:
                said.append(found)
                at = end
                break
        else:
            said.append(parts[at])
            at, is_known = at + 1, False
    return Said(" ".join(said), is_known)


def _values(language: str, phrase: Phrase, found: Mapping[str, str], depth: int) -> dict[str, object] | None:
    values: dict[str, object] = {}
    for name, kind in phrase.kinds.items():
        text = found[name]
        match kind:
            case "n":
                values[name] = Count(int(text), language)
            case "date":
                values[name] = date_words(text.replace("-", ""), language)
            case "decimal":
                values[name] = text.replace(".", ",") if language == "fr" else text
            case "" | "d":
                values[name] = text
            case "any":
                values[name] = _say_all(language, text, depth).text
            case section:
                said = _say(language, text, section, depth) if text else ""
                if said is None:
                    return None
                values[name] = said.rstrip(". ") if section == SENTENCE else said
    return values


def _compiled(shape: str, words: str | Mapping[str, str]) -> Phrase:
    kinds, pattern, plain = {}, "", ""
    for literal, name, kind, _ in string.Formatter().parse(shape.rstrip(". ")):
        pattern, plain = pattern + re.escape(literal), plain + literal
        if name is not None:
            kinds[name] = kind or ""
            body = _PATTERNS.get(kind or "", r".+?" if kind == SENTENCE else r".*?")
            pattern, plain = f"{pattern}(?P<{name}>{body})", f"{plain}{{{name}}}"
    texts = {"fr": words} if isinstance(words, str) else dict(words)
    texts = {"en": plain + ("." if shape.endswith(".") else "")} | texts
    typeset_texts = {language: typeset(text, language) for language, text in texts.items()}
    return Phrase(shape, re.compile(pattern, re.DOTALL), kinds, typeset_texts)


def _load() -> Iterator[tuple[str, dict[str, Phrase]]]:
    text = files("leadglass.console").joinpath("messages/phrases.toml").read_text(encoding="utf-8")
    for section, rows in tomllib.loads(text).items():
        yield section, {shape: _compiled(shape, words) for shape, words in rows.items()}


_BOOK: Final = dict(_load())
