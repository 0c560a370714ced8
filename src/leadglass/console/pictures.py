"""Which objects have no picture, and what a page writes in its place: by SOP class (PS3.4 table B.5-1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["TILES", "is_in_colour", "tile_of"]

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
TILES: Final = {
    "88.59": "key-objects",
    "88.": "report",
    "11.": "state",
    "67": "mapping",
    "66": "raw",
    "66.1": "registration",
    "66.2": "registration",
    "66.3": "registration",
    "66.5": "surface",
    "66.6": "tracts",
    "68.": "surface",
    "4.2": "spectroscopy",
    "9.": "waveform",
    "104.": "document",
    "481.3": "structures",
    "481.4": "record",
    "481.5": "plan",
    "481.6": "record",
    "481.7": "record",
    "481.8": "plan",
    "481.9": "record",
    "481.10": "plan",
    "481.11": "plan",
}
"""By what follows the storage classes' root; an entry that ends in a dot stands for all below it."""


def tile_of(sop_classes: Iterable[str]) -> str:
    """Give the tile of a series, empty where one of its objects may have a picture."""
    tiles = [_tile(sop_class) for sop_class in sop_classes]
    return "" if not tiles or "" in tiles else tiles[0] if len(set(tiles)) == 1 else "other"


_CAPTURES: Final = frozenset({f"{_STORAGE}7", f"{_STORAGE}7.4"})


def is_in_colour(sop_classes: Iterable[str]) -> bool:
    """Tell whether a series is made of secondary captures, of one frame or of many in true colour."""
    found = set(sop_classes)
    return bool(found) and found <= _CAPTURES


def _tile(sop_class: str) -> str:
    tail = sop_class.removeprefix(_STORAGE)
    if tail == sop_class:
        return ""
    return TILES.get(tail) or next(
        (tile for start, tile in TILES.items() if start.endswith(".") and tail.startswith(start)), ""
    )
