"""What is encoded decodes to the same, in every byte order; what is too large is refused."""

from __future__ import annotations

import io
import struct

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadglass import limits
from leadglass.dicom.dataset import DataSet, Element, decode, encode, encode_attributes, integer_of, swapped, text_of
from leadglass.dicom.syntaxes import (
    DEFLATED_EXPLICIT_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    TransferSyntax,
)
from leadglass.errors import LimitExceeded, PeerError, UsageError
from tests.dicom.made import element, encapsulated, implicit, item, sequence

SYNTAXES = [IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG]

_even = st.binary(max_size=12).map(lambda value: value + b" " * (len(value) & 1))
_plain = st.dictionaries(
    st.sampled_from([0x00080050, 0x00100020, 0x00100010]),
    _even.map(lambda value: Element("LO", value)) | st.integers(0, 65535).map(lambda n: Element.of_integers("US", n)),
)
_data_sets = st.recursive(
    _plain,
    lambda inner: st.builds(
        lambda base, items: {**base, 0x00081140: Element.of_items(*items)}, _plain, st.lists(inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(_data_sets, st.sampled_from([EXPLICIT_LITTLE, EXPLICIT_BIG]))
def test_a_data_set_comes_back(data_set: DataSet, syntax: TransferSyntax) -> None:
    assert decode(encode(data_set, syntax), syntax) == data_set


@settings(deadline=None)
@given(_data_sets)
def test_implicit_keeps_bytes_and_takes_the_vr_of_the_dictionary(data_set: DataSet) -> None:
    def values(one: DataSet) -> object:
        return {tag: (e.value, [values(part) for part in e.items]) for tag, e in one.items()}

    assert values(decode(encode(data_set, IMPLICIT_LITTLE), IMPLICIT_LITTLE)) == values(data_set)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_pydicom_reads_what_is_written(syntax: TransferSyntax) -> None:
    data_set = {
        0x00080005: Element.of_text("CS", "ISO_IR 192"),
        0x00100010: Element.of_text("PN", "Müller^Jörg"),
        0x00280010: Element.of_integers("US", 512),
        0x00081199: Element.of_items({0x00081150: Element.of_text("UI", "1.2.3")}, {}),
        0x00280009: Element("AT", struct.pack("<HH", 0x0018, 0x1063)),
    }
    read = pydicom.filereader.read_dataset(
        io.BytesIO(encode(data_set, syntax)), syntax.is_implicit, syntax.is_little_endian
    )
    assert (read.PatientName, read.Rows, read.FrameIncrementPointer) == ("Müller^Jörg", 512, 0x00181063)
    assert (read.ReferencedSOPSequence[0].ReferencedSOPClassUID, len(read.ReferencedSOPSequence)) == ("1.2.3", 2)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_attributes_are_written_by_their_vr(syntax: TransferSyntax) -> None:
    data = encode_attributes({0x00100010: "Müller", 0x00280010: "512", 0x00081140: "", 0x0020000D: "1.2.3"}, syntax)
    data_set = decode(data, syntax)
    assert (text_of(data_set, 0x00100010), integer_of(data_set, 0x00280010)) == ("Müller", 512)
    assert text_of(data_set, 0x00080005) == "ISO_IR 192"
    assert data_set[0x00081140] == Element("SQ")
    assert text_of(data_set, 0x0020000D) == "1.2.3"


def test_ascii_attributes_need_no_character_set() -> None:
    data_set = decode(encode_attributes({0x00100010: "Miller"}, EXPLICIT_LITTLE), EXPLICIT_LITTLE)
    assert 0x00080005 not in data_set
    assert (text_of(data_set, 0x00100020, "none"), integer_of(data_set, 0x00100010)) == ("none", None)


def test_values_of_several_forms_are_read() -> None:
    un = element(
        0x00091010, "UN", implicit(0xFFFEE000, implicit(0x00280010, b"\0\2")) + implicit(0xFFFEE0DD, b""), 0xFFFFFFFF
    )
    data_set = decode(un + sequence(0x00081140, item(b"", is_defined=False)) + encapsulated(b"ab"), EXPLICIT_LITTLE)
    assert data_set[0x00091010].items == ({0x00280010: Element("US", b"\0\2")},)
    assert data_set[0x7FE00010] == Element("OB")


def test_of_a_tag_that_comes_twice_the_first_counts() -> None:
    assert (
        decode(element(0x00100020, "LO", b"P1") + element(0x00100020, "LO", b"P2"), EXPLICIT_LITTLE)[0x00100020].value
        == b"P1"
    )


def test_identifiers_are_bounded() -> None:
    with pytest.raises(LimitExceeded):
        decode(bytes(limits.IDENTIFIER_LENGTH_MAX + 1), EXPLICIT_LITTLE)
    deep: DataSet = {}
    for _ in range(limits.DATASET_DEPTH_MAX + 1):
        deep = {0x00081140: Element.of_items(deep)}
    with pytest.raises(UsageError):
        encode(deep, EXPLICIT_LITTLE)


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(UsageError):
        encode({0x00100020: Element("LO", bytes(70_000))}, EXPLICIT_LITTLE)
    with pytest.raises(UsageError):
        Element.of_integers("US", 70_000)
    with pytest.raises(UsageError):
        encode({}, DEFLATED_EXPLICIT_LITTLE)


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from(SYNTAXES))
def test_any_bytes_decode_or_end_in_a_peer_error(data: bytes, syntax: TransferSyntax) -> None:
    try:
        decode(data, syntax)
    except PeerError as error:
        assert error.code


def test_swapping_twice_is_nothing() -> None:
    assert swapped(swapped(b"\1\2\3\4", "US"), "US") == b"\1\2\3\4" == swapped(b"\1\2\3\4", "LO")
    assert swapped(b"\1\2\3\4", "UL") == b"\4\3\2\1"
