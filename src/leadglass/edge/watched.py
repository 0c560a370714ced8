"""A watched folder, read as if an enemy were writing in it, and what is kept of it between passes.

Links are not followed, devices and pipes are not opened, nothing is written there (`media.py` reads). What is kept
holds names, so it is a sealed record in the site's folder: nobody reads it there, and nobody alters it unseen.
"""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Protocol

from blake3 import blake3

from leadglass.edge.media import media_file, walk_folder
from leadglass.edge.media_sort import MediaFile, Reason, Skipped
from leadglass.errors import IntegrityError, PeerError, StorageError, UsageError
from leadglass.malware.ransom import FileState, Nature
from leadglass.malware.verdict import Verdict

_FORMAT = 1
_PLACE = b"watch|"

_STATE_BYTES_MAX = 1 << 30
"""What is kept of a folder, unpacked: a million files (`MEDIA_FILES_MAX`) of long names take 300 MB."""


@dataclass(frozen=True, slots=True)
class WatchedFile:
    """A regular file as it was listed."""

    name: str
    length_bytes: int
    modified_us: int
    changed_us: int
    path: Path

    def is_as_listed(self) -> bool:
        """Tell whether it still has the length and the times it was listed with."""
        try:
            return _file(self.name, self.path) == self
        except OSError:
            return False

    def pieces(self) -> Iterator[bytes]:
        """Read it; raises PeerError."""
        try:
            media = media_file(self.path, "", ())
        except OSError as error:
            raise PeerError("The file is gone.", code="media-file") from error
        yield from media.pieces()


class WatchedFolder:
    """A folder that is watched. `skipped` counts what the last listing could not look at."""

    def __init__(self, root: Path) -> None:
        """Take a folder that is there; raises UsageError."""
        self._root = root.resolve()
        self.skipped = 0
        self.require()

    @property
    def token(self) -> bytes:
        """Give what stands for the folder's path."""
        return blake3(os.fsencode(self._root)).digest()[:16]

    def require(self) -> None:
        """Raise UsageError where the folder is not there or may not be read."""
        if not self._root.is_dir() or not os.access(self._root, os.R_OK | os.X_OK):
            raise UsageError("The folder to watch is not there, or may not be read.", hint="Is its share mounted?")

    def files(self) -> Iterator[WatchedFile]:
        """List the regular files below it; raises LimitExceeded where there are too many."""
        self.skipped = 0
        for entry in walk_folder(self._root, sort=lambda file: file):
            if isinstance(entry, MediaFile):
                path = self._root.joinpath(*entry.components)
                try:
                    yield _file("/".join(entry.components), path)
                except OSError:
                    self.skipped += 1
            elif isinstance(entry, Skipped) and entry.reason in (Reason.UNREADABLE, Reason.TOO_DEEP):
                self.skipped += 1


def _file(name: str, path: Path) -> WatchedFile:
    found = path.stat(follow_symlinks=False)
    return WatchedFile(name, found.st_size, found.st_mtime_ns // 1_000, found.st_ctime_ns // 1_000, path)


class Seal(Protocol):
    """Seals small records under the site's key (`SqlCatalogue`)."""

    def seal_record(self, place: bytes, value: bytes) -> bytes: ...
    def open_record(self, place: bytes, sealed: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a folder, in plain values."""

    files: Mapping[str, FileState]
    rewritten: Mapping[str, int]
    gone: Mapping[str, int]
    at_us: int


class Memory:
    """The file in which a site keeps what it knows of a watched folder."""

    def __init__(self, site_folder: Path, token: bytes, seal: Seal) -> None:
        self._path = site_folder / "watch" / token.hex()
        self._place = _PLACE + token
        self._seal = seal

    def read(self) -> Kept | None:
        """Give what was kept, None before the first pass. Raises IntegrityError where it was altered."""
        try:
            sealed = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"What is known of the folder cannot be read: {error.strerror}.") from error
        try:
            return _parsed(self._seal.open_record(self._place, sealed))
        except (IntegrityError, ValueError, TypeError, KeyError, zlib.error) as error:
            hint = "Look at the folder with care, then take it as it is with --accept."
            raise IntegrityError("What is known of the folder was altered or cannot be read.", hint=hint) from error

    def write(self, kept: Kept) -> None:
        """Keep it, whole or not at all. Raises StorageError."""
        sealed = self._seal.seal_record(self._place, _written(kept))
        folder = self._path.parent
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=folder, prefix=".new-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(sealed)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self._path)
            except BaseException:
                with suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise StorageError(f"What is known of the folder cannot be kept: {error.strerror}.") from error


def _written(kept: Kept) -> bytes:
    value = {
        "format": _FORMAT,
        "at": kept.at_us,
        "files": {name: astuple(state) for name, state in kept.files.items()},
        "rewritten": dict(kept.rewritten),
        "gone": dict(kept.gone),
    }
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode("ascii"), 1)


def _parsed(data: bytes) -> Kept:
    inflater = zlib.decompressobj()
    plain = inflater.decompress(data, _STATE_BYTES_MAX)
    value = json.loads(plain)
    if value["format"] != _FORMAT or inflater.unconsumed_tail:
        raise ValueError("format")
    files = {name: _state(*row) for name, row in value["files"].items()}
    return Kept(files, value["rewritten"], value["gone"], value["at"])


def _state(
    length_bytes: int,
    modified_us: int,
    changed_us: int,
    digest: str,
    nature: str,
    study: str,
    verdict: str,
    random_blocks: int,
    blocks: int,
    sign: str,
) -> FileState:
    return FileState(
        length_bytes,
        modified_us,
        changed_us,
        digest,
        Nature(nature),
        study,
        Verdict(verdict),
        random_blocks,
        blocks,
        sign,
    )
