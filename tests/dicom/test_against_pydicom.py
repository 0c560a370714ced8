"""On every real file the walk sees what pydicom sees: same tags, lengths, places, values, fragments and text."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.filebase import DicomBytesIO

from leadglass.dicom.dictionary import ITEM, vr_of
from leadglass.dicom.part10 import FileMeta, Part10Reader
from leadglass.dicom.structure import DatasetError
from leadglass.dicom.text import EXTENDED_VRS, SINGLE_VRS, character_sets, decode_text, split_values
from leadglass.dicom.visitor import Buffer
from tests.dicom.made import real_files

BROKEN = {
    "0033": ("vr", "declares JPEG (explicit) and is implicit"),
    "0064": ("truncated", "cut short, as its name says"),
    "0097": ("truncated", "cut short, as its name says"),
    "0102": ("length-overrun", "the directory sequence is shorter than its items"),
    "0187": ("stray-delimiter", "an item follows a sequence of length zero"),
    "0196": ("vr", "two spaces for a VR"),
    "0197": ("truncated", "the pixel data is never closed"),
    "0215": ("delimiter-length", "an item outside any sequence"),
    "0237": ("truncated", "implicit, and zeros instead of elements"),
    "0238": ("vr", "two spaces for a VR"),
    "0318": ("truncated", "cut short, as its name says"),
}
"""Files of the clean corpus that are no valid objects: the test material of other projects."""

NOT_READ_BY_PYDICOM = {
    "0224": "UN of undefined length is implicit little endian, in a big endian data set too (PS3.5 §6.2.2)"
}

TEXT_VRS = EXTENDED_VRS | {"AE", "AS", "CS", "DA", "DT", "TM", "UI", "UR"}

Seen = list[tuple[str, int, bytes]]


class _Flat:
    """Note every element with its path, value and header place; and every value with the character set around it."""

    def __init__(self) -> None:
        self.seen: Seen = []
        self.top: dict[int, tuple[int, int]] = {}
        self.text: dict[str, str] = {}
        self._path: list[str] = []
        self._index: list[int] = []
        self._charsets: list[tuple[str, ...]] = [("",)]
        self._now: tuple[int, str] = (0, "")
        self._value = bytearray()
        self._is_fragment = 0

    def begin_element(self, tag: int, vr: bytes, length: int, offset: int) -> bool:
        self._value.clear()
        self._now = tag, vr.decode()
        if tag == ITEM:
            return False
        if not self._path:
            self.top[tag] = (offset, length)
        return True

    def value(self, data: Buffer, is_last: bool) -> None:
        self._value += data
        if not is_last:
            return
        tag, vr = self._now
        path = "".join(self._path) + f"{tag:08X}"
        self.seen.append((path, tag, bytes(self._value)))
        if tag == 0x00080005:
            self._charsets[-1] = character_sets(bytes(self._value))
        if vr in TEXT_VRS:
            self.text[path] = decode_text(bytes(self._value), self._charsets[-1], vr)

    def begin_sequence(self, tag: int, vr: bytes, offset: int) -> None:
        self._path.append(f"{tag:08X}")
        self._index.append(0)

    def end_sequence(self) -> None:
        self._path.pop()
        self._index.pop()

    def begin_item(self, offset: int) -> None:
        self._path.append(f"[{self._index[-1]}].")
        self._index[-1] += 1
        self._charsets.append(self._charsets[-1])

    def end_item(self) -> None:
        self._path.pop()
        self._charsets.pop()


@cache
def _walked(path: Path) -> tuple[_Flat, Part10Reader, FileMeta]:
    flat = _Flat()
    reader = Part10Reader(visitor=flat)
    reader.feed(path.read_bytes())
    meta = reader.finish().meta
    return flat, reader, meta


def _theirs(dataset: Dataset, prefix: str = "") -> Seen:
    found: Seen = []
    raws = {tag: dataset.get_item(tag) for tag in dataset.keys()}  # noqa: SIM118 — all before one is converted
    for tag, raw in raws.items():
        number = int(tag)
        path = f"{prefix}{number:08X}"
        if isinstance(raw, RawDataElement):
            is_sequence = (raw.VR or vr_of(number)) == "SQ"
            if is_sequence:
                raw = dataset[tag]
            elif raw.length != 0xFFFFFFFF:
                found.append((path, number, raw.value or b""))
                continue
            else:
                continue  # encapsulated pixel data, compared by fragments
        elif raw.VR != "SQ":
            if number != 0x00080005:  # the character set is decoded at once; the text is compared below
                assert raw.is_empty, path
                found.append((path, number, b""))
            continue
        for index, inner in enumerate(raw.value):
            found.extend(_theirs(inner, f"{path}[{index}]."))
    return found


def _valid() -> list[Path]:
    return [path for path in real_files() if path.name[:4] not in BROKEN.keys() | NOT_READ_BY_PYDICOM.keys()]


def _read(path: Path) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, force=True)


def test_files_that_do_not_walk_are_broken_and_listed() -> None:
    for path in real_files():
        expected = BROKEN.get(path.name[:4])
        reader = Part10Reader()
        try:
            reader.feed(path.read_bytes())
            reader.finish()
        except DatasetError as error:
            assert expected is not None and error.code == expected[0], (path.name, error.code)
        else:
            assert expected is None, path.name


def test_elements_of_every_level_are_the_same() -> None:
    for path in _valid():
        ours = {(where, value) for where, tag, value in _walked(path)[0].seen if tag != 0x00080005}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = {(where, value) for where, tag, value in _theirs(_read(path)) if tag != 0x00080005}
        assert ours == theirs, path.name


def test_places_and_lengths_are_the_same() -> None:
    for path in _valid():
        flat, _, meta = _walked(path)
        if meta.transfer_syntax.is_deflated:
            continue
        dataset = _read(path)
        for tag in dataset.keys():  # noqa: SIM118
            raw = dataset.get_item(tag)
            if isinstance(raw, RawDataElement) and int(tag) in flat.top:
                offset, length = flat.top[int(tag)]
                header = raw.value_tell - meta.dataset_offset - offset
                assert (length, header in (8, 12)) == (raw.length, True), (path.name, tag)


def test_fragments_and_offset_tables_are_the_same() -> None:
    compared = 0
    for path in _valid():
        pixels = _walked(path)[1].finish().structure.pixel_data
        if pixels is None or not pixels.is_encapsulated:
            continue
        raw = _read(path).get_item(0x7FE00010)
        assert isinstance(raw, RawDataElement) and raw.value is not None
        buffer = DicomBytesIO(raw.value)
        buffer.is_little_endian = True
        assert list(pixels.basic_offset_table) == parse_basic_offsets(buffer)
        data, base = path.read_bytes(), _walked(path)[2].dataset_offset
        ours = [data[base + at : base + at + length] for at, length in pixels.fragments]
        assert ours == list(generate_fragments(buffer)), path.name
        compared += 1
    assert compared > 100


def test_text_of_every_level_is_the_same() -> None:
    different = []
    compared = 0
    for path in _valid():
        for where, text in _their_text(_read(path)).items():
            ours = _walked(path)[0].text.get(where)
            compared += ours is not None
            if ours is not None and not _is_equal(ours, text):
                different.append((path.name, where, ours, text))
    assert not different
    assert compared > 10_000


def _is_equal(ours: str, theirs: tuple[str, list[str]]) -> bool:
    vr, values = theirs
    if any("\x1b" in value for value in values):
        return True  # pydicom gave up on an escape sequence that is in PS3.3 table C.12-4
    if vr == "PN":
        ours = "\\".join(part.rstrip("= ") for part in ours.split("\\"))
    if vr in SINGLE_VRS:
        return [ours] == [value.rstrip(" \0") for value in values]
    stripped = [value.strip(" \0") for value in values]
    return [part.strip(" \0") for part in split_values(ours, vr)] == (stripped or [""])


def _their_text(dataset: Dataset, prefix: str = "") -> dict[str, tuple[str, list[str]]]:
    """Decode with pydicom, leaving out what it warns about."""
    found: dict[str, tuple[str, list[str]]] = {}
    for tag in dataset.keys():  # noqa: SIM118
        path = f"{prefix}{int(tag):08X}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                element = dataset[tag]
                if element.VR in EXTENDED_VRS and element.VR != "PN":
                    str(element.value)
        except Exception:  # noqa: BLE001 — a warning: pydicom does not vouch for it
            continue
        if element.VR == "SQ":
            for index, inner in enumerate(element.value):
                found.update(_their_text(inner, f"{path}[{index}]."))
        elif element.VR in TEXT_VRS:
            value = element.value
            several = isinstance(value, (list, pydicom.multival.MultiValue))
            values = list(value) if several else [value]
            found[path] = (element.VR, ["" if one is None else str(one) for one in values])
    return found


@pytest.fixture(scope="module", autouse=True)
def _clear() -> object:
    yield
    _walked.cache_clear()
