"""Texts that do harm where a program takes them for more, and objects that hold them wherever text may stand."""

from __future__ import annotations

from dataclasses import dataclass

from tests.dicom.made import element

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ROOT = "1.2.826.0.1.3680043.10.1.77"
FORGED = "FORGED: everything is clean"
"""A line of ours that a text with a line feed would make."""


@dataclass(frozen=True)
class Text:
    """A hostile text, as it stands in an object and as it decodes."""

    raw: bytes
    text: str
    charset: bytes = b"ISO_IR 192"


def _plain(text: str) -> Text:
    return Text(text.encode(), text)


TEXTS: dict[str, Text] = {
    "harmless": _plain("Dupont Anne"),
    "script": _plain("<script>alert(1)</script>"),
    "event": _plain("\"><img src=x onerror=alert(1)>'>"),
    "attribute": _plain("' onmouseover='alert(1)' \" onfocus=\"alert(1)\" autofocus x=\""),
    "svg": _plain('<svg/onload=alert(1)><a xlink:href="javascript:alert(1)">'),
    "comment": _plain("--><!-- <![CDATA[ ]]> &lt;b&gt; &#60;b&#62; </textarea></title></style>"),
    "url": _plain("javascript:alert(1)//"),
    "template": _plain("{{7*191}}{% raw %}${7*191}#{7*191}{{config}}<%= 7*191 %>"),
    "format": _plain("%s%n%(x)s{0.__class__}{name}{}{count:n}"),
    "rich": _plain("[bold red]x[/] [link=http://evil.example]y[/link][/nothing]"),
    "ansi": _plain("\x1b[2J\x1b]0;owned\x07\x1b[31mred\x1b]52;c;aGk=\x07"),
    "c1": _plain("\x9b2J\x9d0;owned\x9c\x85next"),
    "bidi": _plain("ANNE\u202eNITRAM\u2066\u2028\u2029\U000e0041"),
    "nul": _plain("ANNE\0MARTIN"),
    "crlf": _plain(f"ANNE\r\nSet-Cookie: x=1\r\n\r\n{FORGED}\r{FORGED}\x0b{FORGED}"),
    "formula": _plain("=cmd|' /C calc'!A0"),
    "formula-tab": _plain("\t@SUM(1+1)*cmd"),
    "sql": _plain("'; DROP TABLE studies; DELETE FROM instances; -- \" OR 1=1"),
    "shell": _plain("$(touch owned)`id`;rm -rf ~|x&&y>z"),
    "path": _plain("../../../../etc/passwd"),
    "utf8": Text(b"\xc0\xae\xc0\xae/\xff\xfe\xed\xa0\x80<b>", "\ufffd" * 4 + "/" + "\ufffd" * 5 + "<b>"),
    "iso2022": Text(b"\x1b$)C<img src=x onerror=a(1)>\x1b(B<b>", "<img src=x onerror=a(1)><b>", b"\\ISO 2022 IR 149"),
    "long": _plain("A<b>" * 4000),
}  # fmt: skip
LENGTH_TOLD_MAX = 512

STUDY, SERIES, INSTANCE, NAMED = 1, 2, 3, 4


def uid(name: str, kind: int, lot: int = 0) -> str:
    """Give the UID of a text's object; lots are sent at different times."""
    return f"{ROOT}.{lot}.{list(TEXTS).index(name) + 1}.{kind}"


def told_of(name: str) -> str:
    """Give what the catalogue tells of a text: without the padding around it, and its beginning if it is long."""
    return TEXTS[name].text.rstrip("\0 ").strip(" ")[:LENGTH_TOLD_MAX]


def built(name: str, lot: int = 0, *, names: bool = False, study: bool = False) -> bytes:
    """Write a file with the text everywhere; `names` puts it into the UIDs of series and instance, `study` too."""
    given = TEXTS[name]

    def text(tag: int, vr: str, raw: bytes = given.raw) -> bytes:
        return element(tag, vr, raw + (b"\0" if vr == "UI" else b" ") * (len(raw) % 2))

    def named(tag: int, kind: int, *, hostile: bool) -> bytes:
        return text(tag, "UI", given.raw[:64] + b"." + str(lot).encode() if hostile else uid(name, kind, lot).encode())

    meta = text(0x00020002, "UI", SECONDARY_CAPTURE.encode())
    meta += named(0x00020003, INSTANCE, hostile=names)
    meta += text(0x00020010, "UI", b"1.2.840.10008.1.2.1") + text(0x00020012, "UI", ROOT.encode())
    meta += text(0x00020013, "SH", given.raw[:16]) + text(0x00020016, "AE", given.raw[:16])
    head = element(0x00020000, "UL", len(meta).to_bytes(4, "little")) + meta
    data = [
        text(0x00080005, "CS", given.charset), text(0x00080016, "UI", SECONDARY_CAPTURE.encode()),
        named(0x00080018, INSTANCE, hostile=names), text(0x00080020, "DA", given.raw[:8]),
        text(0x00080050, "SH"), text(0x00080054, "AE", given.raw[:16]), text(0x00080060, "CS", given.raw[:16]),
        text(0x00080080, "LO"), text(0x00080090, "PN"), text(0x00081030, "LO"), text(0x0008103E, "LO"),
        text(0x00090010, "LO"), text(0x00091001, "LT"), text(0x00100010, "PN"), text(0x00100020, "LO"),
        text(0x00100030, "DA", given.raw[:8]), text(0x00100040, "CS", given.raw[:16]), text(0x00104000, "LT"),
        named(0x0020000D, STUDY, hostile=study), named(0x0020000E, SERIES, hostile=names), text(0x00200010, "SH"),
        text(0x00200011, "IS", given.raw[:12]), text(0x00200013, "IS", given.raw[:12]),
        *(element(tag, "US", number.to_bytes(2, "little")) for tag, number in ((0x00280002, 1),)),
        text(0x00280004, "CS", b"MONOCHROME2"),
        *(element(tag, "US", number.to_bytes(2, "little")) for tag, number in (
            (0x00280010, 2), (0x00280011, 2), (0x00280100, 8), (0x00280101, 8), (0x00280102, 7), (0x00280103, 0))),
        element(0x7FE00010, "OB", b"\0\1\2\3"),
    ]  # fmt: skip
    return b"\0" * 128 + b"DICM" + head + b"".join(data)


def file_name(name: str) -> bytes:
    """Give a file name that holds the text, as far as a file system takes it."""
    return TEXTS[name].raw.replace(b"/", b"_").replace(b"\0", b"_")[:200]
