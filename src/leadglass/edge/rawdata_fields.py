"""Fields of an HDF5 file from elsewhere, each judged before it is read: where it lies, what it is, how large."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import h5py
import numpy as np
from numpy.typing import NDArray

from leadglass.errors import UsageError
from leadglass.limits import SCAN_TEXT_BYTES_MAX

_FILTERS: Final = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
"""What may stand between the disk and the numbers; anything else would load a plug-in the file names."""

_CHUNK_BYTES_MAX: Final = 256 << 20
_ATTRIBUTES_MAX: Final = 64


def refusal(path: Path, what: str, hint: str) -> UsageError:
    """Make the error that says what is wrong with a file."""
    return UsageError(f"{path} {what}.", hint=hint)


class Fields:
    """Takes values out of a file by their place. Every failure is a UsageError that names the place."""

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file, self.path = file, path

    def dataset(self, place: str) -> h5py.Dataset:
        """Find a dataset by hard links alone, stored in this file, through known filters."""
        group: h5py.Group = self._file
        *folders, last = place.split("/")
        for depth, name in enumerate([*folders, last]):
            link = group.get(name, getlink=True) if isinstance(group, h5py.Group) else None
            if link is None:
                raise refusal(self.path, f"has no /{place}", "Export it again: docs/spec/raw-data.md lists all fields.")
            if not isinstance(link, h5py.HardLink):
                where = "/".join([*folders, last][: depth + 1])
                raise refusal(self.path, f"points elsewhere at /{where}", "Links out of a scan are not followed.")
            group = group[name]
        if not isinstance(group, h5py.Dataset):
            raise refusal(self.path, f"has a group at /{place}, where numbers belong", "Export it again.")
        self._judge(group, place)
        return group

    def _judge(self, data: h5py.Dataset, place: str) -> None:
        plan = data.id.get_create_plist()
        if data.external is not None or data.is_virtual:
            raise refusal(self.path, f"keeps /{place} in other files", "Export it into one file.")
        used = {plan.get_filter(index)[0] for index in range(plan.get_nfilters())}
        if not used <= _FILTERS:
            raise refusal(self.path, f"packs /{place} in a way that is not read", "Use gzip, shuffle or none.")
        if data.dtype.kind not in "uifbOS" or data.dtype.hasobject != (h5py.check_string_dtype(data.dtype) is not None
                                                                      and data.dtype.kind == "O"):  # fmt: skip
            raise refusal(self.path, f"has no numbers and no text at /{place}", "Export it again.")
        if data.chunks is None:
            return
        if int(np.prod(data.chunks, dtype=np.uint64)) * data.dtype.itemsize > _CHUNK_BYTES_MAX:
            raise refusal(self.path, f"has chunks of more than 256 MiB at /{place}", "Store smaller chunks.")
        expected = int(np.prod([-(-n // c) for n, c in zip(data.shape, data.chunks, strict=True)], dtype=np.uint64))
        if data.id.get_num_chunks() != expected:
            raise refusal(self.path, f"lacks a part of /{place}: it was never finished", "Export or simulate it again.")

    def shape(self, place: str, dimensions: int) -> tuple[int, ...]:
        """Give the shape of numbers, of so many dimensions and none of them empty."""
        data = self.dataset(place)
        if data.dtype.kind not in "uif" or data.ndim != dimensions or not all(data.shape):
            raise refusal(self.path, f"has {data.shape} at /{place}, not {dimensions} dimensions", "Export it again.")
        return tuple(int(n) for n in data.shape)

    def array(self, place: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Read numbers of exactly this shape."""
        if self.shape(place, len(shape)) != shape:
            raise refusal(self.path, f"has {self.shape(place, len(shape))} at /{place}, where the counts need {shape}",
                          "It is another scan's: calibrate or export again.")  # fmt: skip
        return np.asarray(self.dataset(place)[...], dtype=np.float64)

    def numbers(self, place: str, least: int, most: int) -> NDArray[np.float64]:
        """Read a row of `least` to `most` finite numbers."""
        data = self.dataset(place)
        if data.ndim != 1 or not least <= data.size <= most or data.dtype.kind not in "uif":
            raise refusal(self.path, f"has {data.shape} at /{place}, not a row of numbers", "Export it again.")
        values = np.asarray(data[...], dtype=np.float64)
        if not np.isfinite(values).all():
            raise refusal(self.path, f"has something that is no number at /{place}", "Export it again.")
        return values

    def number(self, place: str) -> float:
        """Read one finite number."""
        data = self.dataset(place)
        if data.shape != () or data.dtype.kind not in "uif" or not np.isfinite(data[()]):
            raise refusal(self.path, f"has no number at /{place}", "Export it again.")
        return float(data[()])

    def positive(self, place: str) -> float:
        """Read one number above zero."""
        value = self.number(place)
        if value <= 0:
            raise refusal(self.path, f"has {value:g} at /{place}", "It must be above 0.")
        return value

    def whole(self, place: str) -> int:
        """Read one whole number."""
        value = self.number(place)
        if value != int(value):
            raise refusal(self.path, f"has {value:g} at /{place}", "It must be a whole number.")
        return int(value)

    def text(self, place: str) -> str:
        """Read one short text."""
        data = self.dataset(place)
        if data.shape != () or h5py.check_string_dtype(data.dtype) is None:
            raise refusal(self.path, f"has no text at /{place}", "Export it again.")
        return self._decoded(data[()], place)

    def texts(self, place: str) -> tuple[str, ...]:
        """Read a row of short texts."""
        data = self.dataset(place)
        if data.ndim != 1 or data.size > _ATTRIBUTES_MAX or h5py.check_string_dtype(data.dtype) is None:
            raise refusal(self.path, f"has no row of text at /{place}", "Export it again.")
        return tuple(self._decoded(one, place) for one in data[...])

    def attributes(self, place: str) -> dict[str, str]:
        """Read a group's text attributes; a group that is not there has none."""
        group: h5py.Group = self._file
        for name in place.split("/"):
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                return {}
            group = group[name]
        if len(group.attrs) > _ATTRIBUTES_MAX:
            raise refusal(self.path, f"has more than {_ATTRIBUTES_MAX} notes at /{place}", "Leave some out.")
        return {key: self._decoded(value, place) for key, value in group.attrs.items() if key != "NX_class"}

    def _decoded(self, value: object, place: str) -> str:
        raw = value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
        if len(raw) > SCAN_TEXT_BYTES_MAX:
            raise refusal(self.path, f"has text of {len(raw)} bytes at /{place}", "Shorten it.")
        return raw.decode("utf-8", "replace")
