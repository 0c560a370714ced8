"""A full disk: senders are told A700, nothing promised is lost, and the hub takes up again when there is space."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.harness import programs
from tests.peers.harness.leadglass import Site
from tests.simulation import loss

OUT_OF_RESOURCES = 0xA700


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a file system of 64 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        os.geteuid() == 0
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], capture_output=True
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("needs root and mount to make a small disk")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def send_until(sender: loss.Sender, live: loss.Live, is_enough: object) -> None:
    """Send until the condition holds, at most a minute."""
    assert callable(is_enough)
    stop = threading.Event()
    thread = threading.Thread(target=sender.run, args=(live, stop))
    thread.start()
    deadline = time.monotonic() + 60
    while not is_enough() and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    thread.join()


@pytest.mark.peer
@pytest.mark.long
def test_a_full_disk_refuses_and_recovers(small_disk: Path, tmp_path: Path) -> None:
    """A700 when full, recorded; every acknowledged object whole; success again once there is space."""
    if programs.find("getscu") is None:
        pytest.skip("DCMTK is not installed: run tools/install_peers.sh")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(24 << 20))
    site = Site(small_disk, settings=['disk_reserve_bytes = "8 MiB"'])
    credentials = site.add_node("SENDER")
    site.serve()
    try:
        live = site.live(credentials)
        [sender] = loss.senders(1)
        send_until(sender, live, lambda: sender.refused.get(OUT_OF_RESOURCES, 0) >= 3)
        assert set(sender.refused) == {OUT_OF_RESOURCES}
        assert len(sender.acknowledged) > 10
        kinds = [line["kind"] for line in site.ledger()]
        assert "object-refused-full" in kinds
        full = len(sender.acknowledged)

        ballast.unlink()
        send_until(sender, live, lambda: len(sender.acknowledged) >= full + 10)
        assert len(sender.acknowledged) >= full + 10

        account = loss.account(site, live, [sender], tmp_path / "fetched")
        assert account.lost == ()
        assert account.altered == ()
        assert account.faults == ()
    finally:
        site.stop()
