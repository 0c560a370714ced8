"""The server says where it listens, works beside other verbs, and ends cleanly when told to."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_opens_its_doors_and_stops_cleanly(site: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "leadglass.cli", "serve", "--json", "--site", str(site)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ports = json.loads(process.stdout.readline())
            assert set(ports) == {"recovered", "ae_title", "host", "tls_port", "plain_port", "web_port"}
            for port in (ports["tls_port"], ports["web_port"]):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            assert ports["plain_port"] is None
            assert run("status", "--site", site).code == 0
            process.send_signal(number)
            rest, _ = process.communicate(timeout=30)  # ends only when no worker is left behind either
            assert rest == ""
            assert process.returncode == 0
        finally:
            process.kill()
    kinds = [entry["kind"] for entry in run("ledger", "list", "--json", "--site", site).json["entries"]]
    assert kinds.index("hub-stopped") < kinds.index("hub-started")


def test_a_taken_port_is_a_set_up_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run("init", tmp_path / "s", "--tls-port", "0", "--web-port", port).code == 0
        told = run("serve", "--site", tmp_path / "s")
    assert told.code == 2
    assert port in told.err
