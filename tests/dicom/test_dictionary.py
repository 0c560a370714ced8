"""Tags, keywords and VRs are those of PS3.6, repeating groups included."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from leadglass.dicom.dictionary import LONG_VRS, SEQUENCES, SHORT_VRS, keyword_of, row_of, tag_of, vr_of

ROOT = Path(__file__).parents[2]


def test_keywords_go_both_ways() -> None:
    assert tag_of("PatientName") == 0x00100010
    assert keyword_of(0x00100010) == "PatientName"
    assert (tag_of("NoSuchThing"), keyword_of(0x00091001)) == (None, "")


def test_repeating_groups_have_their_vr() -> None:
    assert (vr_of(0x60003000), vr_of(0x60FE3000), vr_of(0x50040005)) == ("OW", "OW", "US")
    assert keyword_of(0x60020010) == "OverlayRows"
    assert row_of(0x60013000) is None


def test_a_tag_always_has_a_vr_to_read_it_with() -> None:
    assert [vr_of(tag) for tag in (0x00080000, 0x00090010, 0x00091010, 0x00083333)] == ["UL", "LO", "UN", "UN"]
    assert (vr_of(0x7FE00010), vr_of(0x00280106), vr_of(0xFFFEE000)) == ("OW", "US", "UN")


def test_every_vr_has_one_form_of_length() -> None:
    vrs = {vr_of(tag).encode() for tag in range(0x00080000, 0x00300000)} - {b"SQ"}
    assert vrs <= SHORT_VRS | LONG_VRS
    assert not SHORT_VRS & LONG_VRS
    assert 0x00081140 in SEQUENCES


def test_the_tables_are_what_the_tool_writes(tmp_path: Path) -> None:
    script = f"import pathlib, runpy; m = runpy.run_path({str(ROOT / 'tools/generate_tables.py')!r}); print(m['elements']() + m['uids'](), end='')"  # noqa: E501
    made = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    tables = ROOT / "src/leadglass/dicom/_tables"
    assert made == (tables / "elements.py").read_text() + (tables / "uids.py").read_text()
