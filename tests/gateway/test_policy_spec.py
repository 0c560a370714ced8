"""What docs/spec/policy.md says of time and of the sender is what the hub does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from leadglass.config import render_default
from leadglass.edge.policy_file import PolicyFile
from leadglass.edge.site import Site
from leadglass.errors import ConfigurationError
from leadglass.journeys.serve import _STATUS_HELD

SPECIFICATION = (Path(__file__).parents[2] / "docs/spec/policy.md").read_text(encoding="utf-8")
NARROW = '[[route]]\nname = "Narrow"\nfrom = ["CT1"]\n'


def write(site: Site, text: str, moment: int) -> None:
    """Write the policy at a moment of its own, for two writes may fall into one tick of the file system."""
    path = site.folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    os.utime(path, (moment, moment))


def test_a_changed_policy_is_in_force_and_a_wrong_one_is_not(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site", render_default())
    policy = PolicyFile(site)
    write(site, NARROW, 1)
    assert [route.name for route in policy().routes] == ["Narrow"]
    write(site, "routes = 1", 2)
    assert [route.name for route in policy().routes] == ["Narrow"] and policy.problem
    with pytest.raises(ConfigurationError):
        PolicyFile(site)
    (site.folder / "policy.toml").unlink()
    assert [route.name for route in policy().routes] == ["Narrow"] and policy.problem
    write(site, NARROW.replace("Narrow", "Again"), 3)
    assert [route.name for route in policy().routes] == ["Again"] and not policy.problem
    assert "keeps the last good policy" in SPECIFICATION and "reads it once" not in SPECIFICATION


def test_the_sender_of_a_held_object_is_told_what_the_specification_says() -> None:
    assert f"C-STORE answers {_STATUS_HELD:04X}H" in SPECIFICATION
