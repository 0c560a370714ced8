"""The root of a site's keys: its passphrase, hardened with Argon2id.

`secrets/keystore.json` holds the parameters and a check value; the passphrase itself is `site.py`'s to read.
Whoever loses the passphrase loses the archive: there is no way back in, and that is the point.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from argon2.low_level import Type, hash_secret_raw

from leadglass.archive.keys import KEY_BYTES, Key
from leadglass.edge.certificates import write_private
from leadglass.errors import ConfigurationError

MEMORY_KIB, PASSES, LANES = 65_536, 3, 1
"""RFC 9106 §4, second recommended option, on one lane: about 0.2 s on one core."""

PARAMETERS_FILE = "keystore.json"


@dataclass(frozen=True, slots=True)
class Root:
    """The opened root. `key` is what everything hangs from; `password` protects the key files beside it."""

    key: Key

    @property
    def password(self) -> bytes:
        """Give the password of the site's private keys (certificate authority, server)."""
        return base64.b64encode(self.key.derive("leadglass private key files").value)


def create(folder: Path, passphrase: bytes, random: Callable[[int], bytes]) -> Root:
    """Write the parameters of a new site's keys beside its passphrase, and give the root."""
    salt = random(16)
    key = _stretch(passphrase, salt, MEMORY_KIB, PASSES, LANES)
    parameters = {
        "kdf": "argon2id",
        "salt": salt.hex(),
        "memory_kib": MEMORY_KIB,
        "passes": PASSES,
        "lanes": LANES,
        "check": _check(key),
    }
    write_private(folder / PARAMETERS_FILE, json.dumps(parameters, indent=1).encode() + b"\n")
    return Root(key)


def open_root(folder: Path, passphrase: bytes) -> Root:
    """Open the root; raises ConfigurationError naming what is wrong and what to do."""
    try:
        parameters = json.loads((folder / PARAMETERS_FILE).read_text("utf-8"))
        numbers = [int(parameters[name]) for name in ("memory_kib", "passes", "lanes")]
        salt, check = bytes.fromhex(parameters["salt"]), str(parameters["check"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{PARAMETERS_FILE} is missing, or is not what `leadglass init` wrote.", hint="Restore it from a backup."
        ) from error
    if not (8 <= numbers[0] <= 1 << 22 and 1 <= numbers[1] <= 100 and 1 <= numbers[2] <= 64):
        raise ConfigurationError(f"{PARAMETERS_FILE} asks for unreasonable work.", hint="Restore it from a backup.")
    key = _stretch(passphrase, salt, *numbers)
    if not hmac.compare_digest(_check(key), check):
        raise ConfigurationError(
            "The passphrase does not open this site.", hint="Put the right one into the passphrase file."
        )
    return Root(key)


def _stretch(passphrase: bytes, salt: bytes, memory_kib: int, passes: int, lanes: int) -> Key:
    raw = hash_secret_raw(
        passphrase,
        salt,
        time_cost=passes,
        memory_cost=memory_kib,
        parallelism=lanes,
        hash_len=KEY_BYTES,
        type=Type.ID,
    )
    return Key(raw)


def _check(key: Key) -> str:
    return key.derive("leadglass passphrase check").value[:16].hex()
