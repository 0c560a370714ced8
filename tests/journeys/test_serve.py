"""`leadglass serve` opens every door that the settings name, and closes them in order when told to."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leadglass.edge.site import Site as SiteFolder
from leadglass.journeys.ports import LedgerLine
from leadglass.wiring import Hub
from tests.journeys.images import image, uid_of
from tests.peers.harness.leadglass import PROGRAM, Site
from tests.peers.harness.servers import Live
from tests.peers.harness.wire import CT, EXPLICIT, MULTI_FRAME, Refused, message_pdus


def test_every_door_of_the_settings_opens_and_closes(tmp_path: Path) -> None:
    """Mutual TLS, plaintext and the console listen where leadglass.toml says; SIGTERM ends with exit code 0."""
    site = Site(tmp_path, plain=True)
    running = site.serve()
    try:
        said = json.loads(site.log.read_text().splitlines()[0])
        assert (said["tls_port"], said["plain_port"], said["web_port"]) == (
            site.tls_port, site.plain_port, site.web_port
        )  # fmt: skip
        for port in (site.tls_port, site.plain_port, site.web_port):
            socket.create_connection(("127.0.0.1", port), 10).close()
    finally:
        status = running.stop()
    assert status == 0


class Open:
    """A running site with a sender, a node that may only query, and its books."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(folder)
        sender, reader = self.site.add_node("SENDER"), self.site.add_node("READER", may="query")
        self.site.serve()
        self.sender: Live = self.site.live(sender)
        self.reader: Live = self.site.live(reader, calling="READER")
        self.hub = Hub.open(SiteFolder.open(self.site.folder))

    def close(self) -> None:
        self.hub.close()
        self.site.stop()

    def wait_for(self, is_it: Callable[[LedgerLine], bool]) -> LedgerLine:
        """Wait until the ledger's last lines hold one: the peer may see its answer first."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for line in self.hub.catalogue.ledger(limit=10):
                if is_it(line):
                    return line
            time.sleep(0.02)
        pytest.fail(f"Not in the ledger; there is {self.hub.catalogue.ledger(limit=10)}")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    running = Open(tmp_path_factory.mktemp("serve"))
    yield running
    running.close()


def test_objects_of_one_association_are_answered_one_by_one(opened: Open) -> None:
    client = opened.sender.associate([(1, CT, [EXPLICIT])])
    for number in (1, 2, 1):
        client.send(message_pdus(number, 1, CT, uid_of(number), image(number)))
        assert client.read_status() == 0
    client.release()
    assert opened.hub.catalogue.counts()["archived"] == 2
    opened.wait_for(lambda line: line.kind == "object-duplicate")


def test_an_object_cut_off_in_the_middle_is_recorded_and_gone(opened: Open) -> None:
    client = opened.sender.associate([(1, CT, [EXPLICIT])])
    message = message_pdus(1, 1, CT, uid_of(50), image(50, pixels=60_000))
    client.send(message[: len(message) // 2])
    client.close()
    line = opened.wait_for(lambda line: line.kind == "object-aborted")
    assert line.actor == "SENDER"
    assert line.subject is not None
    assert not opened.hub.catalogue.has_object(line.subject)
    assert not (opened.site.folder / "staging" / line.subject.hex()).exists()


def test_what_a_node_may_not_ask_is_not_agreed_on(opened: Open) -> None:
    """READER may query: its proposal to store is answered, and its object is not taken."""
    before = opened.hub.catalogue.counts()
    client = opened.reader.associate([(1, CT, [EXPLICIT])])
    assert client.accepted == {}
    with pytest.raises((Refused, OSError)):
        client.send(message_pdus(1, 1, CT, uid_of(60), image(60)))
        client.read_status()
    client.close()
    assert opened.hub.catalogue.counts()["archived"] == before["archived"]


def test_an_object_of_another_class_than_its_context_is_refused(opened: Open) -> None:
    client = opened.sender.associate([(1, MULTI_FRAME, [EXPLICIT])])
    client.send(message_pdus(1, 1, CT, uid_of(70), image(70)))
    assert client.read_status() == 0x0122
    client.send(message_pdus(2, 1, MULTI_FRAME, uid_of(70), image(70)))
    assert client.read_status() == 0xC1A0  # and one that says it is another is held
    client.release()


def test_a_second_hub_of_the_same_site_leaves_the_first_alone(opened: Open) -> None:
    """The site is served: exit 2 and a next step; what is arriving at the first is not touched."""
    client = opened.sender.associate([(1, CT, [EXPLICIT])])
    message = message_pdus(1, 1, CT, uid_of(80), image(80, pixels=60_000))
    client.send(message[: len(message) // 2])
    second = subprocess.run(
        [str(PROGRAM), "serve", "--site", str(opened.site.folder)], capture_output=True, text=True, timeout=60
    )
    assert second.returncode == 2
    assert "served already" in second.stderr
    client.send(message[len(message) // 2 :])
    assert client.read_status() == 0
    client.release()
    record = opened.hub.catalogue.instance(uid_of(80))
    opened.hub.archive.open(record.object_id).verify()
