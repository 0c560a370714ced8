"""The house's own rules, held by machine: sizes, names, pins, docs, and no address that is not ours to name."""

from __future__ import annotations

import ast
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from leadglass.cli import _VERBS

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for path in (ROOT / "src").rglob("*.py") if "_tables" not in path.parts)
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
BANNED = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}


def tracked() -> list[Path]:
    """Give every text file under version control."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_files_end_at_400_lines() -> None:
    long = {str(p.relative_to(ROOT)): n for p in SOURCES if (n := len(p.read_text().splitlines())) > FILE_LINES_MAX}
    assert long == {}


def test_functions_end_at_60_lines() -> None:
    long = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                lines = node.end_lineno - body[0].lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert long == {}


def test_every_module_says_what_it_knows() -> None:
    """The first line of each module is a docstring."""
    silent = [
        str(p.relative_to(ROOT))
        for p in SOURCES
        if p.read_text().strip() and not ast.get_docstring(ast.parse(p.read_text()))
    ]
    assert silent == []


def test_no_module_is_named_for_nothing() -> None:
    named = [str(p.relative_to(ROOT)) for p in SOURCES if {p.stem, *p.relative_to(ROOT).parts} & BANNED]
    assert named == []


def test_no_unfinished_work() -> None:
    """No TODO without an issue number, no stub."""
    unfinished = []
    for path in SOURCES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"raise NotImplementedError\b|\bFIXME\b|\bXXX\b|\bTODO\b(?!.*#\d+)", line):
                unfinished.append(f"{path.relative_to(ROOT)}:{number}")
    assert unfinished == []


def test_no_registry_is_named() -> None:
    """Package sources are configured on the machine; the repository names packages alone."""
    hosts = re.compile("|".join(["py" + r"pi\.org", "python" + r"hosted\.org", "deb" + r"\.debian\.org",
                                 "npmjs" + r"\.(com|org)"]))  # fmt: skip
    named = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if hosts.search(text):
            named.append(str(path.relative_to(ROOT)))
    assert named == []


def test_no_path_of_a_builder_machine_is_named() -> None:
    paths = re.compile(r"(?<![\w$.}\"])" + "|".join(["(/wo" + "rk/", "/ro" + "ot/", "/ho" + r"me/\w+/)"]))
    named = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if paths.search(text):
            named.append(str(path.relative_to(ROOT)))
    assert named == []


def test_every_verb_is_documented() -> None:
    """README or the guides show each verb as it is typed."""
    docs = (ROOT / "README.md").read_text() + "".join(p.read_text() for p in (ROOT / "docs").rglob("*.md"))
    missing = [verb for verb in _VERBS if f"leadglass {verb}" not in docs and f"make {verb}" not in docs]
    assert missing == []


def test_the_documents_exist() -> None:
    for name in ("README.md", "ARCHITECTURE.md", "SECURITY.md", "LICENSE", "CHANGELOG.md", "docs/threat-model.md",
                 "docs/performance.md", "docs/conformance.md", "docs/spec/envelope.md"):  # fmt: skip
        path = ROOT / name
        assert path.is_file(), name
        assert path.stat().st_size > 300, f"{name} says nothing"


def test_the_threat_model_has_a_section_for_each_door() -> None:
    """Every file of edge/ is part of the attack surface, so the threat model names it."""
    text = (ROOT / "docs/threat-model.md").read_text()
    named = re.findall(r"[\w*]+\.py", "".join(line for line in text.splitlines() if line.startswith("## ")))
    doors = [path.name for path in (ROOT / "src/leadglass/edge").glob("*.py") if path.stem != "__init__"]
    assert [door for door in doors if not any(fnmatch(door, pattern) for pattern in named)] == []


def test_every_package_is_pinned_with_its_hash() -> None:
    for name in ("constraints.txt", "constraints-run.txt"):
        text = (ROOT / name).read_text()
        pins = re.findall(r"(?m)^[A-Za-z0-9._-]+==[^ ]+.*\\$", text)
        assert len(pins) > 20
        blocks = re.split(r"(?m)^(?=[A-Za-z0-9._-]+==)", text)[1:]
        assert all("--hash=sha256:" in block for block in blocks)
