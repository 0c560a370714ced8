"""Log-in, log-out, one's own password and token, and the language."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from leadglass.audit import AuditKind
from leadglass.console.door import Door
from leadglass.console.guard import COOKIE, client_address
from leadglass.console.messages import LANGUAGE_COOKIE, LANGUAGES
from leadglass.console.page import Pages, checked_form, page_session, see
from leadglass.console.sessions import LoginGate, Session, SessionTable
from leadglass.errors import Refused
from leadglass.limits import SESSION_SECONDS

__all__ = ["Entrance"]


@dataclass(frozen=True, slots=True)
class Entrance:
    """The handlers."""

    door: Door
    pages: Pages
    sessions: SessionTable
    gate: LoginGate

    async def login_page(self, request: Request) -> Response:
        """Show the log-in form."""
        if request.state.session is not None:
            return see("/")
        return self.pages.render(request, "login.html", {"failure": "", "name": ""})

    async def login(self, request: Request) -> Response:
        """Check name and password; a one-time password opens the door to setting one's own."""
        form = await checked_form(request, None)
        name, password = str(form.get("name", ""))[:64], str(form.get("password", ""))
        address = client_address(request.scope)
        keys = f"address {address}", f"name {name}"
        if not self.gate.is_open(*keys):
            return self.pages.render(request, "login.html", {"failure": "login.too_many", "name": name}, 429)
        account = await run_in_threadpool(self.door.services.accounts.check, name, password)
        detail: dict[str, str | int] = {"address": address}
        if account is None:
            self.gate.failed(*keys)
            await run_in_threadpool(self.door.journal.note, AuditKind.LOGIN_FAILED, name or "?", "refused", detail)
            return self.pages.render(request, "login.html", {"failure": "login.wrong", "name": name}, 401)
        self.gate.succeeded(*keys)
        await run_in_threadpool(self.door.journal.note, AuditKind.LOGIN, name, "opened", detail)
        response = see("/password" if account.must_change else "/")
        self._give(response, self.sessions.begin(account))
        return response

    def _give(self, response: Response, token: str) -> None:
        response.set_cookie(
            COOKIE, token, max_age=SESSION_SECONDS, path="/", secure=True, httponly=True, samesite="strict"
        )

    async def logout(self, request: Request) -> Response:
        """End the session."""
        session = page_session(request) if not _must_change(request) else request.state.session
        await checked_form(request, session)
        self.sessions.end(request.cookies.get(COOKIE, ""))
        await run_in_threadpool(self.door.journal.note, AuditKind.LOGOUT, session.account.name, "closed", {})
        response = see("/login")
        response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
        return response

    async def password_page(self, request: Request) -> Response:
        """Show the form for one's own password."""
        page_session(request)
        return self.pages.render(request, "password.html", {"failure": "", "token": ""})

    async def password(self, request: Request) -> Response:
        """Set one's own password; every other session of the account ends."""
        session = page_session(request)
        form = await checked_form(request, session)
        current, fresh, again = (str(form.get(key, "")) for key in ("current", "fresh", "again"))
        name, accounts = session.account.name, self.door.services.accounts
        key = f"name {name}"
        if not self.gate.is_open(key) or await run_in_threadpool(accounts.check, name, current) is None:
            self.gate.failed(key)
            return self._password_again(request, "password.wrong")
        if fresh != again:
            return self._password_again(request, "password.differ")
        if fresh == current:
            return self._password_again(request, "password.same")
        try:
            await run_in_threadpool(accounts.set_password, name, fresh)
        except Refused:
            return self._password_again(request, "password.weak")
        await run_in_threadpool(self.door.journal.note, AuditKind.PASSWORD_CHANGED, name, "changed", {})
        self.sessions.end_all(name)
        account = await run_in_threadpool(accounts.check, name, fresh)
        response = see("/")
        if account is not None:
            self._give(response, self.sessions.begin(account))
        return response

    def _password_again(self, request: Request, failure: str) -> Response:
        return self.pages.render(request, "password.html", {"failure": failure, "token": ""}, 422)

    async def token(self, request: Request) -> Response:
        """Give a bearer token for programs, shown once."""
        session = page_session(request)
        await checked_form(request, session)
        if session.account.must_change:
            return see("/password")
        token = await run_in_threadpool(self.door.services.accounts.issue_token, session.account.name)
        await run_in_threadpool(self.door.journal.note, AuditKind.TOKEN_ISSUED, session.account.name, "issued", {})
        return self.pages.render(request, "password.html", {"failure": "", "token": token})

    async def language(self, request: Request) -> Response:
        """Choose the language of the pages; nothing but the visitor's own view changes."""
        form = await checked_form(request, None)
        chosen, back = str(form.get("language", "")), str(form.get("back", "/"))
        if not back.startswith("/") or back.startswith(("//", "/\\")):
            back = "/"
        response = see(back)
        if chosen in LANGUAGES:
            response.set_cookie(
                LANGUAGE_COOKIE, chosen, max_age=31_536_000, secure=True, httponly=True, samesite="strict"
            )
        return response


def _must_change(request: Request) -> bool:
    session: Session | None = request.state.session
    return session is not None and session.account.must_change
