"""Virtual monoenergetic images as a series of CT Images, one axial slice an object, in Hounsfield units.

CT Image IOD (PS3.3 A.3) with the Multi-energy CT Image module (C.8.2.2, from Supplement 188): one X-ray source, one
photon-counting detector a bin with the bin's energies, how materials were separated, and the energy of the image.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage

from leadglass.imaging.to_dicom import (
    Acquisition,
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
from leadglass.imaging.vmi import vmi
from leadglass.imaging.volume import MaterialVolume

_FILTERS = {"aluminium": "ALUMINUM", "al": "ALUMINUM", "copper": "COPPER", "cu": "COPPER", "tin": "TIN", "sn": "TIN"}
LOWEST_HU, HIGHEST_HU = -1024, 32767


def vmi_series(
    volume: MaterialVolume, energy_kev: float, examination: Examination, acquisition: Acquisition, *, number: int
) -> Iterator[Made]:
    """Make the series at one energy, from the feet to the head. Raises UsageError for an energy out of range."""
    units = vmi(volume, energy_kev)
    series = Series(number, f"VMI {energy_kev:g} keV", "CT", ("vmi", f"{energy_kev:g}"))
    for at in range(volume.grid.shape[2]):
        made = _described(volume, examination, acquisition, series, at)
        made.MultienergyCTCharacteristicsSequence = one(items({"MonoenergeticEnergyEquivalent": float(energy_kev)}))
        stored = np.clip(np.rint(Plane.AXIAL.cut(units, at)), LOWEST_HU, HIGHEST_HU).astype("<i2")
        made.Rows, made.Columns = stored.shape
        made.PixelData = stored.tobytes()
        yield finished(made, f"vmi-{energy_kev:g}-{at + 1:04d}")


def _described(
    volume: MaterialVolume, examination: Examination, acquisition: Acquisition, series: Series, at: int
) -> Dataset:
    grid = volume.grid
    made = begun(examination, series, CTImageStorage, at)
    placed(made, examination, volume.frame_of_reference_uid)
    made.ImageType = ["DERIVED", "PRIMARY", "AXIAL", "VMI"]
    made.AcquisitionNumber, made.InstanceNumber = 1, at + 1
    made.AcquisitionDate, made.AcquisitionTime = made.StudyDate, made.StudyTime
    made.PatientPosition = "HFS"
    made.BodyPartExamined = ""
    made.KVP = ""  # told for the X-ray source
    if acquisition.exposure_ms:
        made.ExposureTime = round(acquisition.exposure_ms)
        made.XRayTubeCurrent = max(1, round(acquisition.tube_ma))
    if acquisition.source_panel_mm:
        made.DistanceSourceToDetector = decimal(acquisition.source_panel_mm)
        made.DistanceSourceToPatient = decimal(acquisition.source_axis_mm)
    made.ImageOrientationPatient = decimals(Plane.AXIAL.orientation)
    made.ImagePositionPatient = decimals(Plane.AXIAL.position_mm(grid, at))
    made.PixelSpacing = decimals(Plane.AXIAL.spacing_mm(grid))
    made.SliceThickness = made.SpacingBetweenSlices = decimal(grid.voxel_mm[2])
    made.SliceLocation = decimal(float(grid.centres_mm(2)[at]))
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
    made.RescaleIntercept, made.RescaleSlope, made.RescaleType = "0", "1", "HU"
    made.RealWorldValueMappingSequence = one(_hounsfield())
    made.WindowCenter, made.WindowWidth = "300", "1500"
    made.LossyImageCompression = "00"
    made.BurnedInAnnotation = "NO"
    if acquisition.is_simulated:
        made.ImageComments = "Simulated counts of a phantom; no person was exposed."
    _multi_energy(made, volume, acquisition)
    return made


def _hounsfield() -> Dataset:
    mapping = items({
        "LUTExplanation": "Hounsfield units", "LUTLabel": "HU", "RealWorldValueIntercept": 0.0,
        "RealWorldValueSlope": 1.0,
        "MeasurementUnitsCodeSequence": one(code("[hnsf'U]", "UCUM", "Hounsfield unit")),
    })  # fmt: skip
    mapping.add_new("RealWorldValueFirstValueMapped", "SS", LOWEST_HU)
    mapping.add_new("RealWorldValueLastValueMapped", "SS", HIGHEST_HU)
    return mapping


def _scanner(acquisition: Acquisition) -> dict[str, Sequence]:
    """Give the macros of the Enhanced CT that describe tube, detector and gantry (PS3.3 C.8.15.3)."""
    current, time_ms = acquisition.tube_ma, acquisition.exposure_ms
    exposure = {
        "ReferencedXRaySourceIndex": 1, "ExposureTimeInms": time_ms, "XRayTubeCurrentInmA": current,
        "ExposureInmAs": current * time_ms / 1000, "ExposureModulationType": "NONE",
    }  # fmt: skip
    materials = [_FILTERS.get(name.casefold(), name.upper()[:16]) for name in acquisition.filters]
    # The source is taken as a point, and there is no table.
    tube = {"ReferencedXRaySourceIndex": 1, "KVP": decimal(acquisition.peak_kv), "FocalSpots": 0.0,
            "FilterType": "FLAT" if materials else "NONE", "FilterMaterial": materials}  # fmt: skip
    turning = {"ReferencedPathIndex": 1, "RotationDirection": "CC", "SingleCollimationWidth": acquisition.row_mm,
               "TotalCollimationWidth": acquisition.panel_mm, "TableHeight": 0.0, "GantryDetectorTilt": 0.0,
               "DataCollectionDiameter": acquisition.diameter_mm}  # fmt: skip
    distances = {"ReferencedPathIndex": 1, "DistanceSourceToDetector": acquisition.source_panel_mm,
                 "DistanceSourceToDataCollectionCenter": acquisition.source_axis_mm}  # fmt: skip
    return {
        "CTExposureSequence": one(items(exposure)),
        "CTXRayDetailsSequence": one(items(tube)),
        "CTAcquisitionDetailsSequence": one(items(turning)),
        "CTGeometrySequence": one(items(distances)),
    }


def _multi_energy(made: Dataset, volume: MaterialVolume, acquisition: Acquisition) -> None:
    """Add how energies were told apart (PS3.3 C.8.2.2)."""
    made.MultienergyCTAcquisition = "YES"
    moment = f"{made.StudyDate}{made.StudyTime}"
    source = {
        "XRaySourceIndex": 1, "XRaySourceID": "1", "MultienergySourceTechnique": "CONSTANT_SOURCE",
        "SourceStartDateTime": moment, "SourceEndDateTime": moment,
    }  # fmt: skip
    tops = [*acquisition.thresholds_kev[1:], acquisition.peak_kv]
    detectors, paths = [], []
    for index, (low, high) in enumerate(zip(acquisition.thresholds_kev, tops, strict=True), 1):
        detector = {
            "XRayDetectorIndex": index, "XRayDetectorID": str(index), "MultienergyDetectorType": "PHOTON_COUNTING",
            "NominalMaxEnergy": decimal(high), "NominalMinEnergy": decimal(low),
        }  # fmt: skip
        detectors.append(items(detector))
        joined = {"MultienergyCTPathIndex": index, "ReferencedXRaySourceIndex": 1, "ReferencedXRayDetectorIndex": index}
        paths.append(items(joined))
    said = {
        "MultienergyAcquisitionDescription": f"Photon counting in {len(detectors)} energy bins",
        "MultienergyCTXRaySourceSequence": one(items(source)),
        "MultienergyCTXRayDetectorSequence": Sequence(detectors),
        "MultienergyCTPathSequence": Sequence(paths),
        **_scanner(acquisition),
    }
    made.MultienergyCTAcquisitionSequence = one(items(said))
    method = "PROJECTION_BASED" if volume.made_by.get("method") != "image" else "IMAGE_BASED"
    names = ", ".join(volume)
    processing = {"DecompositionMethod": method, "DecompositionDescription": f"Maximum likelihood into {names}"}
    made.MultienergyCTProcessingSequence = one(items(processing))
