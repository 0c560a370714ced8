"""The passphrase opens the site, nothing else does, and each failure says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leadglass.edge import keystore
from leadglass.edge.clock import system_random
from leadglass.errors import ConfigurationError, UsageError


def test_a_site_opens_with_its_passphrase_and_only_once_made(tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    root = keystore.create(tmp_path, passphrase, system_random)
    assert keystore.open_root(tmp_path, passphrase) == root
    assert passphrase.stat().st_mode & 0o077 == 0
    assert root.key.value.hex() not in repr(root) and root.password != root.key.value
    with pytest.raises(UsageError):
        keystore.create(tmp_path, passphrase, system_random)


def test_a_passphrase_of_ones_own_is_kept(tmp_path: Path) -> None:
    passphrase = tmp_path / "mine"
    passphrase.write_text("correct horse\n")
    passphrase.chmod(0o600)
    root = keystore.create(tmp_path, passphrase, system_random)
    assert passphrase.read_text() == "correct horse\n"
    assert keystore.open_root(tmp_path, passphrase) == root


@pytest.mark.parametrize("damage", ["wrong", "empty", "missing", "readable", "no-parameters", "odd-parameters"])
def test_each_failure_has_a_next_step(tmp_path: Path, damage: str) -> None:
    passphrase = tmp_path / "passphrase"
    keystore.create(tmp_path, passphrase, system_random)
    parameters = tmp_path / keystore.PARAMETERS_FILE
    match damage:
        case "wrong":
            passphrase.write_text("another\n")
        case "empty":
            passphrase.write_text("\n")
        case "missing":
            passphrase.unlink()
        case "readable":
            passphrase.chmod(0o644)
        case "no-parameters":
            parameters.unlink()
        case _:
            parameters.write_text(json.dumps(json.loads(parameters.read_text()) | {"memory_kib": 1 << 40}))
    with pytest.raises(ConfigurationError) as caught:
        keystore.open_root(tmp_path, passphrase)
    assert caught.value.hint
