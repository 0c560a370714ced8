"""How a page is made: Jinja2 with autoescape always on, the visitor's words, and the forms' token."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from leadglass.console.attributes import date_words, person_words
from leadglass.console.harmless import segment, visible
from leadglass.console.messages import Words, language_of, words
from leadglass.console.numerals import moment_words, number_words, size_words
from leadglass.console.services import SiteFacts
from leadglass.console.sessions import Session
from leadglass.console.statuses import log_failure, status_of
from leadglass.errors import LeadglassError
from leadglass.limits import FORM_BYTES_MAX

__all__ = ["Pages", "checked_form", "page_session", "see"]

_SENTENCES = frozenset({"reason", "error"})
_LISTS = frozenset({"permissions", "may"})
"""Keys of a ledger entry's detail whose values are sentences, or lists of words."""


def page_session(request: Request, *, admin: bool = False) -> Session:
    """Give the session of a page; without one the visitor is sent to log in."""
    session: Session | None = request.state.session
    if session is None:
        raise HTTPException(303, headers={"Location": "/login"})
    if session.account.must_change and request.url.path != "/password":
        raise HTTPException(303, headers={"Location": "/password"})
    if admin and not session.is_admin:
        raise HTTPException(403, "Only an administrator may do this.")
    return session


async def checked_form(request: Request, session: Session | None) -> FormData:
    """Read a form of bounded size and check its token; 403 when it was not made by our page."""
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > FORM_BYTES_MAX:
        raise HTTPException(413, "The form is too long.")
    form = await request.form(max_files=0, max_fields=50, max_part_size=FORM_BYTES_MAX)
    if session is not None:
        token = form.get("csrf")
        if (
            not session.csrf
            or not isinstance(token, str)
            or not hmac.compare_digest(token.encode(), session.csrf.encode())
        ):
            raise HTTPException(403, "The form is not ours or too old; load the page again.")
    return form


def _template(name: str) -> str | None:
    try:
        return files("leadglass.console").joinpath("templates", name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _moment(microseconds: int, language: str) -> Markup:
    """Write a moment so that the browser can put its own time in its place; UTC stays in the title."""
    text = moment_words(microseconds, language)
    stamp = datetime.fromtimestamp(microseconds / 1_000_000, UTC).isoformat(timespec="seconds")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(stamp, text, text)


def _told(speak: Words, text: str) -> Markup:
    """Write a sentence of a room below in the visitor's language; what has no words in it is marked as English."""
    said = speak.said(text)
    if said.is_known or not text:
        return Markup.escape(said.text)
    return Markup('<span lang="en">{}</span>').format(said.text)


def _detail(speak: Words, key: str, value: object) -> Markup:
    """Write one value of a ledger entry's detail."""
    if key in _SENTENCES:
        return Markup.escape(speak.said(str(value)).text)  # a person's own words among them: no language is claimed
    if key == "length" and isinstance(value, int):
        return Markup.escape(size_words(value, speak.language))
    words_apart = re.split("([ ,]+)", str(value)) if key in _LISTS else [str(value)]
    return Markup.escape("".join(speak.known("value", word) for word in words_apart))


@dataclass(frozen=True, slots=True)
class Pages:
    """Renders templates for one site."""

    site: SiteFacts
    environment: Environment

    @classmethod
    def of(cls, site: SiteFacts) -> Pages:
        """Make the environment; a name a template misspells is an error, not an empty word."""
        environment = Environment(
            loader=FunctionLoader(_template),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=visible,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["person"] = person_words
        environment.filters["segment"] = segment
        return cls(site, environment)

    def words(self, request: Request) -> Words:
        """Give the visitor's words."""
        return words(language_of(request, self.site.language))

    def render(
        self, request: Request, template: str, values: Mapping[str, object] | None = None, status: int = 200
    ) -> Response:
        """Render a page."""
        speak = self.words(request)
        session: Session | None = request.state.session
        in_language: dict[str, Callable[..., str]] = {
            "day": lambda text: date_words(text, speak.language),
            "moment": lambda us: _moment(us, speak.language),
            "size": lambda length: size_words(length, speak.language),
            "number": lambda number: number_words(number, speak.language),
            "told": lambda text: _told(speak, text),
            "detail": lambda key, value: _detail(speak, key, value),
        }
        text = self.environment.get_template(template).render(
            {
                "t": speak,
                "language": speak.language,
                "site": self.site,
                "session": session,
                "path": request.url.path,
                **in_language,
                **(values or {}),
            }
        )
        return HTMLResponse(text, status, headers={"Vary": "Accept-Language, Cookie"})

    def failed(self, request: Request, error: Exception) -> Response:
        """Say an error in the visitor's words, with its next step and the way back; a script gets one line."""
        speak = self.words(request)
        if isinstance(error, LeadglassError):
            status, message, hint = status_of(error), error.message, error.hint
            log_failure(error, status)
        else:
            assert isinstance(error, HTTPException)
            status, message, hint = error.status_code, error.detail, ""
        told, advice = speak.said(message), speak.said(hint)
        if "/frames/" in request.url.path:
            text = told.text if told.is_known else speak("viewer.no_picture")
            return Response(text, status, media_type="text/plain; charset=utf-8")
        values: dict[str, object] = {
            "status": status,
            "message": told.text if told.is_known else "",
            "hint": advice.text if advice.is_known else "",
            "back": _way_back(request),
        }
        return self.render(request, "error.html", values, status)


def _way_back(request: Request) -> str:
    """Give the page a refused form came from; for anything else, the first page."""
    path = request.url.path
    if request.method != "POST":
        return "/"
    if path.startswith("/nodes/"):
        return "/nodes"
    return path if path == "/password" or path.startswith("/held/") else "/"


def see(path: str) -> Response:
    """Send the browser on after a form."""
    return RedirectResponse(path, 303)
