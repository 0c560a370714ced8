"""QIDO-RS (PS3.18 §10.6): search for studies, series and instances."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from leadglass.console.attributes import Json, json_attributes, tag_named
from leadglass.console.door import Door, allowed, path_uids
from leadglass.console.harmless import segment
from leadglass.console.media import wishes
from leadglass.console.searches import Level, Page, search
from leadglass.errors import PeerError
from leadglass.limits import QIDO_RESULTS_MAX

__all__ = ["Searching"]

_JSON = "application/dicom+json"
_RETRIEVE_URL, _AVAILABILITY = 0x00081190, 0x00080056
_STUDY, _SERIES, _INSTANCE = 0x0020000D, 0x0020000E, 0x00080018

_RETURNED: Mapping[Level, frozenset[int]] = {
    Level.STUDY: frozenset(
        {0x00080005, 0x00080020, 0x00080030, 0x00080050, 0x00080061, 0x00080090, 0x00080201, 0x00100010, 0x00100020,
         0x00100030, 0x00100040, 0x0020000D, 0x00200010, 0x00201206, 0x00201208, 0x00081030}
    ),
    Level.SERIES: frozenset(
        {0x00080005, 0x00080060, 0x00080201, 0x0008103E, 0x0020000E, 0x00200011, 0x00201209, 0x00400244, 0x00400245}
    ),
    Level.IMAGE: frozenset(
        {0x00080005, 0x00080016, 0x00080018, 0x00080201, 0x00200013, 0x00280010, 0x00280011, 0x00280100, 0x00280008}
    ),
}  # fmt: skip
"""Attributes returned unasked (PS3.18 Tables 10.6.3-3 to -5)."""


class Searching:
    """The search transaction."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def studies(self, request: Request) -> Response:
        """Search for studies."""
        return self._answer(request, Level.STUDY)

    def series(self, request: Request) -> Response:
        """Search for series, of a study or of all."""
        return self._answer(request, Level.SERIES)

    def instances(self, request: Request) -> Response:
        """Search for instances, of a series, a study or of all."""
        return self._answer(request, Level.IMAGE)

    def _answer(self, request: Request, level: Level) -> Response:
        session = allowed(request)
        if not any(wish.takes(_JSON) or wish.takes("application/json") for wish in wishes(request)):
            return Response("Only application/dicom+json is given here.", 406, media_type="text/plain")
        unique = path_uids(request)
        wish = _Wish(request, level, unique)
        page, keys = Page(wish.limit + 1, wish.offset), {**wish.matching, **unique}
        matches = search(self._door.services.archive, level, keys, wish.included, page, wish.is_fuzzy)
        found = list(islice(matches, wish.limit + 1))
        headers = {}
        warnings = []
        if len(found) > wish.limit and wish.limit == QIDO_RESULTS_MAX:
            warnings.append("There are more matches than are given; ask with limit and offset.")
        if warnings:
            headers["Warning"] = ", ".join(f'299 leadglass "{text}"' for text in warnings)
        base = self._door.base(request)
        body = [_row(attributes, wish, level, base) for attributes in found[: wish.limit]]
        self._door.queried(session, level.value, len(body))
        return JSONResponse(body, media_type=_JSON, headers=headers)


class _Wish:
    """What the query string asks for; raises PeerError for what is no search."""

    def __init__(self, request: Request, level: Level, unique: Mapping[int, str]) -> None:
        self.matching: dict[int, str] = {}
        self.everything = False
        self.is_fuzzy = False
        self.limit, self.offset = QIDO_RESULTS_MAX, 0
        fields: set[int] = set()
        for name, value in request.query_params.multi_items():
            if name == "includefield":
                for field in value.split(","):
                    self.everything |= field == "all"
                    tag = tag_named(field)
                    if tag is not None:
                        fields.add(tag)
            elif name == "limit":
                self.limit = min(QIDO_RESULTS_MAX, _whole(name, value))
            elif name == "offset":
                self.offset = _whole(name, value)
            elif name == "fuzzymatching":
                self.is_fuzzy = value.lower() == "true"
            elif name != "accept":
                self._match(name, value)
        above = {
            Level.STUDY: (Level.STUDY,),
            Level.SERIES: (Level.STUDY, Level.SERIES),
            Level.IMAGE: (Level.STUDY, Level.SERIES, Level.IMAGE),
        }
        own = above[level] if not unique else (level,)
        if _STUDY in unique and _SERIES not in unique and level is Level.IMAGE:
            own = (Level.SERIES, Level.IMAGE)
        self.included = frozenset().union(*(_RETURNED[each] for each in own)) | fields | {_STUDY}
        if level is not Level.STUDY:
            self.included |= {_SERIES}
        self.included |= set(self.matching)

    def _match(self, name: str, value: str) -> None:
        tag = tag_named(name.rpartition(".")[2] if "." in name else name)
        if tag is None:
            raise PeerError(f"{name[:64]!r} is no attribute.", code="query", clause="PS3.18 §8.3.4.1")
        if tag in (_STUDY, _SERIES, _INSTANCE):
            value = value.replace(",", "\\")
        self.matching[tag] = value


def _whole(name: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 9:
        raise PeerError(f"{name} is a whole number.", code="query", clause="PS3.18 §8.3.4")
    return int(value)


def _row(attributes: Mapping[int, str], wish: _Wish, level: Level, base: str) -> dict[str, Json]:
    kept = {tag: text for tag, text in attributes.items() if wish.everything or tag in wish.included}
    url = f"{base}/studies/{segment(attributes.get(_STUDY, ''))}"
    if level is not Level.STUDY:
        url += f"/series/{segment(attributes.get(_SERIES, ''))}"
    if level is Level.IMAGE:
        url += f"/instances/{segment(attributes.get(_INSTANCE, ''))}"
    return json_attributes({**kept, _RETRIEVE_URL: url, _AVAILABILITY: "ONLINE"})
