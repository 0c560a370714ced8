"""Rules that look at the first bytes first are told from the others, and no rule is lost or changed by it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yara_x
from hypothesis import given
from hypothesis import strategies as st

from leadglass.edge.engines_yara import RuleScan, RuleSource, compile_sources
from leadglass.edge.engines_yara_guard import Parted, is_only_includes, parted


def rule(condition: str, name: str = "a", strings: str = 'strings: $a = "abcdefgh"') -> str:
    return f'rule {name} : tag {{ meta: x = "condition: }}" {strings} condition: {condition} }}'


@pytest.mark.parametrize(
    "condition",
    [
        "uint16(0) == 0x5A4D and $a",
        "( uint16(0) == 0x5a4d and filesize < 400KB and 1 of them )",
        "(uint16(0) == 0x5A4D) and ($a or #a > 2)",
        "uint32be(0x0) == 0x7f454c46 and\n(\n  $a // words or more\n) and (all of ($a*))",
        "uint16(0) == 23117 and for any i in (0..2): (@a[1] < i or $a)",
    ],
)
def test_these_ask_for_the_first_bytes_first(condition: str) -> None:
    made = parted(rule(condition))
    assert made == Parted(made.guarded, "", made.beginnings) and made.guarded
    assert made.beginnings <= {b"MZ", b"\x7fELF"} and len(made.beginnings) == 1


@pytest.mark.parametrize(
    "condition",
    [
        "$a",
        "$a and uint16(0) == 0x5A4D",
        "uint16(0) == 0x5A4D or $a",
        "uint16(0) == 0x5A4D and filesize < 2 or $a",
        "(uint16(0) == 0x5A4D and filesize < 2) or $a",
        "(uint16(0) == 0x5A4D and filesize < 2 or $a)",
        "((uint16(0) == 0x5A4D and filesize < 2) or filesize > 3) and $a",
        "not uint16(0) == 0x5A4D and $a",
        "uint16(1) == 0x5A4D and $a",
        "uint16(0) != 0x5A4D and $a",
        "uint16(0) == 0x5A4D",
        "uint16(0) == 0x15A4D and $a",
        "uint16(0) == -1 and $a",
    ],
)
def test_these_do_not(condition: str) -> None:
    made = parted(rule(condition))
    assert made == Parted("", made.others) and made.others


def test_a_file_is_taken_apart_with_its_imports() -> None:
    first = rule("uint16(0) == 0x5A4D and pe.is_dll() and $a", "first")
    second = rule("$a or $b", "second", 'strings: $a = { 7D [2-4] 7B } $b = /[}"\\/]{2,3}x}/ nocase $c = "\\"}" ')
    made = parted(f'/* rule x {{ */ import "pe"\n// rule\n{first}\n{second}')
    assert made.guarded == f'import "pe"\n{first}'
    assert made.others == f'import "pe"\n{second}'


@pytest.mark.parametrize(
    "text",
    [
        "global " + rule("filesize > 0") + rule("uint16(0) == 0x5A4D and $a", "b"),
        "private " + rule("$a") + rule("uint16(0) == 0x5A4D and $a", "b"),
        rule("$a") + rule("uint16(0) == 0x5A4D and a", "b"),
        rule("$a", "a1") + rule("uint16(0) == 0x5A4D and any of (a*)", "b"),
        'include "x"\n' + rule("uint16(0) == 0x5A4D and $a"),
        rule("uint16(0) == 0x5A4D and $a")[:-1],
        "words",
        "",
    ],
)
def test_what_hangs_together_or_is_odd_stays_whole(text: str) -> None:
    assert parted(text) == Parted("", text)


@given(
    st.lists(
        st.sampled_from(
            ["rule", "a", "{", "}", '"', "/", "=", "condition", ":", "import", '"pe"', "\\", "//", "/*", " "]
        )
    )
)
def test_any_words_come_to_an_end(words: list[str]) -> None:
    parted(" ".join(words))
    parted("".join(words))


def test_an_index_is_passed_over() -> None:
    index = 'include "./a.yar" // words\n/* more */ include "b.yar"\n'
    assert is_only_includes(index)
    assert not is_only_includes(index + rule("$a")) and not is_only_includes("")
    assert compile_sources([RuleSource(Path("index.yar"), index), RuleSource(Path("a.yar"), rule("$a"))]).count == 1


def test_all_rules_match_as_they_would_together() -> None:
    texts = [
        rule("uint16(0) == 0x5A4D and $a", "program") + rule("$a", "anything") + rule("not $a", "nothing"),
        "global " + rule("filesize > 3", "long", "") + rule("uint16(0) == 0x5A4D and $a", "whole"),
        "global " + rule("filesize > 4", "longer", ""),
    ]
    engine = compile_sources([RuleSource(Path(f"f{at}.yar"), text) for at, text in enumerate(texts)])
    assert engine.scanner and engine.guarded and (engine.count, engine.beginnings) == (6, (b"MZ",))
    for data in (b"", b"M", b"MZ", b"MZ abcdefgh", b"abcdefgh", b"x" * 99):
        scan = RuleScan(engine)
        scan.feed(data)
        together = yara_x.Compiler()
        for at, text in enumerate(texts):
            together.new_namespace(f"f{at}")
            together.add_source(text)
        names = {f"{one.namespace}.{one.identifier}" for one in together.build().scan(data).matching_rules}
        assert {finding.claim.split()[3] for finding in scan.finish()} == names, data


def test_rules_that_hang_together_over_two_files_of_one_name_are_compiled_together() -> None:
    sources = [
        RuleSource(Path("x/a.yar"), rule("uint16(0) == 0x5A4D and $a", "b")),
        RuleSource(Path("y/a.yar"), rule("b", "a", "")),
    ]
    assert compile_sources(sources).guarded is None
