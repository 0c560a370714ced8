"""Transfer syntaxes and storage SOP classes (PS3.5 §10, PS3.6 Annex A).

A syntax nobody registered is taken as explicit VR little endian whose pixel data may be native or
encapsulated: that is what every vendor's private syntax seen so far is, and the walker faults otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from leadglass.dicom._tables.uids import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES

__all__ = [
    "DEFLATED_EXPLICIT_LITTLE",
    "EXPLICIT_BIG",
    "EXPLICIT_LITTLE",
    "IMPLICIT_LITTLE",
    "STORAGE_SOP_CLASSES",
    "TransferSyntax",
    "known_transfer_syntaxes",
    "transfer_syntax",
]


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """How a data set is written down."""

    uid: str
    name: str
    is_implicit: bool
    is_little_endian: bool
    is_deflated: bool
    is_encapsulated: bool
    is_known: bool = True


_KNOWN = {uid: TransferSyntax(uid, *row) for uid, row in TRANSFER_SYNTAXES.items()}

IMPLICIT_LITTLE = _KNOWN["1.2.840.10008.1.2"]
EXPLICIT_LITTLE = _KNOWN["1.2.840.10008.1.2.1"]
EXPLICIT_BIG = _KNOWN["1.2.840.10008.1.2.2"]
DEFLATED_EXPLICIT_LITTLE = _KNOWN["1.2.840.10008.1.2.1.99"]


def transfer_syntax(uid: str) -> TransferSyntax:
    """Look a transfer syntax up by its UID; an unregistered one has `is_known` False."""
    known = _KNOWN.get(uid)
    if known is not None:
        return known
    return TransferSyntax(uid, "unknown", False, True, False, False, is_known=False)


def known_transfer_syntaxes() -> tuple[TransferSyntax, ...]:
    """Give every registered transfer syntax in which an object can be stored, by UID."""
    return tuple(_KNOWN.values())
