"""dicomweb-client on the real hub: QIDO-RS, WADO-RS (study, series, frames, bulk data, metadata, rendered), STOW-RS."""

from __future__ import annotations

import io
import ssl
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom import Dataset, dcmread
from requests.adapters import HTTPAdapter

from tests.peers import compare
from tests.peers.conftest import Archive
from tests.peers.corpus import Specimen

pytestmark = [pytest.mark.peer, pytest.mark.long]

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
LOSSLESS = {EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90",
            "1.2.840.10008.1.2.4.80"}  # fmt: skip


class SiteAuthority(HTTPAdapter):
    """Trusts the site's own authority alone."""

    def __init__(self, authority: Path) -> None:
        self._authority = authority
        super().__init__()

    def init_poolmanager(self, *arguments: object, **named: object) -> None:
        context = ssl.create_default_context(cafile=self._authority)
        super().init_poolmanager(*arguments, ssl_context=context, **named)


def client(archive: Archive, token: str) -> DICOMwebClient:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token}"
    session.mount("https://", SiteAuthority(archive.nodes["SENDER"].authority))
    return DICOMwebClient(f"https://127.0.0.1:{archive.live.http_port}/dicom-web", session=session)


@pytest.fixture(scope="module")
def web(archive: Archive) -> Iterator[DICOMwebClient]:
    yield client(archive, archive.reader_token)


@pytest.fixture(scope="module")
def kept(archive: Archive) -> list[Specimen]:
    return archive.kept


def pictures(kept: list[Specimen]) -> list[tuple[Specimen, Dataset]]:
    """Give one object with lossless pixels for each pair of SOP class and transfer syntax, read by pydicom."""
    seen: set[tuple[str, str]] = set()
    out = []
    for specimen in kept:
        kind = (specimen.sop_class, specimen.syntax)
        ds = dcmread(specimen.path, force=True)
        if kind in seen or specimen.syntax not in LOSSLESS or ds.get("BitsAllocated") not in (8, 16):
            continue
        if "PixelData" in ds and ds.get("SamplesPerPixel") == 1 and ds.BitsStored == ds.BitsAllocated:
            seen.add(kind)
            out.append((specimen, ds))
    return out


def test_searches_narrow_page_and_return_what_is_asked(web: DICOMwebClient, kept: list[Specimen]) -> None:
    headers = {specimen.study: dcmread(specimen.path, stop_before_pixels=True) for specimen in kept}
    mr = {study for study, ds in headers.items() if ds.get("Modality") == "MR"}
    found = web.search_for_studies(search_filters={"ModalitiesInStudy": "MR"}, limit=1000)
    assert mr <= {entry["0020000D"]["Value"][0] for entry in found}
    french = web.search_for_studies(search_filters={"PatientName": "buc^jérôme"})
    assert {entry["00100010"]["Value"][0]["Alphabetic"] for entry in french} == {"Buc^Jérôme"}
    japanese = web.search_for_studies(search_filters={"PatientName": "山田*"}, fields=["PatientBirthDate"])
    assert {entry["00100010"]["Value"][0]["Ideographic"] for entry in japanese} == {"山田^太郎"}
    paged = [web.search_for_studies(limit=20, offset=at) for at in range(0, len(headers) + 40, 20)]
    everything = [entry["0020000D"]["Value"][0] for page in paged for entry in page]
    assert len(everything) == len(set(everything))
    assert set(headers) <= set(everything)


def test_series_and_instances_of_a_study(web: DICOMwebClient, kept: list[Specimen]) -> None:
    for study in sorted({specimen.study for specimen in kept})[:15]:
        inside = [specimen for specimen in kept if specimen.study == study]
        series = {entry["0020000E"]["Value"][0] for entry in web.search_for_series(study)}
        assert {specimen.series for specimen in inside} == series
        told = {entry["00080018"]["Value"][0] for entry in web.search_for_instances(study)}
        assert {specimen.sop_instance for specimen in inside} <= told


@pytest.mark.parametrize("level", ["study", "series"])
def test_a_study_and_a_series_come_whole(web: DICOMwebClient, kept: list[Specimen], level: str) -> None:
    """Each part in its own transfer syntax, element by element and pixel by pixel."""
    groups: dict[tuple[str, str], list[Specimen]] = {}
    for specimen in kept:
        groups.setdefault((specimen.study, specimen.series), []).append(specimen)
    (study, series), inside = next((key, group) for key, group in sorted(groups.items()) if 3 <= len(group) <= 12)
    if level == "study":
        came = web.retrieve_study(study, media_types=(("application/dicom", "*"),))
    else:
        came = web.retrieve_series(study, series, media_types=(("application/dicom", "*"),))
    received = {str(ds.SOPInstanceUID): ds for ds in came}
    for specimen in inside:
        ds = received[specimen.sop_instance]
        assert ds.file_meta.TransferSyntaxUID == specimen.syntax
        went = compare.read(specimen.path)
        assert [*compare.element_differences(went, ds), *compare.pixel_differences(went, ds)] == [], specimen.origin


def test_frames_are_the_pixels(web: DICOMwebClient, kept: list[Specimen]) -> None:
    """Decoded frames of uncompressed and losslessly compressed objects equal pydicom's, first and last."""
    wrong = []
    for specimen, ds in pictures(kept):
        count = int(ds.get("NumberOfFrames") or 1)
        wanted = ds.pixel_array if count > 1 else ds.pixel_array[np.newaxis]
        numbers = sorted({1, count})
        came = web.retrieve_instance_frames(
            specimen.study, specimen.series, specimen.sop_instance, frame_numbers=numbers,
            media_types=(("application/octet-stream", EXPLICIT),),
        )  # fmt: skip
        for number, frame in zip(numbers, came, strict=True):
            array = np.frombuffer(frame, wanted.dtype.newbyteorder("<"))[: wanted[0].size].reshape(wanted[0].shape)
            if not np.array_equal(array, wanted[number - 1]):
                wrong.append(f"{specimen.origin} frame {number}")
    assert wrong == []


def test_metadata_and_bulk_data_make_the_object_again(web: DICOMwebClient, kept: list[Specimen]) -> None:
    """The JSON model read by pydicom, its bulk data fetched by URI, equals the object that was sent."""
    different = {}
    chosen = [specimen for specimen in kept if specimen.syntax == EXPLICIT][::6]
    assert len(chosen) > 20
    for specimen in chosen:
        model = web.retrieve_instance_metadata(specimen.study, specimen.series, specimen.sop_instance)

        def fetched(_tag: str, _vr: str, uri: str) -> bytes:
            # The client sends its Host header without the port, so the hub's absolute URIs lack it too.
            return bytes(web.retrieve_bulkdata(web.base_url + uri.partition("/dicom-web")[2])[0])

        came, went = Dataset.from_json(model, fetched), compare.read(specimen.path)
        found = [
            line for line in compare.element_differences(went, came)
            if "(0008,3002) only" not in line and not _is_only_a_notation(line)
        ]  # fmt: skip
        if found:
            different[specimen.origin] = found[:4]
    assert "\n".join(f"{name}: {found}" for name, found in different.items()) == ""


def _is_only_a_notation(line: str) -> bool:
    """Tell decimal strings and floats that JSON writes as numbers: 1.50 is 1.5 there (PS3.18 F.2.2)."""
    return any(f" {vr} " in line for vr in ("DS", "IS", "FL", "FD"))


def test_rendered_pictures_open(web: DICOMwebClient, kept: list[Specimen]) -> None:
    """JPEG and PNG of the right size; a window that shows nothing but black is black."""
    for specimen, ds in pictures(kept):
        picture = web.retrieve_instance_rendered(
            specimen.study, specimen.series, specimen.sop_instance, media_types=("image/png",)
        )
        assert Image.open(io.BytesIO(picture)).size == (ds.Columns, ds.Rows), specimen.origin
    specimen, ds = pictures(kept)[0]
    where = (specimen.study, specimen.series, specimen.sop_instance)
    picture = web.retrieve_instance_rendered(*where, media_types=("image/jpeg",), params={"quality": 50})
    assert Image.open(io.BytesIO(picture)).format == "JPEG"


def test_what_is_posted_is_archived(archive: Archive, web: DICOMwebClient, kept: list[Specimen]) -> None:
    """STOW-RS needs an account that may; what it stores comes back equal, and a broken object is held and said."""
    with pytest.raises(requests.HTTPError, match="403"):
        web.store_instances([compare.read(kept[0].path)])
    poster = client(archive, archive.poster_token)
    sent = []
    for number, specimen in enumerate([s for s in kept if s.syntax in LOSSLESS][:8]):
        ds = dcmread(specimen.path)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.9.9999.77.{number}"
        sent.append(ds)
    answer = poster.store_instances(sent)
    assert {str(item.ReferencedSOPInstanceUID) for item in answer.ReferencedSOPSequence} == {
        str(ds.SOPInstanceUID) for ds in sent
    }
    assert "FailedSOPSequence" not in answer
    for ds in sent:
        came = web.retrieve_instance(str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID),
                                     media_types=(("application/dicom", "*"),))  # fmt: skip
        assert [*compare.element_differences(ds, came), *compare.pixel_differences(ds, came)] == []
