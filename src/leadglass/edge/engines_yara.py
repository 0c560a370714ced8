"""YARA rules beside the detectors: sets of rules by path, compiled once, applied to whole objects in a worker.

Rules come from people who write about malware, not from the objects, so they are trusted to be read but not to be
fast or right: a rule that does not compile is told with its file, and how grave a match is says the rule's own
`severity`, or else the house: a match is a reason to look (medium), unless the set calls itself malware's (high).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yara_x

from leadglass import limits
from leadglass.edge.engines_yara_guard import Parted, is_only_includes, parted
from leadglass.errors import UsageError
from leadglass.finding import Finding, Severity

__all__ = ["SUFFIXES", "RuleEngine", "RuleScan", "compile_rules", "compile_sources", "rule_files", "rule_sources"]

SUFFIXES = (".yar", ".yara")
_RULE_FILES_MAX = 20_000
_RULE_FILE_BYTES_MAX = 16 << 20
_OVERLAP_BYTES = 1 << 20
_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_MATCHES_MAX = 32


@dataclass(frozen=True, slots=True)
class RuleSource:
    """One rule file, read."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class RuleEngine:
    """Compiled rules and what applies them, for one thread; forked workers use it as their own.

    Rules that ask for a file's first bytes have a scanner of their own, which runs where a file begins so.
    """

    scanner: yara_x.Scanner | None
    count: int
    guarded: yara_x.Scanner | None = None
    beginnings: tuple[bytes, ...] = ()

    def scan(self, data: bytes | bytearray | memoryview, base: int = 0) -> Iterator[Finding]:
        """Give a finding for each rule that matches; offsets count from `base`.

        How long it may take is the worker's limit: a time limit of the engine's own would start a thread.
        """
        whole = data if isinstance(data, bytes) else bytes(data)
        guarded = self.guarded if whole.startswith(self.beginnings) else None
        for scanner in (self.scanner, guarded):
            if scanner is not None:
                for rule in scanner.scan(whole).matching_rules[:_MATCHES_MAX]:
                    yield _finding(rule, base)


class RuleScan:
    """One object under the rules: held whole as far as it is short enough, else in windows that overlap."""

    def __init__(self, engine: RuleEngine) -> None:
        self._engine = engine
        self._held = bytearray()
        self._base = 0
        self._found: dict[str, Finding] = {}

    def feed(self, piece: bytes | memoryview) -> None:
        """Take the next bytes."""
        self._held += piece
        if len(self._held) >= limits.RULES_BYTES_MAX:
            self._scan()
            cut = len(self._held) - _OVERLAP_BYTES
            del self._held[:cut]
            self._base += cut

    def finish(self) -> tuple[Finding, ...]:
        """Scan what is left, and give everything found."""
        self._scan()
        return tuple(self._found.values())

    def _scan(self) -> None:
        for finding in self._engine.scan(self._held, self._base):
            if len(self._found) < _MATCHES_MAX:
                self._found.setdefault(finding.claim, finding)


def rule_files(paths: Sequence[Path]) -> list[Path]:
    """List the rule files under the paths, in the order of their names. Raises UsageError."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
        elif path.is_file():
            found.append(path)
        else:
            raise UsageError(f"There are no rules at {path}.", hint="Name a .yar file, or a folder that holds some.")
    if not found:
        raise UsageError("No rule was found.", hint="Rule files end in .yar or .yara.")
    if len(found) > _RULE_FILES_MAX:
        raise UsageError(f"There are more than {_RULE_FILES_MAX} rule files.", hint="Name fewer folders.")
    return found


def rule_sources(paths: Sequence[Path]) -> list[RuleSource]:
    """Read every rule file under the paths. Raises UsageError naming the file."""
    sources = []
    for path in rule_files(paths):
        try:
            if path.stat().st_size > _RULE_FILE_BYTES_MAX:
                raise UsageError(f"{path} is too large for a rule file.", hint="Split it.")
            sources.append(RuleSource(path, path.read_text("utf-8", "replace")))
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.", hint="Check its permissions.") from None
    return sources


def compile_sources(sources: Sequence[RuleSource]) -> RuleEngine:
    """Compile rules, each file in a namespace of its own. Raises UsageError naming the file.

    A file is not included by another one: the path could be any of this machine's, and errors quote what they read. So
    an index that names the other files is passed over; those are read by themselves.
    """
    rules = [source for source in sources if not is_only_includes(source.text)]
    ruled = {source.path.stem for source in rules if "global" in source.text}  # over every rule of a namespace
    pieces = [
        (source.path, Parted("", source.text) if source.path.stem in ruled else parted(source.text)) for source in rules
    ]
    guarded = [RuleSource(path, piece.guarded) for path, piece in pieces if piece.guarded]
    others = [RuleSource(path, piece.others) for path, piece in pieces if piece.others]
    try:
        return _engine(others, guarded, {first for _, piece in pieces for first in piece.beginnings})
    except UsageError:
        return _engine(rules)  # so that the error counts lines of the file; or rules of two files hang together


def _engine(
    others: Sequence[RuleSource], guarded: Sequence[RuleSource] = (), beginnings: Iterable[bytes] = ()
) -> RuleEngine:
    parts = [_compiled(part) if part else None for part in (others, guarded)]
    scanners = [None if rules is None else yara_x.Scanner(rules) for rules in parts]
    for scanner in scanners:
        if scanner is not None:
            scanner.scan(b"MZ")  # what is made at first use is made here: a worker may not make memory executable
    count = sum(1 for rules in parts if rules is not None for _ in rules)
    return RuleEngine(scanners[0], count, scanners[1], tuple(sorted(beginnings)))


def _compiled(sources: Sequence[RuleSource]) -> yara_x.Rules:
    compiler = yara_x.Compiler(relaxed_re_syntax=True, includes_enabled=False)
    for source in sources:
        try:
            compiler.new_namespace(_NAME.sub("_", source.path.stem))
            compiler.add_source(source.text, origin=str(source.path))
        except yara_x.CompileError as error:
            line = next((line.strip() for line in str(error).splitlines() if "error" in line), "")
            raise UsageError(
                f"A rule in {source.path} does not compile ({line[:120]}).", hint="Correct or remove that rule."
            ) from None
    return compiler.build()


def compile_rules(paths: Sequence[Path]) -> RuleEngine:
    """Compile every rule file under the paths. Raises UsageError naming the file."""
    return compile_sources(rule_sources(paths))


def _finding(rule: object, base: int) -> Finding:
    assert isinstance(rule, yara_x.Rule)
    offset, length = next(_places(rule), (None, None))
    name = _NAME.sub("_", f"{rule.namespace}.{rule.identifier}")[:120]
    return Finding(
        "LG-YAR-001",
        "yara",
        _severity(rule.metadata, rule.tags),
        f"The YARA rule {name} matches.",
        None if offset is None else base + offset,
        length,
        control="DCM-INSPECT",
    )


def _places(rule: yara_x.Rule) -> Iterator[tuple[int, int]]:
    for pattern in rule.patterns:
        for match in pattern.matches:
            yield match.offset, match.length


def _severity(metadata: Iterable[tuple[str, object]], tags: Iterable[str]) -> Severity:
    told = {str(key).lower(): str(value).lower() for key, value in metadata}
    named = told.get("severity", "").upper()
    if named in Severity.__members__:
        return Severity[named]
    is_malware = told.get("category") == "malware" or "malicious" in {tag.lower() for tag in tags}
    return Severity.HIGH if is_malware else Severity.MEDIUM
