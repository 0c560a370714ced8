"""The real objects that go out and come back: shared/data/dicom-clean, each under a SOP Instance UID of its own.

The collection holds the same instance in several encodings. An archive keeps one content per SOP Instance UID, so
a later encoding gets a new UID of the same length before it is sent; nothing else in it is touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from tests.peers.harness import fast_sender, programs

FOLDER = programs.SHARED_DATA / "dicom-clean"
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")


@dataclass(frozen=True, slots=True)
class Specimen:
    """One file to send, with the UIDs it goes by."""

    origin: str
    path: Path
    sop_class: str
    sop_instance: str
    syntax: str
    study: str
    series: str

    @property
    def dataset(self) -> memoryview:
        return fast_sender.split_file(self.path)[3]


def specimens(folder: Path) -> tuple[list[Specimen], dict[str, str]]:
    """Copy the collection into a folder; gives what can be sent, and by name why a file cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    good: list[Specimen] = []
    left_out: dict[str, str] = {}
    for path in sorted(FOLDER.glob("*.dcm")):
        try:
            _, _, syntax, _ = fast_sender.split_file(path)
            ds = dcmread(path, stop_before_pixels=True)
        except KeyError as error:
            left_out[path.name] = f"no file meta element {error}"
            continue
        except (InvalidDicomError, OSError, EOFError, AttributeError) as error:
            left_out[path.name] = f"pydicom cannot read it: {error}"
            continue
        missing = [name for name in UIDS if not ds.get(name)]
        if missing:
            left_out[path.name] = f"no {', '.join(missing)}: not a composite instance (PS3.4 B.5)"
            continue
        # A sender names what the data set is; the file meta information of some of these files disagrees with it.
        sop_class, sop_instance = str(ds.SOPClassUID), str(ds.SOPInstanceUID)
        copy = folder / path.name
        raw = path.read_bytes()
        if sop_instance in taken:
            renamed = _renamed(sop_instance, taken)
            if renamed is None or syntax.endswith(".1.99"):
                left_out[path.name] = "a second encoding whose SOP Instance UID cannot be replaced in place"
                continue
            raw = raw.replace(sop_instance.encode(), renamed.encode())
            sop_instance = renamed
        # A deflated data set goes over the wire padded to even length (PS3.5 A.5); some files leave it odd.
        copy.write_bytes(raw + b"\0" * (len(fast_sender.split_file(path)[3]) % 2))
        taken.add(sop_instance)
        good.append(
            Specimen(
                path.name, copy, sop_class, sop_instance, syntax, str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID)
            )
        )
    return good, left_out


def _renamed(uid: str, taken: set[str]) -> str | None:
    head, last = uid.rsplit(".", 1)
    for number in range(1, 10 ** min(len(last), 6)):
        candidate = f"{head}.{str(number).ljust(len(last), '7')}"
        if len(candidate) == len(uid) and candidate not in taken and candidate[-len(last)] != "0":
            return candidate
    return None
