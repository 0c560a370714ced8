"""What leaves is what the standard allows to leave: a deflated data set of even length (PS3.5 §A.5)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from leadglass.dicom.negotiated import AcceptedContext
from leadglass.dicom.values import UID
from leadglass.journeys.send import prepare

CT, EXPLICIT, DEFLATED = UID("1.2.840.10008.5.1.4.1.1.2"), UID("1.2.840.10008.1.2.1"), UID("1.2.840.10008.1.2.1.99")


def sent(syntax: UID, *pieces: bytes) -> list[tuple[bytes, bool]]:
    """Give what `prepare` would send of a data set in these pieces, and which piece is the last."""
    context = AcceptedContext(1, CT, syntax, requestor_is_scu=True, requestor_is_scp=False)
    wire = SimpleNamespace(engine=SimpleNamespace(contexts={1: context}, is_requestor=True))
    record = SimpleNamespace(sop_class_uid=CT, transfer_syntax_uid=syntax)
    item = SimpleNamespace(record=record, stream_dataset=lambda: iter(pieces))
    prepared = prepare(wire, item, lambda *_: iter(()))  # type: ignore[arg-type]  # the parts it looks at
    assert prepared is not None
    return [(bytes(piece), is_last) for piece, is_last in prepared.pieces]


@pytest.mark.parametrize(
    ("syntax", "pieces", "expected"),
    [
        (DEFLATED, [b"ab", b"c"], [(b"ab", False), (b"c", False), (b"\0", True)]),
        (DEFLATED, [b"ab", b"cd"], [(b"ab", False), (b"cd", True)]),
        (EXPLICIT, [b"ab", b"c"], [(b"ab", False), (b"c", True)]),
        (EXPLICIT, [], [(b"", True)]),
    ],
)
def test_an_odd_deflated_data_set_is_padded(
    syntax: UID, pieces: list[bytes], expected: list[tuple[bytes, bool]]
) -> None:
    assert sent(syntax, *pieces) == expected
