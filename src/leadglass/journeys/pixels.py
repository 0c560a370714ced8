"""What the ledger holds of an object's pixels, and whether the object still has them (docs/spec/tamper.md).

The ledger's entry of an object's arrival names one digest for all its frames; the object's row holds the list that
tells which frame differs, and is believed as far as the ledger agrees with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from leadglass.dicom.frame_digests import FrameDigests
from leadglass.journeys.ports import Catalogue, ObjectRecord

_PIXELS, _FRAMES = "pixels", "frames"
_ENTRIES_READ = 8
"""An object's arrival is its first entry, or follows its first few."""

_NAMED_MAX = 8
_OTHERS = "The pixels are not those that were received."


def pixel_detail(frames: FrameDigests | None) -> dict[str, str | int]:
    """Give what the ledger's entry of an arrival holds of the pixels."""
    return {} if frames is None else {_PIXELS: frames.named, _FRAMES: frames.count}


def recorded(catalogue: Catalogue, object_id: bytes) -> str:
    """Give the digest of all frames that the ledger holds of an object's arrival; empty where it holds none."""
    for line in catalogue.ledger(subject=object_id, limit=_ENTRIES_READ, newest_first=False):
        if isinstance(named := line.detail.get(_PIXELS), str):
            return named
    return ""


def difference(catalogue: Catalogue, record: ObjectRecord, found: FrameDigests | None) -> str:
    """Say how the pixels found in an object differ from those received; empty where they do not."""
    known, named = record.frames, recorded(catalogue, record.object_id)
    if known is None and not named:
        return ""
    if found is None:
        return _OTHERS
    if known is None or (named and named != known.named):
        return "The catalogue's record of the pixels is not that of the ledger." if found.named == named else _OTHERS
    if found.root == known.root:
        return ""
    if found.count != known.count:
        return f"The object holds {found.count} frames, and {known.count} were received."
    return differing_frames(known.differing(found), known.count)


def differing_frames(spans: Sequence[tuple[int, int]], count: int) -> str:
    """Say which frames differ."""
    if not spans:
        return _OTHERS
    joined: list[tuple[int, int]] = []
    for first, last in spans:
        if joined and joined[-1][1] + 1 == first:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    which = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in joined[:_NAMED_MAX])
    if len(joined) > _NAMED_MAX:
        which += ", …"
    if which.isdecimal():
        return f"The pixels of frame {which} of {count} are not those that were received."
    return f"The pixels of frames {which} of {count} are not those that were received."
