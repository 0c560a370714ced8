"""The console and DICOMweb as one ASGI application. Start here: every address and who answers it."""

from __future__ import annotations

from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from leadglass.console.desk import DeskPages
from leadglass.console.door import Door, failed
from leadglass.console.entrance import Entrance
from leadglass.console.guard import Guard
from leadglass.console.journal import Journal
from leadglass.console.live import Live
from leadglass.console.page import Pages
from leadglass.console.qido import Searching
from leadglass.console.services import Services
from leadglass.console.sessions import LoginGate, SessionTable
from leadglass.console.stow import Storing
from leadglass.console.studies import StudyPages
from leadglass.console.wado import Retrieving
from leadglass.errors import LeadglassError

__all__ = ["create_app"]

_STATIC_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def create_app(services: Services) -> Starlette:
    """Make the application over its services. It opens nothing itself; close the decoder when it ends."""
    journal = Journal(services.catalogue, services.clock)
    door, pages = Door(services, journal), Pages.of(services.site)
    sessions, gate = SessionTable(), LoginGate()

    async def page_failed(request: Request, error: Exception) -> Response:
        """Answer an error as a page to people and as a line to programs."""
        if request.url.path.startswith("/dicom-web"):
            if isinstance(error, LeadglassError):
                return await failed(request, error)
            assert isinstance(error, HTTPException)
            return PlainTextResponse(error.detail, error.status_code, error.headers)
        if isinstance(error, HTTPException) and error.status_code == 303:
            return Response(None, 303, error.headers)
        return pages.failed(request, error)

    return Starlette(
        routes=[
            *_page_routes(door, pages, sessions, gate),
            Mount("/dicom-web", routes=_dicomweb_routes(door)),
        ],
        middleware=[Middleware(Guard, services.accounts, sessions, gate, journal)],
        exception_handlers={LeadglassError: page_failed, HTTPException: page_failed},
    )


def _page_routes(door: Door, pages: Pages, sessions: SessionTable, gate: LoginGate) -> list[BaseRoute]:
    entrance = Entrance(door, pages, sessions, gate)
    studies, desk, live = StudyPages(door, pages), DeskPages(door, pages), Live(door.services.catalogue)
    return [
        Route("/", studies.studies),
        Route("/login", entrance.login_page),
        Route("/login", entrance.login, methods=["POST"]),
        Route("/logout", entrance.logout, methods=["POST"]),
        Route("/password", entrance.password_page),
        Route("/password", entrance.password, methods=["POST"]),
        Route("/token", entrance.token, methods=["POST"]),
        Route("/language", entrance.language, methods=["POST"]),
        Route("/studies/{study}", studies.study),
        Route("/studies/{study}/viewer", studies.viewer),
        Route("/studies/{study}/instances/{instance}/frames/{frame:int}/pixels", studies.pixels),
        Route("/held", desk.held),
        Route("/held/{object}", desk.held_object),
        Route("/held/{object}", desk.decide, methods=["POST"]),
        Route("/nodes", desk.nodes),
        Route("/nodes/approve", desk.approve, methods=["POST"]),
        Route("/nodes/remove", desk.remove, methods=["POST"]),
        Route("/ledger", desk.ledger),
        Route("/system", desk.system),
        Route("/events", live.events),
        Route("/static/{name}", _static),
    ]


def _dicomweb_routes(door: Door) -> list[BaseRoute]:
    search, get, store = Searching(door), Retrieving(door), Storing(door)
    study, series = "/studies/{study}", "/studies/{study}/series/{series}"
    instance = series + "/instances/{instance}"
    return [
        Route("/studies", search.studies),
        Route("/studies", store.store, methods=["POST"]),
        Route("/series", search.series),
        Route("/instances", search.instances),
        Route(study, get.objects),
        Route(study, store.store, methods=["POST"]),
        Route(study + "/series", search.series),
        Route(study + "/instances", search.instances),
        Route(study + "/metadata", get.metadata),
        Route(study + "/thumbnail", get.thumbnail),
        Route(series, get.objects),
        Route(series + "/instances", search.instances),
        Route(series + "/metadata", get.metadata),
        Route(series + "/thumbnail", get.thumbnail),
        Route(instance, get.objects),
        Route(instance + "/metadata", get.metadata),
        Route(instance + "/rendered", get.rendered),
        Route(instance + "/thumbnail", get.thumbnail),
        Route(instance + "/bulkdata/{path:path}", get.bulk),
        Route(instance + "/frames/{frames}", get.frames),
        Route(instance + "/frames/{frames}/rendered", get.rendered),
        Route(instance + "/frames/{frames}/thumbnail", get.rendered),
    ]


def _static(request: Request) -> Response:
    """Give one of our own files; the name must be one of the folder's, no path."""
    name = request.path_params["name"]
    kind = _STATIC_TYPES.get(name.rpartition(".")[2], "")
    folder = files("leadglass.console").joinpath("static")
    if not kind or name not in {entry.name for entry in folder.iterdir()}:
        raise HTTPException(404, "There is no such file.")
    return Response(folder.joinpath(name).read_bytes(), media_type=kind, headers={"Cache-Control": "max-age=300"})
