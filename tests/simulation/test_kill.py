"""Nothing lost: killed at random moments under load, the hub comes back by itself with all it has promised."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.peers.harness import programs
from tests.peers.harness.leadglass import Site
from tests.simulation import loss


def killed(folder: Path, kills: int, seed: int) -> loss.Account:
    """Kill a hub `kills` times under four senders, start it once more and take account."""
    rng = random.Random(seed)
    site = Site(folder)
    credentials = site.add_node("SENDER")
    crowd = loss.senders()
    try:
        site.serve()
        live = site.live(credentials)
        site.stop()
        for _ in range(kills):
            loss.kill_under_load(site, live, crowd, rng.uniform(0.0, 0.6))
        site.serve()
        return loss.account(site, site.live(credentials), crowd, folder / "fetched")
    finally:
        site.stop()


@pytest.mark.peer
@pytest.mark.long
@pytest.mark.parametrize("kills", [10])
def test_every_acknowledged_object_survives_sigkill(tmp_path: Path, kills: int) -> None:
    """Acknowledged objects are there and whole; nothing visible is half; storage and catalogue agree."""
    if programs.find("getscu") is None:
        pytest.skip("DCMTK is not installed: run tools/install_peers.sh")
    account = killed(tmp_path, kills, seed=1)
    assert account.acknowledged > kills
    assert account.lost == ()
    assert account.altered == ()
    assert account.faults == ()
    assert account.found >= account.acknowledged
