"""The studies list, one study with its life-line, and the pictures the viewer draws."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from leadglass.console.door import Door
from leadglass.console.page import Pages, page_session
from leadglass.console.pictures import is_in_colour, tile_of
from leadglass.console.searches import Level, records
from leadglass.dicom.values import UID
from leadglass.errors import NotFound, PeerError
from leadglass.finding import Severity
from leadglass.journeys.ports import DeliveryState, ObjectRecord, ObjectState, StudyLine
from leadglass.malware.rebuild.changes import DISARMED_CLASS

__all__ = ["StudyPages"]

_PAGE_ROWS = 100
_DELIVERIES_READ_MAX = 500
_COPIES_SHOWN_MAX = 50
_NAME, _ID, _BIRTH, _SEX = 0x00100010, 0x00100020, 0x00100030, 0x00100040
_DATE, _TIME, _ACCESSION, _DESCRIPTION = 0x00080020, 0x00080030, 0x00080050, 0x00081030
_MODALITIES, _MODALITY, _SERIES_NUMBER, _SERIES_TEXT = 0x00080061, 0x00080060, 0x00200011, 0x0008103E
_FRAMES, _INSTANCE_NUMBER = 0x00280008, 0x00200013


@dataclass(frozen=True, slots=True)
class Row:
    """One study as the list shows it; texts are as sent, the template escapes them."""

    uid: str
    name: str
    patient_id: str
    birth: str
    sex: str
    date: str
    modalities: str
    description: str
    accession: str
    instances: int
    held: int
    length_bytes: int
    received_at_us: int


@dataclass(frozen=True, slots=True)
class Step:
    """One station of the life-line: how many objects passed it, of how many, and its state (done, part, open, bad)."""

    key: str
    count: int
    total: int
    state: str


@dataclass(frozen=True, slots=True)
class SeriesView:
    """One series for the page and the viewer."""

    uid: str
    number: str
    modality: str
    description: str
    instances: tuple[tuple[str, int], ...]
    tile: str = ""
    """What stands where objects without a picture would have one (`pictures.py`); empty for pictures."""
    is_in_colour: bool = False
    """Whether all of it are captures in colour, which the study's page plays."""

    @property
    def pictures(self) -> int:
        """Frames in all."""
        return sum(frames for _uid, frames in self.instances)


def row_of(line: StudyLine) -> Row:
    """Make a row of a study."""
    text = line.attributes
    return Row(
        line.study_instance_uid, text.get(_NAME, ""), text.get(_ID, ""), text.get(_BIRTH, ""), text.get(_SEX, ""),
        text.get(_DATE, ""), text.get(_MODALITIES, text.get(_MODALITY, "")).replace("\\", " "),
        text.get(_DESCRIPTION, ""), text.get(_ACCESSION, ""), line.instance_count, line.held_count, line.length_bytes,
        line.received_at_us)  # fmt: skip


def series_of(found: Sequence[ObjectRecord]) -> list[SeriesView]:
    """Group objects by series, in the order of their numbers."""
    groups: dict[str, list[ObjectRecord]] = {}
    for record in found:
        groups.setdefault(record.series_instance_uid, []).append(record)
    out = []
    for uid, members in groups.items():
        members.sort(key=lambda r: (_whole(r.attributes, _INSTANCE_NUMBER, 0), r.sop_instance_uid))
        text = members[0].attributes
        instances = tuple((r.sop_instance_uid, max(1, _whole(r.attributes, _FRAMES, 1))) for r in members)
        out.append(
            SeriesView(
                uid,
                text.get(_SERIES_NUMBER, ""),
                text.get(_MODALITY, ""),
                text.get(_SERIES_TEXT, ""),
                instances,
                tile_of(record.sop_class_uid for record in members),
                is_in_colour(record.sop_class_uid for record in members),
            )
        )
    return sorted(out, key=lambda s: (int(s.number) if s.number.strip().lstrip("-").isdecimal() else 0, s.uid))


def _whole(attributes: Mapping[int, str], tag: int, default: int) -> int:
    try:
        return int(attributes.get(tag, "").strip() or default)
    except ValueError:
        return default


class StudyPages:
    """The handlers; they block and run in the thread pool."""

    def __init__(self, door: Door, pages: Pages) -> None:
        self._door, self._pages = door, pages

    def studies(self, request: Request) -> Response:
        """List studies, newest first; `q` filters, `part` asks for the rows alone."""
        page_session(request)
        text = request.query_params.get("q", "")[:100].strip()
        page = request.query_params.get("page", "1")
        number = int(page) if page.isdecimal() and 1 <= len(page) <= 6 else 1
        offset = max(0, number - 1) * _PAGE_ROWS
        lines = self._door.services.catalogue.studies(text=text, limit=_PAGE_ROWS + 1, offset=offset)
        values: dict[str, object] = {
            "rows": [row_of(line) for line in lines[:_PAGE_ROWS]],
            "q": text,
            "page": max(1, number),
            "has_more": len(lines) > _PAGE_ROWS,
        }
        if "part" in request.query_params:
            return self._pages.render(request, "rows.html", values)
        values["counts"] = self._door.services.catalogue.counts()
        return self._pages.render(request, "studies.html", values)

    def study(self, request: Request) -> Response:
        """Show one study: its life-line, series, and what was held of it."""
        session = page_session(request)
        uid = UID.parse(request.path_params["study"])
        catalogue = self._door.services.catalogue
        found = records(self._door.services.archive, Level.STUDY, {0x0020000D: uid})
        held = [r for r in catalogue.objects(ObjectState.HELD) if r.study_instance_uid == uid]
        conflicts = [r for r in catalogue.objects(ObjectState.CONFLICT) if r.study_instance_uid == uid]
        everything = [*found, *held, *conflicts]
        if not everything:
            raise NotFound("The archive has no such study.")
        self._door.journal.looked(session.account.name, uid, "study")
        first = everything[0]
        findings = sum(1 for r in everything if any(f.severity >= Severity.MEDIUM for f in r.findings))
        series = series_of(found)
        values: dict[str, object] = {
            "uid": uid,
            "text": {name: first.attributes.get(tag, "") for name, tag in _TEXTS.items()},
            "series": series,
            "has_pictures": any(not one.tile for one in series),
            "played": [
                (one, json.dumps({"study": uid, "series": one.uid, "instances": one.instances}))
                for one in sorted(series, key=lambda one: len(one.instances))  # what turns, then slices
                if one.is_in_colour and one.pictures > 1
            ],
            "held": [*held, *conflicts],
            "copies": [r for r in found if any(f.cls == DISARMED_CLASS for f in r.findings)][:_COPIES_SHOWN_MAX],
            "steps": self._life_line(found, len(held), len(conflicts), findings),
            "nodes": self._sent_to(found),
            "length_bytes": sum(r.length_bytes for r in found),
            "received_at_us": max(r.received_at_us for r in everything),
            "sources": sorted({r.source for r in everything}),
        }
        return self._pages.render(request, "study.html", values)

    def _life_line(self, found: Sequence[ObjectRecord], held: int, conflicts: int, findings: int) -> list[Step]:
        total = len(found) + held + conflicts
        states = [
            d.state for r in found[:_DELIVERIES_READ_MAX] for d in self._door.services.catalogue.deliveries(r.object_id)
        ]
        sent = states.count(DeliveryState.DELIVERED)
        failed = DeliveryState.FAILED in states
        sent_state = "none" if not states else "bad" if failed else "done" if sent == len(states) else "part"
        return [
            Step("received", total, total, "done"),
            Step("inspected", total, total, "part" if findings else "done"),
            Step("sealed", len(found), total, "done" if len(found) == total else "part"),
            Step("sent", sent, len(states), sent_state),
        ]

    def _sent_to(self, found: Sequence[ObjectRecord]) -> list[tuple[str, int, int]]:
        """Tell for each node how many objects went out, of how many."""
        tally: dict[str, tuple[int, int]] = {}
        for record in found[:_DELIVERIES_READ_MAX]:
            for delivery in self._door.services.catalogue.deliveries(record.object_id):
                done, total = tally.get(delivery.node, (0, 0))
                tally[delivery.node] = (done + (delivery.state is DeliveryState.DELIVERED), total + 1)
        return [(node, done, total) for node, (done, total) in sorted(tally.items())]

    def viewer(self, request: Request) -> Response:
        """Show the pictures of a study."""
        session = page_session(request)
        uid = UID.parse(request.path_params["study"])
        found = records(self._door.services.archive, Level.STUDY, {0x0020000D: uid})
        if not found:
            raise NotFound("The archive has no such study.")
        self._door.journal.looked(session.account.name, uid, "viewer")
        series = series_of(found)
        first = next((one.uid for one in series if not one.tile), "")
        chosen = request.query_params.get("series", first)
        data = [{"uid": s.uid, "instances": [[sop, frames] for sop, frames in s.instances]} for s in series]
        values: dict[str, object] = {
            "uid": uid,
            "text": {name: found[0].attributes.get(tag, "") for name, tag in _TEXTS.items()},
            "series": series,
            "data": json.dumps({"study": uid, "series": data, "chosen": chosen}),
        }
        return self._pages.render(request, "viewer.html", values)

    def pixels(self, request: Request) -> Response:
        """Give one frame's values to the viewer, what they mean in a header."""
        session = page_session(request)
        record = self._door.record(request)
        number = request.path_params["frame"]
        if number < 1:
            raise PeerError("Frames are counted from 1.", code="frames", clause="PS3.18 §10.1.1")
        self._door.journal.looked(session.account.name, record.study_instance_uid, "viewer")
        decoded = self._door.services.decoder.pixels(self._door.open(record), number)
        return Response(
            decoded.data, media_type="application/octet-stream", headers={"X-Picture": json.dumps(dict(decoded.info))}
        )


_TEXTS = {
    "name": _NAME, "patient_id": _ID, "birth": _BIRTH, "sex": _SEX, "date": _DATE, "time": _TIME,
    "accession": _ACCESSION, "description": _DESCRIPTION, "modality": _MODALITY,
}  # fmt: skip
