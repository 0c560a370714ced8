"""The same object is the same, whoever wrote it: DCMTK re-encodes every clean file, and no verdict changes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from leadglass.malware.anatomy import FileInspector
from leadglass.malware.verdict import Verdict, verdict_of
from tests.dicom.made import real_files
from tests.peers.harness import programs

pytestmark = [pytest.mark.peer, pytest.mark.long]

WAYS = {
    "dcmconv +te": ["dcmconv", "+te"],
    "dcmconv +tb": ["dcmconv", "+tb"],
    "dcmconv +ti": ["dcmconv", "+ti"],
    "dcmcjpeg": ["dcmcjpeg"],
    "dcmcjpls": ["dcmcjpls"],
    "dcmcrle": ["dcmcrle"],
}
FILE_BYTES_MAX = 4 << 20

BROKEN_BY_DCMTK = {
    ("dcmcjpls", "0044"): "a 3 x 3 image: DCMTK writes FF00 for SOF55 and cannot read its own output",
    ("dcmcjpls", "0062"): "a 3 x 3 image: DCMTK writes FF00 for SOF55 and cannot read its own output",
}


def verdict(path: Path) -> tuple[Verdict, list[str]]:
    inspector = FileInspector(keep=frozenset())
    view = memoryview(path.read_bytes())
    for at in range(0, len(view), 1 << 18):
        inspector.feed(view[at : at + (1 << 18)])
    inspection = inspector.finish()
    return verdict_of(inspection), [f"{f.id} {f.claim}" for f in inspection.findings if f.severity > 1]


def reencoded(paths: list[Path], command: list[str], folder: Path) -> Iterator[tuple[Path, Path]]:
    """Give each file with what DCMTK made of it; what it cannot make is left out."""
    program = programs.path_of(command[0])

    def make(path: Path) -> tuple[Path, Path] | None:
        made = folder / path.name
        done = subprocess.run([program, *command[1:], str(path), str(made)], capture_output=True, timeout=120)
        return (path, made) if done.returncode == 0 and made.exists() else None

    with ThreadPoolExecutor(2) as pool:
        yield from filter(None, pool.map(make, paths))


@pytest.fixture(scope="module")
def clean() -> list[Path]:
    if programs.find("dcmconv") is None:
        pytest.skip("DCMTK is not installed: run tools/install_peers.sh")
    small = [path for path in real_files() if path.stat().st_size <= FILE_BYTES_MAX]
    return [path for path in small if verdict(path)[0] is Verdict.CLEAN]


@pytest.mark.parametrize("way", WAYS)
def test_no_verdict_changes_when_dcmtk_writes_it_anew(clean: list[Path], way: str, tmp_path: Path) -> None:
    changed, count = {}, 0
    for path, made in reencoded(clean, WAYS[way], tmp_path):
        count += 1
        now, reasons = verdict(made)
        if now is not Verdict.CLEAN and (WAYS[way][0], path.name[:4]) not in BROKEN_BY_DCMTK:
            changed[path.name] = (now, reasons)
        made.unlink()
    assert count >= 100, "DCMTK made hardly any"
    assert changed == {}
