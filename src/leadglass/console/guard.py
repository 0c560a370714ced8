"""The doorman in front of every page: security headers, same-origin posts, and who is calling.

Pure ASGI. A request leaves here with `scope["state"]["session"]` set to a Session or None. Cookies serve browsers;
Basic and Bearer serve DICOMweb clients and are counted by the same gate against guessing.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leadglass.audit import AuditKind
from leadglass.console.journal import Journal
from leadglass.console.messages import Words, language_of, words
from leadglass.console.services import AccountStore
from leadglass.console.sessions import LoginGate, Session, SessionTable

__all__ = ["COOKIE", "Guard", "client_address"]

COOKIE = "__Host-leadglass"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "strict-transport-security": "max-age=31536000",
}
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def client_address(scope: Scope) -> str:
    """Give the address a request comes from; forwarded headers are not believed."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


class Guard:
    """The middleware."""

    def __init__(
        self, app: ASGIApp, accounts: AccountStore, sessions: SessionTable, gate: LoginGate, journal: Journal
    ) -> None:
        self._app, self._accounts, self._sessions = app, accounts, sessions
        self._gate, self._journal = gate, journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    out[name] = value
                if "cache-control" not in out:
                    out["cache-control"] = "no-store"
            await send(message)

        if scope["method"] not in _SAFE and not _is_own(headers):
            refusal = PlainTextResponse(_speak(scope)("error.other_site"), 403)
            await refusal(scope, receive, guarded)
            return
        session, refusal_status = await self._who(scope, headers)
        if refusal_status == 429:
            await PlainTextResponse(_speak(scope)("error.s429"), 429)(scope, receive, guarded)
            return
        scope.setdefault("state", {})["session"] = session
        await self._app(scope, receive, guarded)

    async def _who(self, scope: Scope, headers: Headers) -> tuple[Session | None, int]:
        token = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        if token:
            session = self._sessions.get(token)
            if session is not None:
                return session, 200
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and credentials:
            account = self._accounts.bearer(credentials.strip())
            return (Session(account), 200) if account is not None else (None, 401)
        if scheme.lower() == "basic" and credentials:
            return await self._basic(scope, credentials)
        return None, 401

    async def _basic(self, scope: Scope, credentials: str) -> tuple[Session | None, int]:
        try:
            name, _, password = base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None, 401
        address = client_address(scope)
        keys = f"address {address}", f"name {name[:64]}"
        if not self._gate.is_open(*keys):
            return None, 429
        account = await run_in_threadpool(self._accounts.check, name, password)
        if account is None or account.must_change:
            self._gate.failed(*keys)
            detail = {"address": address, "name": name[:64], "by": "basic"}
            await run_in_threadpool(self._journal.note, AuditKind.LOGIN_FAILED, name[:64], "refused", detail)
            return None, 401
        return Session(account), 200


def _speak(scope: Scope) -> Words:
    """Give the visitor's words; programs that name no language get English."""
    return words(language_of(Request(scope), "en"))


def _is_own(headers: Headers) -> bool:
    """Tell whether a post was made by our own page or by a program that is no browser."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host", "")
