"""The doctor sees what is wrong, says what to do, and says so in its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Verb


def states(leadglass: Verb) -> dict[str, str]:
    return {check["name"]: check["state"] for check in leadglass("doctor", "--json").json["checks"]}


def test_every_check_of_a_sound_site_is_told(leadglass: Verb) -> None:
    told = leadglass("doctor", "--json")
    assert told.code == 1  # one object is held, and the hub is not running
    seen = {check["name"]: check["state"] for check in told.json["checks"]}
    warned = {name for name, state in seen.items() if state != "ok"}
    assert warned == {"doors", "quarantine"}
    assert {"keys", "folder", "certificates", "database", "disk", "objects", "staging", "plaintext", "nodes"} <= set(
        seen
    )
    assert {"policy", "deliveries", "ledger"} <= set(seen)
    assert all(check["next_step"] for check in told.json["checks"] if check["state"] != "ok")


def test_each_problem_is_told_with_its_step(leadglass: Verb) -> None:
    told = leadglass("doctor")
    assert "Next, quarantine: `leadglass quarantine list`" in told.out


def test_keys_that_do_not_open(leadglass: Verb, site: Path) -> None:
    (site / "secrets/passphrase").write_text("another\n")
    told = leadglass("doctor", "--json")
    assert told.code == 2
    assert [check["state"] for check in told.json["checks"]] == ["fail"]
    assert str(site / "secrets/passphrase") in told.json["checks"][0]["next_step"]


def test_a_folder_others_may_read(leadglass: Verb, site: Path) -> None:
    site.chmod(0o755)
    assert states(leadglass)["folder"] == "warn"


def test_a_private_key_others_may_read(leadglass: Verb, site: Path) -> None:
    (site / "secrets/ca.key").chmod(0o644)
    assert states(leadglass)["folder"] == "fail"


def test_an_object_that_is_gone(leadglass: Verb, site: Path) -> None:
    for path in (site / "objects").rglob("*"):
        if path.is_file():
            path.unlink()
    assert states(leadglass)["objects"] == "fail"


def test_a_node_without_tls_stays_a_finding(leadglass: Verb) -> None:
    assert leadglass("node", "add", "OLDUS", "--plaintext", "--address", "10.0.3.40").code == 0
    assert states(leadglass)["plaintext"] == "warn"


def test_a_policy_that_names_strangers(leadglass: Verb, site: Path) -> None:
    (site / "policy.toml").write_text('[[route]]\nname = "All"\nfrom = "*"\nforward_to = ["NOWHERE"]\n')
    assert states(leadglass)["policy"] == "warn"


def test_a_certificate_that_is_gone(leadglass: Verb, site: Path) -> None:
    (site / "tls/server.pem").unlink()
    assert states(leadglass)["certificates"] == "fail"


@pytest.mark.parametrize("name", ["ledger", "database"])
def test_a_damaged_database_is_never_ok(leadglass: Verb, site: Path, name: str) -> None:
    path = site / "catalogue.db"
    raw = bytearray(path.read_bytes())
    for at in range(4096, len(raw), 512):
        raw[at] ^= 0xFF
    path.write_bytes(raw)
    told = leadglass("doctor", "--json")
    assert told.code in (1, 3)
    seen = {check["name"]: check["state"] for check in told.json["checks"]}
    assert seen.get(name, seen.get("keys")) != "ok"


@pytest.mark.parametrize("name", ["tls/server.pem", "secrets/server.key", "tls/ca.pem", "secrets/accounts.json"])
def test_a_site_that_cannot_be_served_is_a_set_up_fault(leadglass: Verb, site: Path, name: str) -> None:
    (site / name).unlink()
    told = leadglass("doctor", "--json")
    assert told.code == 2
    failed = [check for check in told.json["checks"] if check["name"] in ("identity", "accounts")]
    assert [check["state"] for check in failed] == ["fail"]
    assert name in failed[0]["detail"]
    assert failed[0]["next_step"]
