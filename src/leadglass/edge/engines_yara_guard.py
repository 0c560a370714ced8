"""Which YARA rules ask for a file's first bytes before anything else, so that most objects need no search for them.

YARA-X searches an object for all strings of a rule set together, and only when a condition first asks for one. Most
rules of the public sets begin `uint16(0) == 0x5A4D and …`: of an image they ask for nothing. But one rule among
thousands that does makes the strings of all of them be searched for; apart from them, it pays for its own, and an
object that begins otherwise than any of them asks needs none of them.

This decides about speed and nothing else: every rule is in one of two parts, under its own name. A text that cannot be
taken apart safely (global or private rules, rules that name each other, anything odd) stays whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Parted", "is_only_includes", "parted"]

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)|(?P<text>"(?:\\.|[^"\\\n])*")|(?P<word>\w+)|(?P<mark>.)""", re.DOTALL
)
_REGEX: Final = re.compile(r"/(?![/*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+/[is]*")
_BEFORE_REGEX: Final = ("=", "matches", "(", ",")
_GUARD: Final = re.compile(
    r"[( ]*u?int(?P<bits>8|16|32)(?P<big>be)? \( 0(?:x0+)? \) = = (?P<value>0x[0-9A-Fa-f]+|0|[1-9]\d*) (?:\) )*and "
)
_ONLY_INCLUDES: Final = re.compile(r'(?:\s+|//[^\n]*|/\*.*?\*/|include\s+"[^"\n]*")*', re.DOTALL)

_Token = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Parted:
    """The two parts of a rule file; either may be empty. `beginnings` are those the guarded rules ask for."""

    guarded: str
    others: str
    beginnings: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class _Rule:
    text: str
    name: str
    condition: tuple[str, ...]

    @property
    def beginning(self) -> bytes:
        """Give the first bytes without which it matches nothing; empty where it looks at more."""
        words = " ".join(self.condition) + " "
        match = _GUARD.match(words)
        if match is None:
            return b""
        depth = level = match[0].count("(") - match[0].count(")")
        for word in words[match.end() :].split():
            depth += (word == "(") - (word == ")")
            level = min(level, depth)
            if word == "or" and depth <= level:
                return b""
        value, size = int(match["value"], 0), int(match["bits"]) // 8
        return value.to_bytes(size, "big" if match["big"] else "little") if value >> 8 * size == 0 else b""

    def names(self, others: set[str]) -> bool:
        """Tell whether its condition names other rules."""
        before = ("", *self.condition)
        after = (*self.condition[1:], "")
        return any(
            first not in ("$", "#", "@", "!", ".") and (word in others or (word[0].isalpha() and last == "*"))
            for first, word, last in zip(before, self.condition, after, strict=False)
        )


def is_only_includes(text: str) -> bool:
    """Tell whether a file does nothing but name others, as the index of a public set does."""
    return "include" in text and _ONLY_INCLUDES.fullmatch(text) is not None


def parted(text: str) -> Parted:
    """Take a file apart; each part has the imports of the whole."""
    imports, rules = _read(text)
    names = {rule.name for rule in rules}
    if not rules or any(rule.names(names) for rule in rules):
        return Parted("", text)
    guarded = [rule.text for rule in rules if rule.beginning]
    others = [rule.text for rule in rules if not rule.beginning]
    head = "".join(f"import {name}\n" for name in imports)
    return Parted(
        head + "\n".join(guarded) if guarded else "",
        head + "\n".join(others) if others else "",
        frozenset(rule.beginning for rule in rules) - {b""},
    )


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Give kind, token and place; a regular expression is told from a division by what stands before it."""
    at, before = 0, ""
    while at < len(text):
        match = _REGEX.match(text, at) if text[at] == "/" and before in _BEFORE_REGEX else None
        kind = "text"
        if match is None:
            match = _TOKEN.match(text, at)
            assert match is not None  # its last alternative takes anything
            kind = str(match.lastgroup)
        if kind != "space":
            before = match[0]
            yield kind, before, at
        at = match.end()


def _read(text: str) -> tuple[list[str], list[_Rule]]:
    """Give the imports and rules of a file; no rules where anything is not as expected."""
    imports: list[str] = []
    rules: list[_Rule] = []
    inside: list[_Token] = []
    depth, start, wants_import = 0, -1, False
    for kind, word, at in _tokens(text):
        if start >= 0:
            inside.append((kind, word))
            depth += (word == "{") - (word == "}") if kind == "mark" else 0
            if not depth and word == "}":
                rules.append(_rule(text[start : at + 1], inside))
                inside, start = [], -1
        elif wants_import and kind == "text":
            imports.append(word)
            wants_import = False
        elif word == "rule" and not wants_import:
            start = at
        elif word == "import" and not wants_import:
            wants_import = True
        else:
            return [], []
    return ([], []) if start >= 0 or wants_import else (imports, rules)


def _rule(text: str, inside: Sequence[_Token]) -> _Rule:
    words = [token for kind, token in inside if kind != "text"]
    at = max((at for at in range(len(words) - 1) if words[at : at + 2] == ["condition", ":"]), default=len(words))
    return _Rule(text, words[0], tuple(words[at + 2 : -1]))
