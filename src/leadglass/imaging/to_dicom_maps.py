"""Material maps as Parametric Maps: one multi-frame object a material, 32-bit floats, in mg/mL.

Parametric Map IOD (PS3.3 A.75): what a stored number means is said by the Real World Value Mapping (C.7.6.16.2.11) with
the unit from UCUM; slope 1 and intercept 0, for the floats are the values.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import ParametricMapStorage

from leadglass.errors import UsageError
from leadglass.imaging.geometry import Grid
from leadglass.imaging.to_dicom import (
    Examination,
    Made,
    Plane,
    Series,
    begun,
    code,
    decimal,
    decimals,
    finished,
    items,
    one,
    placed,
)
from leadglass.imaging.volume import MaterialVolume, Voxels

_FRAME_TYPE = ["DERIVED", "PRIMARY", "VOLUME", "QUANTITY"]


def material_map(volume: MaterialVolume, name: str, examination: Examination, *, number: int) -> Made:
    """Make the map of one material, axial frames from the feet to the head."""
    grid, voxels = volume.grid, volume[name]
    series = Series(number, f"{name} mg/mL", "CT", ("map", name))
    made = begun(examination, series, ParametricMapStorage)
    placed(made, examination, volume.frame_of_reference_uid)
    _image(made, name)
    made.Rows, made.Columns, made.NumberOfFrames = grid.shape[1], grid.shape[0], grid.shape[2]
    made.BitsAllocated = 32
    made.SharedFunctionalGroupsSequence = one(_shared(volume, name))
    _dimensions(made, examination)
    made.PerFrameFunctionalGroupsSequence = Sequence([_frame(volume, at) for at in range(grid.shape[2])])
    frames = np.ascontiguousarray(voxels.transpose(2, 1, 0), dtype="<f4")
    made.FloatPixelData = frames.tobytes()
    return finished(made, f"map-{name.replace(' ', '-')}")


def _image(made: Dataset, name: str) -> None:
    made.ImageType = _FRAME_TYPE
    made.InstanceNumber = 1
    made.ContentLabel = "".join(c if c.isalnum() else "_" for c in name.upper())[:16]
    made.ContentDescription = f"Concentration of {name}"
    made.ContentCreatorName = ""
    made.ContentQualification = "RESEARCH"
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.PresentationLUTShape = "IDENTITY"
    made.BurnedInAnnotation, made.RecognizableVisualFeatures = "NO", "NO"
    made.LossyImageCompression = "00"
    made.PixelPresentation = "MONOCHROME"
    made.AcquisitionContextSequence = Sequence([])
    made.AcquisitionDateTime = f"{made.StudyDate}{made.StudyTime}"
    made.AcquisitionNumber = 1


def _shared(volume: MaterialVolume, name: str) -> Dataset:
    grid, voxels = volume.grid, volume[name]
    thick = decimal(grid.voxel_mm[2])
    measures = {"PixelSpacing": decimals(Plane.AXIAL.spacing_mm(grid)), "SliceThickness": thick,
                "SpacingBetweenSlices": thick}  # fmt: skip
    unit = code("mg/mL", "UCUM", "milligram per milliliter")
    mapping = {
        "LUTExplanation": f"Concentration of {name}"[:64],
        "LUTLabel": "mg/mL",
        "RealWorldValueIntercept": 0.0,
        "RealWorldValueSlope": 1.0,
        "DoubleFloatRealWorldValueFirstValueMapped": float(voxels.min()),
        "DoubleFloatRealWorldValueLastValueMapped": float(voxels.max()),
        "MeasurementUnitsCodeSequence": one(unit),
    }
    high = max(1.0, float(np.percentile(voxels[:: max(1, grid.shape[0] // 64)], 99.9)))
    return items({
        "PixelMeasuresSequence": one(items(measures)),
        "PlaneOrientationSequence": one(items({"ImageOrientationPatient": decimals(Plane.AXIAL.orientation)})),
        "ParametricMapFrameTypeSequence": one(items({"FrameType": _FRAME_TYPE})),
        "RealWorldValueMappingSequence": one(items(mapping)),
        "PixelValueTransformationSequence": one(
            items({"RescaleIntercept": "0", "RescaleSlope": "1", "RescaleType": "US"})
        ),
        "FrameVOILUTSequence": one(items({"WindowCenter": decimal(high / 2), "WindowWidth": decimal(high)})),
    })  # fmt: skip


def _dimensions(made: Dataset, examination: Examination) -> None:
    """Say that frames are ordered by their place in one stack (PS3.3 C.7.6.17)."""
    organisation = examination.derived_uid("dimensions")
    made.DimensionOrganizationSequence = one(items({"DimensionOrganizationUID": organisation}))
    made.DimensionOrganizationType = "3D"
    content = Tag("FrameContentSequence")
    made.DimensionIndexSequence = Sequence([
        items({"DimensionOrganizationUID": organisation, "DimensionIndexPointer": Tag(keyword),
               "FunctionalGroupPointer": content, "DimensionDescriptionLabel": keyword})
        for keyword in ("StackID", "InStackPositionNumber")
    ])  # fmt: skip


def _frame(volume: MaterialVolume, at: int) -> Dataset:
    content = {"StackID": "1", "InStackPositionNumber": at + 1, "DimensionIndexValues": [1, at + 1]}
    position = {"ImagePositionPatient": decimals(Plane.AXIAL.position_mm(volume.grid, at))}
    return items({
        "FrameContentSequence": one(items(content)),
        "PlanePositionSequence": one(items(position)),
    })  # fmt: skip


def read_map(content: bytes) -> tuple[str, Voxels, Grid, str] | None:
    """Read a map that `material_map` made: its material, voxels [x, y, z], grid and frame of reference.

    None where the file is something else; UsageError where it is a map of another make or damaged.
    """
    try:
        found = dcmread(BytesIO(content))
    except (InvalidDicomError, EOFError, ValueError):
        return None
    if found.get("SOPClassUID") != ParametricMapStorage:
        return None
    try:
        shared = found.SharedFunctionalGroupsSequence[0]
        measures = shared.PixelMeasuresSequence[0]
        mapping = shared.RealWorldValueMappingSequence[0]
        places = [
            frame.PlanePositionSequence[0].ImagePositionPatient for frame in found.PerFrameFunctionalGroupsSequence
        ]
        count, rows, columns = int(found.NumberOfFrames), int(found.Rows), int(found.Columns)
        values = np.frombuffer(found.FloatPixelData, dtype="<f4").reshape(count, rows, columns)
        size = (float(measures.PixelSpacing[1]), float(measures.PixelSpacing[0]), float(measures.SpacingBetweenSlices))
        is_ours = mapping.MeasurementUnitsCodeSequence[0].CodeValue == "mg/mL" and mapping.RealWorldValueSlope == 1
        name = str(mapping.LUTExplanation).removeprefix("Concentration of ")
        middle = [(float(places[0][axis]) + float(places[-1][axis])) / 2 for axis in range(3)]
        uid = str(found.FrameOfReferenceUID)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise UsageError(f"A parametric map is not laid out as ours ({error}).", hint="Reconstruct anew.") from error
    if not is_ours or len(places) != count or not np.isfinite(values).all():
        raise UsageError("A parametric map is not in mg/mL, or not whole.", hint="Reconstruct anew.")
    middle[0] += (columns - 1) / 2 * size[0]
    middle[1] += (rows - 1) / 2 * size[1]
    grid = Grid((columns, rows, count), size, (middle[0], middle[1], middle[2]))
    return name, np.ascontiguousarray(values.transpose(2, 1, 0), dtype=np.float32), grid, uid
