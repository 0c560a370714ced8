"""The people of the console: names, roles, password hashes; one small file only its owner may read.

Passwords are kept as Argon2id hashes, tokens as SHA-256 (they are 32 random bytes). The file is written beside
itself, synced and renamed, so a power cut leaves the old or the new one. A running console and the command line may
change it in turn: it is read again when it changed, and changed under a lock. Thread-safe.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from leadglass.errors import ConfigurationError, NotFound, Refused

__all__ = ["PASSWORD_LENGTH_MIN", "Account", "AccountFile", "Role", "require_accounts"]

PASSWORD_LENGTH_MIN = 12
"""Characters of a password a person chooses (NIST SP 800-63B asks for 8, ANSSI for 12)."""

_PASSWORD_LENGTH_MAX = 1024
_REMEMBERED_MAX = 256
_REMEMBERED_SECONDS = 300.0


_Record = Callable[[], object]


def _unrecorded() -> None:
    """Stand for the record of somebody who keeps it elsewhere."""


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
        self._stamp = _stamp(path)
        self._rows = _read(path)
        self._decoy = self._hasher.hash(secrets.token_hex(16))

    def accounts(self) -> list[Account]:
        """List the accounts by name."""
        with self._lock:
            return [row.account for _name, row in sorted(self._current().items())]

    def create(self, name: str, role: Role, *, record: _Record = _unrecorded) -> str:
        """Make an account and give its one-time password; raises Refused when the name is taken or unfit.

        `record` is called when the change is certain and not yet made; where it fails, nothing changes.
        """
        if not 1 <= len(name) <= 64 or not name.isprintable() or ":" in name:
            raise Refused("A name has 1 to 64 printable characters and no colon.")
        password = "-".join(secrets.token_hex(3) for _ in range(4))
        with self._changing() as rows:
            if name in rows:
                hint = "Choose another name, or give it a new password: `leadglass account password`."
                raise Refused("There is an account of that name.", hint=hint)
            row = _Row(Account(name, role, must_change=True), self._hasher.hash(password))
            record()
            self._store(rows | {name: row})
        return password

    def reset(self, name: str, *, record: _Record = _unrecorded) -> str:
        """Give an account a new one-time password and take its tokens away; raises NotFound."""
        password = "-".join(secrets.token_hex(3) for _ in range(4))
        with self._changing() as rows:
            row = _row(rows, name)
            record()
            self._store(rows | {name: _Row(replace(row.account, must_change=True), self._hasher.hash(password))})
            self._remembered.clear()
        return password

    def set_role(self, name: str, role: Role, *, record: _Record = _unrecorded) -> None:
        """Give an account another role; raises NotFound, and Refused for the last administrator's."""
        with self._changing() as rows:
            row = _row(rows, name)
            changed = rows | {name: replace(row, account=replace(row.account, role=role))}
            _need_administrator(changed)
            record()
            self._store(changed)

    def remove(self, name: str, *, record: _Record = _unrecorded) -> None:
        """Take an account away; raises NotFound, and Refused for the last administrator's."""
        with self._changing() as rows:
            _row(rows, name)
            left = {known: row for known, row in rows.items() if known != name}
            _need_administrator(left)
            record()
            self._store(left)

    def check(self, name: str, password: str) -> Account | None:
        """Tell whose password this is, or None; takes as long for a name nobody has."""
        if len(password) > _PASSWORD_LENGTH_MAX:
            return None
        mark = hmac.digest(self._memory_key, f"{name}\0{password}".encode(), "sha256")
        with self._lock:
            row = self._current().get(name)
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
        with self._changing() as rows:
            row = _row(rows, name)
            fresh = replace(
                row, account=replace(row.account, must_change=False), password_hash=self._hasher.hash(password)
            )
            self._store(rows | {name: fresh})
            self._remembered.clear()

    def issue_token(self, name: str) -> str:
        """Give a new bearer token for programs; it replaces the account's earlier one. Raises NotFound."""
        token = secrets.token_urlsafe(32)
        with self._changing() as rows:
            row = _row(rows, name)
            self._store(rows | {name: replace(row, tokens=(hashlib.sha256(token.encode()).hexdigest(),))})
        return token

    def bearer(self, token: str) -> Account | None:
        """Tell whose token this is, or None."""
        digest = hashlib.sha256(token[:256].encode()).hexdigest()
        with self._lock:
            for row in self._current().values():
                if any(hmac.compare_digest(digest, known) for known in row.tokens) and not row.account.must_change:
                    return row.account
        return None

    def _current(self) -> dict[str, _Row]:
        """Give the rows as they stand on the disk; the last good ones while the file is broken or away."""
        stamp = _stamp(self._path)
        if stamp != self._stamp and stamp is not None:
            self._stamp = stamp
            with suppress(ConfigurationError):
                self._rows = _read(self._path)
        return self._rows

    @contextmanager
    def _changing(self) -> Iterator[dict[str, _Row]]:
        """Hold the file against every other thread and process, and give its rows."""
        with self._lock:
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                fcntl.flock(folder, fcntl.LOCK_EX)
                yield self._current()
            finally:
                os.close(folder)

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
        self._rows, self._stamp = rows, _stamp(self._path)


def require_accounts(path: Path) -> None:
    """Raise ConfigurationError where nobody could log in: the file is missing, broken or empty."""
    hint = "Restore it from a backup, or make an account: `leadglass account add NAME --role admin`."
    if not path.exists():
        raise ConfigurationError(f"The file of accounts {path} is missing: nobody could log in.", hint=hint)
    if not _read(path):
        raise ConfigurationError(f"The file of accounts {path} holds nobody: nobody could log in.", hint=hint)


def _row(rows: dict[str, _Row], name: str) -> _Row:
    row = rows.get(name)
    if row is None:
        raise NotFound("There is no account of that name.", hint="`leadglass account list` shows them.")
    return row


def _need_administrator(rows: dict[str, _Row]) -> None:
    if not any(row.account.role is Role.ADMIN for row in rows.values()):
        hint = "Make another administrator first: `leadglass account add NAME --role admin`."
        raise Refused("Nobody else is an administrator: somebody must be.", hint=hint)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _read(path: Path) -> dict[str, _Row]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(rows, list):
            raise TypeError("not a list")
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
    except OSError as error:
        hint = "Check its permissions, and the user leadglass runs under."
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.", hint=hint) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{path} is not a file of accounts.",
            hint="Restore it from a backup, or move it away: `leadglass account add NAME --role admin` begins anew.",
        ) from error
