"""Answers from the catalogue: tokens narrow the candidates in SQL, then rows are opened and matched.

Rows are read in pages by id, so that no read transaction stays open while an answer travels and memory does
not grow with the answer. Rows of a patient whose key was erased are passed over: nobody can read them.
Patients and studies come newest first, series and images in the order they arrived.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import ColumnElement, Row, Select, func, literal, select, tuple_

from leadglass.archive import levels
from leadglass.archive.levels import KNOWN_AT, UNIQUE_KEYS, Level
from leadglass.archive.matching import Matcher, folded
from leadglass.archive.query import QUERY_LEVEL, Query
from leadglass.edge.database_counting import COUNTED, Candidate, count_into
from leadglass.edge.database_narrowing import Narrowing, Rows
from leadglass.edge.database_objects import ObjectRows
from leadglass.edge.database_opening import Opener
from leadglass.edge.database_store import Store
from leadglass.edge.database_vault import Vault
from leadglass.edge.schema import INSTANCES, NOT_ARCHIVED, PATIENTS, SERIES, STUDIES
from leadglass.errors import NotFound
from leadglass.journeys.ports import Attributes, ObjectRecord, ObjectState, StudyLine

PAGE = 500
_TABLE = {Level.PATIENT: PATIENTS, Level.STUDY: STUDIES, Level.SERIES: SERIES, Level.IMAGE: INSTANCES}
_ARRIVAL = tuple_(STUDIES.c.received_at, STUDIES.c.id)
_SHOWN_IN_LISTS = (0x00100010, levels.PATIENT_ID, levels.ACCESSION, 0x00081030, levels.STUDY_DATE)


class Finder:
    """Match queries."""

    def __init__(self, store: Store, vault: Vault, objects: ObjectRows) -> None:
        self._store, self._vault, self._objects = store, vault, objects
        self._opener = Opener(vault)
        self._narrowing = Narrowing(vault)

    def find(self, query: Query) -> Iterator[Attributes]:
        """Answer a query at its level."""
        wanted = query.return_tags
        skip, left = query.offset, query.limit
        if left == 0:
            return
        for attributes in self._matches(query):
            if skip:
                skip -= 1
                continue
            yield {tag: attributes.get(tag, "") for tag in wanted} | {QUERY_LEVEL: query.at.value}
            if left is not None:
                left -= 1
                if not left:
                    return

    def _matches(self, query: Query) -> Iterator[dict[int, str]]:
        at, matchers = query.at, query.matchers()
        computed = COUNTED & KNOWN_AT[at] & (query.return_tags | frozenset(matchers))
        early = {tag: matcher for tag, matcher in matchers.items() if tag not in computed}
        late = {tag: matcher for tag, matcher in matchers.items() if tag in computed}
        for page in self._pages(self._narrowing.select(query), at):
            candidates = [c for row in page for c in self._opened(row, at) if _fits(early, c.attributes)]
            if computed and candidates:
                with self._store.reading() as connection:
                    count_into(connection, candidates, computed)
            yield from (candidate.attributes for candidate in candidates if _fits(late, candidate.attributes))

    def _opened(self, row: Row[tuple[object, ...]], at: Level) -> Iterator[Candidate]:
        """Open a row: one candidate, or none where the patient was erased."""
        try:
            attributes = self._opener.attributes(row, at)
        except NotFound:
            return
        if at is Level.IMAGE:
            attributes = image_attributes(self._objects.record_of(row), attributes)
        elif at in (Level.STUDY, Level.SERIES) and not attributes.get(levels.STUDY_UID):
            return  # palettes and the like belong to no study; they are found at the image level
        attributes[levels.INSTANCE_AVAILABILITY] = "ONLINE"
        yield Candidate(row.patient_id, row.study_id, row.series_id, attributes)

    def _pages(self, query: Select[tuple[object, ...]], at: Level) -> Iterator[Rows]:
        column: ColumnElement[int] = _TABLE[at].c.id
        is_newest_first = at in (Level.PATIENT, Level.STUDY)
        query = query.order_by(column.desc() if is_newest_first else column).limit(PAGE)
        page = query
        while True:
            with self._store.reading() as connection:
                rows = connection.execute(page).all()
            if rows:
                yield rows
            if len(rows) < PAGE:
                return
            last = rows[-1].id
            page = query.where(column < last if is_newest_first else column > last)

    def instances(self, query: Query) -> list[ObjectRecord]:
        """List the archived objects a query selects, in series and instance order.

        Keys are matched as at the query's level: one that is unknown there selects nothing less.
        """
        keys = {tag: text for tag, text in query.keys.items() if tag in KNOWN_AT[query.at]}
        at_image = Query(Level.IMAGE, keys, query.root, is_fuzzy=query.is_fuzzy)
        matchers = {tag: matcher for tag, matcher in at_image.matchers().items() if tag not in COUNTED}
        found: list[ObjectRecord] = []
        for page in self._pages(self._narrowing.select(at_image), Level.IMAGE):
            for row in page:
                try:
                    attributes = self._opener.attributes(row, Level.IMAGE)
                    record = self._objects.record_of(row)
                except NotFound:
                    continue
                if _fits(matchers, image_attributes(record, attributes)):
                    found.append(record)
        found.sort(key=_order)
        return found[query.offset :] if query.limit is None else found[query.offset : query.offset + query.limit]

    # --- the studies list -----------------------------------------------------------------------------

    def studies(self, *, text: str = "", limit: int = 100, offset: int = 0) -> list[StudyLine]:
        """List studies, newest arrival first."""
        query = self._narrowing.select(Query(Level.STUDY, {})).order_by(
            STUDIES.c.received_at.desc(), STUDIES.c.id.desc()
        )
        words = folded(text).split()
        page = query.limit(PAGE if words else max(1, min(PAGE, offset + limit)))
        found: list[tuple[Row[tuple[object, ...]], dict[int, str]]] = []
        after = None
        while len(found) < offset + limit:
            with self._store.reading() as connection:
                rows = connection.execute(page if after is None else page.where(after > _ARRIVAL)).all()
            if not rows:
                break
            after = tuple_(literal(rows[-1].received_at), literal(rows[-1].id))
            for row in rows:
                try:
                    attributes = self._opener.attributes(row, Level.STUDY)
                except NotFound:
                    continue
                if attributes.get(levels.STUDY_UID) and (not words or _contains(attributes, words)):
                    found.append((row, attributes))
        return self._lines(found[offset : offset + limit])

    def _lines(self, found: list[tuple[Row[tuple[object, ...]], dict[int, str]]]) -> list[StudyLine]:
        if not found:
            return []
        candidates = [Candidate(row.patient_id, row.study_id, None, attributes) for row, attributes in found]
        wanted = frozenset({levels.STUDY_SERIES, levels.STUDY_INSTANCES})
        held = select(INSTANCES.c.held_study_token, func.count()).where(
            NOT_ARCHIVED, INSTANCES.c.state == ObjectState.HELD.value, INSTANCES.c.held_study_token.is_not(None)
        )
        with self._store.reading() as connection:
            count_into(connection, candidates, wanted)
            held_counts: dict[bytes, int] = dict(connection.execute(held.group_by(INSTANCES.c.held_study_token)).all())
        return [
            StudyLine(
                study_instance_uid=attributes.get(UNIQUE_KEYS[Level.STUDY], ""),
                attributes=attributes,
                instance_count=row.archived,
                held_count=held_counts.get(row.study_token, 0),
                length_bytes=row.length,
                received_at_us=row.received_at,
            )
            for row, attributes in found
        ]


def image_attributes(record: ObjectRecord, upper: Mapping[int, str]) -> dict[int, str]:
    """Give an object's attributes under those of its patient, study and series, which are the same for all of them."""
    return {
        **record.attributes,
        **upper,
        levels.SOP_INSTANCE_UID: record.sop_instance_uid,
        levels.SOP_CLASS_UID: record.sop_class_uid,
        levels.SERIES_UID: record.series_instance_uid,
        levels.STUDY_UID: record.study_instance_uid,
        levels.AVAILABLE_TRANSFER_SYNTAX: record.transfer_syntax_uid,
    }


def _fits(matchers: Mapping[int, Matcher], attributes: Mapping[int, str]) -> bool:
    for tag, matcher in matchers.items():  # noqa: SIM110 -- the loop of a search; a generator costs half again
        if not matcher(attributes.get(tag, "")):
            return False
    return True


def _contains(attributes: Mapping[int, str], words: list[str]) -> bool:
    shown = folded(" ".join([attributes.get(tag, "") for tag in _SHOWN_IN_LISTS])).replace("^", " ")
    return all(word in shown for word in words)


def _order(record: ObjectRecord) -> tuple[str, int, str, int, int]:
    def number(tag: int) -> int:
        text = record.attributes.get(tag, "").split("\\")[0].strip()
        return int(text) if text.lstrip("+-").isdecimal() and len(text) <= 20 else 0

    return (
        record.study_instance_uid,
        number(0x00200011),
        record.series_instance_uid,
        number(0x00200013),
        record.received_at_us,
    )
