"""Text decodes in every repertoire of the standard and never raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadglass.dicom.text import (
    EXTENDED_VRS,
    Decoded,
    PersonName,
    character_sets,
    decode_text,
    decode_values,
    encode_text,
    integers,
    split_values,
)

EXAMPLES = [  # PS3.5 annexes H, I, J, K
    ("ISO_IR 100", "Buc^J\xe9r\xf4me".encode("latin-1"), "Buc^Jérôme"),
    ("ISO_IR 101", "Wałęsa".encode("iso8859-2"), "Wałęsa"),
    ("ISO_IR 126", "Διονυσιος".encode("iso8859-7"), "Διονυσιος"),
    ("ISO_IR 127", bytes.fromhex("e2c8c7e6ea5ee4e6d2c7d1"), "قباني^لنزار"),
    ("ISO_IR 138", bytes.fromhex("f9f8e5ef5ee3e1e5f8e4"), "שרון^דבורה"),
    ("ISO_IR 144", "Люкceмбypг".encode("iso8859-5"), "Люкceмбypг"),
    ("ISO_IR 166", "ประเทศไทย".encode("iso8859-11"), "ประเทศไทย"),
    ("ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=", "ﾔﾏﾀﾞ^ﾀﾛｳ="),
    (
        "\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    (
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
    ),
    (
        "\\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    ("\\ISO 2022 IR 58", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东="),
    ("ISO_IR 192", "Wang^XiaoDong=王^小東=".encode(), "Wang^XiaoDong=王^小東="),
    ("GB18030", "Wang^XiaoDong=王^小东=".encode("gb18030"), "Wang^XiaoDong=王^小东="),
    ("GBK", "Wang^XiaoDong=王^小东=".encode("gbk"), "Wang^XiaoDong=王^小东="),
    ("\\ISO 2022 IR 126", b"Dionysios=\x1b-F\xc4\xe9", "Dionysios=Δι"),
    ("ISO 2022 IR 6\\ISO 2022 IR 159", b"\x1b$(D0!\x1b(B^x", "丂^x"),
    ("ISO-IR 100", b"\xe9", "é"),
    ("nonsense", b"\xe9", "é"),
]


@pytest.mark.parametrize(("charset", "raw", "expected"), EXAMPLES)
def test_names_decode_as_the_standard_shows(charset: str, raw: bytes, expected: str) -> None:
    assert decode_text(raw, character_sets(charset.encode()), "PN") == expected


def test_a_delimiter_returns_to_the_first_repertoire() -> None:
    raw = b"\x1b-F\xc4\\\xe9"
    assert decode_text(raw, ("ISO 2022 IR 100", "ISO 2022 IR 126"), "LO") == "Δ\\é"


def test_a_backslash_inside_a_chinese_character_is_no_delimiter() -> None:
    text = decode_text("誠\\b".encode("gb18030"), ("GB18030",), "LO")
    assert split_values(text, "LO") == ["誠", "b"]


def test_only_text_vrs_use_the_character_set() -> None:
    assert decode_text(b"\xc3\xa9", ("ISO_IR 192",), "LO") == "é"
    assert decode_text(b"\xc3\xa9", ("ISO_IR 192",), "CS") == "Ã©"


def test_padding_goes_and_text_keeps_its_backslashes() -> None:
    assert decode_text(b"1.2\0", ("",), "UI") == "1.2"
    assert decode_text(b"  a ", ("",), "LO") == "  a"
    assert split_values("a\\b ", "LT") == ["a\\b "]


@given(
    st.binary(max_size=60),
    st.sampled_from([row[0] for row in EXAMPLES]),
    st.sampled_from(["CS", *sorted(EXTENDED_VRS)]),
)
def test_decoding_never_raises(raw: bytes, charset: str, vr: str) -> None:
    assert isinstance(decode_text(b"\x1b$B" + raw, character_sets(charset.encode()), vr), str)


@given(st.text(max_size=30))
def test_utf8_comes_back(text: str) -> None:
    text = text.rstrip(" \0")
    assert decode_text(encode_text(text), ("ISO_IR 192",)) == text


def test_kept_values_decode_by_their_vr() -> None:
    values = {
        0x00080005: b"ISO_IR 192",
        0x00100010: "Müller^Jörg ".encode(),
        0x0020000D: b"1.2.3\0",
        0x00280010: b"\0\2",
        0x00200013: b" 7",
        0x7FE00010: b"\0" * 4,
        0x00080008: b"ORIGINAL\\PRIMARY ",
    }
    decoded = decode_values(values)
    assert decoded[0x00100010] == "Müller^Jörg"
    assert (decoded[0x0020000D], decoded[0x00280010], decoded[0x00200013]) == ("1.2.3", "512", "7")
    assert decoded[0x00080008] == "ORIGINAL\\PRIMARY"
    assert 0x7FE00010 not in decoded
    assert decode_values(values, is_little_endian=False)[0x00280010] == "2"


def test_what_the_object_before_said_is_taken_from_it_and_nothing_else() -> None:
    values = {0x00080005: b"ISO_IR 192", 0x00100010: "Müller".encode(), 0x00280010: b"\0\2", 0x00200013: b"7 "}
    told = Decoded(values, {**decode_values(values), 0x00100010: "from before"}, is_little_endian=True)
    after = {**values, 0x00200013: b"8 "}
    assert decode_values(after, like=told) == {**decode_values(after), 0x00100010: "from before"}
    other_order, other_set = (
        decode_values(after, is_little_endian=False, like=told),
        {**after, 0x00080005: b"ISO_IR 100"},
    )
    assert other_order == decode_values(after, is_little_endian=False), "in another byte order nothing is the same"
    assert decode_values(other_set, like=told) == decode_values(other_set), "nor in another repertoire"
    assert 0x7FE00010 not in decode_values({0x7FE00010: b"\0"}, like=Decoded({0x7FE00010: b"\0"}, {}, True))


def test_integers_are_signed_by_their_vr() -> None:
    assert integers(b"\xff\xff\1", "SS") == [-1]
    assert integers(b"\xff\xff\1\0", "US") == [65535, 1]


def test_a_name_has_groups_and_components_and_does_not_print() -> None:
    name = PersonName.parse("Yamada^Tarou=山田^太郎=やまだ^たろう")
    assert name.components()[1] == ("山田", "太郎", "", "", "")
    assert name.phonetic == "やまだ^たろう"
    assert f"{name} {name!r}" == "••• •••"
