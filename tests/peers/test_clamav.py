"""ClamAV itself is asked: a clamd with a signature of our own finds EICAR where our client sends it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from leadglass.edge.engines_clamd import Clamd, parse_address
from leadglass.finding import Assessed, Inspection, NotAssessed, Severity
from tests.dicom.made import real_files
from tests.peers.harness import programs
from tests.peers.harness.process import Running

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(programs.find("clamd") is None, reason="clamd is not installed"),
]

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
LENGTH_MAX = 4 << 20
START_SECONDS = 60.0


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clamd]:
    folder = tmp_path_factory.mktemp("clamav")
    database = folder / "database"
    database.mkdir()
    (database / "own.ndb").write_text(f"Leadglass.Eicar:0:*:{EICAR.hex()}\n")
    door = folder / "clamd.ctl"
    settings = folder / "clamd.conf"
    settings.write_text(
        f"LocalSocket {door}\nDatabaseDirectory {database}\nForeground yes\nStreamMaxLength {LENGTH_MAX}\n"
        f"TemporaryDirectory {folder}\n" + ("User root\n" if os.geteuid() == 0 else "")
    )
    running = Running([programs.path_of("clamd"), "--config-file", str(settings)], folder / "clamd.log")
    try:
        patience = time.monotonic() + START_SECONDS
        while not door.exists():
            assert running.is_alive() and time.monotonic() < patience, running.tail()
            time.sleep(0.05)
        yield parse_address(str(door), seconds=20)
    finally:
        running.stop()


def scanned(clamd: Clamd, data: bytes, cut: int = 100_000) -> Inspection:
    scan = clamd.scan()
    for at in range(0, len(data), cut):
        scan.feed(memoryview(data)[at : at + cut])
    return scan.finish()


def test_clean_images_are_clean(clamd: Clamd) -> None:
    for path in real_files()[::60]:
        if path.stat().st_size < LENGTH_MAX:
            assert scanned(clamd, path.read_bytes()) == Assessed(), path.name


def test_eicar_is_found_alone_and_inside_an_image(clamd: Clamd) -> None:
    image = real_files()[0].read_bytes()
    for data in (EICAR, image[:1_000] + EICAR + image[1_000:]):
        (finding,) = scanned(clamd, data, cut=37).findings
        assert (finding.id, finding.severity) == ("LG-CLM-001", Severity.HIGH)
        assert finding.claim.startswith("The virus scanner finds Leadglass.Eicar")


def test_a_stream_longer_than_it_takes_is_not_assessed(clamd: Clamd) -> None:
    assert scanned(clamd, bytes(LENGTH_MAX * 3)) == NotAssessed("The file is longer than the virus scanner takes.")


def test_leadglass_inspect_asks_it(clamd: Clamd, tmp_path: Path) -> None:
    from tests.cli.conftest import run

    (tmp_path / "a.txt").write_bytes(b"words")
    assert run("inspect", tmp_path, "--clamd", clamd.path).code == 0
    (tmp_path / "b.txt").write_bytes(b"words and " + EICAR)
    done = run("inspect", tmp_path, "--clamd", clamd.path, "--json")
    assert done.code == 1 and "LG-CLM-001" in done.out
