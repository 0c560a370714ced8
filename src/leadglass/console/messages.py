"""The words of the pages, in French and English, and which of them a visitor reads."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from starlette.requests import Request

from leadglass.console.numerals import Count, typeset
from leadglass.console.phrases import Said, say_all

__all__ = ["LANGUAGES", "LANGUAGE_COOKIE", "Words", "language_of", "words"]

LANGUAGES = ("fr", "en")
LANGUAGE_COOKIE = "leadglass-language"


def _load(language: str) -> Mapping[str, str]:
    text = files("leadglass.console").joinpath(f"messages/{language}.toml").read_text(encoding="utf-8")
    return {
        f"{section}.{key}": typeset(value, language)
        for section, entries in tomllib.loads(text).items()
        for key, value in entries.items()
    }


@dataclass(frozen=True, slots=True)
class Words:
    """One language. Calling it gives a sentence by its key; a key nobody wrote is a KeyError, so tests see it."""

    language: str
    table: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """Give a sentence with its values filled in; a whole number chooses the form of the noun beside it."""
        return self.table[key].format(**self._counted(values))

    def has(self, section: str, key: str) -> bool:
        """Tell whether there is a word for a code."""
        return f"{section}.{key}" in self.table

    def known(self, section: str, key: str, **values: object) -> str:
        """Give the word for a code, or the code itself where there is no word for it."""
        found = self.table.get(f"{section}.{key}")
        return key if found is None else found.format(**self._counted(values))

    def said(self, text: str) -> Said:
        """Say a text that a room below made in English."""
        return say_all(self.language, text)

    def _counted(self, values: Mapping[str, object]) -> dict[str, object]:
        return {
            name: Count(value, self.language) if isinstance(value, int) else value for name, value in values.items()
        }


_WORDS = {language: Words(language, _load(language)) for language in LANGUAGES}


def words(language: str) -> Words:
    """Give the words of a language."""
    return _WORDS.get(language, _WORDS["en"])


def language_of(request: Request, default: str) -> str:
    """Choose the language: the visitor's cookie, the browser's wish, the site's default."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    for wish in request.headers.get("accept-language", "").split(","):
        language = wish.split(";")[0].strip().lower()[:2]
        if language in LANGUAGES:
            return language
    return default
