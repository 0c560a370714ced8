"""A file is read from any chunks; what is written before a data set is what PS3.10 asks for."""

from __future__ import annotations

import io
import struct

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadglass.dicom.part10 import META_ELEMENTS_MAX, HeadReader, Part10, Part10Reader, encode_file_meta
from leadglass.dicom.structure import DatasetError, DatasetLimit
from leadglass.errors import PeerError, UsageError
from tests.dicom.made import element, implicit

CT = "1.2.840.10008.5.1.4.1.1.2"
BODY = element(0x00080018, "UI", b"1.2.3\0") + element(0x00100020, "LO", b"P1")


def meta(syntax: str = "1.2.840.10008.1.2.1") -> bytes:
    return encode_file_meta(
        sop_class_uid=CT,
        sop_instance_uid="1.2.3",
        transfer_syntax_uid=syntax,
        implementation_class_uid="1.2.3.4",
        implementation_version_name="LEADGLASS",
        source_ae_title="MODALITY",
    )


def read(data: bytes, chunk: int = 0) -> Part10:
    reader = Part10Reader()
    for start in range(0, len(data), chunk or len(data) or 1):
        reader.feed(memoryview(data)[start : start + (chunk or len(data))])
    return reader.finish()


def test_pydicom_reads_the_head() -> None:
    dataset = pydicom.dcmread(io.BytesIO(meta() + BODY))
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert dataset.file_meta.SourceApplicationEntityTitle == "MODALITY"
    assert dataset.file_meta.FileMetaInformationGroupLength == len(meta()) - 144
    assert (dataset.preamble, dataset.PatientID) == (bytes(128), "P1")


@pytest.mark.parametrize("chunk", [0, 1, 7, 131, 150])
def test_a_file_is_read_from_any_chunks(chunk: int) -> None:
    part10 = read(meta() + BODY, chunk)
    assert (part10.meta.dataset_offset, part10.meta.has_gap, part10.meta.is_part10) == (len(meta()), False, True)
    assert part10.meta.values[0x00020003] == b"1.2.3\0"
    assert part10.structure.values[0x00100020] == b"P1"
    assert part10.meta.preamble == bytes(128)


def test_a_group_length_that_skips_bytes_is_told() -> None:
    head = bytearray(meta())
    head[140:144] = struct.pack("<I", len(head) - 144 + 14)
    part10 = read(bytes(head) + BODY)
    assert (part10.meta.has_gap, part10.meta.group_end, part10.meta.dataset_offset) == (True, len(head) + 14, len(head))


@pytest.mark.parametrize(
    ("data", "syntax"),
    [
        (BODY, "1.2.840.10008.1.2.1"),
        (implicit(0x00080018, b"1.2.3\0"), "1.2.840.10008.1.2"),
        (meta()[132:] + BODY, "1.2.840.10008.1.2.1"),
    ],
)
def test_files_without_a_preamble_are_read_and_told_apart(data: bytes, syntax: str) -> None:
    part10 = read(data)
    assert (part10.meta.is_part10, part10.meta.transfer_syntax.uid) == (False, syntax)


def test_a_missing_transfer_syntax_is_guessed_and_told() -> None:
    head = bytes(128) + b"DICM" + element(0x00020002, "UI", b"1.2 ")
    for body in (BODY, implicit(0x00080018, b"1.2.3\0")):
        part10 = read(head + body)
        assert not part10.meta.is_syntax_stated
        assert part10.structure.values[0x00080018] == b"1.2.3\0"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not-dicom"),
        (b"MZ" + bytes(500), "not-dicom"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "not-dicom"),
        (meta()[:160], "truncated"),
        (meta()[:-1], "truncated"),
        (bytes(128) + b"DICM\2\0\2\0\1\2\3\4\5\6\7\x08", "meta"),
        (meta() + BODY[:-1], "truncated"),
        (bytes(128) + b"DICM" + element(0x00020002, "UI", b"") * (META_ELEMENTS_MAX + 1), "meta"),
    ],
)
@pytest.mark.parametrize("chunk", [0, 1])
def test_what_is_no_file_is_refused(data: bytes, code: str, chunk: int) -> None:
    with pytest.raises(DatasetError) as caught:
        read(data, chunk)
    assert caught.value.code == code


def test_places_of_faults_count_from_the_start_of_the_file() -> None:
    with pytest.raises(DatasetError) as caught:
        read(meta() + BODY + b"\x20\0\x0d\0\1\2\3\4")
    assert caught.value.offset == len(meta()) + len(BODY)


def test_an_endless_head_is_refused() -> None:
    head = HeadReader()
    with pytest.raises(DatasetLimit):
        head.feed(bytes(128) + b"DICM" + element(0x00020102, "OB", b"", 0x7FFFFFFF)[:12])


def test_a_head_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(UsageError):
        meta("1.2.é")


@settings(deadline=None)
@given(st.data())
def test_a_mutated_file_parses_or_ends_in_a_peer_error(data: st.DataObject) -> None:
    mutated = bytearray(meta() + BODY)
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(120, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(mutated), data.draw(st.sampled_from([0, 1, 9])))
    except PeerError as error:
        assert error.code
