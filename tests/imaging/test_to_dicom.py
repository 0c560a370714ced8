"""Objects read back by pydicom hold the very values, in the right place, with their units and their sources."""

from __future__ import annotations

from datetime import datetime
from importlib.resources import files
from io import BytesIO

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from leadglass.errors import Cancelled, UsageError
from leadglass.imaging.colour import colour_map, colour_slice
from leadglass.imaging.geometry import Grid
from leadglass.imaging.to_dicom import Acquisition, Examination, Made, Plane, decimal, thinnest
from leadglass.imaging.to_dicom_maps import material_map, read_map
from leadglass.imaging.to_dicom_study import Wanted, objects_made, study
from leadglass.imaging.volume import MaterialVolume

GRID = Grid((7, 5, 9), (0.5, 0.75, 1.25), (10.0, -4.0, 3.0))
CHANCE = np.random.default_rng(8)
VOLUME = MaterialVolume(
    {
        "water": CHANCE.uniform(-20, 1200, GRID.shape).astype(np.float32),
        "calcium": CHANCE.uniform(-20, 400, GRID.shape).astype(np.float32),
        "iodine": CHANCE.uniform(-3, 20, GRID.shape).astype(np.float32),
    },
    GRID,
    "2.25.77",
)
EXAMINATION = Examination("2.25.4711", datetime(2026, 11, 24, 9, 30), "Phantom^Hand", "P1", software="0.1.0")
ACQUISITION = Acquisition(
    118.0, 100.0, 0.3, (20.0, 34.0, 50.0), 700.0, 500.0, 0.54, 240.0, 110.0, ("aluminium",), is_simulated=True
)
COLOURS = colour_map(files("leadglass").joinpath("content/colours/bone-iodine-gold.toml").read_text())
WANTED = Wanted((40.0, 70.0), frames=4, frame_px=(48, 64))


@pytest.fixture(scope="module")
def made() -> list[Made]:
    return list(study(VOLUME, COLOURS, EXAMINATION, ACQUISITION, WANTED))


@pytest.fixture(scope="module")
def read(made: list[Made]) -> dict[str, Dataset]:
    return {one.name: dcmread(BytesIO(one.content)) for one in made}


def patient_mm(found: Dataset, row: int, column: int) -> np.ndarray:
    """Work out where a pixel lies, after PS3.3 equation C.7.6.2.1-1."""
    along_row, along_column = np.array(found.ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = map(float, found.PixelSpacing)
    origin = np.array(found.ImagePositionPatient, float)
    return origin + along_row * between_columns * column + along_column * between_rows * row


def test_images_hold_hounsfield_units_where_the_voxels_are(read: dict[str, Dataset]) -> None:
    units = VOLUME.vmi(energy_kev=70)
    for z in range(GRID.shape[2]):
        found = read[f"vmi-70-{z + 1:04d}"]
        stored = found.pixel_array * float(found.RescaleSlope) + float(found.RescaleIntercept)
        np.testing.assert_array_equal(stored, np.rint(units[:, :, z].T))
        x, y = 6, 2
        where = [GRID.centres_mm(axis)[index] for axis, index in enumerate((x, y, z))]
        np.testing.assert_allclose(patient_mm(found, row=y, column=x), where, atol=1e-9)
        assert found.RescaleType == "HU"
        assert found.MultienergyCTCharacteristicsSequence[0].MonoenergeticEnergyEquivalent == 70
        assert found.ImageType[3] == "VMI"
    bins = found.MultienergyCTAcquisitionSequence[0].MultienergyCTXRayDetectorSequence
    assert [(float(b.NominalMinEnergy), float(b.NominalMaxEnergy)) for b in bins] == [(20, 34), (34, 50), (50, 118)]


def test_maps_hold_the_very_floats_in_mg_per_ml(read: dict[str, Dataset]) -> None:
    for name in VOLUME:
        found = read[f"map-{name}"]
        np.testing.assert_array_equal(found.pixel_array, VOLUME[name].transpose(2, 1, 0))
        shared = found.SharedFunctionalGroupsSequence[0]
        mapping = shared.RealWorldValueMappingSequence[0]
        unit = mapping.MeasurementUnitsCodeSequence[0]
        assert (unit.CodeValue, unit.CodingSchemeDesignator) == ("mg/mL", "UCUM")
        assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
        places = [f.PlanePositionSequence[0].ImagePositionPatient for f in found.PerFrameFunctionalGroupsSequence]
        np.testing.assert_allclose([float(place[2]) for place in places], GRID.centres_mm(2))


def test_a_map_is_read_back_as_it_was(made: list[Made]) -> None:
    content = {one.name: one.content for one in made}
    found = read_map(content["map-iodine"])
    assert found is not None
    name, voxels, grid, uid = found
    assert (name, uid) == ("iodine", "2.25.77")
    np.testing.assert_array_equal(voxels, VOLUME["iodine"])
    assert (grid.shape, grid.voxel_mm) == (GRID.shape, GRID.voxel_mm)
    np.testing.assert_allclose(grid.centre_mm, GRID.centre_mm, atol=1e-9)
    assert read_map(content["vmi-40-0001"]) is None
    assert read_map(b"no DICOM at all") is None


def test_a_map_that_is_not_ours_is_refused(made: list[Made]) -> None:
    other = dcmread(BytesIO(next(one.content for one in made if one.name == "map-water")))
    shared = other.SharedFunctionalGroupsSequence[0]
    shared.RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0].CodeValue = "mm2/s"
    into = BytesIO()
    other.save_as(into)
    with pytest.raises(UsageError, match="not in mg/mL"):
        read_map(into.getvalue())
    del other.PerFrameFunctionalGroupsSequence
    into = BytesIO()
    other.save_as(into)
    with pytest.raises(UsageError, match="laid out"):
        read_map(into.getvalue())


@pytest.mark.parametrize("plane", list(Plane))
def test_slices_in_colour_lie_where_the_voxels_are(plane: Plane) -> None:
    wanted = Wanted((), frames=0, plane=plane)
    found = [dcmread(BytesIO(one.content)) for one in study(VOLUME, COLOURS, EXAMINATION, ACQUISITION, wanted)]
    colour = [one for one in found if one.PhotometricInterpretation == "RGB"]
    assert len(colour) == GRID.shape[plane.value]
    picture = colour[1].pixel_array
    plain = colour_slice({name: plane.cut(VOLUME[name], 1) for name in VOLUME}, COLOURS)
    larger = round(plane.spacing_mm(GRID)[0] / float(colour[1].PixelSpacing[0]))
    np.testing.assert_array_equal(picture[::larger, ::larger][: plain.shape[0], : plain.shape[1]], plain)
    # The middle of an enlarged pixel is the middle of its voxel.
    voxel = np.array([GRID.centres_mm(axis)[0 if axis != 2 else -1] for axis in range(3)])
    if plane is Plane.AXIAL:
        voxel[2] = GRID.centres_mm(2)[1]
    else:
        voxel[plane.value] = GRID.centres_mm(plane.value)[1]
    half = (larger - 1) / 2
    np.testing.assert_allclose(patient_mm(colour[1], half, half), voxel, atol=1e-6)


def test_planes_are_right_handed_views_of_the_body() -> None:
    for plane in Plane:
        along_row, along_column = np.array(plane.orientation).reshape(2, 3)
        assert np.dot(along_row, along_column) == 0
        letters = [{(0, 1): "L", (1, 1): "P", (2, -1): "F"}[int(np.abs(v).argmax()), int(v.sum())]
                   for v in (along_row, along_column)]  # fmt: skip
        assert letters == plane.patient_orientation
    assert thinnest(Grid((100, 20, 200), (1, 1, 1))) is Plane.CORONAL
    assert thinnest(Grid((100, 100, 100), (1, 1, 1))) is Plane.AXIAL


def test_everything_is_of_one_study_and_one_frame_and_names_its_source(
    made: list[Made], read: dict[str, Dataset]
) -> None:
    assert len(made) == objects_made(VOLUME, WANTED) == len(read)
    assert {found.StudyInstanceUID for found in read.values()} == {"2.25.4711"}
    assert {found.FrameOfReferenceUID for found in read.values()} == {"2.25.77"}
    assert len({found.SOPInstanceUID for found in read.values()}) == len(made)
    maps = {read[f"map-{name}"].SOPInstanceUID for name in VOLUME}
    for found in read.values():
        if found.PhotometricInterpretation == "RGB":
            assert {one.ReferencedSOPInstanceUID for one in found.SourceImageSequence} == maps
    turning = read["turntable"]
    assert turning.NumberOfFrames == 4 and turning.pixel_array.shape[0] == 4
    assert "no person" in read["vmi-40-0001"].ImageComments


def test_making_twice_gives_the_same_objects(made: list[Made]) -> None:
    again = material_map(VOLUME, "water", EXAMINATION, number=100)
    assert again == next(one for one in made if one.name == "map-water")


def test_stopping_and_wrong_orders() -> None:
    with pytest.raises(Cancelled):
        list(study(VOLUME, COLOURS, EXAMINATION, ACQUISITION, WANTED, report=lambda done, _: done < 3))
    with pytest.raises(UsageError, match="keV"):
        list(study(VOLUME, COLOURS, EXAMINATION, ACQUISITION, Wanted((500.0,), frames=0)))
    with pytest.raises(UsageError, match="knows none"):
        list(study(MaterialVolume({"tin": VOLUME["water"]}, GRID), COLOURS, EXAMINATION, ACQUISITION, WANTED))


@pytest.mark.parametrize("value", [1 / 3, -1 / 3e6, 123456789.123456789, -0.0000123456789, 1e22, 0.0])
def test_decimals_fit_their_sixteen_characters(value: float) -> None:
    text = decimal(value)
    assert len(text) <= 16
    assert float(text) == pytest.approx(value, rel=1e-7)
