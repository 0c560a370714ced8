"""DICOMweb as PS3.18 has it: statuses, media types, and a peer client that gets back what went in."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator

import numpy as np
import pydicom
import pytest
import uvicorn
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass
from pydicom.encaps import generate_frames
from pydicom.uid import JPEGExtended12Bit
from starlette.testclient import TestClient

from leadglass.audit import AuditKind
from leadglass.console.app import create_app
from leadglass.console.multipart import MultipartReader, PartBegins, Piece, part_head, parts_end
from leadglass.edge.accounts import AccountFile
from leadglass.edge.decoder import Decoder
from leadglass.journeys.ports import ObjectRecord

from .house import PASSWORD, PaperHouse, sample, services

ANY = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def url(record: ObjectRecord, rest: str = "") -> str:
    return (
        f"/dicom-web/studies/{record.study_instance_uid}/series/{record.series_instance_uid}"
        f"/instances/{record.sop_instance_uid}{rest}"
    )


def by_syntax(house: PaperHouse, syntax: str) -> ObjectRecord:
    return next(r for r in house.records.values() if r.transfer_syntax_uid == syntax)


def parts(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    reader = MultipartReader(content_type.rpartition("boundary=")[2])
    out: list[tuple[str, bytearray]] = []
    for event in reader.feed(body):
        if isinstance(event, PartBegins):
            out.append((event.headers["content-type"], bytearray()))
        elif isinstance(event, Piece):
            out[-1][1].extend(event.data)
    assert reader.is_complete
    return [(kind, bytes(data)) for kind, data in out]


def test_objects_come_back_bit_identical(ada: TestClient, house: PaperHouse) -> None:
    for record in house.records.values():
        answer = ada.get(url(record), headers={"Accept": ANY})
        ((kind, data),) = parts(answer.headers["content-type"], answer.content)
        assert data == house.files[record.object_id]
        assert kind == f"application/dicom; transfer-syntax={record.transfer_syntax_uid}"
    assert [e.kind for e in house.events].count(AuditKind.RETRIEVED) == len(house.records)


def test_compressed_objects_are_rewritten_when_explicit_is_asked(ada: TestClient, house: PaperHouse) -> None:
    record = by_syntax(house, "1.2.840.10008.1.2.4.90")
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1'
    answer = ada.get(url(record), headers={"Accept": accept})
    ((_kind, data),) = parts(answer.headers["content-type"], answer.content)
    ours = pydicom.dcmread(io.BytesIO(data))
    theirs = pydicom.dcmread(io.BytesIO(house.files[record.object_id]))
    assert ours.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert (ours.pixel_array == theirs.pixel_array).all()


def test_frames_come_as_stored_or_decoded(ada: TestClient, house: PaperHouse) -> None:
    record = by_syntax(house, "1.2.840.10008.1.2.4.90")
    dataset = pydicom.dcmread(io.BytesIO(house.files[record.object_id]))
    stored = ada.get(url(record, "/frames/1"), headers={"Accept": 'multipart/related; type="image/jp2"'})
    ((kind, stream),) = parts(stored.headers["content-type"], stored.content)
    assert kind.startswith("image/jp2") and stream == next(generate_frames(dataset.PixelData, number_of_frames=1))
    plain = ada.get(url(record, "/frames/1"), headers={"Accept": 'multipart/related; type="application/octet-stream"'})
    ((_kind, native),) = parts(plain.headers["content-type"], plain.content)
    assert (np.frombuffer(native, np.uint8).reshape(dataset.pixel_array.shape) == dataset.pixel_array).all()


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/frames/0", "*/*", 400),
        ("/frames/1,x", "*/*", 400),
        ("/frames/99", "*/*", 404),
        ("/frames/1", 'multipart/related; type="image/jpeg"', 406),
        ("", "application/pdf", 406),
        ("", 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50', 406),
        ("/metadata", "application/dicom+xml", 406),
        ("/rendered?window=1", "image/png", 400),
        ("/rendered?viewport=-1,5", "image/png", 400),
        ("/rendered", "image/gif", 406),
        ("/bulkdata/00081111", "*/*", 404),
        ("/rendered?window=40,400,linear&viewport=64,64&quality=50", "image/jpeg", 200),
    ],
)
def test_statuses_say_who_can_fix_it(ada: TestClient, house: PaperHouse, path: str, accept: str, status: int) -> None:
    record = by_syntax(house, "1.2.840.10008.1.2.1")
    assert ada.get(url(record, path), headers={"Accept": accept}).status_code == status


def test_a_path_must_name_its_own_study(ada: TestClient, house: PaperHouse) -> None:
    record = next(iter(house.records.values()))
    assert ada.get(url(record).replace(record.study_instance_uid, "1.2.3")).status_code == 404
    assert ada.get("/dicom-web/studies/evil..uid").status_code in (400, 404)


def test_searches_answer_and_warn(ada: TestClient, house: PaperHouse) -> None:
    answer = ada.get("/dicom-web/studies?PatientID=1CT1&fuzzymatching=true")
    (match,) = answer.json()
    assert match["00100020"]["Value"] == ["1CT1"] and match["00100010"]["Value"] == [
        {"Alphabetic": "CompressedSamples^CT1"}
    ]
    assert ada.get("/dicom-web/studies?PatientID=nobody").json() == []
    assert ada.get("/dicom-web/studies?NoSuchThing=1").status_code == 400
    assert len(ada.get("/dicom-web/instances?limit=2").json()) == 2


def body_of(*objects: bytes) -> tuple[bytes, dict[str, str]]:
    heads = [part_head("b0", "application/dicom", is_first=at == 0) + data for at, data in enumerate(objects)]
    kind = 'multipart/related; type="application/dicom"; boundary=b0'
    return b"".join(heads) + parts_end("b0"), {"Content-Type": kind}


def test_stored_objects_are_there(ada: TestClient, house: PaperHouse) -> None:
    body, headers = body_of(sample("SC_rgb_jpeg_dcmtk.dcm"), sample("liver_1frame.dcm"))
    answer = ada.post("/dicom-web/studies", content=body, headers=headers)
    assert answer.status_code == 200 and len(answer.json()["00081199"]["Value"]) == 2
    uid = answer.json()["00081199"]["Value"][0]["00081155"]["Value"][0]
    assert house.files[house.records[uid].object_id] == sample("SC_rgb_jpeg_dcmtk.dcm")


def test_a_bad_part_fails_alone(ada: TestClient) -> None:
    body, headers = body_of(b"no DICOM", sample("liver_1frame.dcm"))
    mixed = ada.post("/dicom-web/studies", content=body, headers=headers)
    assert mixed.status_code == 202 and mixed.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0xC000]
    body, headers = body_of(b"no DICOM")
    assert ada.post("/dicom-web/studies", content=body, headers=headers).status_code == 409


def test_an_object_of_another_study_is_refused_before_it_is_archived(ada: TestClient, house: PaperHouse) -> None:
    data = sample("liver_1frame.dcm")
    theirs = pydicom.dcmread(io.BytesIO(data))
    before = len(house.records)
    body, headers = body_of(data)
    wrong = ada.post("/dicom-web/studies/1.2.3.4", content=body, headers=headers)
    (failure,) = wrong.json()["00081198"]["Value"]
    assert wrong.status_code == 409 and failure["00081197"]["Value"] == [0xA900]
    assert failure["00081155"]["Value"] == [theirs.SOPInstanceUID]
    assert failure["00081150"]["Value"] == [theirs.SOPClassUID]
    assert len(house.records) == before and theirs.SOPInstanceUID not in house.records
    assert house.aborted == ["The object belongs to another study than the address it was sent to."]


def test_an_object_of_no_study_is_refused_at_the_address_of_one(ada: TestClient, house: PaperHouse) -> None:
    dataset = pydicom.dcmread(io.BytesIO(sample("liver_1frame.dcm")))
    del dataset.StudyInstanceUID
    out = io.BytesIO()
    dataset.save_as(out)
    for data, reason in ((out.getvalue(), 0xA900), (b"no DICOM", 0xC000)):
        body, headers = body_of(data)
        answer = ada.post("/dicom-web/studies/1.2.3.4", content=body, headers=headers)
        (failure,) = answer.json()["00081198"]["Value"]
        assert failure["00081197"]["Value"] == [reason]
    assert len(house.aborted) == 2


def test_an_object_of_the_study_is_stored_at_its_address_beside_one_that_is_not(
    ada: TestClient, house: PaperHouse
) -> None:
    own, other = sample("liver_1frame.dcm"), sample("SC_rgb_jpeg_dcmtk.dcm")
    study = pydicom.dcmread(io.BytesIO(own)).StudyInstanceUID
    body, headers = body_of(other, own)
    answer = ada.post(f"/dicom-web/studies/{study}", content=body, headers=headers)
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == len(answer.json()["00081198"]["Value"]) == 1
    assert pydicom.dcmread(io.BytesIO(own)).SOPInstanceUID in house.records
    assert pydicom.dcmread(io.BytesIO(other)).SOPInstanceUID not in house.records


def test_a_cut_request_stores_nothing_more(ada: TestClient, house: PaperHouse) -> None:
    body, headers = body_of(sample("SC_rgb_jpeg_dcmtk.dcm"))
    before = len(house.records)
    assert ada.post("/dicom-web/studies", content=body[:-100], headers=headers).status_code == 400
    assert ada.post("/dicom-web/studies", content=body, headers={"Content-Type": "text/plain"}).status_code == 415
    assert len(house.records) == before


@pytest.fixture
def peer(house: PaperHouse, accounts: AccountFile, decoder: Decoder) -> Iterator[DICOMwebClient]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(create_app(services(house, accounts, decoder)), port=port, log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    session = create_session_from_user_pass("ada", PASSWORD)
    yield DICOMwebClient(f"http://127.0.0.1:{port}/dicom-web", session=session)
    server.should_exit = True
    thread.join(10)


def test_a_peer_client_searches_retrieves_and_stores(peer: DICOMwebClient, house: PaperHouse) -> None:
    assert len(peer.search_for_studies(limit=100)) == len({r.study_instance_uid for r in house.records.values()})
    for record in house.records.values():
        where = (record.study_instance_uid, record.series_instance_uid, record.sop_instance_uid)
        theirs = pydicom.dcmread(io.BytesIO(house.files[record.object_id]))
        ours = peer.retrieve_instance(*where, media_types=(("application/dicom", "*"),))
        assert ours == theirs
        model = peer.retrieve_instance_metadata(*where)
        assert pydicom.Dataset.from_json(model, lambda *_: b"").SOPInstanceUID == record.sop_instance_uid
        is_readable = record.transfer_syntax_uid != JPEGExtended12Bit  # 12 bits, which no peer here decodes
        if is_readable and "PixelData" in theirs and theirs.PhotometricInterpretation.startswith("MONO"):
            (frame,) = peer.retrieve_instance_frames(*where, [1])
            first = theirs.pixel_array if theirs.get("NumberOfFrames", 1) in (None, 1) else theirs.pixel_array[0]
            assert (np.frombuffer(frame, first.dtype).reshape(first.shape) == first).all()
            assert peer.retrieve_instance_rendered(*where, media_types=("image/png",))[:4] == b"\x89PNG"
    (found,) = peer.retrieve_study(record.study_instance_uid, media_types=(("application/dicom", "*"),)) or [None]
    assert found is not None
    new = pydicom.dcmread(io.BytesIO(sample("liver_1frame.dcm")))
    answer = peer.store_instances([new])
    assert answer.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == new.SOPInstanceUID
