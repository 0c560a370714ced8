"""Every registered transfer syntax and storage SOP class is known, and an unknown syntax is still walked."""

from __future__ import annotations

import pytest
from pydicom.uid import AllTransferSyntaxes
from pynetdicom.sop_class import _STORAGE_CLASSES  # type: ignore[attr-defined]

from leadglass.dicom.syntaxes import STORAGE_SOP_CLASSES, known_transfer_syntaxes, transfer_syntax

_SENT_NOT_STORED = ("1.2.840.10008.1.2.7.",)
_HTJ2K_DEFLATE = "1.2.840.10008.1.2.4.205"
"""Deflated by PS3.5 §A.10, which pydicom does not know yet."""


@pytest.mark.parametrize("uid", [uid for uid in AllTransferSyntaxes if not uid.startswith(_SENT_NOT_STORED)])
def test_syntaxes_are_those_of_pydicom(uid: object) -> None:
    ours, theirs = transfer_syntax(str(uid)), uid
    assert ours.is_known
    assert (ours.is_implicit, ours.is_little_endian, ours.is_deflated) == (
        theirs.is_implicit_VR,  # type: ignore[attr-defined]
        theirs.is_little_endian,  # type: ignore[attr-defined]
        theirs.is_deflated or uid == _HTJ2K_DEFLATE,  # type: ignore[attr-defined]
    )
    assert ours.name == theirs.name  # type: ignore[attr-defined]


def test_encapsulation_follows_the_standard() -> None:
    native = {syntax.uid for syntax in known_transfer_syntaxes() if not syntax.is_encapsulated}
    assert {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"} < native
    assert transfer_syntax("1.2.840.10008.1.2.1.98").is_encapsulated
    assert transfer_syntax("1.2.840.10008.1.2.5").is_encapsulated
    assert transfer_syntax("1.2.840.10008.1.2.8.1").is_encapsulated


def test_an_unknown_syntax_is_read_as_explicit_little_endian() -> None:
    syntax = transfer_syntax("1.2.3.4")
    assert (syntax.is_known, syntax.is_implicit, syntax.is_little_endian, syntax.is_deflated) == (
        False,
        False,
        True,
        False,
    )


def test_storage_classes_hold_those_of_pynetdicom() -> None:
    missing = {str(uid) for uid in _STORAGE_CLASSES.values()} - STORAGE_SOP_CLASSES.keys()
    assert not {uid for uid in missing if uid.startswith("1.2.840.10008.5.1.4.1.1.")}, missing
    assert len(STORAGE_SOP_CLASSES) > 180
    assert STORAGE_SOP_CLASSES["1.2.840.10008.5.1.4.1.1.2"] == "CT Image Storage"
    assert "1.2.840.10008.1.20.1" not in STORAGE_SOP_CLASSES
