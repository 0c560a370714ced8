"""Servers to measure side by side: DCMTK storescp, Orthanc, pynetdicom (Leadglass has its own file).

Each starts on free loopback ports in a folder of its own and stops when its block ends.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.harness import programs
from tests.peers.harness.certificates import Authority, Credentials
from tests.peers.harness.process import Running
from tests.peers.harness.wire import EXPLICIT, VERIFICATION, Client, Context

PDU_LENGTH = 131072


@dataclass(frozen=True, slots=True)
class Live:
    """A server that runs: where to connect, as whom, and how to look at it."""

    name: str
    version: str
    port: int
    called: str
    calling: str
    credentials: Credentials | None
    running: Running
    storage: Path
    stored: Callable[[], int]
    http_port: int = 0
    recorded: Callable[[], list[str]] = field(default=list)
    good_credentials: Credentials | None = None
    """A second sender's, where the server tells senders apart; it calls itself GOOD."""
    token: str = ""
    """What a DICOMweb client shows, where one is asked for."""

    def client(self, *, timeout: float = 30.0, source: str = "127.0.0.1") -> Client:
        tls = self.credentials.client_context() if self.credentials else None
        return Client("127.0.0.1", self.port, tls, timeout, source)

    def associate(
        self,
        contexts: list[Context] | None = None,
        *,
        timeout: float = 30.0,
        source: str = "127.0.0.1",
        calling: str | None = None,
        called: str | None = None,
    ) -> Client:
        """Connect and associate as the approved sender."""
        offered = contexts or [(1, VERIFICATION, [EXPLICIT, "1.2.840.10008.1.2"])]
        client = self.client(timeout=timeout, source=source)
        try:
            return client.associate(calling or self.calling, called or self.called, offered)
        except BaseException:
            client.close()
            raise

    def dcmtk_arguments(self) -> list[str]:
        """Give what a DCMTK client needs to connect: TLS options, titles, address."""
        tls: list[str] = []
        if self.credentials:
            tls = [
                "+tls",
                str(self.credentials.key),
                str(self.credentials.certificate),
                "+cf",
                str(self.credentials.authority),
            ]
        return [*tls, "-aet", self.calling, "-aec", self.called, "127.0.0.1", str(self.port)]


ServerKind = Callable[..., "contextmanager[Live]"]


def count_files(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())


def _credentials(folder: Path, tls: bool) -> tuple[Credentials | None, Credentials | None]:
    if not tls:
        return None, None
    authority = Authority(folder / "certificates")
    return authority.issue("server"), authority.issue("client")


@contextmanager
def storescp(folder: Path, *, tls: bool = True, fork: bool = True) -> Iterator[Live]:
    """Start DCMTK's storescp, which writes plain files and does not sync."""
    storage = folder / "storage"
    storage.mkdir(parents=True)
    server, client = _credentials(folder, tls)
    port = programs.free_port()
    arguments = [programs.path_of("storescp"), "-od", str(storage), "-pdu", str(PDU_LENGTH), "+xa"]
    if fork:
        arguments.append("--fork")
    if server:
        arguments += ["+tls", str(server.key), str(server.certificate), "+cf", str(server.authority)]
    running = Running([*arguments, str(port)], folder / "log", environment={"TCP_NODELAY": "1"})
    try:
        running.wait_for_port(port)
        yield Live(
            "DCMTK storescp",
            programs.version("storescp"),
            port,
            "STORESCP",
            "SENDER",
            client,
            running,
            storage,
            lambda: count_files(storage),
        )
    finally:
        running.stop(2)


def orthanc_configuration(
    folder: Path,
    dicom_port: int,
    http_port: int,
    *,
    sync: bool,
    server: Credentials | None,
    extra: dict[str, object] | None = None,
) -> dict[str, object]:
    """Give an Orthanc configuration on loopback, otherwise as it comes."""
    configuration: dict[str, object] = {
        "Name": "peer",
        "DicomAet": "ORTHANC",
        "DicomPort": dicom_port,
        "HttpPort": http_port,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "StorageCompression": False,
        "SyncStorageArea": sync,
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "SslEnabled": False,
        "MaximumPduLength": PDU_LENGTH,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowEcho": True,
        "Plugins": [],
    }
    if server:
        configuration |= {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(server.certificate),
            "DicomTlsPrivateKey": str(server.key),
            "DicomTlsTrustedCertificates": str(server.authority),
            "DicomTlsRemoteCertificateRequired": True,
        }
    return configuration | (extra or {})


@contextmanager
def orthanc(
    folder: Path, *, tls: bool = True, sync: bool = True, extra: dict[str, object] | None = None
) -> Iterator[Live]:
    """Start Orthanc; `sync` is its SyncStorageArea (its default)."""
    folder.mkdir(parents=True, exist_ok=True)
    server, client = _credentials(folder, tls)
    dicom_port, http_port = programs.free_port(), programs.free_port()
    configuration = orthanc_configuration(folder, dicom_port, http_port, sync=sync, server=server, extra=extra)
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration))
    # Built on DCMTK, it waits 40 ms an answer for the peer's delayed acknowledgement without this.
    running = Running([programs.path_of("Orthanc"), str(path)], folder / "log", environment={"TCP_NODELAY": "1"})
    storage = folder / "storage"
    try:
        running.wait_for_port(dicom_port)
        running.wait_for_port(http_port)
        name = "Orthanc, sync" if sync else "Orthanc, no sync"
        yield Live(
            name,
            programs.version("Orthanc"),
            dicom_port,
            "ORTHANC",
            "SENDER",
            client,
            running,
            storage,
            lambda: count_files(storage),
            http_port,
        )
    finally:
        running.stop(5)


@contextmanager
def pynetdicom(folder: Path, *, tls: bool = True) -> Iterator[Live]:
    """Start a pynetdicom storage provider in a process of its own."""
    from pynetdicom import __version__

    storage = folder / "storage"
    storage.mkdir(parents=True)
    server, client = _credentials(folder, tls)
    port = programs.free_port()
    arguments = [sys.executable, "-m", "tests.peers.harness.pynetdicom_server", str(port), str(storage)]
    if server:
        arguments += [str(server.key), str(server.certificate), str(server.authority)]
    running = Running(arguments, folder / "log", folder=programs.ROOT)
    try:
        running.wait_for_port(port)
        yield Live(
            "pynetdicom",
            __version__,
            port,
            "PYNETDICOM",
            "SENDER",
            client,
            running,
            storage,
            lambda: count_files(storage),
        )
    finally:
        running.stop(2)
