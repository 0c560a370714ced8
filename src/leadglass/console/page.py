"""How a page is made: Jinja2 with autoescape always on, the visitor's words, and the forms' token."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from leadglass.console.attributes import date_words, person_words
from leadglass.console.messages import Words, language_of, words
from leadglass.console.services import SiteFacts
from leadglass.console.sessions import Session
from leadglass.limits import FORM_BYTES_MAX

__all__ = ["Pages", "checked_form", "page_session"]


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


def _moment(microseconds: int, language: str) -> str:
    moment = datetime.fromtimestamp(microseconds / 1_000_000, UTC)
    return moment.strftime("%d/%m/%Y %H:%M:%S UTC" if language == "fr" else "%Y-%m-%d %H:%M:%S UTC")


def _size(length_bytes: int, language: str) -> str:
    units = ("o", "Kio", "Mio", "Gio", "Tio") if language == "fr" else ("B", "KiB", "MiB", "GiB", "TiB")
    value, unit = float(length_bytes), 0
    while value >= 1024 and unit < len(units) - 1:
        value, unit = value / 1024, unit + 1
    text = f"{value:.0f}" if unit == 0 or value >= 100 else f"{value:.1f}"
    return f"{text.replace('.', ',') if language == 'fr' else text} {units[unit]}"


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
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["person"] = person_words
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
            "size": lambda length: _size(length, speak.language),
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


def see(path: str) -> Response:
    """Send the browser on after a form."""
    return RedirectResponse(path, 303)
