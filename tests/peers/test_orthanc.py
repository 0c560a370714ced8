"""Orthanc as sender, as C-MOVE destination, and as query peer, over mutual TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.peers import compare
from tests.peers.conftest import Archive
from tests.peers.corpus import Specimen
from tests.peers.harness import programs, servers
from tests.peers.harness.process import Running

pytestmark = [pytest.mark.peer, pytest.mark.long]

ORTHANC_REFUSES = {
    "0041_rtdose_rle_1frame.dcm": "C000 to any sender: it cannot take the RLE apart",
    "0045_rtdose_rle.dcm": "see 0041",
    "0306_explicit_VR-UN.dcm": "C000 to any sender: elements of VR UN inside JPEG 2000",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """A running Orthanc that knows the hub as "hub"."""

    url: str

    def get(self, path: str) -> object:
        return self._checked(requests.get(self.url + path, timeout=60)).json()

    def post(self, path: str, body: object) -> dict[str, object]:
        answer = self._checked(requests.post(self.url + path, json=body, timeout=300)).json()
        assert isinstance(answer, dict)
        return answer

    def ask(self, path: str, body: object) -> str:
        """Post, and give the reason when Orthanc says it failed."""
        answer = requests.post(self.url + path, json=body, timeout=300)
        return "" if answer.ok else str(answer.json().get("Details", answer.text))

    def file(self, instance: str) -> bytes:
        return self._checked(requests.get(f"{self.url}/instances/{instance}/file", timeout=60)).content

    @staticmethod
    def _checked(answer: requests.Response) -> requests.Response:
        assert answer.ok, answer.text
        return answer


@pytest.fixture(scope="module")
def peer(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    if programs.find("Orthanc") is None:
        pytest.skip("Orthanc is not installed: run tools/install_peers.sh")
    folder = tmp_path_factory.mktemp("orthanc")
    http_port = programs.free_port()
    hub = {"AET": "LEADGLASS", "Host": "127.0.0.1", "Port": archive.live.port, "UseDicomTls": True}
    extra: dict[str, object] = {
        "DicomAet": "ORTHANC", "DicomModalities": {"hub": hub}, "DicomAlwaysAllowFind": True,
        "UnknownSopClassAccepted": True, "StableAge": 1, "OverwriteInstances": True,
    }  # fmt: skip
    configuration = servers.orthanc_configuration(
        folder, archive.ports["ORTHANC"], http_port, sync=False, server=archive.nodes["ORTHANC"], extra=extra
    )
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    running = Running([programs.path_of("Orthanc"), str(path)], folder / "log", environment={"TCP_NODELAY": "1"})
    try:
        running.wait_for_port(http_port)
        running.wait_for_port(archive.ports["ORTHANC"])
        yield Peer(f"http://127.0.0.1:{http_port}")
    finally:
        running.stop(5)


def chosen(archive: Archive) -> list[Specimen]:
    """Take up to three objects of each pair of SOP class and transfer syntax that Orthanc takes in."""
    seen: dict[tuple[str, str], int] = {}
    out = []
    for specimen in archive.kept:
        kind = (specimen.sop_class, specimen.syntax)
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] <= 3 and specimen.sop_class.startswith("1.2.840.10008.5.1.4.1.1."):
            out.append(specimen)
    return out


def differences(specimen: Specimen, came_path: Path) -> list[str]:
    went, came = compare.read(specimen.path), compare.read(came_path)
    found = list(compare.element_differences(went, came))
    if went.file_meta.TransferSyntaxUID != came.file_meta.TransferSyntaxUID:  # Orthanc did not take the stored one
        found = [line for line in found if not compare.is_one_of(line, {"PixelData"})]
    return [*found, *compare.pixel_differences(went, came)][:3]


def test_orthanc_echoes_and_queries(archive: Archive, peer: Peer) -> None:
    """C-ECHO and a C-FIND on study level give every study."""
    peer.post("/modalities/hub/echo", {})
    query = peer.post("/modalities/hub/query", {"Level": "Study", "Query": {"PatientID": "", "StudyInstanceUID": ""}})
    answers = peer.get(f"{query['Path']}/answers?expand&simplify")
    assert isinstance(answers, list)
    assert {specimen.study for specimen in archive.kept} <= {str(answer["StudyInstanceUID"]) for answer in answers}


@pytest.mark.parametrize(("level", "key"), [
    ("Patient", "PatientID"), ("Study", "StudyInstanceUID"), ("Series", "SeriesInstanceUID"),
    ("Instance", "SOPInstanceUID"),
])  # fmt: skip
def test_orthanc_queries_at_every_level(archive: Archive, peer: Peer, level: str, key: str) -> None:
    """Orthanc walks down to one object, and what it finds is that object's."""
    kept = archive.kept
    specimen = next(s for s in kept if compare.read(s.path).get("PatientID") and len(s.series) < 60)
    went = compare.read(specimen.path)
    keys = {"PatientID": str(went.PatientID)}
    if level != "Patient":
        keys["StudyInstanceUID"] = specimen.study
    if level in ("Series", "Instance"):
        keys["SeriesInstanceUID"] = specimen.series
    if level == "Instance":
        keys["SOPInstanceUID"] = specimen.sop_instance
    query = peer.post("/modalities/hub/query", {"Level": level, "Query": keys})
    answers = peer.get(f"{query['Path']}/answers?expand&simplify")
    assert isinstance(answers, list)
    assert {str(answer[key]) for answer in answers} == {str(went[key].value)}


def test_orthanc_is_a_move_destination(archive: Archive, peer: Peer, tmp_path: Path) -> None:
    """Orthanc asks for studies and is sent them: what it then holds equals what went into the hub."""
    wanted = chosen(archive)
    for study in sorted({specimen.study for specimen in wanted}):
        peer.ask("/modalities/hub/move", {
            "Level": "Study", "Resources": [{"StudyInstanceUID": study}], "TargetAet": "ORTHANC", "Timeout": 120,
        })  # fmt: skip
    held = {}
    for instance in peer.get("/instances?expand"):
        held[instance["MainDicomTags"]["SOPInstanceUID"]] = instance["ID"]
    lost = [s for s in wanted if s.sop_instance not in held and s.origin not in ORTHANC_REFUSES]
    assert "\n".join(f"{s.origin} {s.sop_class} {s.syntax}" for s in lost) == ""
    different = {}
    for specimen in [s for s in wanted if s.sop_instance in held]:
        path = tmp_path / specimen.origin
        path.write_bytes(peer.file(held[specimen.sop_instance]))
        found = differences(specimen, path)
        if found:
            different[specimen.origin] = found
    assert different == {}


def test_what_orthanc_sends_is_acknowledged_once(archive: Archive, peer: Peer) -> None:
    """Orthanc sends back what it was sent: the hub takes it as the same instance, never as another content."""
    before = archive.site.answer("status")["counts"]
    instances = [instance["ID"] for instance in peer.get("/instances?expand")]
    assert len(instances) > 20
    failed = {}
    for instance in instances:
        reason = peer.ask("/modalities/hub/store", {"Resources": [instance], "Synchronous": True, "Timeout": 60})
        if reason:
            failed[instance] = reason
    assert failed == {}
    after = archive.site.answer("status")["counts"]
    assert after["archived"] == before["archived"]
