"""DCMTK's clients as hospitals run them, with and without TLS: echoscu, findscu, storescu, dcmsend, getscu.

What they send is compared element by element and pixel by pixel: DCMTK writes data sets anew (lengths, padding), so
bytes may differ where meaning does not.
"""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.peers import compare
from tests.peers.conftest import Archive
from tests.peers.corpus import Specimen
from tests.peers.harness import programs
from tests.peers.harness.process import Running
from tests.peers.harness.servers import Live
from tests.peers.tunnel import tunnel

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


@contextmanager
def connected(archive: Archive, door: str) -> Iterator[list[str]]:
    """Give what a client needs to connect: TLS of its own, none, or a tunnel's where it has none."""
    if door != "tunnel":
        yield doors(archive)[door].dcmtk_arguments()
        return
    with tunnel(archive.live.port, archive.nodes["SENDER"]) as port:
        yield ["-aet", "SENDER", "-aec", "LEADGLASS", "127.0.0.1", str(port)]


@contextmanager
def receiver(archive: Archive, title: str, folder: Path) -> Iterator[Path]:
    """Run storescp as a node of the site, with TLS unless it is the old one; gives the folder it fills."""
    into = folder / "into"
    into.mkdir()
    tls: list[str] = []
    if credentials := archive.nodes.get(title):
        tls = ["+tls", str(credentials.key), str(credentials.certificate), "+cf", str(credentials.authority)]
    running = Running(
        [programs.path_of("storescp"), "-aet", title, "+B", "+xa", "-od", str(into), "--fork", *tls,
         str(archive.ports[title])],
        folder / "log", environment={"TCP_NODELAY": "1"},
    )  # fmt: skip
    try:
        running.wait_for_port(archive.ports[title])
        yield into
    finally:
        running.stop(2)


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


@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
@pytest.mark.parametrize("title", ["STORESCP", "OLDSCP"])
@pytest.mark.parametrize("door", ["tunnel", "plain"])
def test_movescu_moves(archive: Archive, door: str, title: str, level: str, tmp_path: Path) -> None:
    """Asked with and without TLS, delivered with and without TLS, at each level: bit by bit, and nothing else."""
    groups: dict[str, list[Specimen]] = defaultdict(list)
    for specimen in archive.kept:
        if specimen.syntax in UNCOMPRESSED:
            groups[specimen.series].append(specimen)
    group = next(group for _, group in sorted(groups.items()) if 1 < len(group) < 8)
    first = group[0]
    keys = {"STUDY": {}, "SERIES": {"SeriesInstanceUID": first.series},
            "IMAGE": {"SeriesInstanceUID": first.series, "SOPInstanceUID": first.sop_instance}}[level]  # fmt: skip
    asked = {"QueryRetrieveLevel": level, "StudyInstanceUID": first.study, **keys}
    with receiver(archive, title, tmp_path) as into, connected(archive, door) as arguments:
        options = [option for name, value in asked.items() for option in ("-k", f"{name}={value}")]
        done = run("movescu", "-S", "-aem", title, *arguments, *options)
    assert done.returncode == 0, done.stderr
    wanted = [first] if level == "IMAGE" else group
    for specimen in wanted:
        [path] = into.glob(f"*{specimen.sop_instance}")
        assert compare.dataset_bytes(path) == bytes(specimen.dataset), specimen.origin
    if level == "IMAGE":
        assert len(list(into.iterdir())) == 1


def test_movescu_to_a_stranger_is_refused(archive: Archive) -> None:
    """A801 (move destination unknown) for an unknown title, A702 for a known one where nobody answers."""
    asked = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={archive.kept[0].study}"]
    arguments = archive.plain.dcmtk_arguments()
    done = run("movescu", "-v", "-S", "-aem", "STRANGER", *arguments, *asked)
    assert "MoveDestinationUnknown" in done.stdout + done.stderr
    done = run("movescu", "-v", "-S", "-aem", "STORESCP", *arguments, *asked)
    assert "OutOfResourcesSubOperations" in done.stdout + done.stderr
    assert done.returncode != 0


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
    ("storescu", "TLS", "7"), ("storescu", "plain", "8"), ("dcmsend", "plain", "9"), ("dcmsend", "tunnel", "6"),
])  # fmt: skip
def test_what_dcmtk_sends_comes_back_the_same(
    archive: Archive, program: str, door: str, digit: str, tmp_path: Path
) -> None:
    """storescu (TLS, plain) and dcmsend (plain, and through a tunnel: it has no TLS) send objects of every kind."""
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
    options = ["-nh", "-R"] if program == "storescu" else ["-dn", "-nh"]
    with connected(archive, door) as arguments:
        done = run(program, *options, *arguments, *[str(s.path) for s in group])
    assert done.returncode == 0, done.stderr[-2000:]
    assert sent_and_fetched(archive, group, into) == {}
