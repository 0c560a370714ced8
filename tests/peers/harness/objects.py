"""Objects to send: CT images and multi-frame objects with headers as long as real ones, and hostile streams.

Made once into a cached folder: sizes are chosen by the caller, UIDs are distinct, pixel bytes are noise that no
link or disk can squeeze.
"""

from __future__ import annotations

import random
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from tests.peers.harness.wire import CT, MULTI_FRAME

UID_ROOT = "1.2.826.0.1.3680043.9.9999"
CACHE = Path(tempfile.gettempdir()) / "leadglass-bench-objects"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _header(study: int, number: int) -> Dataset:
    """Give about 150 elements as a scanner writes them."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
    for name in ("InstanceCreationDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(ds, name, "20260312")
    for name in ("InstanceCreationTime", "StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"):
        setattr(ds, name, f"0812{number % 60:02d}.125000")
    ds.AccessionNumber, ds.Modality, ds.Manufacturer = f"ACC{study:06d}", "CT", "BENCH"
    ds.InstitutionName, ds.InstitutionAddress = "Centre hospitalier", "1 rue de la Mesure"
    ds.ReferringPhysicianName, ds.StationName = "Durand^Claire", "CT1"
    ds.StudyDescription, ds.SeriesDescription = "Thorax abdomen", "THX 1.0 B70f"
    ds.PerformingPhysicianName, ds.OperatorsName = "Petit^Jean", "Op^A"
    ds.ManufacturerModelName, ds.PatientName, ds.PatientID = "Bench 64", f"Essai^Patient{study}", f"BENCH{study:05d}"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge, ds.PatientWeight = "19600504", "F", "065Y", "71.5"
    ds.IssuerOfPatientID, ds.PatientSize, ds.EthnicGroup = "CH", "1.68", ""
    ds.BodyPartExamined, ds.ScanOptions, ds.ProtocolName = "CHEST", "SPI", "ThorAbd"
    ds.SliceThickness, ds.KVP, ds.DataCollectionDiameter = "1", "120", "500"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "66012", "syngo CT 2012B"
    ds.ReconstructionDiameter, ds.DistanceSourceToDetector, ds.DistanceSourceToPatient = "360", "1040", "570"
    ds.GantryDetectorTilt, ds.TableHeight, ds.RotationDirection = "0", "155", "CW"
    ds.ExposureTime, ds.XRayTubeCurrent, ds.Exposure, ds.FilterType = 500, 240, 120, "0"
    ds.GeneratorPower, ds.FocalSpots, ds.ConvolutionKernel = 28, ["0.7"], "B70f"
    ds.DateOfLastCalibration, ds.TimeOfLastCalibration = "20260311", "070000"
    ds.PatientPosition, ds.TotalCollimationWidth, ds.SingleCollimationWidth = "HFS", 38.4, 0.6
    ds.TableSpeed, ds.TableFeedPerRotation, ds.SpiralPitchFactor = 46.0, 23.0, 1.2
    ds.CTDIvol, ds.EstimatedDoseSaving, ds.ExposureModulationType = 7.9, 12.0, "XYZ_EC"
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = "1", 4, 4, number
    ds.StudyInstanceUID = f"{UID_ROOT}.{study}"
    ds.SeriesInstanceUID = f"{UID_ROOT}.{study}.4"
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = f"{UID_ROOT}.{study}.9", ""
    ds.ImagePositionPatient, ds.ImageOrientationPatient = ["-180", "-180", str(number)], [1, 0, 0, 0, 1, 0]
    ds.SliceLocation, ds.ImageComments = str(number), "bench"
    ds.RequestedProcedureDescription, ds.PerformedProcedureStepDescription = "Thorax abdomen", "Thorax abdomen"
    ds.PerformedProcedureStepStartDate, ds.PerformedProcedureStepStartTime = "20260312", "081200"
    ds.PerformedProcedureStepID = "PPS1"
    ds.ProcedureCodeSequence = Sequence([_code("CTTHAB", "99CH", "CT thorax abdomen")])
    ds.CTDIPhantomTypeCodeSequence = Sequence([_code("113691", "DCM", "IEC Body Dosimetry Phantom")])
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CT, f"{UID_ROOT}.{study}.1.1"
    ds.ReferencedImageSequence = Sequence([reference])
    request = Dataset()
    request.ScheduledProcedureStepDescription, request.ScheduledProcedureStepID = "Thorax abdomen", "SPS1"
    request.RequestedProcedureID = "RP1"
    ds.RequestAttributesSequence = Sequence([request])
    private = ds.private_block(0x0029, "BENCH CSA HEADER", create=True)
    private.add_new(0x10, "OB", b"SV10" + bytes(4092))
    for offset in range(0x20, 0x50):
        private.add_new(offset, "LO", f"private value {offset:02x}")
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelSpacing, ds.SmallestImagePixelValue, ds.LargestImagePixelValue = [0.703, 0.703], 0, 4095
    ds.WindowCenter, ds.WindowWidth, ds.RescaleIntercept, ds.RescaleSlope = ["-600", "40"], ["1200", "400"], -1024, 1
    ds.WindowCenterWidthExplanation, ds.RescaleType = ["LUNG", "SOFT"], "HU"
    return ds


def _write(path: Path, ds: Dataset, sop_class: str, sop_instance: str) -> None:
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, sop_instance
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, sop_instance
    meta.ImplementationClassUID = f"{UID_ROOT}.1"
    ds.file_meta = meta
    ds.save_as(path, enforce_file_format=True)


def _pixels(seed: int, count: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 4096, count, dtype="<u2").tobytes()


def ct_objects(count: int, *, kibibytes: int = 512, study: int = 100) -> list[Path]:
    """Give `count` CT images of one study with `kibibytes` of pixels each."""
    folder = CACHE / f"ct-{count}-{kibibytes}-{study}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        rows = 512 if kibibytes >= 512 else 64
        columns = kibibytes * 512 // rows
        for number in range(1, count + 1):
            ds = _header(study, number)
            ds.Rows, ds.Columns = rows, columns
            ds.PixelData = _pixels(number, rows * columns)
            _write(folder / f"{number:05d}.dcm", ds, CT, f"{UID_ROOT}.{study}.1.{number}")
        (folder / "done").touch()
    return sorted(folder.glob("*.dcm"))


def multi_frame_objects(count: int, *, mebibytes: int = 100, study: int = 200) -> list[Path]:
    """Give `count` multi-frame objects of 512 × 512 words with `mebibytes` of pixels each."""
    folder = CACHE / f"multi-{count}-{mebibytes}-{study}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        frame = _pixels(7, 512 * 512)
        for number in range(1, count + 1):
            ds = _header(study, number)
            ds.Rows, ds.Columns, ds.NumberOfFrames = 512, 512, mebibytes * 2
            ds.FrameIncrementPointer = 0x00181063
            ds.FrameTime = "40"
            ds.PixelData = frame * (mebibytes * 2)
            _write(folder / f"{number:05d}.dcm", ds, MULTI_FRAME, f"{UID_ROOT}.{study}.1.{number}")
        (folder / "done").touch()
    return sorted(folder.glob("*.dcm"))


def small_objects(count: int, *, study: int) -> list[Path]:
    """Give `count` CT images of 8 KiB of pixels, for many messages a second."""
    return ct_objects(count, kibibytes=8, study=study)


# --- hostile data sets, explicit little endian --------------------------------------------------------------


def explicit(tag: int, vr: bytes, value: bytes) -> bytes:
    if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF"):
        return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def identity(sop_instance: str, sop_class: str = CT) -> bytes:
    """Give the elements that any storage server looks for first."""

    def uid(value: str) -> bytes:
        return value.encode() + (b"\0" if len(value) % 2 else b"")

    return (
        explicit(0x00080016, b"UI", uid(sop_class))
        + explicit(0x00080018, b"UI", uid(sop_instance))
        + explicit(0x00080060, b"CS", b"CT")
        + explicit(0x00100010, b"PN", b"Hostile^One ")
        + explicit(0x00100020, b"LO", b"HOSTILE1")
        + explicit(0x0020000D, b"UI", uid(f"{UID_ROOT}.66"))
        + explicit(0x0020000E, b"UI", uid(f"{UID_ROOT}.66.1"))
    )


def nested(depth: int) -> bytes:
    """Give sequences of undefined length inside each other."""
    opening = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    closing = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return identity(f"{UID_ROOT}.66.2.{depth}") + opening * depth + closing * depth


def deflate_bomb(size: int) -> bytes:
    """Give a deflated data set that inflates to `size` zero bytes (PS3.5 A.5)."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = identity(f"{UID_ROOT}.66.3") + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, size)
    out = [deflater.compress(head)]
    block = bytes(1 << 20)
    out += [deflater.compress(block) for _ in range(size >> 20)]
    out.append(deflater.flush())
    joined = b"".join(out)
    return joined + (b"\0" if len(joined) % 2 else b"")


def endless(limit: int) -> Iterator[bytes]:
    """Give a data set that goes on with private elements of 1 KiB, in blocks of 128 KiB, up to `limit` bytes."""
    yield identity(f"{UID_ROOT}.66.4")
    rng = random.Random(4)
    value = rng.randbytes(1012)
    sent = 0
    group, number = 0x0021, 0x1000
    while sent < limit:
        block = bytearray()
        while len(block) < 131072 - 1024:
            block += explicit(group << 16 | number, b"UN", value)
            number += 1
            if number > 0xFFFF:
                group, number = group + 2, 0x1000
        sent += len(block)
        yield bytes(block)
