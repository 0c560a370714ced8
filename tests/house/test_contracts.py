"""Every import contract catches its violation: planted in a copy of the source, seen by import-linter."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VIOLATIONS: dict[str, tuple[str, str, str]] = {
    # what: (file in src/leadglass, line added, contract that must break)
    "the edge decides": ("edge/clock.py", "import leadglass.journeys.receive", "Imports point down the stairs"),
    "a room knows its sibling": ("malware/verdict.py", "import leadglass.archive.keys", "Imports point"),
    "DICOM knows the gateway": ("dicom/values.py", "import leadglass.gateway.policy", "Imports point down the stairs"),
    "a new room without a floor": ("utils/__init__.py", '"""Misc."""', "Imports point down the stairs"),
    "a room opens a socket": ("dicom/pdu.py", "import socket", "Rooms touch nothing"),
    "a journey reads a file": ("journeys/receive.py", "import pathlib", "Rooms touch nothing"),
    "arrays on the hostile path": ("dicom/elements.py", "import numpy", "Arrays and peers' parsers stay out"),
    "pydicom on the hostile path": ("archive/query.py", "import pydicom", "Arrays and peers' parsers stay out"),
    "a peer in the product": ("edge/sender.py", "import pynetdicom", "Nothing shipped needs the peers"),
}  # fmt: skip


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [str(program), "--no-cache"], cwd=folder, capture_output=True, text=True,
        env={"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin", "NO_COLOR": "1", "COLUMNS": "200"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_house_keeps_its_contracts(copy: Path) -> None:
    """The source as it is breaks none."""
    done = lint(copy)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("what", VIOLATIONS)
def test_a_planted_violation_is_caught(copy: Path, what: str) -> None:
    """One line in one file breaks the contract that forbids it."""
    name, line, contract = VIOLATIONS[what]
    path = copy / "src/leadglass" / name
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text((before or "") + f"\n{line}\n")
    try:
        done = lint(copy)
    finally:
        if before is None:
            shutil.rmtree(path.parent)
        else:
            path.write_text(before)
    assert done.returncode == 1
    broken = [text for text in done.stdout.splitlines() if " BROKEN" in text]
    assert any(contract in text for text in broken), done.stdout[-2000:]
