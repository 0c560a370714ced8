"""Small images and how they arrive, for the journeys' tests."""

from __future__ import annotations

from leadglass.journeys.identity import Claim
from leadglass.journeys.receive import Outcome, Reception
from tests.journeys.shelf import Shelf
from tests.peers.harness.objects import UID_ROOT, explicit
from tests.peers.harness.wire import CT, EXPLICIT

PATIENT, PATIENT_ID = "Testperson^Anna", "TP-00017"


def uid_of(number: int) -> str:
    return f"{UID_ROOT}.17.1.{number}"


def image(number: int, *, pixels: int = 4096, seed: int = 0, trailing: bytes = b"") -> bytes:
    """Give the data set of CT image `number` of one study; `seed` makes its pixels others."""

    def uid(value: str) -> bytes:
        return value.encode() + b"\0" * (len(value) % 2)

    shape = ((0x00280002, 1), (0x00280010, 1), (0x00280011, pixels // 2), (0x00280100, 16), (0x00280101, 12),
             (0x00280102, 11), (0x00280103, 0))  # fmt: skip
    head = [
        explicit(0x00080016, b"UI", uid(CT)),
        explicit(0x00080018, b"UI", uid(uid_of(number))),
        explicit(0x00080060, b"CS", b"CT"),
        explicit(0x00100010, b"PN", PATIENT.encode() + b" "),
        explicit(0x00100020, b"LO", PATIENT_ID.encode()),
        explicit(0x0020000D, b"UI", uid(f"{UID_ROOT}.17")),
        explicit(0x0020000E, b"UI", uid(f"{UID_ROOT}.17.1")),
        explicit(0x00200013, b"IS", f"{number:04d}".encode()),
    ]
    head += [explicit(tag, b"US", value.to_bytes(2, "little")) for tag, value in shape[:1]]
    head.append(explicit(0x00280004, b"CS", b"MONOCHROME2 "))
    head += [explicit(tag, b"US", value.to_bytes(2, "little")) for tag, value in shape[1:]]
    samples = (number * 131 + seed * 7 + 1).to_bytes(2, "little")[::-1] * (pixels // 2)
    return b"".join(head) + explicit(0x7FE00010, b"OW", bytes(byte & 0x0F for byte in samples)) + trailing


def begun(shelf: Shelf, number: int, data: bytes, *, source: str = "CT1", piece: int = 1000) -> Reception:
    """Let an image arrive whole; what remains is to finish it."""
    reception = shelf.receiver.begin(source, Claim(CT, uid_of(number), EXPLICIT))
    for at in range(0, len(data), piece):
        reception.feed(data[at : at + piece])
    return reception


def arrives(shelf: Shelf, number: int, *, seed: int = 0, source: str = "CT1", trailing: bytes = b"") -> Outcome:
    """Let an image arrive and be decided on."""
    return begun(shelf, number, image(number, seed=seed, trailing=trailing), source=source).finish()


def content(shelf: Shelf, object_id: bytes) -> bytes:
    """Open an object of the shelf and give its data set."""
    return b"".join(bytes(piece) for piece in shelf.archive.open(object_id).stream_dataset())
