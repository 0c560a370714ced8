"""What is sent: real scanners' objects that come inside the pydicom package, and two that are not what they seem.

pydicom is only where the files lie; they are read with our own reader. The CT series is one real slice under many
SOP Instance UIDs, because a morning without a series of some length shows nothing of the speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from leadglass.dicom.part10 import Part10Reader
from leadglass.errors import ConfigurationError

SOP_CLASS, SOP_INSTANCE = 0x00080016, 0x00080018

CT_SLICE: Final = "CT_small.dcm"
CT_SERIES_LENGTH: Final = 240

REAL: Final = (
    "J2K_pixelrep_mismatch.dcm",
    "693_J2KI.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "examples_overlay.dcm",
    "ExplVR_BigEnd.dcm",
    "examples_jpeg2k.dcm",
    "examples_palette.dcm",
    "examples_rgb_color.dcm",
    "examples_ybr_color.dcm",
    "JPEG2000.dcm",
    "JPEG-lossy.dcm",
    "rtdose.dcm",
    "rtplan.dcm",
    "liver_1frame.dcm",
    "image_dfl.dcm",
    "test-SR.dcm",
    "reportsi.dcm",
    "waveform_ecg.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_dcmtk_+eb+cr.dcm",
    "SC_rgb_gdcm_KY.dcm",
)
"""CT, MR, ultrasound, nuclear medicine, radiotherapy, segmentation, reports, an ECG, secondary captures; one and many
frames; JPEG, JPEG-LS, JPEG 2000, RLE, deflated, big endian. No two share a SOP Instance UID."""

PATH_TRAVERSAL_UID: Final = "../../../../etc/cron.d/leadglass"
"""A SOP Instance UID as malware would write it for a receiver that names files by it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One object as a modality sends it: `dataset` without preamble and file meta information."""

    name: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset: bytes

    def renamed(self, sop_instance_uid: str) -> Sample:
        """Give the same object under another UID of the same length, inside the data set too."""
        old, new = self.sop_instance_uid.encode(), sop_instance_uid.encode()
        assert len(old) == len(new)
        return Sample(
            self.name, self.sop_class_uid, sop_instance_uid, self.transfer_syntax_uid, self.dataset.replace(old, new)
        )


def real_objects() -> list[Sample]:
    """Read the CT series and the other real objects. Raises ConfigurationError when pydicom's files are missing."""
    folder = _folder()
    slice_ = _read(folder / CT_SLICE)
    stem = slice_.sop_instance_uid[:-5]
    series = [slice_.renamed(f"{stem}{20_000 + number}") for number in range(CT_SERIES_LENGTH)]
    return series + [_read(folder / name) for name in REAL]


def polyglot() -> bytes:
    """Make a DICOM file that also begins like a Windows program: "MZ" and no code at all, so it runs nowhere."""
    file = (_folder() / "MR_small.dcm").read_bytes()
    preamble = b"MZ".ljust(60, b"\0") + (128).to_bytes(4, "little")
    return preamble.ljust(128, b"\0") + file[128:]


def climbing(sample: Sample) -> Sample:
    """Give a real object under a name that climbs out of a folder."""
    return Sample(
        "path traversal", sample.sop_class_uid, PATH_TRAVERSAL_UID, sample.transfer_syntax_uid, sample.dataset
    )


def _folder() -> Path:
    found = find_spec("pydicom")
    for location in (found.submodule_search_locations or []) if found is not None else []:
        folder = Path(location) / "data" / "test_files"
        if (folder / CT_SLICE).is_file():
            return folder
    raise ConfigurationError(
        "The images of the demo come inside the pydicom package, and they are not there.",
        hint="Install pydicom again: pip install --force-reinstall pydicom",
    )


def _read(path: Path) -> Sample:
    return sample_of(path.name, path.read_bytes())


def sample_of(name: str, data: bytes) -> Sample:
    """Take a file as a modality would send it: under the UIDs of the data set, whatever its header says."""
    reader = Part10Reader(keep=frozenset({SOP_CLASS, SOP_INSTANCE}))
    reader.feed(data)
    meta = reader.finish().meta
    sop_class, instance = (reader.values[tag].rstrip(b"\0 ").decode("ascii") for tag in (SOP_CLASS, SOP_INSTANCE))
    return Sample(name, sop_class, instance, meta.transfer_syntax.uid, data[meta.dataset_offset :])
