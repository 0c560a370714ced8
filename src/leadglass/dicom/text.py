"""Text of a data set: repertoires, code extensions, names (PS3.5 §6.1, §6.2, Annexes H to K; PS3.3 §C.12.1.1.2).

Decoding never fails: bytes that mean nothing in the declared repertoire become U+FFFD, because an archive
must show an object however wrong its text is. Without a declared repertoire, bytes above 127 are read as
Latin-1, as every viewer does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from leadglass.dicom.dictionary import vr_of

CHARACTER_SET = 0x00080005
UTF_8 = "ISO_IR 192"

EXTENDED_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs whose repertoire (0008,0005) widens; all others keep the default one (PS3.5 §6.1.2.3)."""

SINGLE_VRS = frozenset({"LT", "ST", "UR", "UT"})
"""VRs in which a backslash is text."""

_INTEGERS = {"US": (2, False), "UL": (4, False), "UV": (8, False), "SS": (2, True), "SL": (4, True), "SV": (8, True)}

_SPACED = frozenset({"LT", "ST", "UT"})
"""VRs whose leading spaces are text."""

_NO_TEXT = frozenset({"UN", "SQ", "AT", "FL", "FD", "OB", "OD", "OF", "OL", "OV", "OW"})

_vr_of = cache(vr_of)
"""Only tags that a walk was asked to keep come here, so the cache is as long as the catalogue's list of them."""

_CODECS = {
    "": "latin-1",
    "6": "latin-1",
    "13": "shift_jis",
    "58": "gb2312",
    "87": "iso2022_jp",
    "100": "latin-1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "126": "iso8859_7",
    "127": "iso8859_6",
    "138": "iso8859_8",
    "144": "iso8859_5",
    "148": "iso8859_9",
    "149": "euc_kr",
    "159": "iso2022_jp_2",
    "166": "iso8859_11",
    "192": "utf-8",
    "203": "iso8859_15",
}
"""Registration number to codec."""

_ALONE = {"GB18030": "gb18030", "GBK": "gbk", UTF_8: "utf-8"}
"""Repertoires that forbid code extensions, so an ESC in them is a character."""

_ESCAPES = {
    b"(B": "latin-1",
    b"-A": "latin-1",
    b"-B": "iso8859_2",
    b"-C": "iso8859_3",
    b"-D": "iso8859_4",
    b"-F": "iso8859_7",
    b"-G": "iso8859_6",
    b"-H": "iso8859_8",
    b"-L": "iso8859_5",
    b"-M": "iso8859_9",
    b"-T": "iso8859_11",
    b"-b": "iso8859_15",
    b"(J": "shift_jis",
    b")I": "shift_jis",
    b"$)A": "gb2312",
    b"$)C": "euc_kr",
    b"$B": "iso2022_jp",
    b"$(D": "iso2022_jp_2",
}
"""What follows ESC, to codec (PS3.3 tables C.12-3 and C.12-4)."""

_DOUBLE_BYTE = frozenset({"iso2022_jp", "iso2022_jp_2"})
"""Codecs whose bytes look like ASCII: a backslash or caret among them is half a character."""

_ESCAPE = re.compile(rb"\x1b(\$?[()\-][A-Za-z]|\$B)")
_TERM = re.compile(r"ISO[ _-]?(?:2022)?[ _-]*IR[ _-]?(\d+)", re.IGNORECASE)
_TEXT_DELIMITERS = re.compile(rb"([\\\r\n\t\f])")
_NAME_DELIMITERS = re.compile(rb"([\\^=])")


@dataclass(frozen=True, slots=True, repr=False)
class PersonName:
    """A name in up to three writings (PS3.5 §6.2.1.1); it prints as •••, like everything that identifies."""

    alphabetic: str
    ideographic: str = ""
    phonetic: str = ""

    @classmethod
    def parse(cls, text: str) -> PersonName:
        """Split a decoded PN value; groups beyond the third are dropped."""
        groups = [*text.split("="), "", ""]
        return cls(*(group.rstrip(" ") for group in groups[:3]))

    def components(self) -> tuple[tuple[str, ...], ...]:
        """Give family, given, middle, prefix and suffix of each writing."""
        groups = (self.alphabetic, self.ideographic, self.phonetic)
        return tuple(tuple(part.strip(" ") for part in [*group.split("^"), "", "", "", ""][:5]) for group in groups)

    def __repr__(self) -> str:
        return "•••"

    __str__ = __repr__


def character_sets(raw: bytes | None) -> tuple[str, ...]:
    """Read Specific Character Set (0008,0005); none gives the default repertoire."""
    if raw is None:
        return ("",)
    return tuple(term.strip(" \0") for term in raw.decode("latin-1").split("\\"))


def decode_text(raw: bytes, charset_values: Sequence[str] = ("",), vr: str = "LO") -> str:
    """Decode a whole value, multiple values still joined by backslashes; trailing padding is dropped."""
    if vr not in EXTENDED_VRS:
        return raw.decode("latin-1").rstrip(" \0")
    first = charset_values[0] if charset_values else ""
    codec = _ALONE.get(first) or _codec_of(first)
    if b"\x1b" not in raw or first in _ALONE:
        return raw.decode(codec, "replace").rstrip(" \0")
    return _decode_extended(raw, codec, _NAME_DELIMITERS if vr == "PN" else _TEXT_DELIMITERS).rstrip(" \0")


def split_values(text: str, vr: str) -> list[str]:
    """Split a decoded value at its backslashes, where the VR has more than one value."""
    if vr in SINGLE_VRS:
        return [text]
    return [part.rstrip(" \0") for part in text.split("\\")]


@dataclass(frozen=True, slots=True, repr=False)
class Decoded:
    """Values with their texts, kept so that the next object of a series is not decoded from the start."""

    values: Mapping[int, bytes]
    texts: Mapping[int, str]
    is_little_endian: bool


def decode_values(
    values: Mapping[int, bytes], *, is_little_endian: bool = True, like: Decoded | None = None
) -> dict[int, str]:
    """Decode what a walk kept, each by the VR of its tag: text as text, integers in decimal; bulk is left out.

    Surrounding spaces go too where the VR says they mean nothing (PS3.5 §6.2). What `like` says in the same bytes is
    taken from there.
    """
    known: Mapping[int, bytes] = {}
    texts: Mapping[int, str] = {}
    charset = values.get(CHARACTER_SET)
    if like is not None and like.values.get(CHARACTER_SET) == charset and like.is_little_endian is is_little_endian:
        known, texts = like.values, like.texts
    sets = character_sets(charset)
    decoded = {}
    for tag, raw in values.items():
        if known.get(tag) == raw:
            if tag in texts:
                decoded[tag] = texts[tag]
            continue
        vr = _vr_of(tag)
        if vr in _INTEGERS:
            decoded[tag] = "\\".join(map(str, integers(raw, vr, is_little_endian=is_little_endian)))
        elif vr not in _NO_TEXT:
            # Every repertoire agrees with ASCII until an escape sequence says otherwise.
            is_plain = raw.isascii() and b"\x1b" not in raw
            text = raw.decode("ascii").rstrip(" \0") if is_plain else decode_text(raw, sets, vr)
            if vr in _SPACED:
                decoded[tag] = text
            elif "\\" in text:
                decoded[tag] = "\\".join(part.strip(" ") for part in split_values(text, vr))
            else:
                decoded[tag] = text.strip(" ")
    return decoded


def integers(raw: bytes, vr: str, *, is_little_endian: bool = True) -> list[int]:
    """Read the values of an integer VR; a ragged tail is dropped."""
    size, is_signed = _INTEGERS[vr]
    order = "little" if is_little_endian else "big"
    whole = len(raw) - len(raw) % size
    return [int.from_bytes(raw[at : at + size], order, signed=is_signed) for at in range(0, whole, size)]  # type: ignore[arg-type]


def encode_text(text: str, vr: str = "LO") -> bytes:
    """Encode as UTF-8 (the data set says ISO_IR 192) where the VR allows it, else in the default repertoire."""
    return text.encode() if vr in EXTENDED_VRS else text.encode("ascii", "replace")


def _codec_of(term: str) -> str:
    match = _TERM.fullmatch(term)
    return _CODECS.get(match[1] if match else "", "latin-1")


def _decode_extended(raw: bytes, initial: str, delimiters: re.Pattern[bytes]) -> str:
    """Follow escape sequences; every delimiter returns to the initial repertoire (PS3.5 §6.1.2.5.3)."""
    parts: list[str] = []
    at, codec, escape = 0, initial, b""
    for match in [*_ESCAPE.finditer(raw), None]:
        piece = raw[at : match.start() if match else len(raw)]
        parts.append(_decode_piece(piece, codec, escape, initial, delimiters))
        if match:
            known = _ESCAPES.get(match[1])
            at = match.end() if known else match.start()
            codec, escape = (known, match[0]) if known else (initial, b"")
    return "".join(parts)


def _decode_piece(piece: bytes, codec: str, escape: bytes, initial: str, delimiters: re.Pattern[bytes]) -> str:
    if not piece:
        return ""
    if codec in _DOUBLE_BYTE:
        return (escape + piece).decode(codec, "replace")
    cut = delimiters.search(piece)
    if cut is None or codec == initial:
        return piece.decode(codec, "replace")
    return piece[: cut.start()].decode(codec, "replace") + piece[cut.start() :].decode(initial, "replace")
