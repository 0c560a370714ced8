"""The people of the console: names, roles, password hashes; one small file only its owner may read.

Passwords are kept as Argon2id hashes, tokens as SHA-256 (they are 32 random bytes). The file is written beside
itself, synced and renamed, so a power cut leaves the old or the new one. Thread-safe within one process.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from leadglass.errors import ConfigurationError, NotFound, Refused

__all__ = ["PASSWORD_LENGTH_MIN", "Account", "AccountFile", "Role"]

PASSWORD_LENGTH_MIN = 12
"""Characters of a password a person chooses (NIST SP 800-63B asks for 8, ANSSI for 12)."""

_PASSWORD_LENGTH_MAX = 1024
_REMEMBERED_MAX = 256
_REMEMBERED_SECONDS = 300.0


class Role(StrEnum):
    """What a person may do: a reader sees studies; an administrator decides as well."""

    ADMIN = "admin"
    READER = "reader"


@dataclass(frozen=True, slots=True)
class Account:
    """One person. `must_change` is true as long as the password is the one-time one."""

    name: str
    role: Role
    must_change: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    account: Account
    password_hash: str
    tokens: tuple[str, ...] = ()


class AccountFile:
    """The accounts of a site, in a file that need not exist yet."""

    def __init__(self, path: Path) -> None:
        """Read the file; raises ConfigurationError when it is not one of ours."""
        self._path = path
        self._lock = threading.Lock()
        self._hasher = PasswordHasher()
        self._remembered: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._memory_key = secrets.token_bytes(32)
        self._rows = _read(path)
        self._decoy = self._hasher.hash(secrets.token_hex(16))

    def accounts(self) -> list[Account]:
        """List the accounts by name."""
        with self._lock:
            return [row.account for _name, row in sorted(self._rows.items())]

    def create(self, name: str, role: Role) -> str:
        """Make an account and give its one-time password; raises Refused when the name is taken or unfit."""
        if not 1 <= len(name) <= 64 or not name.isprintable() or ":" in name:
            raise Refused("A name has 1 to 64 printable characters and no colon.")
        password = "-".join(secrets.token_hex(3) for _ in range(4))
        with self._lock:
            if name in self._rows:
                raise Refused("There is an account of that name.", hint="Choose another name, or reset its password.")
            row = _Row(Account(name, role, must_change=True), self._hasher.hash(password))
            self._store(self._rows | {name: row})
        return password

    def reset(self, name: str) -> str:
        """Give an account a new one-time password and take its tokens away; raises NotFound."""
        password = "-".join(secrets.token_hex(3) for _ in range(4))
        with self._lock:
            row = self._row(name)
            self._store(self._rows | {name: _Row(replace(row.account, must_change=True), self._hasher.hash(password))})
            self._remembered.clear()
        return password

    def check(self, name: str, password: str) -> Account | None:
        """Tell whose password this is, or None; takes as long for a name nobody has."""
        if len(password) > _PASSWORD_LENGTH_MAX:
            return None
        mark = hmac.digest(self._memory_key, f"{name}\0{password}".encode(), "sha256")
        with self._lock:
            row = self._rows.get(name)
            remembered = self._remembered.get(mark)
            if row is not None and remembered == (row.password_hash, remembered[1] if remembered else 0.0):
                if time.monotonic() < remembered[1]:
                    return row.account
                del self._remembered[mark]
        try:
            self._hasher.verify(row.password_hash if row is not None else self._decoy, password)
        except (VerificationError, InvalidHashError):
            return None
        if row is None:
            return None
        with self._lock:
            self._remembered[mark] = (row.password_hash, time.monotonic() + _REMEMBERED_SECONDS)
            while len(self._remembered) > _REMEMBERED_MAX:
                self._remembered.popitem(last=False)
        return row.account

    def set_password(self, name: str, password: str) -> None:
        """Set the password a person chose; raises Refused when it is too short, NotFound."""
        if not PASSWORD_LENGTH_MIN <= len(password) <= _PASSWORD_LENGTH_MAX or name.lower() in password.lower():
            raise Refused(f"A password has at least {PASSWORD_LENGTH_MIN} characters and does not hold the name.")
        with self._lock:
            row = self._row(name)
            fresh = replace(
                row, account=replace(row.account, must_change=False), password_hash=self._hasher.hash(password)
            )
            self._store(self._rows | {name: fresh})
            self._remembered.clear()

    def issue_token(self, name: str) -> str:
        """Give a new bearer token for programs; it replaces the account's earlier one. Raises NotFound."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            row = self._row(name)
            self._store(self._rows | {name: replace(row, tokens=(hashlib.sha256(token.encode()).hexdigest(),))})
        return token

    def bearer(self, token: str) -> Account | None:
        """Tell whose token this is, or None."""
        digest = hashlib.sha256(token[:256].encode()).hexdigest()
        with self._lock:
            for row in self._rows.values():
                if any(hmac.compare_digest(digest, known) for known in row.tokens) and not row.account.must_change:
                    return row.account
        return None

    def _row(self, name: str) -> _Row:
        row = self._rows.get(name)
        if row is None:
            raise NotFound("There is no account of that name.")
        return row

    def _store(self, rows: dict[str, _Row]) -> None:
        """Write the file anew, then believe it."""
        text = json.dumps(
            [
                {
                    "name": row.account.name,
                    "role": row.account.role.value,
                    "must_change": row.account.must_change,
                    "password": row.password_hash,
                    "tokens": list(row.tokens),
                }
                for row in rows.values()
            ],
            indent=1,
        )
        fresh = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._rows = rows


def _read(path: Path) -> dict[str, _Row]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {
            row["name"]: _Row(
                Account(str(row["name"]), Role(row["role"]), bool(row["must_change"])),
                str(row["password"]),
                tuple(str(token) for token in row["tokens"]),
            )
            for row in rows
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{path.name} is not a file of accounts.",
            hint="Restore it from a backup, or remove it and run `leadglass init`.",
        ) from error
