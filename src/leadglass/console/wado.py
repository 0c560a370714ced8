"""WADO-RS (PS3.18 §10.4): whole objects, frames, bulk data, metadata, and rendered pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from leadglass.console.attributes import json_attributes
from leadglass.console.door import Door, allowed, path_uids
from leadglass.console.harmless import parameter, segment
from leadglass.console.media import FRAME_TYPES, OCTETS, Wish, wishes
from leadglass.console.multipart import new_boundary, part_head, parts_end
from leadglass.console.searches import Level, records
from leadglass.dicom.syntaxes import EXPLICIT_LITTLE, transfer_syntax
from leadglass.edge.decoder import Rendition
from leadglass.errors import LeadglassError, NotFound, PeerError
from leadglass.journeys.ports import ObjectRecord

__all__ = ["Retrieving"]

_DICOM, _JSON = "application/dicom", "application/dicom+json"
_THUMBNAIL_SIDE = 160


class Retrieving:
    """The retrieve transaction. Handlers block; Starlette runs them in its thread pool."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def objects(self, request: Request) -> Response:
        """Give a study, a series or an instance as multipart/related Part 10 files (§10.4.1.1.1 to .3)."""
        session = allowed(request)
        found = self._records(request)
        wish = next((w for w in wishes(request) if w.takes(_DICOM) and _can_give(w.syntax, found)), None)
        if wish is None:
            return _not_acceptable('multipart/related; type="application/dicom", as stored (*) or native little endian')
        self._door.retrieved(session, found[0], len(found))
        if wish.kind == _DICOM and not wish.is_multipart and len(found) == 1:
            chunks, syntax = self._object(found[0], wish)
            return StreamingResponse(chunks, media_type=f"{_DICOM}; transfer-syntax={parameter(syntax)}")
        return _multipart(_DICOM, self._object_parts(request, found, wish))

    def metadata(self, request: Request) -> Response:
        """Give the metadata of a study, a series or an instance (§10.4.1.1.6) as DICOM JSON."""
        session = allowed(request)
        if not any(w.takes(_JSON) or w.takes("application/json") for w in wishes(request)):
            return _not_acceptable(_JSON)
        found = self._records(request)
        self._door.journal.looked(session.account.name, found[0].study_instance_uid, "metadata")
        return StreamingResponse(self._metadata(request, found), media_type=_JSON)

    def frames(self, request: Request) -> Response:
        """Give frames, as stored or decoded (§10.4.1.1.4)."""
        session = allowed(request)
        record = self._door.record(request)
        numbers = _frame_list(request.path_params["frames"])
        self._door.journal.looked(session.account.name, record.study_instance_uid, "frames")
        opened, decoder = self._door.open(record), self._door.services.decoder
        facts = decoder.describe(opened)
        count = facts.get("frames", 1)
        if isinstance(count, int) and max(numbers) > count:
            raise NotFound(f"The instance has {count} frame(s).")
        stored = FRAME_TYPES.get(record.transfer_syntax_uid, "") if facts.get("encapsulated") else ""
        for wish in wishes(request):
            if (
                stored
                and wish.kind != "*/*"
                and wish.takes(stored)
                and wish.syntax in ("", "*", record.transfer_syntax_uid)
            ):
                kind = f"{stored}; transfer-syntax={parameter(record.transfer_syntax_uid)}"
                return _multipart(stored, ((kind, "", [decoder.code_stream(opened, n)]) for n in numbers))
            if wish.takes(OCTETS) and wish.syntax in ("", "*", EXPLICIT_LITTLE.uid):
                kind = f"{OCTETS}; transfer-syntax={EXPLICIT_LITTLE.uid}"
                first = decoder.frame(opened, numbers[0]).data
                bodies = (first if at == 0 else decoder.frame(opened, n).data for at, n in enumerate(numbers))
                return _multipart(OCTETS, ((kind, "", [body]) for body in bodies))
        return _not_acceptable(f"multipart/related with {OCTETS}" + (f" or {stored}" if stored else ""))

    def bulk(self, request: Request) -> Response:
        """Give the value of one element (§10.4.1.1.5)."""
        session = allowed(request)
        if not any(w.takes(OCTETS) for w in wishes(request)):
            return _not_acceptable(OCTETS)
        record = self._door.record(request)
        self._door.journal.looked(session.account.name, record.study_instance_uid, "bulkdata")
        try:
            chunks = self._door.services.decoder.bulk(self._door.open(record), request.path_params["path"])
            first = next(chunks, b"")
        except PeerError as error:
            raise NotFound("The instance has no such value.") from error
        kind = f"{OCTETS}; transfer-syntax={EXPLICIT_LITTLE.uid}"
        return _multipart(OCTETS, [(kind, str(request.url), _joined(first, chunks))])

    def rendered(self, request: Request) -> Response:
        """Give an instance or one of its frames as a picture (§10.4.1.1.7)."""
        session = allowed(request)
        record = self._door.record(request)
        numbers = _frame_list(request.path_params.get("frames", "1"))
        if len(numbers) != 1:
            raise PeerError("One frame is rendered at a time.", code="frames", clause="PS3.18 §10.4.1.1.7")
        wish = _rendition(request)
        if wish is None:
            return _not_acceptable("image/jpeg or image/png")
        self._door.journal.looked(session.account.name, record.study_instance_uid, "rendered")
        return self._picture(record, numbers[0], wish)

    def thumbnail(self, request: Request) -> Response:
        """Give a small picture of a study, series or instance (§10.4.1.1.8): its middle image."""
        session = allowed(request)
        found = self._records(request)
        record = found[len(found) // 2]
        self._door.journal.looked(session.account.name, record.study_instance_uid, "thumbnail")
        return self._picture(record, 1, Rendition("image/jpeg", 80, viewport=(_THUMBNAIL_SIDE, _THUMBNAIL_SIDE)))

    def _picture(self, record: ObjectRecord, number: int, wish: Rendition) -> Response:
        return Response(self._door.services.decoder.render(self._door.open(record), number, wish),
                        media_type=wish.media_type)  # fmt: skip

    def _records(self, request: Request) -> list[ObjectRecord]:
        if "instance" in request.path_params:
            return [self._door.record(request)]
        uids = path_uids(request)
        level = Level.SERIES if 0x0020000E in uids else Level.STUDY
        found = records(self._door.services.archive, level, uids)
        if not found:
            raise NotFound(f"The archive has no such {level.value.lower()}.")
        return found

    def _object(self, record: ObjectRecord, wish: Wish) -> tuple[Iterable[bytes | memoryview], str]:
        """Give an object as wished; what cannot be rewritten comes as stored, its part says so."""
        opened, target = self._door.open(record), wish.syntax or EXPLICIT_LITTLE.uid
        if target in ("*", record.transfer_syntax_uid):
            return opened.stream(), record.transfer_syntax_uid
        try:
            chunks = self._door.services.decoder.rewrite(opened, target)
            return _joined(next(chunks), chunks), target
        except (PeerError, StopIteration):
            return opened.stream(), record.transfer_syntax_uid

    def _object_parts(
        self, request: Request, found: Sequence[ObjectRecord], wish: Wish
    ) -> Iterator[tuple[str, str, Iterable[bytes | memoryview]]]:
        base = self._door.base(request)
        for record in found:
            chunks, syntax = self._object(record, wish)
            yield f"{_DICOM}; transfer-syntax={parameter(syntax)}", _instance_url(base, record), chunks

    def _metadata(self, request: Request, found: Sequence[ObjectRecord]) -> Iterator[bytes]:
        base = self._door.base(request)
        for at, record in enumerate(found):
            yield b"[" if at == 0 else b","
            try:
                bulk_uri = f"{_instance_url(base, record)}/bulkdata"
                yield self._door.services.decoder.metadata(self._door.open(record), bulk_uri)
            except LeadglassError:
                yield json.dumps(json_attributes(record.attributes)).encode()
        yield b"]"


def _instance_url(base: str, record: ObjectRecord) -> str:
    return (
        f"{base}/studies/{segment(record.study_instance_uid)}/series/{segment(record.series_instance_uid)}"
        f"/instances/{segment(record.sop_instance_uid)}"
    )


def _can_give(syntax_uid: str, found: Sequence[ObjectRecord]) -> bool:
    """Tell whether objects can be given in a transfer syntax: as stored, or in one we write."""
    if syntax_uid in ("", "*"):
        return True
    syntax = transfer_syntax(syntax_uid)
    is_written_here = syntax.is_known and syntax.is_little_endian and not syntax.is_encapsulated
    return is_written_here or all(record.transfer_syntax_uid == syntax_uid for record in found)


def _joined(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _not_acceptable(offer: str) -> Response:
    return Response(f"This resource is given as {offer}.", 406, media_type="text/plain")


def _multipart(kind: str, parts: Iterable[tuple[str, str, Iterable[bytes | memoryview]]]) -> Response:
    """Stream parts; the first is made before the status line, so that its failure is a status."""
    boundary = new_boundary()

    def body() -> Iterator[bytes]:
        is_first = True
        for content_type, location, chunks in parts:
            yield part_head(boundary, content_type, location=location, is_first=is_first)
            is_first = False
            for chunk in chunks:
                yield bytes(chunk)
        yield parts_end(boundary)

    chunks = body()
    return StreamingResponse(
        _joined(next(chunks), chunks), media_type=f'multipart/related; type="{kind}"; boundary={boundary}'
    )


def _frame_list(text: str) -> list[int]:
    numbers = text.split(",")
    if not numbers or any(not n.isdecimal() or len(n) > 7 or int(n) < 1 for n in numbers):
        raise PeerError("Frames are numbers from 1, separated by commas.", code="frames", clause="PS3.18 §10.1.1")
    return [int(n) for n in numbers]


def _rendition(request: Request) -> Rendition | None:
    """Read the rendering parameters (§8.3.5.1); raises PeerError for broken ones, None for no acceptable type."""
    kinds = ("image/jpeg", "image/png")
    kind = next((k for wish in wishes(request) for k in kinds if wish.takes(k)), None)
    if kind is None:
        return None
    query = request.query_params
    try:
        window = None
        if "window" in query:
            centre, width, *function = query["window"].split(",")
            window = (float(centre), float(width), (function[0] if function else "linear").upper().replace("-", "_"))
            if window[1] <= 0:
                raise ValueError
        quality = int(query.get("quality", "90"))
        viewport = (
            tuple(round(float(v)) if v else 0 for v in query["viewport"].split(",")) if "viewport" in query else ()
        )
        if not 1 <= quality <= 100 or len(viewport) not in (0, 2, 6) or any(v < 1 for v in viewport[:2]):
            raise ValueError
    except (ValueError, OverflowError):
        raise PeerError("window, viewport or quality is not written as the standard says.", code="rendering",
                        clause="PS3.18 §8.3.5.1") from None  # fmt: skip
    return Rendition(kind, quality, window, viewport)
