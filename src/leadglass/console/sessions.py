"""Who is logged in, and who has tried too often: two bounded tables in memory.

A session is an opaque 32-byte token in a cookie; the table holds its SHA-256, so a memory dump or a log is no key.
Everything ends with the process: after a restart people log in again.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from leadglass.edge.accounts import Account, Role
from leadglass.limits import (
    LOGIN_FAILURES_MAX,
    LOGIN_WINDOW_SECONDS,
    SESSION_SECONDS,
    SESSIONS_MAX,
)

__all__ = ["LoginGate", "Session", "SessionTable"]

_COUNTED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """One person at one browser, or one program for one request (`csrf` is then empty)."""

    account: Account
    csrf: str = ""
    ends_at: float = 0.0

    @property
    def is_admin(self) -> bool:
        """Tell whether the person may decide as well as look."""
        return self.account.role is Role.ADMIN and not self.account.must_change


class SessionTable:
    """The sessions. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._lock = threading.Lock()
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, account: Account) -> str:
        """Begin a session and give its token."""
        token = secrets.token_urlsafe(32)
        session = Session(account, secrets.token_urlsafe(32), self._now() + SESSION_SECONDS)
        with self._lock:
            self._sessions[_mark(token)] = session
            while len(self._sessions) > SESSIONS_MAX:
                self._sessions.popitem(last=False)
        return token

    def get(self, token: str) -> Session | None:
        """Find a live session."""
        with self._lock:
            session = self._sessions.get(_mark(token))
            if session is not None and session.ends_at <= self._now():
                del self._sessions[_mark(token)]
                return None
            return session

    def end(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_mark(token), None)

    def end_all(self, name: str) -> None:
        """End every session of an account (its password changed)."""
        with self._lock:
            for mark in [m for m, s in self._sessions.items() if s.account.name == name]:
                del self._sessions[mark]


class LoginGate:
    """Counts wrong passwords by address and by name. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def is_open(self, *keys: str) -> bool:
        """Tell whether a log-in may be tried."""
        with self._lock:
            return all(len(self._recent(key)) < LOGIN_FAILURES_MAX for key in keys)

    def failed(self, *keys: str) -> None:
        """Count a wrong password."""
        with self._lock:
            for key in keys:
                recent = self._recent(key)
                recent.append(self._now())
                self._failures[key] = recent
                self._failures.move_to_end(key)
            while len(self._failures) > _COUNTED_MAX:
                self._failures.popitem(last=False)

    def succeeded(self, *keys: str) -> None:
        """Forget the failures of a name that got in."""
        with self._lock:
            for key in keys:
                self._failures.pop(key, None)

    def _recent(self, key: str) -> deque[float]:
        times = self._failures.get(key, deque(maxlen=LOGIN_FAILURES_MAX))
        while times and times[0] <= self._now() - LOGIN_WINDOW_SECONDS:
            times.popleft()
        return times


def _mark(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
