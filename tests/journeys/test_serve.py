"""`leadglass serve` opens every door that the settings name, and closes them in order when told to."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from tests.peers.harness.leadglass import Site


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
