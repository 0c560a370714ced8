"""What every DICOMweb and page handler needs at the door: the session, the UIDs of the path, the record, errors."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from leadglass.audit import AuditKind
from leadglass.console.journal import Journal
from leadglass.console.services import Opened, Services
from leadglass.console.sessions import Session
from leadglass.console.statuses import log_failure, status_of
from leadglass.dicom.values import UID
from leadglass.errors import LeadglassError, NotFound
from leadglass.journeys.ports import ObjectRecord, ObjectState

__all__ = ["Door", "allowed", "failed", "path_uids"]

_PATH_TAGS = {"study": 0x0020000D, "series": 0x0020000E, "instance": 0x00080018}


def allowed(request: Request, *, admin: bool = False) -> Session:
    """Give the session; 401 without one, 403 where it may not."""
    session: Session | None = request.state.session
    if session is None or session.account.must_change:
        challenge = {} if "sec-fetch-mode" in request.headers else {"WWW-Authenticate": 'Basic realm="Leadglass"'}
        raise HTTPException(401, "Log in first.", challenge)
    if admin and not session.is_admin:
        raise HTTPException(403, "Only an administrator may do this.")
    return session


def path_uids(request: Request) -> dict[int, str]:
    """Read the UIDs of a path; raises PeerError for one that is none."""
    return {
        tag: UID.parse(request.path_params[name]) for name, tag in _PATH_TAGS.items() if name in request.path_params
    }


@dataclass(frozen=True, slots=True)
class Door:
    """The services and the journal together."""

    services: Services
    journal: Journal

    def base(self, request: Request) -> str:
        """Give the absolute address of the DICOMweb service, as the client calls it."""
        return f"{request.url.scheme}://{request.url.netloc}/dicom-web"

    def record(self, request: Request) -> ObjectRecord:
        """Find the archived object a path names; raises NotFound when study or series are not its own."""
        uids = path_uids(request)
        record = self.services.catalogue.instance(uids[0x00080018])
        if record.state is not ObjectState.ARCHIVED or record.study_instance_uid != uids[0x0020000D]:
            raise NotFound("The study has no such instance.")
        if record.series_instance_uid != uids.get(0x0020000E, record.series_instance_uid):
            raise NotFound("The series has no such instance.")
        return record

    def open(self, record: ObjectRecord) -> Opened:
        """Open an object."""
        return self.services.archive.open(record.object_id)

    def queried(self, session: Session, level: str, matches: int) -> None:
        """Record a search."""
        self.journal.note(AuditKind.QUERY, session.account.name, "answered", {"level": level, "matches": matches})

    def retrieved(self, session: Session, record: ObjectRecord, count: int) -> None:
        """Record that whole objects were given out."""
        detail: dict[str, str | int] = {"study": record.study_instance_uid, "objects": count, "by": "dicomweb"}
        self.journal.note(AuditKind.RETRIEVED, session.account.name, "sent", detail)


async def failed(_request: Request, error: Exception) -> Response:
    """Answer an error of the house in its own words; nothing of a library's text leaves."""
    assert isinstance(error, LeadglassError)
    status = status_of(error)
    log_failure(error, status)
    text = f"{error.message} {error.hint}".strip()
    return Response(text, status, media_type="text/plain; charset=utf-8")
