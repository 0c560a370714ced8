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

from leadglass.cli.place import opened


@pytest.fixture
def stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a `serve` that wrongly begins end at once, so that its test fails and does not hang."""
    monkeypatch.setattr("leadglass.cli.signals.Stop.wait", lambda _: None)


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


@pytest.mark.usefixtures("stops_at_once")
@pytest.mark.parametrize("name", ["tls/server.pem", "secrets/server.key", "tls/ca.pem", "tls/trusted"])
def test_a_missing_part_of_the_identity_is_told_before_a_door_opens(site: Path, name: str) -> None:
    path = site / name
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    told = run("serve", "--site", site)
    assert told.code == 2
    assert name in told.err
    assert "Next:" in told.err
    assert "https://" not in told.out
    assert run("ledger", "list", "--limit", "1", "--json", "--site", site).json["entries"][0]["kind"] != "hub-started"


@pytest.mark.usefixtures("stops_at_once")
@pytest.mark.parametrize("content", [None, "{}", "[]", "not JSON"])
def test_accounts_nobody_can_log_in_with_are_told_before_a_door_opens(site: Path, content: str | None) -> None:
    path = site / "secrets/accounts.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    told = run("serve", "--site", site)
    assert told.code == 2
    assert "accounts.json" in told.err
    assert "leadglass account add" in told.err
    assert "https://" not in told.out


@pytest.mark.usefixtures("stops_at_once")
def test_a_second_serve_is_refused_and_other_verbs_work_beside_the_first(site: Path) -> None:
    with opened(str(site)) as hub:
        running = hub.start()
        try:
            told = run("serve", "--site", site)
            assert told.code == 2
            assert "served already" in told.err
            assert run("status", "--site", site).code == 0
            assert run("account", "password", "admin", "--site", site).code == 0
        finally:
            running.stop()
        hub.start().stop()
