"""Where an object is filed: the rows of its patient, study and series, what they tell, and how much they hold.

The first object of a series that is shown fills what its patient and study do not tell yet; what they tell
already stays. Modalities and SOP classes of a study are kept in its record, so that a list opens one row a study.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Row, bindparam, insert, select, update
from sqlalchemy.engine import Connection

from leadglass.archive.catalogue import (
    counted,
    decode_attributes,
    decode_description,
    encode_attributes,
    filled,
    level_attributes,
)
from leadglass.archive.keys import RecordKey
from leadglass.archive.levels import (
    ACCESSION,
    MODALITIES_IN_STUDY,
    MODALITY,
    SERIES_UID,
    SOP_CLASSES_IN_STUDY,
    STUDY_DATE,
    STUDY_UID,
    Level,
)
from leadglass.archive.moments import moment
from leadglass.edge.database_store import Prepared, Store
from leadglass.edge.database_vault import Filed, Recent, Vault
from leadglass.edge.schema import INSTANCES, PATIENTS, SERIES, STUDIES
from leadglass.journeys.ports import ObjectRecord, ObjectState

PLACES_KNOWN_MAX = 8_192

_PlaceName = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Row ids of an object's study and series."""

    study_id: int
    series_id: int


class Shelves:
    """Patients, studies and series as rows."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._vault = vault
        self._places: Recent[_PlaceName, Place] = Recent(PLACES_KNOWN_MAX)
        changes = {
            "archived": STUDIES.c.archived + bindparam("objects"),
            "length": STUDIES.c.length + bindparam("bytes"),
            "received_at": bindparam("at"),
        }
        self._count_study = Prepared(
            update(STUDIES).where(STUDIES.c.id == bindparam("study")).values(changes), store.dialect
        )
        self._count_series = Prepared(
            update(SERIES)
            .where(SERIES.c.id == bindparam("series"))
            .values({"archived": SERIES.c.archived + bindparam("objects")}),
            store.dialect,
        )

    # --- finding a place ------------------------------------------------------------------------------

    def known(self, filed: Filed, record: ObjectRecord) -> Place | None:
        """Give the place of a series and SOP class that was filed before, or None."""
        return self._places.get(_name(filed, record))

    def remember(self, filed: Filed, record: ObjectRecord, place: Place) -> None:
        """Keep a place, once what made it is committed."""
        self._places.put(_name(filed, record), place)

    def find(self, connection: Connection, filed: Filed, record: ObjectRecord, *, is_shown: bool) -> Place:
        """Give the place of an object, made where it is new; a shown object also tells what its levels hold."""
        token = self._vault.token("series", record.series_instance_uid)
        key = filed.patient.record
        query = select(SERIES.c.id).where(SERIES.c.token == token, SERIES.c.study_id == filed.study_row_id)
        series_id = connection.execute(query).scalar()
        if series_id is None:
            series_id = self._add_series(connection, filed.study_row_id, token, key, record)
        if is_shown:
            self._tell(connection, filed.patient_row_id, filed.study_row_id, key, record)
        return Place(filed.study_row_id, series_id)

    def _add_series(
        self, connection: Connection, study_id: int, token: bytes, key: RecordKey, record: ObjectRecord
    ) -> int:
        modality = record.attributes.get(MODALITY, "")
        attributes = level_attributes(record.attributes, Level.SERIES) | {SERIES_UID: record.series_instance_uid}
        values = {
            "token": token,
            "study_id": study_id,
            "modality_token": self._vault.token("modality", modality) if modality else None,
            "archived": 0,
            "sealed": key.seal(place_of_series(study_id, token), encode_attributes(attributes)),
        }
        added = connection.execute(insert(SERIES).values(values)).inserted_primary_key
        assert added is not None
        series_id: int = added[0]
        return series_id

    def _tell(
        self, connection: Connection, patient_id: int, study_id: int, key: RecordKey, record: ObjectRecord
    ) -> None:
        """Fill the patient's and the study's record from an object."""
        place = place_of("patient", patient_id)
        sealed = connection.execute(select(PATIENTS.c.sealed).where(PATIENTS.c.id == patient_id)).scalar()
        known = {} if sealed is None else decode_attributes(key.open(place, sealed))
        told = filled(known, record.attributes, Level.PATIENT)
        if sealed is None or told != known:
            values: dict[str, object] = {"sealed": key.seal(place, encode_attributes(told))}
            connection.execute(update(PATIENTS).where(PATIENTS.c.id == patient_id).values(values))
        place = place_of("study", study_id)
        sealed = connection.execute(select(STUDIES.c.sealed).where(STUDIES.c.id == study_id)).scalar()
        known = {} if sealed is None else decode_attributes(key.open(place, sealed))
        told = filled(known, record.attributes, Level.STUDY) | {STUDY_UID: record.study_instance_uid}
        told[MODALITIES_IN_STUDY] = counted(known, MODALITIES_IN_STUDY, [record.attributes.get(MODALITY, "")])
        told[SOP_CLASSES_IN_STUDY] = counted(known, SOP_CLASSES_IN_STUDY, [record.sop_class_uid])
        if told != known:
            self._keep_study(connection, study_id, key, told)

    def _keep_study(self, connection: Connection, study_id: int, key: RecordKey, told: dict[int, str]) -> None:
        accession, month = told.get(ACCESSION, ""), month_of(told.get(STUDY_DATE, ""))
        values = {
            "sealed": key.seal(place_of("study", study_id), encode_attributes(told)),
            "accession_token": self._vault.token("accession", accession) if accession else None,
            "month_token": self._vault.token("month", month) if month else None,
        }
        connection.execute(update(STUDIES).where(STUDIES.c.id == study_id).values(values))

    # --- counting -------------------------------------------------------------------------------------

    def count(self, connection: Connection, place: Place, objects: int, length_bytes: int, at_us: int) -> None:
        """Count an object into its series and study."""
        values = {"objects": objects, "bytes": length_bytes, "at": at_us, "study": place.study_id}
        self._count_study.run(connection, values)
        self._count_series.run(connection, {"objects": objects, "series": place.series_id})

    def move(
        self, connection: Connection, row: Row[tuple[object, ...]], record: ObjectRecord, *, is_shown: bool
    ) -> None:
        """Show or hide an object that is filed already."""
        place = Place(row.study_id, row.series_id)
        newest = connection.execute(select(STUDIES.c.received_at).where(STUDIES.c.id == row.study_id)).scalar_one()
        sign = 1 if is_shown else -1
        self.count(connection, place, sign, sign * row.length, newest)
        key = self._vault.record_of(row)
        if is_shown:
            self._tell(connection, row.patient_id, row.study_id, key, record)
        else:
            self._count_kinds(connection, row.study_id, key)
        self._places.clear()

    def _count_kinds(self, connection: Connection, study_id: int, key: RecordKey) -> None:
        """List anew which modalities and SOP classes a study has, after it lost an object."""
        sealed = connection.execute(select(STUDIES.c.sealed).where(STUDIES.c.id == study_id)).scalar_one()
        told = decode_attributes(key.open(place_of("study", study_id), sealed))
        left = select(INSTANCES.c.object_id, INSTANCES.c.sealed).join(SERIES, SERIES.c.id == INSTANCES.c.series_id)
        left = left.where(SERIES.c.study_id == study_id, INSTANCES.c.state == ObjectState.ARCHIVED.value)
        modalities, classes = set(), set()
        for object_id, sealed_record in connection.execute(left):
            described = decode_description(key.open(b"instance|" + object_id, sealed_record))
            modalities.add(described.attributes.get(MODALITY, ""))
            classes.add(described.sop_class_uid)
        told[MODALITIES_IN_STUDY] = counted({}, MODALITIES_IN_STUDY, modalities)
        told[SOP_CLASSES_IN_STUDY] = counted({}, SOP_CLASSES_IN_STUDY, classes)
        self._keep_study(connection, study_id, key, told)


def _name(filed: Filed, record: ObjectRecord) -> _PlaceName:
    return filed.study_row_id, record.series_instance_uid, record.sop_class_uid


def place_of(table: str, row_id: int) -> bytes:
    """Name the row a record is sealed to."""
    return f"{table}|{row_id}".encode()


def place_of_series(study_id: int, token: bytes) -> bytes:
    """Name the row of a series, whose id is not known before it is sealed."""
    return f"series|{study_id}|".encode() + token


def month_of(date: str) -> str:
    """Give the month of a date as yyyymm, empty where it is no date."""
    day = moment("DA", date.strip())
    return "" if day is None else f"{day[0]:08d}"[:6]
