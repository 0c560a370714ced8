"""C-FIND by DCMTK's findscu against what the files say, read by pydicom: levels, wildcards, ranges, lists, names.

Each case is a key set and, written independently of the product, the claim an object must meet to be an answer.
Keys travel in the repertoire the case names, so that a Japanese hospital's query finds what a UTF-8 one finds.
"""

from __future__ import annotations

import fnmatch
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.peers.conftest import Archive
from tests.peers.harness import programs

pytestmark = [pytest.mark.peer, pytest.mark.long]

UNIQUE = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
Claim = Callable[[Dataset], bool]


@dataclass(frozen=True, slots=True)
class Case:
    """A query and which objects answer it."""

    level: str
    keys: dict[str, str]
    claim: Claim
    model: str = "-S"
    repertoire: str | list[str] = ""


def text(header: Dataset, name: str) -> str:
    value = header.get(name)
    return "" if value is None else str(value)


def matches(name: str, *patterns: str) -> Claim:
    """Claim that an attribute matches one of some wildcards, case and all."""
    return lambda header: any(fnmatch.fnmatchcase(text(header, name), pattern) for pattern in patterns)


def named(*patterns: str) -> Claim:
    """Claim that a group of the patient's name matches, case aside."""

    def claim(header: Dataset) -> bool:
        groups = [group.casefold() for group in text(header, "PatientName").split("=")]
        return any(fnmatch.fnmatchcase(group, pattern.casefold()) for group in groups for pattern in patterns)

    return claim


def between(name: str, first: str, last: str) -> Claim:
    """Claim a date in a range; the dotted form is ACR-NEMA's (PS3.5 §6.2)."""
    return lambda header: bool(text(header, name)) and first <= text(header, name).replace(".", "") <= last


def both(one: Claim, other: Claim) -> Claim:
    return lambda header: one(header) and other(header)


CASES = {
    "every study": Case("STUDY", {}, lambda header: True),
    "every patient": Case("PATIENT", {}, lambda header: True, "-P"),
    "a patient by wildcard": Case("PATIENT", {"PatientID": "SCS*"}, matches("PatientID", "SCS*"), "-P"),
    "one character": Case("STUDY", {"PatientID": "H3?EXAMPLE"}, matches("PatientID", "H3?EXAMPLE")),
    "an id is exact": Case("STUDY", {"PatientID": "scsfren"}, lambda header: False),
    "modality by wildcard": Case("SERIES", {"Modality": "M*"}, matches("Modality", "M*")),
    "a date": Case("STUDY", {"StudyDate": "20080504"}, matches("StudyDate", "20080504")),
    "a range": Case("STUDY", {"StudyDate": "20040101-20081231"}, between("StudyDate", "20040101", "20081231")),
    "until": Case("STUDY", {"StudyDate": "-19991231"}, between("StudyDate", "0", "19991231")),
    "from": Case("STUDY", {"StudyDate": "20150101-"}, between("StudyDate", "20150101", "9")),
    "a time of day": Case(
        "STUDY",
        {"StudyTime": "1200-1759"},
        lambda h: "12" <= text(h, "StudyTime")[:2] <= "17",
    ),
    "modalities in study": Case("STUDY", {"ModalitiesInStudy": "CT"}, matches("Modality", "CT")),
    "date and modality": Case(
        "STUDY",
        {"ModalitiesInStudy": "MR", "StudyDate": "20040101-20041231"},
        both(matches("Modality", "MR"), between("StudyDate", "20040101", "20041231")),
    ),
    "a name in capitals": Case("STUDY", {"PatientName": "COMPRESSEDSAMPLES^*"}, named("CompressedSamples^*")),
    "French, Latin-1": Case("STUDY", {"PatientName": "Buc^J?r?me"}, named("Buc^Jérôme"), repertoire="ISO_IR 100"),
    "French, exact": Case("STUDY", {"PatientName": "Buc^Jérôme"}, named("Buc^Jérôme"), repertoire="ISO_IR 100"),
    "French, UTF-8": Case("STUDY", {"PatientName": "BUC^JÉRÔME"}, named("Buc^Jérôme"), repertoire="ISO_IR 192"),
    "Japanese, ISO 2022": Case(
        "STUDY", {"PatientName": "やまだ^たろう"}, named("やまだ^たろう"), repertoire=["", "ISO 2022 IR 87"]
    ),
    "Japanese, UTF-8": Case("STUDY", {"PatientName": "山田*"}, named("山田*"), repertoire="ISO_IR 192"),
    "Japanese, by group": Case(
        "STUDY",
        {"PatientName": "*=山田^太郎"},
        lambda h: len(text(h, "PatientName").split("=")) > 1 and text(h, "PatientName").split("=")[1] == "山田^太郎",
        repertoire="ISO_IR 192",
    ),
    "half-width Japanese": Case(
        "STUDY", {"PatientName": "ﾔﾏﾀﾞ*"}, named("ﾔﾏﾀﾞ*"), repertoire=["ISO 2022 IR 13", "ISO 2022 IR 87"]
    ),
    "Korean, ISO 2022": Case("STUDY", {"PatientName": "김*"}, named("김*"), repertoire=["", "ISO 2022 IR 149"]),
    "Chinese, GB18030": Case("STUDY", {"PatientName": "王^小东"}, named("王^小东"), repertoire="GB18030"),
    "Russian": Case("STUDY", {"PatientName": "Люк*"}, named("люк*"), repertoire="ISO_IR 144"),
    "Greek, UTF-8": Case(
        "STUDY", {"PatientName": "ΔΙΟΝΥΣΙΟΣ"}, matches("PatientID", "SCSGREEK"), repertoire="ISO_IR 192"
    ),
    "Hebrew": Case("PATIENT", {"PatientName": "שרון^*"}, named("שרון^*"), "-P", "ISO_IR 138"),
    "Arabic": Case("PATIENT", {"PatientName": "قباني^لنزار"}, named("قباني^لنزار"), "-P", "ISO_IR 127"),
}


@pytest.fixture(scope="module")
def headers(archive: Archive) -> list[Dataset]:
    """What pydicom reads of every archived object."""
    return [dcmread(specimen.path, stop_before_pixels=True, force=True) for specimen in archive.kept]


def find(archive: Archive, door: str, case: Case, folder: Path, syntax: str = ExplicitVRLittleEndian) -> list[Dataset]:
    """Ask with findscu and read its answers."""
    keys = Dataset()
    if case.repertoire:
        keys.SpecificCharacterSet = case.repertoire
    keys.QueryRetrieveLevel = case.level
    wanted = ["PatientID", *([] if case.level == "PATIENT" else [UNIQUE[case.level], "StudyInstanceUID"])]
    for name in (*wanted, "PatientName"):
        setattr(keys, name, "")
    for name, value in case.keys.items():
        setattr(keys, name, value)
    keys.file_meta = FileMetaDataset()
    keys.file_meta.TransferSyntaxUID = syntax
    keys.save_as(folder / "keys.dcm", implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    answers = folder / "answers"
    answers.mkdir()
    live = archive.live if door == "TLS" else archive.plain
    arguments = [case.model, *live.dcmtk_arguments(), "-X", "-od", str(answers), str(folder / "keys.dcm")]
    done = subprocess.run(
        [programs.path_of("findscu"), *arguments], capture_output=True, text=True, timeout=120,
        env={"TCP_NODELAY": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [dcmread(path, force=True) for path in sorted(answers.glob("rsp*"))]


@pytest.mark.parametrize("door", ["TLS", "plain"])
@pytest.mark.parametrize("case", CASES)
def test_findscu_finds_what_the_files_say(
    archive: Archive, headers: list[Dataset], door: str, case: str, tmp_path: Path
) -> None:
    """The answers' unique keys are those of the objects that meet the claim: none missing, none more, none twice."""
    wanted = CASES[case]
    key = UNIQUE[wanted.level]
    expected = {text(header, key) for header in headers if wanted.claim(header)}
    answers = find(archive, door, wanted, tmp_path)
    found = [text(answer, key) for answer in answers]
    if wanted.level != "PATIENT":  # without a Patient ID each study is a patient of its own
        assert len(found) == len(set(found))
    assert set(found) - {""} == expected - {""}
    names = {text(header, "PatientName").rstrip("^") for header in headers if wanted.claim(header)}
    told = {text(answer, "PatientName").rstrip("^") for answer in answers}
    assert told - {"Zhang^XiaoDong=张^小东"} <= names  # in which pydicom leaves GB2312's escapes


def lists(headers: list[Dataset]) -> Iterator[Case]:
    """Give lists of UIDs at each level, and a whole walk down one study (PS3.4 C.4.1.2.1)."""
    studies = sorted({text(header, "StudyInstanceUID") for header in headers})
    yield Case(
        "STUDY", {"StudyInstanceUID": "\\".join(studies[:9])}, lambda h: text(h, "StudyInstanceUID") in studies[:9]
    )
    counts = {study: sum(text(header, "StudyInstanceUID") == study for header in headers) for study in studies}
    study = max(counts, key=lambda uid: counts[uid])
    inside = [header for header in headers if text(header, "StudyInstanceUID") == study]
    yield Case("SERIES", {"StudyInstanceUID": study}, lambda h: text(h, "StudyInstanceUID") == study)
    series = text(inside[0], "SeriesInstanceUID")
    some = [text(header, "SOPInstanceUID") for header in inside if text(header, "SeriesInstanceUID") == series][:5]
    keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": "\\".join(some)}
    yield Case("IMAGE", keys, lambda h: text(h, "SOPInstanceUID") in some)
    patient = text(inside[0], "PatientID")
    yield Case("STUDY", {"PatientID": patient}, matches("PatientID", patient), "-P")
    yield Case("IMAGE", {"PatientID": patient, **keys}, lambda h: text(h, "SOPInstanceUID") in some, "-P")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("number", range(5))
def test_findscu_walks_down_by_lists_of_uids(
    archive: Archive, headers: list[Dataset], number: int, syntax: str, tmp_path: Path
) -> None:
    case = list(lists(headers))[number]
    key = UNIQUE[case.level]
    found = [text(answer, key) for answer in find(archive, "TLS", case, tmp_path, syntax)]
    assert sorted(found) == sorted({text(header, key) for header in headers if case.claim(header)})


def test_answers_count_what_is_below(archive: Archive, headers: list[Dataset], tmp_path: Path) -> None:
    """Numbers of series and instances and the modalities of a study are those of its objects."""
    asked = {"NumberOfStudyRelatedSeries": "", "ModalitiesInStudy": "", "SOPClassesInStudy": ""}
    case = Case("STUDY", {**asked}, lambda header: True)
    for answer in find(archive, "TLS", case, tmp_path):
        inside = [h for h in headers if h.StudyInstanceUID == answer.StudyInstanceUID]
        if not inside:
            continue
        assert int(answer.NumberOfStudyRelatedSeries) == len({h.SeriesInstanceUID for h in inside})
        told = answer.ModalitiesInStudy
        assert set([told] if isinstance(told, str) else told) - {""} == {text(h, "Modality") for h in inside} - {""}


@pytest.mark.parametrize(("level", "keys"), [
    ("IMAGE", {"StudyInstanceUID": "1.2.*"}),
    ("PATIENT", {"PatientID": "*"}),
    ("STUDY", {"SeriesInstanceUID": "1.2.3"}),
])  # fmt: skip
def test_a_query_that_breaks_the_model_fails(
    archive: Archive, level: str, keys: dict[str, str], tmp_path: Path
) -> None:
    """Refused with A900 (identifier does not match SOP class), not answered with everything."""
    arguments = [argument for name, value in keys.items() for argument in ("-k", f"{name}={value}")]
    done = subprocess.run(
        [programs.path_of("findscu"), "-v", "-S", *archive.live.dcmtk_arguments(),
         "-k", f"QueryRetrieveLevel={level}", *arguments],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert "Pending" not in said
    assert "DataSetDoesNotMatchSOPClass" in said, said  # DCMTK's name of A900
