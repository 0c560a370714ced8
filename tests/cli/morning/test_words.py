"""Both languages tell the same things with the same numbers."""

from __future__ import annotations

from string import Formatter

from leadglass.cli.morning.words import told, words


def fields(text: object) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(str(text)) if name}


def test_the_languages_match() -> None:
    english, french = words("en"), words("fr")
    assert english.keys() == french.keys()
    for key, text in english.items():
        assert fields(text) == fields(french[key]), key
        if isinstance(text, tuple):
            assert len(text) == len(french[key])


def test_lists_are_told() -> None:
    english = words("en")
    assert told(english, "unreadable.told", {"files": 3, "found": []}).endswith("in none")
    assert told(english, "unreadable.told", {"files": 3, "found": ["a", "b"]}).endswith("in a, b")
