"""What PS3.6 says of a tag: its VR and its keyword, repeating groups included (PS3.5 §7.6)."""

from __future__ import annotations

from leadglass.dicom._tables.elements import ELEMENTS, REPEATING

_BY_KEYWORD = {keyword: tag for tag, (_vr, keyword) in ELEMENTS.items() if keyword}

_RESOLVED = {"US or SS": "US", "OB or OW": "OW", "US or OW": "OW", "US or SS or OW": "OW", "NONE": "UN"}
"""The VR an implicit data set has where the dictionary leaves a choice (PS3.5 §A.1); signedness is the reader's."""

SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SV UC UN UR UT UV".split())
"""VRs with a 16-bit and with a 32-bit length field (PS3.5 §7.1.2); SQ stands alone."""

UNDEFINED = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_END = 0xFFFEE00D
SEQUENCE_END = 0xFFFEE0DD
PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})

KEPT_BY_DEFAULT = frozenset(
    {0x00080005, 0x00080008, 0x00080012, 0x00080013, 0x00080016, 0x00080018, 0x00080020, 0x00080021, 0x00080022}
    | {0x00080023, 0x00080030, 0x00080031, 0x00080032, 0x00080033, 0x00080050, 0x00080060, 0x00080061, 0x00080064}
    | {0x00080070, 0x00080080, 0x00080090, 0x00080201, 0x00081010, 0x00081030, 0x0008103E, 0x00081040, 0x00081048}
    | {0x00081060, 0x00081070, 0x00081090, 0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00100040, 0x00101010}
    | {0x00180015, 0x00181030, 0x0020000D, 0x0020000E, 0x00200010, 0x00200011, 0x00200012, 0x00200013, 0x00200052}
    | {0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102}
    | {0x00280103, 0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00400244, 0x00400245, 0x00400253, 0x00400254}
    | {0x0040A372, 0x0040A491, 0x0040A493, 0x00420010, 0x00420012}
)
"""What the catalogue and the query levels need (PS3.4 §C.6), and the geometry of the pixels."""

SEQUENCES = frozenset(tag for tag, (vr, _keyword) in ELEMENTS.items() if vr == "SQ")


def row_of(tag: int) -> tuple[str, str] | None:
    """Give (VR as written in the dictionary, keyword), or None for a private or unknown tag."""
    row = ELEMENTS.get(tag)
    if row is not None or tag >> 16 & 1:
        return row
    for mask, rows in REPEATING.items():
        row = rows.get(tag & mask)
        if row is not None:
            return row
    return None


def vr_of(tag: int) -> str:
    """Give the one VR to read a tag with where none is written: UN if unknown, UL, LO for private creators."""
    row = row_of(tag)
    if row is not None:
        return _RESOLVED.get(row[0], row[0])
    if not tag & 0xFFFF:
        return "UL"
    if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
        return "LO"
    return "UN"


def keyword_of(tag: int) -> str:
    """Give the keyword of a tag, empty where there is none."""
    row = row_of(tag)
    return row[1] if row is not None else ""


def tag_of(keyword: str) -> int | None:
    """Give the tag of a keyword, or None."""
    return _BY_KEYWORD.get(keyword)
