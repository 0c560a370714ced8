"""A record written down reads back as it was, stays within its bound, and anything else is an IntegrityError."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadglass.archive.catalogue import (
    FINDINGS_MAX,
    KEPT_TAGS,
    VALUE_CHARACTERS_MAX,
    Description,
    counted,
    decode_attributes,
    decode_description,
    encode_attributes,
    encode_description,
    filled,
    level_attributes,
)
from leadglass.archive.levels import MODALITIES_IN_STUDY, Level
from leadglass.dicom.frame_digests import RUNS_MAX, FrameDigests
from leadglass.errors import IntegrityError
from leadglass.finding import Finding, Severity

FINDING = Finding("LG-1", "preamble", Severity.HIGH, "claim", 0, 128, "(0008,0018)", "DCM-INSPECT")

FRAMES = FrameDigests.of(bytes(32) * RUNS_MAX)
"""The longest list there is."""

attributes = st.dictionaries(st.sampled_from(sorted(KEPT_TAGS)) | st.integers(0, 0xFFFFFFFF), st.text(max_size=40))
descriptions = st.builds(
    Description,
    object_id=st.binary(min_size=16, max_size=16),
    sop_instance_uid=st.text(max_size=64),
    sop_class_uid=st.text(max_size=64),
    transfer_syntax_uid=st.text(max_size=64),
    study_instance_uid=st.text(max_size=64),
    series_instance_uid=st.text(max_size=64),
    source=st.text(max_size=16),
    received_at_us=st.integers(0, 1 << 60),
    length_bytes=st.integers(0, 1 << 40),
    digest=st.binary(max_size=32),
    attributes=attributes,
    findings=st.sampled_from([(), (FINDING,), (FINDING, Finding("LG-2", "x", Severity.INFO, ""))]),
    reason=st.text(max_size=40),
    frames=st.sampled_from([None, FRAMES, FrameDigests.of(bytes(32))]),
)


@given(descriptions)
def test_a_record_reads_back_as_it_was(description: Description) -> None:
    assert decode_description(encode_description(description)) == description


@given(attributes)
def test_attributes_read_back_as_they_were(kept: dict[int, str]) -> None:
    assert decode_attributes(encode_attributes(kept)) == kept


def example() -> Description:
    values = {field.name: "x" for field in fields(Description)}
    values |= {"object_id": bytes(16), "digest": bytes(32), "received_at_us": 1, "length_bytes": 2}
    return Description(**{**values, "attributes": {0x00100010: "DOE"}, "findings": (FINDING,), "frames": FRAMES})


def test_lone_surrogates_survive() -> None:
    odd = replace(example(), attributes={0x00100010: "\ud800"})
    assert decode_description(encode_description(odd)) == odd


def test_a_record_fits_into_a_sealed_object_whatever_a_peer_sends() -> None:
    hostile = replace(
        example(),
        attributes=dict.fromkeys(KEPT_TAGS, "\U0001f9e0" * 70_000),
        findings=(replace(FINDING, claim="x" * 200),) * 10_000,
    )
    data = encode_description(hostile)
    assert len(data) < 262_144
    known = decode_description(data)
    assert len(known.findings) == FINDINGS_MAX
    assert {len(text) for text in known.attributes.values()} == {VALUE_CHARACTERS_MAX}


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"1", b"\xff", b'{"id":1}', b"null"])
def test_what_is_no_record_is_an_integrity_error(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_description(data)


@pytest.mark.parametrize("name", ["id", "digest", "attributes", "findings", "frames"])
@pytest.mark.parametrize("value", [1, "zz", ["x"], [[1]], None])
def test_a_record_with_a_wrong_part_is_an_integrity_error(name: str, value: object) -> None:
    whole = json.loads(encode_description(example()))
    with pytest.raises(IntegrityError):
        decode_description(json.dumps(whole | {name: value}).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"\xff", b'{"zz":"x"}'])
def test_what_is_no_attributes_is_an_integrity_error(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_attributes(data)


def test_levels_split_and_the_first_value_stays() -> None:
    told = {0x00100010: "DOE", 0x00100030: "", 0x00080020: "20240101", 0x00280010: "512"}
    assert level_attributes(told, Level.PATIENT) == {0x00100010: "DOE"}
    known = {0x00100010: "ROE"}
    assert filled(known, {**told, 0x00100040: "F"}, Level.PATIENT) == {0x00100010: "ROE", 0x00100040: "F"}


def test_computed_lists_grow_sorted_without_doubles() -> None:
    known = {MODALITIES_IN_STUDY: "MR"}
    assert counted(known, MODALITIES_IN_STUDY, ["CT", "MR", ""]) == "CT\\MR"
    assert counted({}, MODALITIES_IN_STUDY, []) == ""
