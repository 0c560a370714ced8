"""The door for studies we made: a folder that appears whole or not at all, read again as a volume; pictures as PNG.

Files are written into a folder beside the target and the whole is renamed at the end, so a stopped program leaves
nothing under the target's name; what is there already is never written over.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leadglass.errors import StorageError, StorageFull, UsageError
from leadglass.imaging.to_dicom_maps import read_map
from leadglass.imaging.volume import MaterialVolume, Voxels
from leadglass.limits import MAP_BYTES_MAX


class StudyFolder:
    """A folder being filled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.length_bytes = 0

    def add(self, name: str, content: bytes) -> None:
        """Write one file. Raises StorageFull or StorageError."""
        try:
            (self._folder / name).write_bytes(content)
        except OSError as error:
            _fail(error)
        self.length_bytes += len(content)


def require_free(target: Path) -> None:
    """Raise UsageError where a study cannot be put: the name is taken, or its parent is no folder we may write in."""
    if target.exists() and not (target.is_dir() and next(os.scandir(target), None) is None):
        raise UsageError(f"{target} is already there.", hint="Name a new folder: nothing is ever written over.")
    parent = next(one for one in target.absolute().parents if one.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise UsageError(f"{target} cannot be made in {parent}.", hint="Choose another place.")


@contextmanager
def new_study_folder(target: Path) -> Iterator[StudyFolder]:
    """Fill a folder that appears under its name when everything is in it, and is gone if anything fails."""
    require_free(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    except OSError as error:
        raise UsageError(f"{target} cannot be made ({error.strerror}).", hint="Choose another place.") from error
    try:
        yield StudyFolder(partial)
        try:
            if target.exists():
                target.rmdir()
            partial.rename(target)
        except OSError as error:
            _fail(error)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def read_volume(folder: Path) -> MaterialVolume:
    """Read the material maps of a study's folder back. Raises UsageError where there are none, or they do not fit."""
    maps: dict[str, Voxels] = {}
    grid, uid = None, ""
    for path in sorted(folder.glob("map-*.dcm")):
        if path.stat().st_size > MAP_BYTES_MAX:
            raise UsageError(f"{path} is larger than any map.", hint="Is it one of ours?")
        found = read_map(path.read_bytes())
        if found is None:
            continue
        name, voxels, its_grid, uid = found
        if grid is not None and its_grid != grid:
            raise UsageError(f"{path} lies on another grid than the maps beside it.", hint="Keep studies apart.")
        grid, maps[name] = its_grid, voxels
    if grid is None:
        raise UsageError(f"{folder} holds no material maps.", hint="`leadglass recon SCAN --to FOLDER` makes them.")
    return MaterialVolume(maps, grid, uid)


def write_png(picture: NDArray[np.uint8], path: Path) -> None:
    """Write a picture [row, column, 3] so that whoever looks at the file never sees half of it."""
    beside = path.with_name(f".{path.name}.part")
    try:
        Image.fromarray(picture).save(beside, format="PNG")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        _fail(error)


def _fail(error: OSError) -> NoReturn:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise StorageFull("The disk is full.", hint="Free space, then run the command again.") from error
    raise StorageError(f"Cannot write ({error.strerror}).", hint="Check the folder and its permissions.") from error
