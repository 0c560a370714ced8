"""pynetdicom as a modality: it stores, asks for commitment, and is told over an association of the hub's own."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.sop_class import (
    CTImageStorage,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    Verification,
)

from tests.peers.conftest import Archive
from tests.peers.harness.wire import data_pdus, echo_request

pytestmark = [pytest.mark.peer, pytest.mark.long]


def associate(archive: Archive, entity: AE, proposals: list[object] | None = None) -> Association:
    credentials = archive.nodes["PYNETDICOM"]
    association = entity.associate("127.0.0.1", archive.live.port, ae_title="LEADGLASS", ext_neg=proposals,
                                   tls_args=(credentials.client_context(), "localhost"))  # fmt: skip
    assert association.is_established
    return association


def test_store_and_find(archive: Archive) -> None:
    """C-ECHO, C-STORE and a C-FIND on image level that gives the very object."""
    ds = dcmread(str(get_testdata_file("CT_small.dcm")))
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["store and find"])
    entity = AE("PYNETDICOM")
    entity.add_requested_context(Verification)
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    entity.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
    association = associate(archive, entity)
    assert association.send_c_echo().Status == 0
    assert association.send_c_store(ds).Status == 0
    assert association.send_c_store(ds).Status == 0, "the same again is acknowledged"
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID, query.SeriesInstanceUID = ds.StudyInstanceUID, ds.SeriesInstanceUID
    query.SOPInstanceUID = ds.SOPInstanceUID
    query.InstanceNumber = ""
    answers = [found for status, found in association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
               if status.Status in (0xFF00, 0xFF01)]  # fmt: skip
    association.release()
    assert [str(found.SOPInstanceUID) for found in answers] == [str(ds.SOPInstanceUID)]
    assert int(answers[0].InstanceNumber) == int(ds.InstanceNumber)


@pytest.mark.parametrize(("fetches", "invoked"), [(False, 5), (True, 1)])
def test_what_else_an_association_proposes_is_answered(archive: Archive, fetches: bool, invoked: int) -> None:
    """Asynchronous window, extended negotiation and user identity do not keep a modality out.

    The window is granted (one where C-GET sends the other way); what the hub does not take up is left unanswered,
    which says so (PS3.7 D.3.3.5, D.3.3.7).
    """
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked, window.maximum_number_operations_performed = 5, 5
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid = StudyRootQueryRetrieveInformationModelFind
    extended.service_class_application_information = b"\x01\x00\x01"
    common = SOPClassCommonExtendedNegotiation()
    common.sop_class_uid, common.service_class_uid = CTImageStorage, "1.2.840.10008.4.2"
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.positive_response_requested = 2, False
    identity.primary_field, identity.secondary_field = b"radiographer", b"not a secret of this hub"
    entity = AE("PYNETDICOM")
    for abstract in (Verification, StudyRootQueryRetrieveInformationModelFind, CTImageStorage):
        entity.add_requested_context(abstract)
    if fetches:
        entity.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    association = associate(archive, entity, [window, extended, common, identity])
    granted = association.acceptor.asynchronous_operations
    assert granted == (invoked, 1)
    assert len(association.accepted_contexts) == 3 + fetches
    assert association.send_c_echo().Status == 0
    association.release()


def test_requests_sent_together_are_answered_in_order(archive: Archive) -> None:
    """A peer that does not wait for answers gets each of them."""
    client = archive.live.associate()
    client.send(b"".join(data_pdus(1, echo_request(number), is_command=True) for number in range(1, 6)))
    assert [client.read_status() for _ in range(5)] == [0] * 5
    client.release()


def test_storage_commitment_is_answered(archive: Archive, tmp_path: Path) -> None:
    """N-ACTION for one object the hub has and one it has not: N-EVENT-REPORT names each, with failure 0112."""
    heard: queue.Queue[tuple[int, Dataset]] = queue.Queue()

    def on_report(event: evt.Event) -> tuple[int, None]:
        heard.put((event.event_type, event.event_information))
        return 0, None

    listener = AE("PYNETDICOM")
    listener.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    server = listener.start_server(
        ("127.0.0.1", archive.ports["PYNETDICOM"]), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, on_report)],
        ssl_context=archive.nodes["PYNETDICOM"].server_context(),
    )  # fmt: skip
    try:
        there = archive.kept[0]
        request = Dataset()
        request.TransactionUID = generate_uid(entropy_srcs=["commit"])
        items = []
        for sop_class, sop_instance in ((there.sop_class, there.sop_instance), (there.sop_class, "1.2.3.4.5.6.7")):
            reference = Dataset()
            reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class, sop_instance
            items.append(reference)
        request.ReferencedSOPSequence = Sequence(items)
        entity = AE("PYNETDICOM")
        entity.add_requested_context(StorageCommitmentPushModel)
        association = associate(archive, entity)
        status, _ = association.send_n_action(
            request, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
        assert status.Status == 0
        association.release()
        kind, report = heard.get(timeout=30)
    finally:
        server.shutdown()
    assert kind == 2
    assert report.TransactionUID == request.TransactionUID
    assert [str(item.ReferencedSOPInstanceUID) for item in report.ReferencedSOPSequence] == [there.sop_instance]
    [failed] = report.FailedSOPSequence
    assert (str(failed.ReferencedSOPInstanceUID), failed.FailureReason) == ("1.2.3.4.5.6.7", 0x0112)
