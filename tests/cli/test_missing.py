"""What a site must have and has not is said, and never made anew in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import Verb


@pytest.mark.parametrize("verb", [("status",), ("find",), ("ledger", "verify"), ("verify", "--all")])
def test_a_lost_catalogue_is_an_error_and_stays_lost(leadglass: Verb, site: Path, verb: tuple[str, ...]) -> None:
    for path in site.glob("catalogue.db*"):
        path.unlink()
    told = leadglass(*verb)
    assert told.code == 2 and "missing" in told.err
    assert not (site / "catalogue.db").exists()


def test_a_disk_that_is_not_mounted_is_an_error(leadglass: Verb, site: Path) -> None:
    shutil.rmtree(site / "objects")
    told = leadglass("status")
    assert told.code == 2 and "mounted" in told.err
    assert not (site / "objects").exists()
