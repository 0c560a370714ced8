"""Answers from the catalogue: tokens narrow the candidates in SQL, then rows are opened and matched.

Rows are read in pages by id, so that no read transaction stays open while an answer travels. Rows of a
patient whose key was erased are passed over: nobody can read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Row, Select, distinct, func, select

from leadglass.archive import levels
from leadglass.archive.catalogue import decode_attributes
from leadglass.archive.levels import ACCESSION, ISSUER, MODALITY, PATIENT_ID, STUDY_DATE, UNIQUE_KEYS, Level
from leadglass.archive.query import Query
from leadglass.edge.database_objects import ObjectRows
from leadglass.edge.database_store import Store
from leadglass.edge.database_vault import Recent, Vault
from leadglass.edge.schema import INSTANCES, PATIENTS, SERIES, STUDIES
from leadglass.errors import NotFound
from leadglass.journeys.ports import Attributes, ObjectRecord, ObjectState, StudyLine

PAGE = 500
MONTHS_MAX = 600
ROWS_OPEN_MAX = 50_000

_ARCHIVED = INSTANCES.c.state == ObjectState.ARCHIVED.value
_TABLE = {Level.PATIENT: PATIENTS, Level.STUDY: STUDIES, Level.SERIES: SERIES, Level.IMAGE: INSTANCES}


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Row ids of one candidate and its opened attributes, levels merged."""

    patient_id: int
    study_id: int
    series_id: int
    attributes: dict[int, str]


class Finder:
    """Match queries."""

    def __init__(self, store: Store, vault: Vault, objects: ObjectRows) -> None:
        self._store, self._vault, self._objects = store, vault, objects
        self._opened: Recent[bytes, dict[int, str]] = Recent(ROWS_OPEN_MAX)

    def find(self, query: Query) -> Iterator[Attributes]:
        """Answer a query at its level."""
        wanted = query.return_tags
        skip, left = query.offset, query.limit
        for attributes in self._matches(query):
            if skip:
                skip -= 1
                continue
            if left is not None:
                if not left:
                    return
                left -= 1
            yield {tag: attributes.get(tag, "") for tag in wanted}

    def _matches(self, query: Query) -> Iterator[dict[int, str]]:
        matchers = query.matchers()
        computed = levels.COMPUTED[query.at] & (query.return_tags | frozenset(matchers))
        plain = {tag: matcher for tag, matcher in matchers.items() if tag not in computed}
        late = {tag: matcher for tag, matcher in matchers.items() if tag in computed}
        for candidate in self._candidates(query):
            attributes = candidate.attributes
            if not all(matcher(attributes.get(tag, "")) for tag, matcher in plain.items()):
                continue
            if computed:
                attributes = {**attributes, **self._computed(query.at, candidate, computed)}
                if not all(matcher(attributes.get(tag, "")) for tag, matcher in late.items()):
                    continue
            yield {**attributes, levels.INSTANCE_AVAILABILITY: "ONLINE", 0x00080052: query.at.value}

    def instances(self, query: Query) -> list[ObjectRecord]:
        """List the archived objects a query selects, in series and instance order."""
        at_image = Query(Level.IMAGE, query.keys, query.root)
        matchers = at_image.matchers()
        found: list[ObjectRecord] = []
        for row in self._rows(at_image):
            try:
                record = self._objects.record_of(row)
            except NotFound:
                continue
            if all(matcher(record.attributes.get(tag, "")) for tag, matcher in matchers.items()):
                found.append(record)
        return sorted(found, key=_order)

    # --- candidates -----------------------------------------------------------------------------------

    def _candidates(self, query: Query) -> Iterator[_Candidate]:
        at = query.at
        for row in self._rows(query):
            try:
                if at is Level.IMAGE:
                    record = self._objects.record_of(row)
                    yield _Candidate(row.patient_id, row.study_id, row.series_id, dict(record.attributes))
                else:
                    yield self._open(row, at)
            except NotFound:
                continue

    def _open(self, row: Row[tuple[object, ...]], at: Level) -> _Candidate:
        key = self._vault.patient(row.key_id).record

        def opened(name: str, place: bytes, sealed: bytes) -> dict[int, str]:
            return self._opened.recall(
                name.encode() + place + sealed[:24], lambda: decode_attributes(key.open(place, sealed))
            )

        attributes = dict(opened("", f"patient|{row.patient_id}".encode(), row.patient_sealed))
        study_id = series_id = 0
        if at is not Level.PATIENT:
            study_id = row.study_id
            attributes |= opened("", f"study|{study_id}".encode(), row.study_sealed)
        if at is Level.SERIES:
            series_id = row.id
            attributes |= opened("", b"series|" + row.token, row.sealed)
        return _Candidate(row.patient_id, study_id, series_id, attributes)

    def _rows(self, query: Query) -> Iterator[Row[tuple[object, ...]]]:
        """Page through the rows that may match, by ascending row id."""
        base, table, after = self._selected(query), _TABLE[query.at], 0
        while True:
            page = base.where(table.c.id > after).order_by(table.c.id).limit(PAGE)
            with self._store.reading() as connection:
                rows = connection.execute(page).all()
            yield from rows
            if len(rows) < PAGE:
                return
            after = rows[-1].id

    def _selected(self, query: Query) -> Select[tuple[object, ...]]:
        at = query.at
        if at is Level.IMAGE:
            base = select(INSTANCES).where(_ARCHIVED)
            joined = INSTANCES.c.study_id, INSTANCES.c.series_id, INSTANCES.c.patient_id
            base = self._narrow_joined(base, query, *joined)
            uids = query.exact(UNIQUE_KEYS[Level.IMAGE])
            if uids:
                base = base.where(INSTANCES.c.token.in_([self._vault.index.token("instance", uid) for uid in uids]))
            return base
        has_objects = {
            Level.PATIENT: INSTANCES.c.patient_id == PATIENTS.c.id,
            Level.STUDY: INSTANCES.c.study_id == STUDIES.c.id,
            Level.SERIES: INSTANCES.c.series_id == SERIES.c.id,
        }[at]
        exists = select(INSTANCES.c.id).where(has_objects, _ARCHIVED).exists()
        columns = [PATIENTS.c.id.label("patient_id"), PATIENTS.c.key_id, PATIENTS.c.sealed.label("patient_sealed")]
        if at is Level.PATIENT:
            return self._narrow_patient(select(PATIENTS.c.id, *columns).where(exists), query)
        columns += [STUDIES.c.id.label("study_id"), STUDIES.c.sealed.label("study_sealed")]
        if at is Level.STUDY:
            base = select(STUDIES.c.id, *columns).join(PATIENTS, PATIENTS.c.id == STUDIES.c.patient_id)
            return self._narrow_study(self._narrow_patient(base.where(exists), query), query)
        base = (
            select(SERIES.c.id, SERIES.c.token, SERIES.c.sealed, *columns)
            .join(STUDIES, STUDIES.c.id == SERIES.c.study_id)
            .join(PATIENTS, PATIENTS.c.id == STUDIES.c.patient_id)
        )
        base = self._narrow_study(self._narrow_patient(base.where(exists), query), query)
        return self._narrow_series(base, query)

    def _narrow_joined(self, base, query, study_id, series_id, patient_id):  # type: ignore[no-untyped-def]
        keys = query.keys
        if keys.get(PATIENT_ID):
            base = base.where(patient_id.in_(self._narrow_patient(select(PATIENTS.c.id), query)))
        if any(keys.get(tag) for tag in (UNIQUE_KEYS[Level.STUDY], ACCESSION, STUDY_DATE)):
            base = base.where(study_id.in_(self._narrow_study(select(STUDIES.c.id), query)))
        if keys.get(UNIQUE_KEYS[Level.SERIES]) or keys.get(MODALITY):
            base = base.where(series_id.in_(self._narrow_series(select(SERIES.c.id), query)))
        return base

    def _narrow_patient(self, base: Select[tuple[object, ...]], query: Query) -> Select[tuple[object, ...]]:
        ids = query.exact(PATIENT_ID)
        if len(ids) != 1:
            return base
        token = self._vault.index.token
        if query.keys.get(ISSUER) and not set(query.keys[ISSUER]) & set("*?"):
            return base.where(PATIENTS.c.token == self._vault.patient_token(ids[0], query.keys[ISSUER].strip()))
        return base.where(PATIENTS.c.id_token == token("patient-id", ids[0]))

    def _narrow_study(self, base: Select[tuple[object, ...]], query: Query) -> Select[tuple[object, ...]]:
        token = self._vault.index.token
        if uids := query.exact(UNIQUE_KEYS[Level.STUDY]):
            base = base.where(STUDIES.c.token.in_([token("study", uid) for uid in uids]))
        accession = query.exact(ACCESSION)
        if len(accession) == 1:
            base = base.where(STUDIES.c.accession_token == token("accession", accession[0]))
        months = _months(query.keys.get(STUDY_DATE, ""))
        if months:
            base = base.where(STUDIES.c.month_token.in_([token("month", month) for month in months]))
        return base

    def _narrow_series(self, base: Select[tuple[object, ...]], query: Query) -> Select[tuple[object, ...]]:
        token = self._vault.index.token
        modality = query.exact(MODALITY)
        if len(modality) == 1:
            base = base.where(SERIES.c.modality_token == token("modality", modality[0]))
        series, studies = query.exact(UNIQUE_KEYS[Level.SERIES]), query.exact(UNIQUE_KEYS[Level.STUDY])
        if series and len(studies) == 1:
            base = base.where(SERIES.c.token.in_([token("series", f"{studies[0]}\x1f{uid}") for uid in series]))
        return base

    # --- computed -------------------------------------------------------------------------------------

    def _computed(self, at: Level, candidate: _Candidate, wanted: frozenset[int]) -> dict[int, str]:
        counts: dict[int, str] = {}
        with self._store.reading() as connection:

            def count(column: object, condition: object) -> str:
                query = select(func.count(distinct(column))).where(condition, _ARCHIVED)  # type: ignore[arg-type]
                return str(connection.execute(query).scalar() or 0)

            if at is Level.PATIENT:
                mine = INSTANCES.c.patient_id == candidate.patient_id
                counts[levels.PATIENT_STUDIES] = count(INSTANCES.c.study_id, mine)
                counts[levels.PATIENT_SERIES] = count(INSTANCES.c.series_id, mine)
                counts[levels.PATIENT_INSTANCES] = count(INSTANCES.c.id, mine)
            elif at is Level.SERIES:
                counts[levels.SERIES_INSTANCES] = count(INSTANCES.c.id, INSTANCES.c.series_id == candidate.series_id)
            else:
                mine = INSTANCES.c.study_id == candidate.study_id
                counts[levels.STUDY_SERIES] = count(INSTANCES.c.series_id, mine)
                counts[levels.STUDY_INSTANCES] = count(INSTANCES.c.id, mine)
        if at is Level.STUDY and wanted & {levels.MODALITIES_IN_STUDY, levels.SOP_CLASSES_IN_STUDY}:
            modalities, classes = self._kinds(candidate.study_id, with_classes=levels.SOP_CLASSES_IN_STUDY in wanted)
            counts[levels.MODALITIES_IN_STUDY] = "\\".join(sorted(modalities))
            counts[levels.SOP_CLASSES_IN_STUDY] = "\\".join(sorted(classes))
        return {tag: counts[tag] for tag in wanted if tag in counts}

    def _kinds(self, study_id: int, *, with_classes: bool) -> tuple[set[str], set[str]]:
        query = (
            select(SERIES.c.token, SERIES.c.sealed, PATIENTS.c.key_id)
            .join(STUDIES, STUDIES.c.id == SERIES.c.study_id)
            .join(PATIENTS, PATIENTS.c.id == STUDIES.c.patient_id)
            .where(SERIES.c.study_id == study_id)
        )
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
            objects = (
                connection.execute(select(INSTANCES).where(INSTANCES.c.study_id == study_id, _ARCHIVED)).all()
                if with_classes
                else []
            )
        modalities = set()
        for token, sealed, key_id in rows:
            place, key = b"series|" + token, self._vault.patient(key_id).record
            attributes = self._opened.recall(
                place + sealed[:24],
                lambda key=key, place=place, sealed=sealed: decode_attributes(key.open(place, sealed)),  # type: ignore[misc]
            )
            modalities.add(attributes.get(MODALITY, ""))
        return modalities - {""}, {self._objects.record_of(row).sop_class_uid for row in objects}

    # --- the studies list -----------------------------------------------------------------------------

    def studies(self, *, text: str = "", limit: int = 100, offset: int = 0) -> list[StudyLine]:
        """List studies, newest arrival first."""
        newest = func.max(INSTANCES.c.received_at).label("newest")
        totals = (
            select(
                INSTANCES.c.study_id,
                newest,
                func.count(INSTANCES.c.id).label("count"),
                func.sum(INSTANCES.c.length).label("length"),
            )
            .where(_ARCHIVED, INSTANCES.c.study_id.is_not(None))
            .group_by(INSTANCES.c.study_id)
            .subquery()
        )
        query = (
            select(
                STUDIES.c.id,
                STUDIES.c.id.label("study_id"),
                STUDIES.c.sealed.label("study_sealed"),
                PATIENTS.c.id.label("patient_id"),
                PATIENTS.c.key_id,
                PATIENTS.c.sealed.label("patient_sealed"),
                totals.c.newest,
                totals.c.count,
                totals.c.length,
            )
            .join(totals, totals.c.study_id == STUDIES.c.id)
            .join(PATIENTS, PATIENTS.c.id == STUDIES.c.patient_id)
            .order_by(totals.c.newest.desc(), STUDIES.c.id.desc())
        )
        if not text:
            query = query.limit(limit).offset(offset)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        words = text.casefold().split()
        lines: list[StudyLine] = []
        for row in rows:
            try:
                candidate = self._open(row, Level.STUDY)
            except NotFound:
                continue
            if words and not _contains(candidate.attributes, words):
                continue
            lines.append(self._line(row, candidate))
            if text and len(lines) >= offset + limit:
                break
        return lines[offset:] if text else lines

    def _line(self, row: Row[tuple[object, ...]], candidate: _Candidate) -> StudyLine:
        asked = frozenset({levels.MODALITIES_IN_STUDY, levels.STUDY_SERIES})
        attributes = {**candidate.attributes, **self._computed(Level.STUDY, candidate, asked)}
        uid = attributes.get(UNIQUE_KEYS[Level.STUDY], "")
        return StudyLine(uid, attributes, int(row.count), 0, int(row.length), int(row.newest))  # type: ignore[arg-type, call-overload]


def _contains(attributes: Mapping[int, str], words: list[str]) -> bool:
    shown = " ".join(attributes.get(tag, "") for tag in (0x00100010, PATIENT_ID, ACCESSION, 0x00081030, STUDY_DATE))
    folded = shown.casefold().replace("^", " ")
    return all(word in folded for word in words)


def _order(record: ObjectRecord) -> tuple[str, int, str, int, int]:
    def number(tag: int) -> int:
        text = record.attributes.get(tag, "").split("\\")[0].strip()
        return int(text) if text.lstrip("-").isdecimal() else 0

    return (
        record.study_instance_uid,
        number(0x00200011),
        record.series_instance_uid,
        number(0x00200013),
        record.received_at_us,
    )


def _months(text: str) -> list[str]:
    """List the months a study date key can match, none when it does not narrow (open-ended or long ranges)."""
    text = text.strip().replace(".", "")
    first, _, last = text.partition("-") if "-" in text else (text, "", text)
    if not (first[:6].isdecimal() and last[:6].isdecimal() and len(first) >= 6 and len(last) >= 6):
        return []
    low, high = (int(part[:4]) * 12 + int(part[4:6]) - 1 for part in (first, last))
    if not 0 <= high - low < MONTHS_MAX:
        return []
    return [f"{month // 12:04}{month % 12 + 1:02}" for month in range(low, high + 1)]
