"""A power cut on a folder: only what was synced is there afterwards, and of the rest as much as the case likes.

The cut is at a sync: the bytes of every file are noted when `fdatasync` returns for it, and the folder is built again
from those notes. What was never synced is gone, or torn: half of it is there, as write-back may leave it.
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

_SYNC, _RENAME = os.fdatasync, os.rename


class PowerGone(BaseException):
    """Nothing happens after this."""


class Power:
    """Watch a folder's syncs through `monkeypatch`; the power goes at sync number `goes_at`, before it is done."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, goes_at: int | None = None) -> None:
        self._folder = folder
        self._durable = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self._goes_at = goes_at
        self._lock = threading.Lock()
        self._staged: dict[Path, bytes] | None = None
        self.is_gone = False
        self.syncs = 0
        monkeypatch.setattr(os, "fdatasync", self.fdatasync)
        monkeypatch.setattr(os, "rename", self.rename)

    def fdatasync(self, fd: int) -> None:
        """Sync, and note what is safe now."""
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        if not path.is_relative_to(self._folder):
            _SYNC(fd)
            return
        with self._lock:
            if self.syncs == self._goes_at and not self.is_gone:
                self.is_gone = True
                self._staged = self._staging()
            if self.is_gone:
                raise PowerGone
            self.syncs += 1
            self._durable[path] = path.read_bytes()

    def rename(self, source: Path, target: Path) -> None:
        """Move a file; its name moves on the disk too."""
        with self._lock:
            if self.is_gone:
                raise PowerGone
            _RENAME(source, target)
            if source in self._durable:
                self._durable[target] = self._durable.pop(source)

    def _staging(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (self._folder / "staging").iterdir()}

    def survive(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Power:
        """Kill the process alone: all of its files are there in a new folder, and what was not synced still is not."""
        shutil.copytree(self._folder, folder)
        power = Power(folder, monkeypatch)
        power._durable = {folder / path.relative_to(self._folder): data for path, data in self._durable.items()}
        return power

    def _has_moved(self, path: Path) -> bool:
        return any(other.name == path.name for other in self._durable)

    def leave(self, folder: Path, *, is_torn: bool) -> None:
        """Build what a start after the cut finds."""
        for path, data in self._durable.items():
            target = folder / path.relative_to(self._folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        for path, data in (self._staging() if self._staged is None else self._staged).items():
            target = folder / path.relative_to(self._folder)
            if path not in self._durable and not self._has_moved(path):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data[: len(data) // 2] if is_torn else b"")
        shutil.rmtree(self._folder, ignore_errors=True)
