"""Attributes that are counted, not stored: for a whole page of matches in a few statements (PS3.4 §C.3.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.engine import Connection

from leadglass.archive import levels
from leadglass.edge.schema import SERIES, STUDIES

COUNTED = frozenset().union(*levels.COMPUTED.values()) - {levels.MODALITIES_IN_STUDY, levels.SOP_CLASSES_IN_STUDY}
"""What is counted here; the two lists are in the study's record, whose filing keeps them."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Row ids of one match, as far down as its level, and its attributes, levels merged."""

    patient_id: int
    study_id: int | None
    series_id: int | None
    attributes: dict[int, str]


def count_into(connection: Connection, candidates: list[Candidate], wanted: frozenset[int]) -> None:
    """Fill the wanted counts into the attributes of all candidates."""
    if wanted & levels.COMPUTED[levels.Level.PATIENT]:
        _count_patients(connection, candidates)
    if wanted & {levels.STUDY_SERIES, levels.STUDY_INSTANCES}:
        _count_studies(connection, candidates)
    if levels.SERIES_INSTANCES in wanted:
        ids = {candidate.series_id for candidate in candidates}
        counts = _counts(connection, select(SERIES.c.id, SERIES.c.archived).where(SERIES.c.id.in_(ids)))
        _fill(levels.SERIES_INSTANCES, ((c, counts.get(c.series_id, 0)) for c in candidates))


def _count_patients(connection: Connection, candidates: list[Candidate]) -> None:
    ids = {candidate.patient_id for candidate in candidates}
    patient, series = STUDIES.c.patient_id, SERIES.c.study_id == STUDIES.c.id
    shown = STUDIES.c.archived > 0, patient.in_(ids)
    studies = _counts(connection, select(patient, func.count()).where(*shown).group_by(patient))
    instances = _counts(connection, select(patient, func.sum(STUDIES.c.archived)).where(*shown).group_by(patient))
    of_series = select(patient, func.count()).join(SERIES, series).where(SERIES.c.archived > 0, patient.in_(ids))
    series_counts = _counts(connection, of_series.group_by(patient))
    _fill(levels.PATIENT_STUDIES, ((c, studies.get(c.patient_id, 0)) for c in candidates))
    _fill(levels.PATIENT_SERIES, ((c, series_counts.get(c.patient_id, 0)) for c in candidates))
    _fill(levels.PATIENT_INSTANCES, ((c, instances.get(c.patient_id, 0)) for c in candidates))


def _count_studies(connection: Connection, candidates: list[Candidate]) -> None:
    ids = {candidate.study_id for candidate in candidates}
    instances = _counts(connection, select(STUDIES.c.id, STUDIES.c.archived).where(STUDIES.c.id.in_(ids)))
    of_series = select(SERIES.c.study_id, func.count()).where(SERIES.c.archived > 0, SERIES.c.study_id.in_(ids))
    series_counts = _counts(connection, of_series.group_by(SERIES.c.study_id))
    _fill(levels.STUDY_SERIES, ((c, series_counts.get(c.study_id, 0)) for c in candidates))
    _fill(levels.STUDY_INSTANCES, ((c, instances.get(c.study_id, 0)) for c in candidates))


def _counts(connection: Connection, query: Select[int, int]) -> dict[int | None, int]:
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def _fill(tag: int, counts: Iterable[tuple[Candidate, int]]) -> None:
    for candidate, count in counts:
        candidate.attributes[tag] = str(count)
