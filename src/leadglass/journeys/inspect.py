"""A file is judged: its bytes pass through an inspector and the engines beside it, and what they say becomes one word.

`InProcess` makes inspectors in this process, for whoever has no pool of others (the hub has one); a detector that fails
gives `NotAssessed` there too, never an error of the caller's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from leadglass.dicom.frame_digests import FrameDigests
from leadglass.dicom.structure import Structure
from leadglass.dicom.syntaxes import transfer_syntax
from leadglass.dicom.visitor import Buffer
from leadglass.errors import LimitExceeded, PeerError
from leadglass.finding import Assessed, Finding, Inspection, NotAssessed, Severity
from leadglass.journeys.inspection_ports import Candidate, Inspectors, Scan, UnderInspection
from leadglass.malware.anatomy import FileInspector, Inspector
from leadglass.malware.verdict import Verdict, verdict_of

_DIRECTORY_NAME = "DICOMDIR"
_PROGRAM = "LG-FIL-001"


@dataclass(frozen=True, slots=True)
class InProcess:
    """Inspect in this process."""

    keep: frozenset[int]

    def file(self) -> UnderInspection:
        """Begin a Part 10 file."""
        return Guarded(FileInspector(keep=self.keep, hashes_frames=True))

    def data_set(self, transfer_syntax_uid: str, dataset_offset: int) -> UnderInspection:
        """Begin a bare data set, as C-STORE carries it."""
        syntax = transfer_syntax(transfer_syntax_uid)
        return Guarded(Inspector(syntax, dataset_offset=dataset_offset, keep=self.keep, hashes_frames=True))


class _Around:
    """Something around an inspector, which answers for it."""

    __slots__ = ("_inner",)

    def __init__(self, inner: UnderInspection | Inspector | FileInspector) -> None:
        self._inner = inner

    @property
    def dataset_offset(self) -> int | None:
        """Tell where the data set begins, once known."""
        return self._inner.dataset_offset

    @property
    def transfer_syntax_uid(self) -> str:
        """Give the transfer syntax, empty until known."""
        return self._inner.transfer_syntax_uid

    @property
    def values(self) -> Mapping[int, bytes]:
        """Give what is kept so far."""
        return self._inner.values

    @property
    def structure(self) -> Structure | None:
        """Give the structure of the data set, None before the end or if it failed."""
        return self._inner.structure

    @property
    def frame_digests(self) -> FrameDigests | None:
        """Give what the frames hash to, once finished."""
        return self._inner.frame_digests

    @property
    def limit_exceeded(self) -> LimitExceeded | None:
        """Give the limit that was reached, or None."""
        return self._inner.limit_exceeded

    @property
    def is_done_with_header(self) -> bool:
        """Tell whether everything before the pixels has passed."""
        return self._inner.is_done_with_header


class Guarded(_Around):
    """An inspector whose failure is an answer."""

    __slots__ = ("_failed",)

    def __init__(self, inner: Inspector | FileInspector) -> None:
        super().__init__(inner)
        self._failed = ""

    @property
    def structure(self) -> Structure | None:
        """Give the structure of the data set, None before the end or if it failed."""
        return None if self._failed else self._inner.structure

    def feed(self, data: Buffer) -> None:
        """Take the next bytes; never raises, whatever they are."""
        if not self._failed:
            try:
                self._inner.feed(data)
            except Exception as error:  # noqa: BLE001 -- inspection fails closed, whatever a detector does wrong
                self._failed = _failure(error)

    def finish(self) -> Inspection:
        """Close the inspection and give everything found."""
        if not self._failed:
            try:
                return self._inner.finish()
            except Exception as error:  # noqa: BLE001 -- as above
                self._failed = _failure(error)
        return NotAssessed(self._failed)

    def close(self) -> None:
        """Give up; there is nothing to give back."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Inspectors with a virus scanner beside them."""

    inspectors: Inspectors
    scan: Callable[[], Scan]

    def file(self) -> UnderInspection:
        """Begin a Part 10 file."""
        return Scanned(self.inspectors.file(), self.scan())

    def data_set(self, transfer_syntax_uid: str, dataset_offset: int) -> UnderInspection:
        """Begin a bare data set."""
        return Scanned(self.inspectors.data_set(transfer_syntax_uid, dataset_offset), self.scan())


class Scanned(_Around):
    """An inspector and a scanner on the same bytes."""

    __slots__ = ("_scan",)
    _inner: UnderInspection

    def __init__(self, inner: UnderInspection, scan: Scan) -> None:
        super().__init__(inner)
        self._scan = scan

    def feed(self, data: Buffer) -> None:
        """Take the next bytes; never raises, whatever they are."""
        self._inner.feed(data)
        self._scan.feed(data)

    def finish(self) -> Inspection:
        """Close both and give everything found."""
        return joined(self._inner.finish(), (self._scan.finish(),))

    def close(self) -> None:
        """Give up."""
        self._inner.close()
        self._scan.close()


def _failure(error: Exception) -> str:
    return f"The inspection failed ({type(error).__name__})."


@dataclass(frozen=True, slots=True)
class Judged:
    """What is thought of one file. `sha256` is that of the whole file, empty where it could not be read."""

    path: str
    sha256: str
    inspection: Inspection
    length_bytes: int = 0

    @property
    def verdict(self) -> Verdict:
        """Give the one word."""
        return verdict_of(self.inspection)

    @property
    def reason(self) -> str:
        """Say why it is not clean: what could not be told, or the gravest finding."""
        if self.verdict is Verdict.CLEAN:
            return ""
        worst = max(self.inspection.findings, key=lambda finding: finding.severity, default=None)
        if worst is not None and worst.severity >= Severity.MEDIUM:
            return worst.claim
        return self.inspection.reason if isinstance(self.inspection, NotAssessed) else ""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Give everything found, and what could not be told as a finding of its own."""
        if not isinstance(self.inspection, NotAssessed):
            return self.inspection.findings
        return (*self.inspection.findings, not_assessed(self.inspection.reason))

    def to_json(self) -> dict[str, object]:
        """Give the published JSON shape (docs/spec/inspection.md)."""
        return {
            "path": self.path,
            "sha256": self.sha256 or None,
            "verdict": self.verdict.value,
            "findings": [finding.to_json() for finding in self.findings],
        }


def not_assessed(reason: str) -> Finding:
    """Write down that something could not be told, as a finding."""
    return Finding("LG-INS-001", "not-assessed", Severity.INFO, reason, control="DCM-INSPECT")


def judge(
    file: Candidate,
    path: str,
    inspector: UnderInspection | None,
    *,
    scans: Sequence[Scan] = (),
    known: Iterable[Finding] = (),
) -> Judged:
    """Read a file once, to its end: through the inspector, where there is one, and every scan, and into its SHA-256."""
    digest, length_bytes = hashlib.sha256(), 0
    try:
        for piece in file.pieces():
            length_bytes += len(piece)
            digest.update(piece)
            if inspector is not None:
                inspector.feed(piece)
            for scan in scans:
                scan.feed(piece)
    except PeerError as error:
        _close(inspector, scans)
        return Judged(path, "", NotAssessed(error.message, tuple(known)), length_bytes)
    except BaseException:
        _close(inspector, scans)
        raise
    inspection = joined(Assessed() if inspector is None else inspector.finish(), (scan.finish() for scan in scans))
    return Judged(path, digest.hexdigest(), with_findings(inspection, known), length_bytes)


def joined(inspection: Inspection, others: Iterable[Inspection]) -> Inspection:
    """Join what several engines say: what one of them could not tell is not told."""
    for other in others:
        findings = (*inspection.findings, *other.findings)
        if isinstance(inspection, NotAssessed):
            inspection = replace(inspection, findings=findings)
        elif isinstance(other, NotAssessed):
            inspection = NotAssessed(other.reason, findings)
        else:
            inspection = Assessed(findings)
    return inspection


def with_findings(inspection: Inspection, known: Iterable[Finding]) -> Inspection:
    """Put what is known otherwise before what was found."""
    return replace(inspection, findings=(*known, *inspection.findings))


def told_of_archive(members: Sequence[Judged]) -> list[Verdict]:
    """Give the verdicts of members that say something of their archive.

    A viewer beside a DICOMDIR is what patients' discs hold: it is told of itself, and not of an archive in which
    nothing else was found.
    """
    verdicts = [one.verdict for one in members]
    is_disc = any(one.verdict is Verdict.CLEAN and _last_name(one.path) == _DIRECTORY_NAME for one in members)
    if not is_disc or not all(one.verdict is Verdict.CLEAN or _is_viewer(one) for one in members):
        return verdicts
    return []


def _last_name(path: str) -> str:
    return path.rpartition("!")[2].rpartition("/")[2].upper()


def _is_viewer(judged: Judged) -> bool:
    """Tell whether nothing is wrong with a file but that it is a program, and called one."""
    if judged.verdict is not Verdict.SUSPICIOUS:
        return False
    return {f.id for f in judged.findings if f.severity >= Severity.MEDIUM} == {_PROGRAM}


def with_members(inspection: Inspection, verdicts: Sequence[Verdict]) -> Inspection:
    """Say of an archive what was found in its members, and that it is not assessed where one of them is not."""
    for verdict, severity in ((Verdict.MALICIOUS, Severity.HIGH), (Verdict.SUSPICIOUS, Severity.MEDIUM)):
        count = sum(one is verdict for one in verdicts)
        if count:
            claim = f"The archive holds {count} file(s) that are {verdict.value}."
            finding = Finding("LG-INS-002", "archive_member", severity, claim, control="DCM-INSPECT")
            return with_findings(inspection, (finding,))
    if Verdict.NOT_ASSESSED in verdicts and isinstance(inspection, Assessed):
        return NotAssessed("The archive holds a file that could not be assessed.", inspection.findings)
    return inspection


def _close(inspector: UnderInspection | None, scans: Sequence[Scan]) -> None:
    if inspector is not None:
        inspector.close()
    for scan in scans:
        scan.close()
