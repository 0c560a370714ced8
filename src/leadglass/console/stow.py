"""STOW-RS (PS3.18 §10.5): objects come in through the same door as those of a modality, part by part.

Memory is bounded by one chunk; nothing is acknowledged before it is durable. An object sent to the address of a study
it does not belong to is refused before it is archived: its own walk tells its study a few kilobytes in. A held object
is safe but not visible: it is reported as failed with 0124H (refused: not authorised) so that no sender deletes its
copy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from leadglass.console.attributes import Json
from leadglass.console.door import Door, allowed, path_uids
from leadglass.console.harmless import segment
from leadglass.console.multipart import MultipartReader, PartBegins, PartEnds, Piece, media_type
from leadglass.console.services import Arriving
from leadglass.errors import LeadglassError, PeerError, StorageFull
from leadglass.malware.anatomy import FileInspector

__all__ = ["Storing"]

_CHUNK_BYTES = 1 << 20
_CANNOT_UNDERSTAND, _OUT_OF_RESOURCES, _PROCESSING, _NOT_AUTHORISED = 0xC000, 0xA700, 0x0110, 0x0124
_DOES_NOT_MATCH = 0xA900
"""Error: the data set does not match (PS3.18 annex I.2.2, A9xxH): here not the study of the address."""

_SOP_CLASS, _SOP_INSTANCE, _STUDY = 0x00080016, 0x00080018, 0x0020000D


@dataclass(slots=True)
class _Result:
    stored: list[tuple[str, str, str]] = field(default_factory=list)
    failed: list[tuple[str, str, int]] = field(default_factory=list)


class _OtherStudyError(LeadglassError):
    """The object is not of the study whose address it was sent to."""


class _StudyWatch:
    """Read an object as it passes, up to its study: it is known before the pixels, and before anything is archived."""

    def __init__(self, study: str) -> None:
        self._study = study
        self._inspector = FileInspector(keep=frozenset({_SOP_CLASS, _SOP_INSTANCE, _STUDY}))

    @property
    def reference(self) -> tuple[str, str]:
        """Give the SOP class and instance, empty where they have not passed."""
        return self._text(_SOP_CLASS), self._text(_SOP_INSTANCE)

    def look(self, data: bytes, *, is_last: bool = False) -> None:
        """Take the next bytes; raises once the study is known to be another, or never comes."""
        if not self._inspector.is_done_with_header:
            self._inspector.feed(data)
        if is_last:
            self._inspector.finish()
        is_told = _STUDY in self._inspector.values or self._inspector.is_done_with_header
        if (is_told or is_last) and self._text(_STUDY) != self._study:
            if is_last and self._inspector.meta is None:
                raise PeerError("This is no DICOM file.", code="not-dicom", clause="PS3.10 §7.1")
            raise _OtherStudyError("The object belongs to another study than the address it was sent to.")

    def _text(self, tag: int) -> str:
        return self._inspector.values.get(tag, b"").decode("latin-1").strip("\0 ")


class _Part:
    """One object of the request: pieces are gathered to a chunk before they cross to a worker thread."""

    def __init__(self, arriving: Arriving, watch: _StudyWatch | None) -> None:
        self._arriving = arriving
        self._watch = watch
        self._held = bytearray()
        self.error: LeadglassError | None = None

    @property
    def reference(self) -> tuple[str, str]:
        """Give the SOP class and instance as far as they were read."""
        return ("", "") if self._watch is None else self._watch.reference

    async def feed(self, data: bytes) -> None:
        """Take a piece; after an error the rest of the part is read and dropped."""
        if self.error is not None:
            return
        self._held += data
        if len(self._held) >= _CHUNK_BYTES:
            await self._pass_on()

    async def _pass_on(self, *, is_last: bool = False) -> None:
        data, self._held = bytes(self._held), bytearray()
        try:
            await run_in_threadpool(self._take, data, is_last)
        except LeadglassError as error:
            self.error = error
            await self.abort(error.message)

    def _take(self, data: bytes, is_last: bool) -> None:
        if self._watch is not None:
            self._watch.look(data, is_last=is_last)
        if data:
            self._arriving.feed(data)

    async def finish(self) -> object:
        """End the part; gives the receiver's outcome. Raises what went wrong."""
        if self.error is None:
            await self._pass_on(is_last=True)
        if self.error is not None:
            raise self.error
        return await run_in_threadpool(self._arriving.finish)

    async def abort(self, reason: str) -> None:
        """Drop the object."""
        await run_in_threadpool(self._arriving.abort, reason)


class Storing:
    """The store transaction."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def store(self, request: Request) -> Response:
        """Store the parts of a request; the answer names each object and what became of it."""
        session = allowed(request, admin=True)
        study = path_uids(request).get(_STUDY, "")
        kind, parameters = media_type(request.headers.get("content-type", ""))
        if (
            kind != "multipart/related"
            or media_type(parameters.get("type", "application/dicom"))[0] != "application/dicom"
        ):
            return Response('Send multipart/related; type="application/dicom".', 415, media_type="text/plain")
        reader, result = MultipartReader(parameters.get("boundary", "")), _Result()
        part: _Part | None = None
        source = f"web:{session.account.name}"
        try:
            async for data in request.stream():
                for event in reader.feed(data):
                    if isinstance(event, PartBegins):
                        watch = _StudyWatch(study) if study else None
                        part = _Part(await run_in_threadpool(self._door.services.receiver.begin_file, source), watch)
                        _check_part(event)
                    elif isinstance(event, Piece) and part is not None:
                        await part.feed(event.data)
                    elif isinstance(event, PartEnds) and part is not None:
                        ending, part = part, None
                        await self._end(ending, result)
        finally:
            if part is not None and part.error is None:
                await part.abort("The request ended before the object did.")
        if not reader.is_complete:
            raise PeerError("The request has no closing boundary.", code="multipart", clause="RFC 2046 §5.1")
        if not result.stored and not result.failed:
            raise PeerError("The request holds no object.", code="multipart", clause="PS3.18 §10.5")
        return self._response(request, result)

    async def _end(self, part: _Part, result: _Result) -> None:
        from leadglass.journeys.receive import Archived, Held, Rejected

        try:
            outcome = await part.finish()
        except StorageFull:
            result.failed.append((*part.reference, _OUT_OF_RESOURCES))
            return
        except _OtherStudyError:
            result.failed.append((*part.reference, _DOES_NOT_MATCH))
            return
        except LeadglassError:
            result.failed.append((*part.reference, _CANNOT_UNDERSTAND))
            return
        match outcome:
            case Archived(object_id=object_id):
                record = await run_in_threadpool(self._door.services.catalogue.object, object_id)
                where = f"studies/{segment(record.study_instance_uid)}/series/{segment(record.series_instance_uid)}"
                url = f"{where}/instances/{segment(record.sop_instance_uid)}"
                result.stored.append((record.sop_class_uid, record.sop_instance_uid, url))
            case Held(object_id=object_id):
                record = await run_in_threadpool(self._door.services.catalogue.object, object_id)
                result.failed.append((record.sop_class_uid, record.sop_instance_uid, _NOT_AUTHORISED))
            case Rejected(status=status):
                result.failed.append((*part.reference, status))
            case _:
                result.failed.append((*part.reference, _PROCESSING))

    def _response(self, request: Request, result: _Result) -> Response:
        base = self._door.base(request)
        body: dict[str, Json] = {"00081190": {"vr": "UR", "Value": [f"{base}/studies"]}}
        if result.stored:
            body["00081199"] = {
                "vr": "SQ",
                "Value": [
                    {**_reference(sop_class, sop), "00081190": {"vr": "UR", "Value": [f"{base}/{url}"]}}
                    for sop_class, sop, url in result.stored
                ],
            }
        if result.failed:
            body["00081198"] = {
                "vr": "SQ",
                "Value": [
                    {**_reference(sop_class, sop), "00081197": {"vr": "US", "Value": [reason]}}
                    for sop_class, sop, reason in result.failed
                ],
            }
        status = 200 if not result.failed else 202 if result.stored else 409
        return JSONResponse(body, status, media_type="application/dicom+json")


def _check_part(event: PartBegins) -> None:
    kind = media_type(event.headers.get("content-type", "application/dicom"))[0]
    if kind != "application/dicom":
        raise PeerError("A part is not application/dicom.", code="multipart", clause="PS3.18 §10.5.2")


def _reference(sop_class: str, sop: str) -> dict[str, Json]:
    return {
        "00081150": {"vr": "UI", "Value": [sop_class]} if sop_class else {"vr": "UI"},
        "00081155": {"vr": "UI", "Value": [sop]} if sop else {"vr": "UI"},
    }
