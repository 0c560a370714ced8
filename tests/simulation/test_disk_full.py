"""A full disk: senders are told A700, nothing promised is lost, and the hub takes up again when there is space."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.peers.harness import programs
from tests.peers.harness.leadglass import Site
from tests.peers.harness.servers import Live
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


def send_until(sender: loss.Sender, live: Live, is_enough: object) -> None:
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


def disk_check(site: Site) -> dict[str, object]:
    """Give what `leadglass doctor` says of the disk."""
    answer = site.answer("doctor", status=None)
    assert isinstance(answer, dict)
    [check] = [check for check in answer["checks"] if check["name"] == "disk"]
    return dict(check)


def status(site: Site) -> dict[str, int]:
    answer = site.answer("status")
    assert isinstance(answer, dict)
    return answer


def test_the_reserve_alone_refuses_and_says_so(tmp_path: Path) -> None:
    """With a reserve larger than any disk nothing is taken; with an ordinary one the same sender is served."""
    site = Site(tmp_path, settings=['disk_reserve_bytes = "1000000 GiB"'])
    credentials = site.add_node("SENDER")
    site.serve()
    try:
        [sender] = loss.senders(1)
        send_until(sender, site.live(credentials), lambda: sender.refused.get(OUT_OF_RESOURCES, 0) >= 3)
        assert set(sender.refused) == {OUT_OF_RESOURCES}
        assert sender.acknowledged == set()
        assert "object-refused-full" in [line["kind"] for line in site.ledger()]
        assert disk_check(site)["state"] == "fail"
        assert status(site)["free_bytes"] <= 0
        site.stop()
        toml = site.folder / "leadglass.toml"
        toml.write_text(toml.read_text().replace("1000000 GiB", "1 MiB"))
        site.serve()
        send_until(sender, site.live(credentials), lambda: len(sender.acknowledged) >= 3)
        assert len(sender.acknowledged) >= 3
        assert site.stored() >= len(sender.acknowledged)
    finally:
        site.stop()


@pytest.mark.peer
@pytest.mark.long
def test_a_disk_without_one_free_byte_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    """No reserve, and others fill the disk: catalogue and ledger cannot be written either, and nothing is promised."""
    if programs.find("getscu") is None:
        pytest.skip("DCMTK is not installed: run tools/install_peers.sh")
    site = Site(small_disk, settings=['disk_reserve_bytes = "0 MiB"'])
    credentials = site.add_node("SENDER")
    site.serve()
    try:
        live = site.live(credentials)
        sender, late = loss.senders(2)
        ballast = small_disk / "ballast"

        def fill() -> bool:
            """Leave nothing free once some objects are in; then see that the sender is told."""
            if len(sender.acknowledged) > 10:
                with suppress(OSError), ballast.open("ab", buffering=0) as file:
                    while True:
                        file.write(bytes(4096))
            return sender.refused.get(OUT_OF_RESOURCES, 0) >= 3

        send_until(sender, live, fill)
        assert set(sender.refused) == {OUT_OF_RESOURCES}
        full = len(sender.acknowledged)
        send_until(late, live, lambda: bool(late.refused))  # a new association in the thick of it
        assert late.acknowledged == set()
        assert site.running is not None
        assert site.running.process.poll() is None, site.running.tail()

        ballast.unlink()
        send_until(sender, live, lambda: len(sender.acknowledged) >= full + 10)
        assert len(sender.acknowledged) >= full + 10
        account = loss.account(site, live, [sender], tmp_path / "fetched")
        assert (account.lost, account.altered, account.faults) == ((), (), ())
        site.verb("ledger", "verify")
    finally:
        site.stop()


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
        assert disk_check(site)["state"] == "fail"
        assert "A700" in str(disk_check(site)["detail"])
        assert status(site)["free_bytes"] <= 0

        ballast.unlink()
        send_until(sender, live, lambda: len(sender.acknowledged) >= full + 10)
        assert len(sender.acknowledged) >= full + 10
        assert disk_check(site)["state"] != "fail"

        account = loss.account(site, live, [sender], tmp_path / "fetched")
        assert account.lost == ()
        assert account.altered == ()
        assert account.faults == ()
    finally:
        site.stop()
