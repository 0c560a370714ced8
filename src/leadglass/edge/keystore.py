"""The root of a site's keys: a passphrase file only its owner may read, hardened with Argon2id.

The passphrase is 160 random bits in groups a person can copy onto paper; `keystore.json` beside it holds the
parameters and a check value. Whoever loses the passphrase loses the archive: there is no way back in, and that
is the point.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from argon2.low_level import Type, hash_secret_raw

from leadglass.archive.keys import KEY_BYTES, Key
from leadglass.edge.certificates import write_private
from leadglass.errors import ConfigurationError, UsageError

PASSPHRASE_BYTES = 20
PASSPHRASE_BYTES_MAX = 4096
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


def create(folder: Path, passphrase_file: Path, random: Callable[[int], bytes]) -> Root:
    """Make the parameters of a new site's keys, and its passphrase unless the file is already there."""
    if (folder / PARAMETERS_FILE).exists():
        raise UsageError("The site already has keys.", hint="Use another folder; a second passphrase cannot open it.")
    if not passphrase_file.exists():
        text = base64.b32encode(random(PASSPHRASE_BYTES)).decode().lower()
        write_private(passphrase_file, "-".join(text[at : at + 4] for at in range(0, len(text), 4)).encode() + b"\n")
    salt = random(16)
    key = _stretch(_passphrase(passphrase_file), salt, MEMORY_KIB, PASSES, LANES)
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


def open_root(folder: Path, passphrase_file: Path) -> Root:
    """Open the root; raises ConfigurationError naming what is wrong and what to do."""
    passphrase = _passphrase(passphrase_file)
    try:
        parameters = json.loads((folder / PARAMETERS_FILE).read_text("utf-8"))
        numbers = [int(parameters[name]) for name in ("memory_kib", "passes", "lanes")]
        salt, check = bytes.fromhex(parameters["salt"]), str(parameters["check"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{folder / PARAMETERS_FILE} is missing, or is not what `leadglass init` wrote.",
            hint="Restore it from a backup.",
        ) from error
    if not (8 <= numbers[0] <= 1 << 22 and 1 <= numbers[1] <= 100 and 1 <= numbers[2] <= 64):
        raise ConfigurationError(f"{PARAMETERS_FILE} asks for unreasonable work.", hint="Restore it from a backup.")
    key = _stretch(passphrase, salt, *numbers)
    if not hmac.compare_digest(_check(key), check):
        raise ConfigurationError(
            "The passphrase does not open this site.", hint=f"Put the right one into {passphrase_file}."
        )
    return Root(key)


def _passphrase(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(PASSPHRASE_BYTES_MAX)
    except OSError as error:
        raise ConfigurationError(
            f"The passphrase cannot be read: {path}, {error.strerror}.",
            hint="Put it back where leadglass.toml says ([keys] passphrase_file); your copy of it will do.",
        ) from None
    if mode & 0o077:
        raise ConfigurationError(f"Others on this machine may read the passphrase in {path}.", hint=f"chmod 600 {path}")
    passphrase = text.strip()
    if not passphrase:
        raise ConfigurationError(f"{path} is empty.", hint="Put the passphrase back from your copy.")
    return passphrase


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
