"""What every DICOM object of a reconstruction has in common: patient, study, equipment, where it lies, its identifiers.

The scanner's frame is taken as the patient's: x to the left, y to the back, z to the head, all in mm (right-handed like
DICOM's, PS3.3 C.7.6.2.1.1). All objects of an examination share one study and one frame of reference. Identifiers are
hashes of the examination's own (2.25, PS3.5 B.2), so that making the same thing twice gives the same objects.

Only `to_dicom*.py` know DICOM in this room.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from hashlib import sha256
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Grid
from leadglass.imaging.scan import Scan


@dataclass(frozen=True, slots=True)
class Examination:
    """Whose it is and when it was made: what the counts do not say. `uid` is the Study Instance UID."""

    uid: str
    began: datetime
    patient_name: str
    patient_id: str
    description: str = "Colour CT"
    accession: str = ""
    software: str = ""
    birth_date: str = ""
    sex: str = ""
    laterality: str = ""

    def derived_uid(self, *parts: object) -> str:
        """Give the identifier of a part of this examination; the same parts give the same one."""
        digest = sha256("\0".join([self.uid, *map(str, parts)]).encode()).digest()
        return f"2.25.{int.from_bytes(digest[:16], 'big')}"


@dataclass(frozen=True, slots=True)
class Acquisition:
    """What of the scan is told in images: tube, thresholds, distances."""

    peak_kv: float = 0.0
    exposure_ms: float = 0.0
    tube_ma: float = 0.0
    thresholds_kev: tuple[float, ...] = ()
    source_panel_mm: float = 0.0
    source_axis_mm: float = 0.0
    row_mm: float = 0.0
    """Height of a detector row, and of the whole panel (`panel_mm`), at the axis."""
    panel_mm: float = 0.0
    diameter_mm: float = 0.0
    filters: tuple[str, ...] = ()
    is_simulated: bool = False


def acquisition_of(scan: Scan) -> Acquisition:
    """Take what images tell from a scan."""
    tube, geometry, panel = scan.tube, scan.geometry, scan.geometry.panel
    row_mm = panel.row_pitch_mm / geometry.magnification
    return Acquisition(
        peak_kv=tube.peak_kv, exposure_ms=tube.exposure_ms, tube_ma=tube.charge_mas * 1000 / tube.exposure_ms,
        thresholds_kev=scan.thresholds_kev, source_panel_mm=geometry.source_panel_mm,
        source_axis_mm=geometry.source_axis_mm, row_mm=row_mm, panel_mm=row_mm * panel.rows,
        diameter_mm=panel.columns * panel.column_pitch_mm / geometry.magnification,
        filters=tuple(name for name, _ in tube.filters_mm), is_simulated="simulator" in scan.made_by,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """One object: its identity and its whole Part 10 file; `name` would make a good file name."""

    name: str
    sop_class_uid: str
    sop_instance_uid: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an examination."""

    number: int
    description: str
    modality: str
    parts: tuple[object, ...] = field(default=())


class Plane(Enum):
    """Which way a volume is cut, by the axis of the voxels that the slices follow."""

    SAGITTAL = 0
    CORONAL = 1
    AXIAL = 2

    @property
    def orientation(self) -> list[float]:
        """Give the direction of a row and of a column, in the patient (PS3.3 C.7.6.2)."""
        return {
            Plane.SAGITTAL: [0.0, 1.0, 0.0, 0.0, 0.0, -1.0],
            Plane.CORONAL: [1.0, 0.0, 0.0, 0.0, 0.0, -1.0],
            Plane.AXIAL: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        }[self]

    @property
    def patient_orientation(self) -> list[str]:
        """Give where rows and columns lead, in letters (PS3.3 C.7.6.1.1.1)."""
        return {Plane.SAGITTAL: ["P", "F"], Plane.CORONAL: ["L", "F"], Plane.AXIAL: ["L", "P"]}[self]

    def cut(self, voxels: NDArray[np.float32], number: int) -> NDArray[np.float32]:
        """Give one slice as a picture's [row, column]."""
        if self is Plane.AXIAL:
            return voxels[:, :, number].T
        return (voxels[:, number] if self is Plane.CORONAL else voxels[number]).T[::-1]

    def position_mm(self, grid: Grid, number: int) -> list[float]:
        """Give the centre of the slice's first pixel."""
        first = [float(grid.centres_mm(axis)[0]) for axis in range(3)]
        if self is not Plane.AXIAL:
            first[2] = float(grid.centres_mm(2)[-1])
        first[self.value] = float(grid.centres_mm(self.value)[number])
        return first

    def spacing_mm(self, grid: Grid) -> list[float]:
        """Give the distance between rows, then between columns (PS3.3 C.7.6.3)."""
        x, y, z = grid.voxel_mm
        return {Plane.SAGITTAL: [z, y], Plane.CORONAL: [z, x], Plane.AXIAL: [y, x]}[self]


def thinnest(grid: Grid) -> Plane:
    """Give the plane that shows most of a volume: across its shortest way."""
    lengths = [count * size for count, size in zip(grid.shape, grid.voxel_mm, strict=True)]
    return Plane(min(range(3), key=lambda axis: (round(lengths[axis], 3), -axis)))


def begun(examination: Examination, series: Series, sop_class_uid: str, *parts: object) -> Dataset:
    """Begin an object with what all of them have: SOP Common, Patient, General Study and Series, General Equipment."""
    if not examination.uid or len(examination.uid) > 64:
        raise UsageError("The examination has no Study Instance UID, or one of more than 64 characters.")
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID = sop_class_uid
    made.SOPInstanceUID = examination.derived_uid(*series.parts, *parts)
    date, moment = examination.began.strftime("%Y%m%d"), examination.began.strftime("%H%M%S")
    made.StudyDate = made.SeriesDate = made.ContentDate = made.InstanceCreationDate = date
    made.StudyTime = made.SeriesTime = made.ContentTime = made.InstanceCreationTime = moment
    made.AccessionNumber = examination.accession
    made.Modality = series.modality
    made.Manufacturer = "Leadglass"
    made.ManufacturerModelName = "Leadglass colour CT"
    made.DeviceSerialNumber = "1"
    made.SoftwareVersions = examination.software or "unknown"
    made.ReferringPhysicianName = ""
    made.StudyDescription = examination.description
    made.SeriesDescription = series.description
    made.PatientName, made.PatientID = examination.patient_name, examination.patient_id
    made.PatientBirthDate, made.PatientSex = examination.birth_date, examination.sex
    made.StudyInstanceUID = examination.uid
    made.SeriesInstanceUID = examination.derived_uid("series", *series.parts)
    made.StudyID = "1"
    made.Laterality = examination.laterality
    made.SeriesNumber = series.number
    return made


def placed(made: Dataset, examination: Examination, frame_of_reference_uid: str) -> None:
    """Say in which frame of reference an object lies: the scan's, or the examination's own."""
    made.FrameOfReferenceUID = frame_of_reference_uid or examination.derived_uid("frame of reference")
    made.PositionReferenceIndicator = ""


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Write a coded concept (PS3.3 table 8.8-1)."""
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = value, scheme, meaning
    return made


def one(item: Dataset) -> Sequence:
    """Make a sequence of one item."""
    return Sequence([item])


def items(given: Mapping[str, object]) -> Dataset:
    """Make an item of keywords and values."""
    made = Dataset()
    for keyword, value in given.items():
        setattr(made, keyword, value)
    return made


def decimal(value: float) -> str:
    """Write a number as DS: 16 characters at most (PS3.5 table 6.2-1)."""
    for digits in range(12, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    return "0"


def decimals(values: list[float]) -> list[str]:
    """Write numbers as DS."""
    return [decimal(value) for value in values]


def finished(made: Dataset, name: str) -> Made:
    """Write an object as a Part 10 file in Explicit VR Little Endian."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    into = BytesIO()
    dcmwrite(into, made, enforce_file_format=True)
    return Made(name, str(made.SOPClassUID), str(made.SOPInstanceUID), into.getvalue())
