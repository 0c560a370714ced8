"""Small data sets held whole: queries, responses, actions, events (PS3.5 §7; PS3.4 annexes C and J).

Objects never come through here: they are walked (`elements.py`). A data set is a dict from tag to `Element`,
whose value is bytes in the transfer syntax's byte order, or items.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from leadglass import limits
from leadglass.dicom.dictionary import ITEM, LONG_VRS, vr_of
from leadglass.dicom.elements import DatasetWalker
from leadglass.dicom.structure import DatasetLimit, WalkLimits
from leadglass.dicom.syntaxes import TransferSyntax
from leadglass.dicom.text import CHARACTER_SET, EXTENDED_VRS, UTF_8, character_sets, decode_text, encode_text, integers
from leadglass.dicom.visitor import Buffer
from leadglass.errors import UsageError

_ENCODED_INTEGERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q"}
_BYTES_PER_WORD = {"OW": 2, "US": 2, "SS": 2, "AT": 2, "OL": 4, "OF": 4, "UL": 4, "SL": 4, "FL": 4} | dict.fromkeys(
    ("OD", "OV", "FD", "UV", "SV"), 8
)


@dataclass(frozen=True, slots=True)
class Element:
    """One element: `items` for a sequence (VR "SQ"), else `value`, little endian whatever the wire had."""

    vr: str
    value: bytes = b""
    items: tuple[DataSet, ...] = ()

    @classmethod
    def of_text(cls, vr: str, text: str) -> Element:
        """Make a text element; the data set around it must say ISO_IR 192 if the text leaves ASCII."""
        return cls(vr, encode_text(text, vr))

    @classmethod
    def of_integers(cls, vr: str, *numbers: int) -> Element:
        """Make an integer element (US, UL, ...); raises UsageError where a number does not fit."""
        try:
            return cls(vr, struct.pack(f"<{len(numbers)}{_ENCODED_INTEGERS[vr]}", *numbers))
        except struct.error as error:
            raise UsageError(f"{numbers} does not fit the VR {vr}.") from error

    @classmethod
    def of_items(cls, *items: DataSet) -> Element:
        """Make a sequence."""
        return cls("SQ", items=items)


DataSet = dict[int, Element]


def text_of(data_set: Mapping[int, Element], tag: int, default: str = "") -> str:
    """Give the decoded text of an element, or the default where it is missing."""
    element = data_set.get(tag)
    if element is None:
        return default
    charset = data_set.get(CHARACTER_SET)
    return decode_text(element.value, character_sets(charset.value if charset else None), element.vr)


def integer_of(data_set: Mapping[int, Element], tag: int) -> int | None:
    """Give the first value of an integer element, or None where there is none."""
    element = data_set.get(tag)
    if element is None or element.vr not in _ENCODED_INTEGERS:
        return None
    return next(iter(integers(element.value, element.vr)), None)


def decode(data: bytes | memoryview, syntax: TransferSyntax) -> DataSet:
    """Read a whole data set. Raises DatasetError, or LimitExceeded beyond `IDENTIFIER_LENGTH_MAX` or the walk's bounds.

    Of a tag that comes twice the first counts. Elements without a known VR keep "UN".
    """
    _check_length(len(data))
    collector = _Collector(syntax.is_little_endian)
    bounds = WalkLimits(value_kept=limits.IDENTIFIER_LENGTH_MAX, inflated_bytes=limits.IDENTIFIER_LENGTH_MAX)
    walker = DatasetWalker(syntax, keep=frozenset(), visitor=collector, limits=bounds)
    walker.feed(data)
    walker.finish()
    return collector.root


def encode(data_set: Mapping[int, Element], syntax: TransferSyntax) -> bytes:
    """Write a data set with ascending tags, even lengths and defined sequence lengths; deflated syntaxes are not made.

    Raises UsageError for a value longer than its VR's length field, or nesting beyond `DATASET_DEPTH_MAX`.
    """
    if syntax.is_deflated:
        raise UsageError("An identifier is never deflated.", hint="Negotiate another transfer syntax for it.")
    return _encode(data_set, syntax, 0)


def encode_attributes(attributes: Mapping[int, str], syntax: TransferSyntax) -> bytes:
    """Write text attributes by the VR of their tags, as UTF-8 and saying so where any leaves ASCII.

    Integers are given in decimal. An attribute of a binary VR or a sequence is written empty (PS3.4 §C.2.2.1.3:
    an unsupported key has zero length).
    """
    data_set: DataSet = {}
    is_wide = False
    for tag, text in attributes.items():
        vr = vr_of(tag)
        if vr in _ENCODED_INTEGERS:
            numbers = [int(part) for part in text.split("\\") if part.lstrip("-").isdecimal()]
            data_set[tag] = Element.of_integers(vr, *numbers)
        elif vr == "SQ" or vr[0] == "O" or vr in ("UN", "AT", "FL", "FD"):
            data_set[tag] = Element(vr)
        else:
            data_set[tag] = Element.of_text(vr, text)
            is_wide = is_wide or (vr in EXTENDED_VRS and not text.isascii())
    if is_wide:
        data_set[CHARACTER_SET] = Element.of_text("CS", UTF_8)
    elif CHARACTER_SET in data_set:
        data_set[CHARACTER_SET] = Element.of_text("CS", "")
    return encode(data_set, syntax)


class _Collector:
    """Build the dict while the walk passes; the stack holds the data set of each open item."""

    def __init__(self, is_little_endian: bool) -> None:
        self.root: DataSet = {}
        self._is_little_endian = is_little_endian
        self._stack: list[DataSet] = [self.root]
        self._sequences: list[tuple[int, str, list[DataSet]]] = []
        self._tag = 0
        self._vr = ""
        self._value = bytearray()

    def begin_element(self, tag: int, vr: bytes, length: int, offset: int) -> bool:
        self._tag, self._vr = tag, vr.decode("ascii", "replace")
        self._value.clear()
        return tag != ITEM

    def value(self, data: Buffer, is_last: bool) -> None:
        self._value += data
        if is_last:
            value = bytes(self._value)
            is_inside_un = any(vr == "UN" for _, vr, _ in self._sequences)
            if not self._is_little_endian and not is_inside_un:
                value = swapped(value, self._vr)
            self._stack[-1].setdefault(self._tag, Element(self._vr, value))

    def begin_sequence(self, tag: int, vr: bytes, offset: int) -> None:
        self._sequences.append((tag, vr.decode("ascii", "replace"), []))

    def end_sequence(self) -> None:
        tag, vr, items = self._sequences.pop()
        is_sequence = vr in ("SQ", "UN")
        element = Element("SQ", items=tuple(items)) if is_sequence else Element(vr)
        self._stack[-1].setdefault(tag, element)

    def begin_item(self, offset: int) -> None:
        item: DataSet = {}
        self._sequences[-1][2].append(item)
        self._stack.append(item)

    def end_item(self) -> None:
        self._stack.pop()


def swapped(value: bytes, vr: str) -> bytes:
    """Turn the byte order of a value by the word size of its VR; text and bytes stay."""
    size = _BYTES_PER_WORD.get(vr, 1)
    if size == 1:
        return value
    return b"".join(value[at : at + size][::-1] for at in range(0, len(value), size))


def _encode(data_set: Mapping[int, Element], syntax: TransferSyntax, depth: int) -> bytes:
    if depth > limits.DATASET_DEPTH_MAX:
        raise UsageError(f"Sequences nest deeper than {limits.DATASET_DEPTH_MAX}.")
    parts: list[bytes] = []
    order = "<" if syntax.is_little_endian else ">"
    for tag in sorted(data_set):
        element = data_set[tag]
        value = _sequence(element, syntax, depth) if element.vr == "SQ" else _padded(element)
        if element.vr != "SQ" and not syntax.is_little_endian:
            value = swapped(value, element.vr)
        head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
        if syntax.is_implicit:
            head += struct.pack("<I", len(value))
        elif element.vr == "SQ" or element.vr.encode() in LONG_VRS:
            head += element.vr.encode() + struct.pack(order + "HI", 0, len(value))
        elif len(value) > 0xFFFF:
            raise UsageError(
                f"A value of VR {element.vr} holds at most 65,535 bytes.", hint="Split it, or use UT or UN."
            )
        else:
            head += element.vr.encode() + struct.pack(order + "H", len(value))
        parts += (head, value)
    return b"".join(parts)


def _sequence(element: Element, syntax: TransferSyntax, depth: int) -> bytes:
    order = "<" if syntax.is_little_endian else ">"
    parts: list[bytes] = []
    for item in element.items:
        body = _encode(item, syntax, depth + 1)
        parts += (struct.pack(order + "HHI", ITEM >> 16, ITEM & 0xFFFF, len(body)), body)
    return b"".join(parts)


def _padded(element: Element) -> bytes:
    """Make the length even: NUL for UIDs and binary, a space for text (PS3.5 §6.2)."""
    if not len(element.value) & 1:
        return element.value
    is_binary = element.vr in ("UI", "UN") or element.vr[0] == "O"
    return element.value + (b"\0" if is_binary else b" ")


def _check_length(length: int) -> None:
    if length > limits.IDENTIFIER_LENGTH_MAX:
        raise DatasetLimit(
            f"An identifier is longer than {limits.IDENTIFIER_LENGTH_MAX} bytes.",
            code="identifier-length",
            clause="PS3.7 §9.1",
            offset=limits.IDENTIFIER_LENGTH_MAX,
        )
