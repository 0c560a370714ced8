"""Which rows a query can match, as far as tokens tell: SQL that leaves the rest to matching.

A token narrows only where it must agree with every match: exact values, lists of a bounded length, months of a
bounded range. What is left out here costs time, never a match.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Row, Select, select

from leadglass.archive.levels import (
    ACCESSION,
    ISSUER,
    MODALITIES_IN_STUDY,
    MODALITY,
    PATIENT_ID,
    STUDY_DATE,
    UNIQUE_KEYS,
    Level,
)
from leadglass.archive.moments import moments
from leadglass.archive.query import Query
from leadglass.edge.database_vault import KEY_COLUMNS, Vault
from leadglass.edge.schema import INSTANCES, KEYS, PATIENTS, SERIES, STUDIES
from leadglass.journeys.ports import ObjectState

LIST_MAX = 1_000
"""Values of one key that become tokens; of a longer list the rows are matched one by one."""

MONTHS_MAX = 240
"""Months of a study date range that become tokens: twenty years."""

Rows = Sequence[Row[tuple[object, ...]]]

_PATIENT = (PATIENTS.c.id.label("patient_id"), PATIENTS.c.sealed.label("patient_sealed"), *KEY_COLUMNS)
_KEY = KEYS.c.id == PATIENTS.c.key_id
_STUDY = (STUDIES.c.id.label("study_id"), STUDIES.c.token.label("study_token"), STUDIES.c.sealed.label("study_sealed"))
_SERIES = (SERIES.c.id.label("series_id"), SERIES.c.token.label("series_token"), SERIES.c.sealed.label("series_sealed"))
_TOTALS = (STUDIES.c.archived, STUDIES.c.length, STUDIES.c.received_at)


class Narrowing:
    """Turn a query into a selection of rows with everything that opens them."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def select(self, query: Query) -> Select[tuple[object, ...]]:
        """Select the rows of a query's level that may match, with the levels above them."""
        conditions = self._patient(query)
        if query.at is Level.PATIENT:
            shown = select(STUDIES.c.id).where(STUDIES.c.patient_id == PATIENTS.c.id, STUDIES.c.archived > 0).exists()
            nothing = PATIENTS.c.id.label("study_id"), PATIENTS.c.id.label("series_id")
            return select(PATIENTS.c.id, *_PATIENT, *nothing).join(KEYS, _KEY).where(shown, *conditions)
        conditions += self._study(query)
        if query.at is Level.STUDY:
            modalities = self._tokens(query, MODALITIES_IN_STUDY, "modality")
            if modalities:
                among = select(SERIES.c.study_id).where(SERIES.c.modality_token.in_(modalities))
                conditions.append(STUDIES.c.id.in_(among))
            columns = (STUDIES.c.id, *_PATIENT, *_STUDY, STUDIES.c.id.label("series_id"), *_TOTALS)
            joined = select(*columns).join(PATIENTS, PATIENTS.c.id == STUDIES.c.patient_id).join(KEYS, _KEY)
            return joined.where(STUDIES.c.archived > 0, *conditions)
        conditions += self._series(query)
        if query.at is Level.SERIES:
            series = select(SERIES.c.id, *_PATIENT, *_STUDY, *_SERIES).join(STUDIES, STUDIES.c.id == SERIES.c.study_id)
            series = series.join(PATIENTS, PATIENTS.c.id == STUDIES.c.patient_id).join(KEYS, _KEY)
            return series.where(SERIES.c.archived > 0, *conditions)
        uids = self._tokens(query, UNIQUE_KEYS[Level.IMAGE], "instance")
        if uids:
            conditions.append(INSTANCES.c.token.in_(uids))
        own = (INSTANCES.c.id, INSTANCES.c.object_id, INSTANCES.c.state, INSTANCES.c.sealed)
        images = select(*own, *_PATIENT, *_STUDY, *_SERIES).join(SERIES, SERIES.c.id == INSTANCES.c.series_id)
        images = images.join(STUDIES, STUDIES.c.id == SERIES.c.study_id)
        images = images.join(PATIENTS, PATIENTS.c.id == STUDIES.c.patient_id).join(KEYS, _KEY)
        return images.where(INSTANCES.c.state == ObjectState.ARCHIVED.value, *conditions)

    def _tokens(self, query: Query, tag: int, label: str) -> list[bytes]:
        values = query.exact(tag)
        return [self._vault.token(label, value) for value in values] if len(values) <= LIST_MAX else []

    def _patient(self, query: Query) -> list[ColumnElement[bool]]:
        ids, issuers = query.exact(PATIENT_ID), query.exact(ISSUER)
        if len(ids) == 1 and len(issuers) == 1:
            return [PATIENTS.c.token == self._vault.patient_token(ids[0], issuers[0], "")]
        tokens = self._tokens(query, PATIENT_ID, "patient-id")
        return [PATIENTS.c.id_token.in_(tokens)] if tokens else []

    def _study(self, query: Query) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if uids := self._tokens(query, UNIQUE_KEYS[Level.STUDY], "study"):
            conditions.append(STUDIES.c.token.in_(uids))
        if accessions := self._tokens(query, ACCESSION, "accession"):
            conditions.append(STUDIES.c.accession_token.in_(accessions))
        if months := months_of(query.keys.get(STUDY_DATE, "")):
            conditions.append(STUDIES.c.month_token.in_([self._vault.token("month", month) for month in months]))
        return conditions

    def _series(self, query: Query) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if uids := self._tokens(query, UNIQUE_KEYS[Level.SERIES], "series"):
            conditions.append(SERIES.c.token.in_(uids))
        if modalities := self._tokens(query, MODALITY, "modality"):
            conditions.append(SERIES.c.modality_token.in_(modalities))
        return conditions


def months_of(key: str) -> list[str]:
    """List the months a study date key can match; none where it does not narrow (open, long or several)."""
    span = moments("DA", key.strip(" \0"))
    if span is None:
        return []
    low, high = (day // 10_000 * 12 + day // 100 % 100 - 1 for day in span)
    if not 0 <= high - low < MONTHS_MAX:
        return []
    return [f"{month // 12:04}{month % 12 + 1:02}" for month in range(low, high + 1)]
