"""The four levels of the archive, and which attribute belongs to which (PS3.4 §C.6.1.1, §C.6.2.1)."""

from __future__ import annotations

from enum import StrEnum


class Level(StrEnum):
    """Query/retrieve level (0008,0052)."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"

    @classmethod
    def down_to(cls, level: Level) -> list[Level]:
        """List the levels from the patient down to this one."""
        members = list(cls)
        return members[: members.index(level) + 1]


PATIENT_ID, ISSUER = 0x00100020, 0x00100021
STUDY_UID, SERIES_UID, SOP_INSTANCE_UID, SOP_CLASS_UID = 0x0020000D, 0x0020000E, 0x00080018, 0x00080016
STUDY_DATE, MODALITY, ACCESSION = 0x00080020, 0x00080060, 0x00080050

UNIQUE_KEYS = {
    Level.PATIENT: PATIENT_ID,
    Level.STUDY: STUDY_UID,
    Level.SERIES: SERIES_UID,
    Level.IMAGE: SOP_INSTANCE_UID,
}

MODALITIES_IN_STUDY, SOP_CLASSES_IN_STUDY = 0x00080061, 0x00080062
PATIENT_STUDIES, PATIENT_SERIES, PATIENT_INSTANCES = 0x00201200, 0x00201202, 0x00201204
STUDY_SERIES, STUDY_INSTANCES, SERIES_INSTANCES = 0x00201206, 0x00201208, 0x00201209
INSTANCE_AVAILABILITY, AVAILABLE_TRANSFER_SYNTAX = 0x00080056, 0x00083002

COMPUTED = {
    Level.PATIENT: frozenset({PATIENT_STUDIES, PATIENT_SERIES, PATIENT_INSTANCES}),
    Level.STUDY: frozenset({MODALITIES_IN_STUDY, SOP_CLASSES_IN_STUDY, STUDY_SERIES, STUDY_INSTANCES}),
    Level.SERIES: frozenset({SERIES_INSTANCES}),
    Level.IMAGE: frozenset[int](),
}
"""Attributes that no object carries: counted from the rows."""

KEPT = {
    Level.PATIENT: frozenset({
        0x00100010, PATIENT_ID, ISSUER, 0x00100030, 0x00100032, 0x00100040, 0x00101000, 0x00101001, 0x00102160,
    }),
    Level.STUDY: frozenset({
        STUDY_UID, STUDY_DATE, 0x00080030, ACCESSION, 0x00080090, 0x00081030, 0x00200010, 0x00101010, 0x00101020,
        0x00101030, 0x00081060, 0x00081048, 0x00081080, 0x00080080, 0x00080201, 0x00102180, 0x00201070,
    }),
    Level.SERIES: frozenset({
        SERIES_UID, MODALITY, 0x00200011, 0x0008103E, 0x00080021, 0x00080031, 0x00180015, 0x00181030, 0x00200060,
        0x00080070, 0x00081090, 0x00081010, 0x00081040, 0x00400244, 0x00400245, 0x00400253, 0x00400254, 0x00081050,
        0x00081070, 0x00185100, 0x00200052, 0x00181000, 0x00181020,
    }),
    Level.IMAGE: frozenset({
        SOP_INSTANCE_UID, SOP_CLASS_UID, 0x00200013, 0x00080008, 0x00080012, 0x00080013, 0x00080022, 0x00080032,
        0x0008002A, 0x00080023, 0x00080033, 0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280103,
        0x00280002, 0x00280004, 0x00280030, 0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00081032, 0x00200012,
        0x00200032, 0x00200037, 0x00201041, 0x00180050, 0x00700080, 0x00700081, 0x0040A491, 0x0040A493,
        AVAILABLE_TRANSFER_SYNTAX,
    }),
}  # fmt: skip
"""Attributes kept in the catalogue: the required and the usual optional keys, and what a list of images shows."""

KEPT_ANYWHERE: frozenset[int] = frozenset().union(*KEPT.values())
"""What an object itself can tell, at any level."""

LEVEL_TAGS = {level: KEPT[level] | COMPUTED[level] for level in Level}
"""Everything that can be asked at a level of its own."""

KNOWN_AT = {
    level: frozenset().union(*(LEVEL_TAGS[upper] for upper in Level.down_to(level)), {INSTANCE_AVAILABILITY})
    for level in Level
}
"""What can be matched and returned at a level: its own attributes and those of the levels above it."""
