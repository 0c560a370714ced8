"""A route forwards to Orthanc and to pynetdicom: tried again until it arrives, over a restart, one by one."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from pydicom import dcmread
from pynetdicom import AE, evt

from tests.peers import compare, corpus
from tests.peers.conftest import send_exactly
from tests.peers.harness import programs, servers
from tests.peers.harness.certificates import Credentials
from tests.peers.harness.leadglass import Site
from tests.peers.harness.process import Running

pytestmark = [pytest.mark.peer, pytest.mark.long]

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


@dataclass(frozen=True, slots=True)
class Route:
    """A site that forwards everything to two nodes."""

    site: Site
    credentials: dict[str, Credentials]
    ports: dict[str, int]
    specimens: list[corpus.Specimen]


@pytest.fixture
def route(tmp_path: Path) -> Iterator[Route]:
    if not corpus.FOLDER.is_dir():
        pytest.skip(f"no test objects: {corpus.FOLDER} is not there")
    site = Site(tmp_path)
    ports = {name: programs.free_port() for name in ("ORTHANC", "ONLYCT")}
    credentials = {name: site.add_node(name, port=port) for name, port in ports.items()}
    credentials["SENDER"] = site.add_node("SENDER")
    policy = site.folder / "policy.toml"
    policy.write_text(policy.read_text().replace('from = "*"\n', 'from = "*"\nforward_to = ["ORTHANC", "ONLYCT"]\n', 1))
    good, _ = corpus.specimens(tmp_path / "objects")
    plain = [s for s in good if s.syntax == "1.2.840.10008.1.2.1"]
    specimens = [next(s for s in plain if s.sop_class == MR), *[s for s in plain if s.sop_class == CT][:4]]
    try:
        yield Route(site, credentials, ports, specimens)
    finally:
        site.stop()


def until(holds: Callable[[], bool], seconds: float = 90.0) -> None:
    """Look again and again until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.2)


def failures(site: Site, node: str) -> int:
    entries = [line for line in site.ledger() if line["kind"] == "send-failed"]
    return sum(json.dumps(line).count(f'"{node}"') > 0 for line in entries)


def test_what_could_not_be_sent_arrives_after_a_restart(route: Route, tmp_path: Path) -> None:
    """Orthanc is down: each delivery fails and is recorded. The hub restarts, Orthanc comes up: it has everything."""
    if programs.find("Orthanc") is None:
        pytest.skip("Orthanc is not installed: run tools/install_peers.sh")
    site = route.site
    site.serve()
    statuses = send_exactly(site.live(route.credentials["SENDER"]), route.specimens)
    assert set(statuses.values()) == {0}
    until(lambda: failures(site, "ORTHANC") >= len(route.specimens))
    site.stop()
    folder, http_port = tmp_path / "orthanc", programs.free_port()
    folder.mkdir()
    configuration = servers.orthanc_configuration(
        folder, route.ports["ORTHANC"], http_port, sync=False, server=route.credentials["ORTHANC"]
    )
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    running = Running([programs.path_of("Orthanc"), str(folder / "orthanc.json")], folder / "log")
    try:
        running.wait_for_port(http_port)
        running.wait_for_port(route.ports["ORTHANC"])
        site.serve()
        url = f"http://127.0.0.1:{http_port}/instances"
        assert running.is_alive(), running.tail()
        until(lambda: len(requests.get(url, timeout=10).json()) >= len(route.specimens))
        held = {
            one["MainDicomTags"]["SOPInstanceUID"]: one["ID"]
            for one in requests.get(f"{url}?expand", timeout=10).json()
        }
        for specimen in route.specimens:
            path = tmp_path / specimen.origin
            path.write_bytes(requests.get(f"{url}/{held[specimen.sop_instance]}/file", timeout=10).content)
            assert compare.dataset_bytes(path) == bytes(specimen.dataset), specimen.origin
    finally:
        running.stop(5)


def test_an_object_its_node_does_not_take_keeps_no_other_back(route: Route) -> None:
    """A node takes CT alone: the MR sent first is recorded as failed, and every CT behind it arrives."""
    heard: queue.Queue[str] = queue.Queue()

    def keep(event: evt.Event) -> int:
        heard.put(str(event.request.AffectedSOPInstanceUID))
        return 0

    listener = AE("ONLYCT")
    listener.add_supported_context(CT)
    server = listener.start_server(
        ("127.0.0.1", route.ports["ONLYCT"]), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)],
        ssl_context=route.credentials["ONLYCT"].server_context(),
    )  # fmt: skip
    try:
        route.site.serve()
        statuses = send_exactly(route.site.live(route.credentials["SENDER"]), route.specimens)
        assert set(statuses.values()) == {0}
        wanted = {specimen.sop_instance for specimen in route.specimens if specimen.sop_class == CT}
        assert {heard.get(timeout=60) for _ in wanted} == wanted
        until(lambda: failures(route.site, "ONLYCT") >= 1)
        assert dcmread(route.specimens[0].path).Modality == "MR"
    finally:
        server.shutdown()
