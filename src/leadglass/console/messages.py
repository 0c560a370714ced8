"""The words of the pages, in French and English, and which of them a visitor reads."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from starlette.requests import Request

__all__ = ["LANGUAGES", "LANGUAGE_COOKIE", "Words", "language_of", "words"]

LANGUAGES = ("fr", "en")
LANGUAGE_COOKIE = "leadglass-language"


def _load(language: str) -> Mapping[str, str]:
    text = files("leadglass.console").joinpath(f"messages/{language}.toml").read_text(encoding="utf-8")
    return {
        f"{section}.{key}": value for section, entries in tomllib.loads(text).items() for key, value in entries.items()
    }


@dataclass(frozen=True, slots=True)
class Words:
    """One language. Calling it gives a sentence by its key; a key nobody wrote is a KeyError, so tests see it."""

    language: str
    table: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """Give a sentence with its values filled in."""
        return self.table[key].format(**values)

    def known(self, section: str, key: str) -> str:
        """Give the word for a code, or the code itself where there is no word for it."""
        return self.table.get(f"{section}.{key}", key)


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
