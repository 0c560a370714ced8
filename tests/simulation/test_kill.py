"""Nothing lost: killed at random moments under load, the hub comes back by itself with all it has promised."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

from tests.peers.harness import programs
from tests.peers.harness.leadglass import Site
from tests.simulation import loss


def killed(folder: Path, kills: int, seed: int, *, minutes_max: float = 60) -> tuple[int, loss.Account]:
    """Kill a hub `kills` times under four senders, start it once more and take account.

    A slow machine kills fewer times than wanted in `minutes_max`; gives how many it was.
    """
    deadline = time.monotonic() + minutes_max * 60
    done = 0
    rng = random.Random(seed)
    site = Site(folder)
    credentials = site.add_node("SENDER")
    crowd = loss.senders()
    try:
        site.serve()
        live = site.live(credentials)
        site.stop()
        while done < kills and time.monotonic() < deadline:
            done += 1
            loss.kill_under_load(site, live, crowd, rng.uniform(0.0, 0.6))
        site.serve()
        account = loss.account(site, site.live(credentials), crowd, folder / "fetched")
        site.verb("ledger", "verify")
        return done, account
    finally:
        site.stop()


@pytest.mark.peer
@pytest.mark.long
@pytest.mark.parametrize("kills", [10])
def test_every_acknowledged_object_survives_sigkill(tmp_path: Path, kills: int) -> None:
    """Acknowledged objects are there and whole; nothing visible is half; storage, catalogue and ledger agree."""
    if programs.find("getscu") is None:
        pytest.skip("DCMTK is not installed: run tools/install_peers.sh")
    done, account = killed(tmp_path, kills, seed=1)
    assert done == kills
    assert account.acknowledged > kills
    assert account.lost == ()
    assert account.altered == ()
    assert account.faults == ()
    assert account.found >= account.acknowledged


@pytest.mark.peer
@pytest.mark.long
def test_rows_that_a_power_cut_lost_come_back_from_the_sealed_objects(tmp_path: Path) -> None:
    """A kill under load, then the catalogue as it was before: a start finds every object in staging and files it.

    tests/journeys/test_recover.py cuts the power at each sync in turn; here a whole minute's rows are gone at once.
    """
    if programs.find("getscu") is None:
        pytest.skip("DCMTK is not installed: run tools/install_peers.sh")
    site = Site(tmp_path)
    credentials = site.add_node("SENDER")
    crowd = loss.senders()
    objects, staging, catalogue = (site.folder / name for name in ("objects", "staging", "catalogue.db"))
    try:
        site.serve()
        live = site.live(credentials)
        site.stop()
        loss.kill_under_load(site, live, crowd, 0.5)  # every study has its key, which is durable at first sight
        site.serve()
        site.stop()
        before = {path.name for path in objects.rglob("*") if path.is_file()}
        shutil.copy(catalogue, tmp_path / "before.db")

        loss.kill_under_load(site, live, crowd, 0.5)
        for name in ("catalogue.db-wal", "catalogue.db-shm"):
            (site.folder / name).unlink(missing_ok=True)
        shutil.copy(tmp_path / "before.db", catalogue)
        for path in list(objects.rglob("*")):
            if path.is_file() and path.name not in before:
                path.rename(staging / path.name)  # its place was given after the rows were durable: neither is
        site.serve()
        account = loss.account(site, site.live(credentials), crowd, tmp_path / "fetched")
        assert account.acknowledged > len(before) - len(crowd)
        assert (account.lost, account.altered, account.faults) == ((), (), ())
        [recovered] = [line for line in site.ledger() if line["kind"] == "hub-recovered"][-1:]
        detail = recovered["detail"]
        assert isinstance(detail, dict)
        assert int(detail["restored"]) > 0
        site.verb("ledger", "verify")
    finally:
        site.stop()
