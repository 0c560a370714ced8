"""Hold two data sets against each other, element by element and pixel by pixel."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import DataElement, Dataset, config, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset
from pydicom.tag import Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from tests.peers.harness import fast_sender

config.settings.reading_validation_mode = config.IGNORE


def dataset_bytes(path: Path) -> bytes:
    """Give the data set of a file as it lies there, after the meta information."""
    return bytes(fast_sender.split_file(path)[3])


def pixel_distance(one: Dataset, other: Dataset) -> float:
    """Give the largest difference of a value, infinite where pydicom cannot decode one of them."""
    try:
        left, right = one.pixel_array, other.pixel_array
    except Exception:  # noqa: BLE001 - pydicom raises of every kind on objects it has no codec for
        return math.inf
    if left.shape != right.shape:
        return math.inf
    return float(np.abs(left.astype(np.int64) - right.astype(np.int64)).max())


DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
IMPLICIT = "1.2.840.10008.1.2"


def element_differences(
    one: Dataset, other: Dataset, where: str = "", *, is_swapped: bool | None = None
) -> Iterator[str]:
    """Name every element that differs; group lengths and padding (retired, optional) are not compared."""
    if is_swapped is None:
        is_swapped = (_syntax(one) == BIG_ENDIAN) != (_syntax(other) == BIG_ENDIAN)
    tags = {element.tag for element in one} | {element.tag for element in other}
    for tag in sorted(tags):
        if tag.element == 0 or tag == 0xFFFCFFFC or tag == 0x00080001:
            continue
        name = f"{where}{tag}"
        if tag not in one or tag not in other:
            if _is_empty(one.get(tag) or other.get(tag)):
                continue
            yield f"{name} only on one side"
            continue
        left, right = one[tag], other[tag]
        if left.VR == "SQ" and right.VR == "SQ":
            if len(left.value) != len(right.value):
                yield f"{name} has {len(left.value)} and {len(right.value)} items"
                continue
            for number, (a, b) in enumerate(zip(left.value, right.value, strict=True)):
                yield from element_differences(a, b, f"{name}[{number}].", is_swapped=is_swapped)
        elif is_swapped and left.VR == right.VR == "OW":
            if np.frombuffer(left.value, "<u2").byteswap().tobytes() != right.value:
                yield f"{name} words differ"
        elif not _same(left, right):
            yield f"{name} {left.VR} {str(left.value)[:40]!r} and {right.VR} {str(right.value)[:40]!r}"


def pixel_differences(one: Dataset, other: Dataset) -> list[str]:
    """Decode both; an object whose pixels cannot be decoded on either side is compared as bytes."""
    if "PixelData" not in one:
        return []
    if _syntax(one) == DEFLATED_FRAMES and _syntax(other) != DEFLATED_FRAMES:
        # pydicom has no codec for it: each frame is a raw deflate stream (PS3.5 A.4.13).
        inflated = [zlib.decompressobj(-15).decompress(part) for part in encapsulated_frames(one)]
        frames = b"".join(inflated)
        if one.BitsAllocated == 1:  # native frames of single bits follow each other without padding (PS3.5 §8.1.1)
            count = one.Rows * one.Columns
            bits = [np.unpackbits(np.frombuffer(f, np.uint8), bitorder="little")[:count] for f in inflated]
            frames = np.packbits(np.concatenate(bits), bitorder="little").tobytes()
        return [] if frames == other.PixelData[: len(frames)] else ["pixels differ"]
    try:
        left = one.pixel_array
    except Exception as error:  # noqa: BLE001 - pydicom raises of every kind on objects it has no codec for
        return [] if one.PixelData == other.get("PixelData") else [f"bytes differ, not decodable: {error}"]
    return [] if np.array_equal(left, other.pixel_array) else ["pixels differ"]


split = fast_sender.split_file


def dataset_of(data: bytes, syntax: str) -> Dataset:
    """Read a data set that came without file meta information."""
    ds = read_dataset(BytesIO(data), is_implicit_VR=syntax == IMPLICIT, is_little_endian=syntax != BIG_ENDIAN)
    came = Dataset(ds)
    came.file_meta = FileMetaDataset()
    came.file_meta.TransferSyntaxUID = UID(syntax)
    return came


def is_private(line: str) -> bool:
    """Tell whether a line of `element_differences` is of a private element, at any depth."""
    return int(line.split(" ")[0].rpartition("(")[2][:4], 16) % 2 == 1


def is_one_of(line: str, keywords: set[str]) -> bool:
    """Tell whether a line of `element_differences` is of one of these attributes, at the top."""
    return any(line.startswith(f"{Tag(keyword)} ") for keyword in keywords)


def read(path: Path) -> Dataset:
    return dcmread(path, force=True)


def is_deflated(path: Path) -> bool:
    return fast_sender.split_file(path)[2] == DeflatedExplicitVRLittleEndian


def encapsulated_frames(ds: Dataset) -> Iterator[bytes]:
    """Give the frames of an object as they are encapsulated."""
    return generate_frames(ds.PixelData, number_of_frames=int(ds.get("NumberOfFrames") or 1))


def _syntax(ds: Dataset) -> str:
    return str(ds.file_meta.TransferSyntaxUID) if hasattr(ds, "file_meta") else ""


def _is_empty(element: object) -> bool:
    return isinstance(element, DataElement) and element.is_empty


def _same(left: DataElement, right: DataElement) -> bool:
    a, b = left.value, right.value
    if isinstance(a, bytes) and isinstance(b, bytes):
        return a.rstrip(b"\0") == b.rstrip(b"\0")
    if left.VR == "SQ" or right.VR == "SQ":
        return False
    return bool(a == b) or str(a).rstrip("\0 ") == str(b).rstrip("\0 ")
