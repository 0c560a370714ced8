"""Pictures in colour as Secondary Captures, each with its legend and with what it was derived from.

Slices are Secondary Capture Images (PS3.3 A.8.1), the turntable is a Multi-frame True Color Secondary Capture (A.8.5)
that plays. Both name the material maps they show as their source, and say how they were made; the pixels are for
looking at, numbers are in the maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Row

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage, SecondaryCaptureImageStorage

from leadglass.errors import UsageError
from leadglass.imaging.colour import ColourMap, Picture, colour_slice, with_legend
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
    thinnest,
)
from leadglass.imaging.volume import MaterialVolume

SLICE_SIDE_MIN = 384
"""Slices are enlarged by a whole number to at least this, so that the legend does not dwarf them."""

MILLISECONDS_A_FRAME = 100.0


def colour_slices(
    volume: MaterialVolume, colours: ColourMap, examination: Examination, sources: Row[Made], *, number: int,
    plane: Plane = Plane.AXIAL,
) -> Iterator[Made]:  # fmt: skip
    """Colour each slice of a volume; `sources` are the maps' objects."""
    series = Series(number, f"Colour, {plane.name.lower()}", "CT", ("colour", colours.name, plane.name))
    for at in range(volume.grid.shape[plane.value]):
        picture, larger = _slice(volume, colours, plane, at)
        made = begun(examination, series, SecondaryCaptureImageStorage, at)
        placed(made, examination, volume.frame_of_reference_uid)
        made.InstanceNumber = at + 1
        made.PatientOrientation = plane.patient_orientation
        made.ImageOrientationPatient = decimals(plane.orientation)
        # Enlarging moves the first pixel's centre towards the corner, by what half a pixel has become smaller.
        spacing = [size / larger for size in plane.spacing_mm(volume.grid)]
        made.ImagePositionPatient = decimals(_corner(plane, volume, at, larger))
        made.PixelSpacing = decimals(spacing)
        made.SliceThickness = decimal(volume.grid.voxel_mm[plane.value])
        _derived(made, sources, colours)
        _rgb(made, picture[None])
        yield finished(made, f"colour-{plane.name.lower()}-{at + 1:04d}")


def _slice(volume: MaterialVolume, colours: ColourMap, plane: Plane, at: int) -> tuple[Picture, int]:
    """Draw a slice beside its legend; tell how many times it was enlarged."""
    names = [swatch.name for swatch in colours.shown(list(volume))]
    picture = colour_slice({name: plane.cut(volume[name], at) for name in names}, colours)
    larger = max(1, -(-SLICE_SIDE_MIN // max(picture.shape[:2])))
    picture = np.kron(picture, np.ones((larger, larger, 1), dtype=np.uint8))
    return with_legend(picture, colours, names), larger


def pictured(volume: MaterialVolume, colours: ColourMap, plane: Plane | None = None) -> Picture | None:
    """Draw the middle slice of a volume with its legend; None while there is nothing the map has a colour for."""
    if not any(swatch.name in volume for swatch in colours.swatches):
        return None
    way = plane or thinnest(volume.grid)
    return _slice(volume, colours, way, volume.grid.shape[way.value] // 2)[0]


def turntable(
    frames: Iterable[Picture], colours: ColourMap, materials: Row[str], volume: MaterialVolume,
    examination: Examination, sources: Row[Made], *, number: int,
) -> Made:  # fmt: skip
    """Put pictures from all sides, [row, column, 3] each, into one object that plays; UsageError for none."""
    pictures = [with_legend(frame, colours, materials) for frame in frames]
    if not pictures:
        raise UsageError("A turntable needs at least one picture.")
    series = Series(number, "Turntable", "CT", ("turntable", colours.name))
    made = begun(examination, series, MultiFrameTrueColorSecondaryCaptureImageStorage)
    placed(made, examination, volume.frame_of_reference_uid)
    made.InstanceNumber = 1
    made.PatientOrientation = ""
    made.NumberOfFrames = len(pictures)
    made.FrameIncrementPointer = Tag("FrameTime")
    made.FrameTime = decimal(MILLISECONDS_A_FRAME)
    made.RecommendedDisplayFrameRate = round(1000 / MILLISECONDS_A_FRAME)
    made.BurnedInAnnotation = "NO"
    _derived(made, sources, colours)
    made.DerivationDescription = f"Volume rendering by emission and absorption, colour map {colours.name}"
    _rgb(made, np.stack(pictures))
    return finished(made, "turntable")


def _corner(plane: Plane, volume: MaterialVolume, at: int, larger: int) -> list[float]:
    position = np.array(plane.position_mm(volume.grid, at))
    orientation = np.array(plane.orientation)
    between_rows, between_columns = plane.spacing_mm(volume.grid)
    shift = (1 - 1 / larger) / 2
    moved = position - shift * (between_columns * orientation[:3] + between_rows * orientation[3:])
    return [float(value) for value in moved]


def _derived(made: Dataset, sources: Row[Made], colours: ColourMap) -> None:
    made.ImageType = ["DERIVED", "SECONDARY", "VOLUME"]
    made.ConversionType = "WSD"
    made.DerivationDescription = f"Material maps in colour, colour map {colours.name}"
    made.DerivationCodeSequence = one(code("113072", "DCM", "Multiplanar reformatting"))
    purpose = code("121322", "DCM", "Source image for image processing operation")
    made.SourceImageSequence = Sequence([
        items({"ReferencedSOPClassUID": source.sop_class_uid, "ReferencedSOPInstanceUID": source.sop_instance_uid,
               "PurposeOfReferenceCodeSequence": one(purpose)})
        for source in sources
    ])  # fmt: skip


def _rgb(made: Dataset, pictures: Picture) -> None:
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.Rows, made.Columns = pictures.shape[1:3]
    data = pictures.tobytes()
    made.PixelData = data + b"\0" * (len(data) % 2)
    made.LossyImageCompression = "00"
