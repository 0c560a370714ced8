"""A tag that comes twice is found wherever it hides, in bounded memory."""

from __future__ import annotations

from leadglass.dicom.levels import DISORDER_MAX, Kind, Level, Place, path_of


def test_tags_are_placed() -> None:
    level = Level(Kind.DATASET, 0, -1, -1, is_implicit=False)
    assert [level.place(tag) for tag in (1, 5, 9, 5, 3, 3, 10)] == [
        Place.IN_ORDER,
        Place.IN_ORDER,
        Place.IN_ORDER,
        Place.DUPLICATE,
        Place.OUT_OF_ORDER,
        Place.DUPLICATE,
        Place.IN_ORDER,
    ]


def test_disorder_is_bounded() -> None:
    level = Level(Kind.DATASET, 0, -1, -1, is_implicit=False)
    level.place(DISORDER_MAX * 2)
    places = [level.place(tag) for tag in range(DISORDER_MAX + 1)]
    assert (places[-2], places[-1]) == (Place.OUT_OF_ORDER, Place.TOO_MANY)


def test_paths_name_sequences_and_items() -> None:
    item = Level(Kind.ITEM, 0xFFFEE000, -1, -1, is_implicit=False)
    item.index = 2
    levels = [Level(Kind.DATASET, 0, -1, -1, False), Level(Kind.SEQUENCE, 0x00400275, -1, -1, False), item]
    assert path_of(levels, 0x00400007) == "(0040,0275)[2].(0040,0007)"
    assert path_of(levels[:1]) == ""
