"""DCMTK's clients as hospitals run them, with and without TLS: echoscu, findscu, storescu, dcmsend, getscu.

What they send is compared element by element and pixel by pixel: DCMTK writes data sets anew (lengths, padding), so
bytes may differ where meaning does not.
"""

from __future__ import annotations

import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from tests.peers import compare
from tests.peers.conftest import Archive
from tests.peers.corpus import Specimen
from tests.peers.harness import programs
from tests.peers.harness.servers import Live

pytestmark = [pytest.mark.peer, pytest.mark.long]

UNCOMPRESSED = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}


NOT_PROPOSED = {"1.2.840.10008.5.1.4.1.1.30"}
"""Parametric Map: getscu 3.6.9 does not propose it (at most 120 classes); pynetdicom and DICOMweb fetch it instead."""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [programs.path_of(program), *arguments], capture_output=True, text=True, timeout=300,
        env={"TCP_NODELAY": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip


def doors(archive: Archive) -> dict[str, Live]:
    return {"TLS": archive.live, "plain": archive.plain}


@pytest.mark.parametrize("door", ["TLS", "plain"])
def test_echoscu_is_answered(archive: Archive, door: str) -> None:
    done = run("echoscu", *doors(archive)[door].dcmtk_arguments())
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("door", ["TLS", "plain"])
@pytest.mark.parametrize("model", ["-P", "-S"])
def test_findscu_finds_every_study(archive: Archive, door: str, model: str, tmp_path: Path) -> None:
    """Patient root and study root; each answer holds what was asked for, no study is missing or twice."""
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID", "-k", "PatientID", "-k", "StudyDate"]
    if model == "-P":
        wanted = defaultdict(set)
        for specimen in archive.kept:
            wanted[str(compare.read(specimen.path).get("PatientID") or "")].add(specimen.study)
        patient = max((name for name in wanted if name and "*" not in name), key=lambda name: len(wanted[name]))
        keys[5] = f"PatientID={patient}"
        expected = wanted[patient]
    else:
        expected = {specimen.study for specimen in archive.kept}
    done = run("findscu", model, *doors(archive)[door].dcmtk_arguments(), "-X", "-od", str(tmp_path), *keys)
    assert done.returncode == 0, done.stderr
    found = [str(compare.read(path).StudyInstanceUID) for path in tmp_path.glob("rsp*")]
    assert expected <= set(found)
    if model == "-P":
        assert set(found) == expected


@pytest.mark.parametrize("door", ["TLS", "plain"])
def test_getscu_gets_a_study_as_it_was_sent(archive: Archive, door: str, tmp_path: Path) -> None:
    """C-GET of every uncompressed study: getscu proposes the uncompressed syntaxes alone."""
    by_study: dict[str, list[Specimen]] = defaultdict(list)
    for specimen in archive.kept:
        by_study[specimen.study].append(specimen)
    plain = [group for group in by_study.values() if all(s.syntax == "1.2.840.10008.1.2.1" for s in group)]
    assert len(plain) > 10
    for group in plain[:12]:
        done = run("getscu", "-S", "+B", "-od", str(tmp_path), *doors(archive)[door].dcmtk_arguments(),
                   "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={group[0].study}")  # fmt: skip
        assert done.returncode == 0, done.stderr
        for specimen in group:
            [path] = tmp_path.glob(f"*{specimen.sop_instance}")
            assert compare.dataset_bytes(path) == bytes(specimen.dataset), specimen.origin


def sent_and_fetched(archive: Archive, group: list[Specimen], into: Path) -> dict[str, list[str]]:
    """Fetch by C-GET what a client sent; gives the differences by file."""
    different: dict[str, list[str]] = {}
    for specimen in group:
        done = run("getscu", "-S", "+B", "-od", str(into), *archive.live.dcmtk_arguments(),
                   "-k", "QueryRetrieveLevel=IMAGE", "-k", f"StudyInstanceUID={specimen.study}",
                   "-k", f"SeriesInstanceUID={specimen.series}", "-k", f"SOPInstanceUID={specimen.sop_instance}",
                   )  # fmt: skip
        assert done.returncode == 0, done.stderr
        path = next(into.glob(f"*{specimen.sop_instance}"), None)
        if path is None:
            different[specimen.origin] = ["did not come back", specimen.sop_class, done.stderr[-300:]]
            continue
        went, came = compare.read(specimen.path), compare.read(path)
        found = [*compare.element_differences(went, came), *compare.pixel_differences(went, came)]
        if found:
            different[specimen.origin] = found[:3]
    return different


def renamed(specimen: Specimen, folder: Path, digit: str, taken: set[str]) -> Specimen | None:
    """Copy a specimen under a new SOP Instance UID of the same length."""
    uid = specimen.sop_instance
    head, last = uid.rsplit(".", 1)
    new = f"{head}.{digit}{last[1:]}" if len(last) > 3 and last[0] != digit else None
    raw = specimen.path.read_bytes()
    if new is None or new in taken or raw.count(uid.encode()) < 2:
        return None
    taken.add(new)
    path = folder / specimen.origin
    path.write_bytes(raw.replace(uid.encode(), new.encode()))
    return Specimen(specimen.origin, path, specimen.sop_class, new, specimen.syntax, specimen.study, specimen.series)


@pytest.mark.parametrize(("program", "door", "digit"), [
    ("storescu", "TLS", "7"), ("storescu", "plain", "8"), ("dcmsend", "plain", "9"),
])  # fmt: skip
def test_what_dcmtk_sends_comes_back_the_same(
    archive: Archive, program: str, door: str, digit: str, tmp_path: Path
) -> None:
    """storescu (TLS, plain) and dcmsend (it has no TLS) send uncompressed objects of every kind."""
    folder, into = tmp_path / "out", tmp_path / "in"
    folder.mkdir()
    into.mkdir()
    taken = {specimen.sop_instance for specimen in archive.specimens}
    storage = "1.2.840.10008.5.1.4.1.1."
    sent = [s for s in archive.kept if s.syntax in UNCOMPRESSED and s.sop_class.startswith(storage)]
    sent = [s for s in sent if s.sop_class not in NOT_PROPOSED]
    made = [renamed(specimen, folder, digit, taken) for specimen in sent]
    group = [specimen for specimen in made if specimen is not None]
    assert len(group) > 30
    live = doors(archive)[door]
    options = ["-nh", "-R"] if program == "storescu" else ["-dn", "-nh"]
    done = run(program, *options, *live.dcmtk_arguments(), *[str(s.path) for s in group])
    assert done.returncode == 0, done.stderr[-2000:]
    assert sent_and_fetched(archive, group, into) == {}
