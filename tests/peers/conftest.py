"""One site beside real peers, filled once with every valid object of the collection."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from leadglass.edge.accounts import AccountFile, Role
from tests.peers import corpus
from tests.peers.harness import programs
from tests.peers.harness.certificates import Credentials
from tests.peers.harness.leadglass import Site
from tests.peers.harness.servers import Live
from tests.peers.harness.wire import Client, Context, message_pdus


@dataclass(frozen=True, slots=True)
class Archive:
    """A running site that was sent every specimen byte by byte; `statuses` are its answers by file name."""

    site: Site
    live: Live
    plain: Live
    nodes: dict[str, Credentials]
    ports: dict[str, int]
    specimens: list[corpus.Specimen]
    left_out: dict[str, str]
    reader_token: str
    poster_token: str
    statuses: dict[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> list[corpus.Specimen]:
        """What was archived when the site was filled; a held object was refused."""
        return [specimen for specimen in self.specimens if self.statuses[specimen.origin] == 0]


def send_exactly(live: Live, specimens: list[corpus.Specimen]) -> dict[str, int]:
    """Send data sets as they lie in their files, in their own transfer syntax; gives the statuses."""
    groups: dict[tuple[str, str], list[corpus.Specimen]] = defaultdict(list)
    for specimen in specimens:
        groups[specimen.sop_class, specimen.syntax].append(specimen)
    kinds = list(groups)
    statuses: dict[str, int] = {}
    for start in range(0, len(kinds), 100):
        part = kinds[start : start + 100]
        contexts: list[Context] = [(2 * at + 1, kind[0], [kind[1]]) for at, kind in enumerate(part)]
        client: Client = live.associate(contexts)
        message = 0
        for at, kind in enumerate(part):
            context_id = 2 * at + 1
            for specimen in groups[kind]:
                if context_id not in client.accepted:
                    statuses[specimen.origin] = 0x0122
                    continue
                message += 1
                client.send(
                    message_pdus(
                        message,
                        context_id,
                        specimen.sop_class,
                        specimen.sop_instance,
                        specimen.dataset,
                        min(client.peer_pdu_length, 131072),
                    )
                )
                statuses[specimen.origin] = client.read_status()
        client.release()
    return statuses


def poster_token(site: Site) -> str:
    """Make an account that may post objects, and a token for it."""
    accounts = AccountFile(site.folder / "secrets/accounts.json")
    accounts.create("poster", Role.ADMIN)
    accounts.set_password("poster", "another long password for tests")
    return accounts.issue_token("poster")


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    if not corpus.FOLDER.is_dir():
        pytest.skip(f"no test objects: {corpus.FOLDER} is not there")
    folder: Path = tmp_path_factory.mktemp("archive")
    good, left_out = corpus.specimens(folder / "objects")
    site = Site(folder, plain=True)
    ports = {name: programs.free_port() for name in ("STORESCP", "ORTHANC", "PYNETDICOM")}
    nodes = {name: site.add_node(name, port=port) for name, port in ports.items()}
    nodes["SENDER"] = site.add_node("SENDER")
    site.add_node("PLAIN", plaintext=True)
    ports["OLDSCP"] = programs.free_port()
    site.add_node("OLDSCP", port=ports["OLDSCP"], plaintext=True)
    token, poster = site.reader_token(), poster_token(site)
    site.serve()
    try:
        live = site.live(nodes["SENDER"])
        plain = site.live(nodes["SENDER"], tls=False, calling="PLAIN")
        statuses = send_exactly(live, good)
        yield Archive(site, live, plain, nodes, ports, good, left_out, token, poster, statuses)
    finally:
        site.stop()
        shutil.rmtree(folder, ignore_errors=True)
