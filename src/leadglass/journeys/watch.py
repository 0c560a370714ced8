"""A folder outside the archive is read again and again, and what its files have become is held against what they were.

One pass lists the folder, reads what is new or changed since the last, and says what looks like ransomware at work
(`malware/ransom.py` knows the signs, docs/spec/tamper.md says what they promise). A file that is still being written,
or that could not be told, stays for the next pass. Nothing in the folder is ever written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from blake3 import blake3

from leadglass.audit import AuditEvent, AuditKind
from leadglass.errors import PeerError, StorageError
from leadglass.finding import Finding, NotAssessed, Severity
from leadglass.journeys.inspection_ports import Inspectors, UnderInspection
from leadglass.journeys.ports import Catalogue, Clock
from leadglass.malware import ransom
from leadglass.malware.anything import SNIFF_BYTES, looks_like_dicom
from leadglass.malware.documents.payload import is_text
from leadglass.malware.ransom import BLOCK_BYTES, BLOCKS_MAX, RATE_WINDOW_US, FileState, Nature
from leadglass.malware.signatures import Family, signature_of
from leadglass.malware.verdict import verdict_of

_STUDY = 0x0020000D

SETTLE_US = 5 * 1_000_000
"""A file changed less long ago is still being written; a modality writes an object within a second."""


class Listed(Protocol):
    """A regular file of the folder; `name` is its path below it."""

    @property
    def name(self) -> str: ...
    @property
    def length_bytes(self) -> int: ...
    @property
    def modified_us(self) -> int: ...
    @property
    def changed_us(self) -> int: ...
    def is_as_listed(self) -> bool:
        """Tell whether the file still is what was listed."""

    def pieces(self) -> Iterable[bytes]:
        """Read it; raises PeerError."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is kept between passes: the files by name, and what happened within the window of the rates."""

    files: Mapping[str, FileState] = field(default_factory=dict)
    rewritten: Mapping[str, int] = field(default_factory=dict)
    """When a file became something else, by name (microseconds)."""
    gone: Mapping[str, int] = field(default_factory=dict)
    """When an object vanished, by name."""
    at_us: int = 0
    """When the folder was last read through; 0 before the first pass."""


@dataclass(frozen=True, slots=True)
class Sign:
    """A finding about one file, or about the folder where `name` is empty."""

    name: str
    finding: Finding


@dataclass(slots=True)
class Pass:
    """What one pass saw."""

    is_first: bool
    files: int = 0
    objects: int = 0
    new: int = 0
    changed: int = 0
    gone: int = 0
    waiting: int = 0
    """Files still being written."""
    unread: int = 0
    """Files that could not be read, or of which nothing could be told."""
    length_bytes: int = 0
    signs: list[Sign] = field(default_factory=list)
    standing: int = 0
    """Files against which an earlier pass found a sign, and that have not changed since."""

    @property
    def is_alarm(self) -> bool:
        """Tell whether somebody must look at once."""
        return any(sign.finding.severity >= Severity.MEDIUM for sign in self.signs)


@dataclass(frozen=True, slots=True)
class Watcher:
    """Watch one folder."""

    inspectors: Inspectors
    clock: Clock
    catalogue: Catalogue
    actor: str
    label: str
    """The folder, as a person named it."""

    def watch(
        self, files: Iterable[Listed], known: Known, *, is_stopping: Callable[[], bool] = lambda: False
    ) -> tuple[Pass, Known]:
        """Read the folder through once; gives what was seen and what to keep. One that is stopped keeps what was known.

        Raises StorageError where a folder that held files is empty: its disk or share is more likely gone than they.
        """
        now_us = self.clock.now_us()
        seen: dict[str, FileState] = {}
        done = Pass(is_first=not known.at_us)
        rewritten = _recent(known.rewritten, now_us)
        for listed in files:
            if is_stopping():
                return done, known
            done.files += 1
            before = known.files.get(listed.name)
            state = self._state(listed, before, done, now_us)
            if state is None:
                continue
            seen[listed.name] = state
            if state is not before and before is not None and _is_other(before, state):
                rewritten[listed.name] = _moment(state, known, now_us)
        if known.files and not done.files:
            message = f"The folder is empty, and {len(known.files)} files were known."
            raise StorageError(message, hint="Is its disk or share mounted? Nothing was forgotten.")
        gone = _recent(known.gone, now_us) | {
            name: now_us for name, state in known.files.items() if name not in seen and state.is_object
        }
        gone = {name: at_us for name, at_us in gone.items() if name not in seen}
        done.gone = sum(name not in seen for name in known.files)
        done.objects = sum(state.is_object for state in seen.values())
        self._replacements(known, seen, gone, rewritten, done)
        self._rates(known, rewritten, gone, done)
        told = {sign.name for sign in done.signs}
        done.standing = sum(bool(state.sign) and name not in told for name, state in seen.items())
        return done, Known(seen, rewritten, gone, now_us)

    def record(self, done: Pass, *, is_whole: bool = True) -> None:
        """Write down what a pass found, or that the folder was watched."""
        detail: dict[str, str | int] = {
            "folder": self.label, "files": done.files, "new": done.new, "changed": done.changed, "gone": done.gone
        }  # fmt: skip
        if done.signs:
            gravest = max(done.signs, key=lambda sign: sign.finding.severity)
            detail["reason"] = gravest.finding.claim
            detail["findings"] = ", ".join(sorted({sign.finding.id for sign in done.signs}))
        outcome = "findings" if done.signs else "clean" if is_whole else "stopped"
        self.catalogue.record(
            AuditEvent(AuditKind.FOLDER_WATCHED, self.clock.now_us(), self.actor, None, outcome, detail)
        )

    def _state(self, listed: Listed, before: FileState | None, done: Pass, now_us: int) -> FileState | None:
        """Give what a file is now; as it was where it did not change or cannot be told; None where it is not known."""
        if before is not None and _stamp(listed) == (before.length_bytes, before.modified_us, before.changed_us):
            return before
        if 0 <= now_us - max(listed.modified_us, listed.changed_us) < SETTLE_US:
            done.waiting += 1
            return before
        state = self._look(listed)
        if state is None:
            done.unread += 1
            return before
        if not listed.is_as_listed():
            done.waiting += 1
            return before
        done.length_bytes += state[0].length_bytes
        now, note = state
        if before is None:
            done.new += 1
            sign = ransom.sign_of_arrival(listed.name, now) or note
        elif before.digest == now.digest:
            return replace(now, sign=before.sign)
        else:
            done.changed += 1
            sign = ransom.sign_of_change(before, now) or note
        if sign is None:
            return now
        done.signs.append(Sign(listed.name, sign))
        return replace(now, sign=sign.id) if sign.severity >= Severity.MEDIUM else now

    def _look(self, listed: Listed) -> tuple[FileState, Finding | None] | None:
        """Read a file to its end; None where it could not be read or its inspection could not tell."""
        look = _Look(self.inspectors, listed.length_bytes)
        try:
            for piece in listed.pieces():
                look.feed(piece)
        except PeerError:
            look.close()
            return None
        return look.finish(listed)

    def _replacements(
        self, known: Known, seen: dict[str, FileState], gone: Mapping[str, int], rewritten: dict[str, int], done: Pass
    ) -> None:
        """Find the files that took the place of objects that are gone."""
        by_folder: dict[str, list[str]] = {}
        for name in gone:
            by_folder.setdefault(name.rpartition("/")[0], []).append(name)
        if not by_folder:
            return
        taken: set[str] = set()
        for name, state in seen.items():
            if state.nature is not Nature.OTHER or state.sign:
                continue
            for old in by_folder.get(name.rpartition("/")[0], ()):
                if old not in taken and ransom.is_successor(old, name, state):
                    taken.add(old)
                    sign = ransom.sign_of_replacement()
                    seen[name] = replace(state, sign=sign.id)
                    rewritten[old] = _moment(state, known, gone[old])
                    done.signs.append(Sign(name, sign))
                    break

    def _rates(self, known: Known, rewritten: Mapping[str, int], gone: Mapping[str, int], done: Pass) -> None:
        """Judge what happened within the window, where something of it happened in this pass."""
        if rewritten.keys() - known.rewritten.keys():
            rate = ransom.sign_of_rate(rewritten.values(), max(len(known.files), len(rewritten)))
            done.signs += [] if rate is None else [Sign("", rate)]
        lost = {name: at_us for name, at_us in gone.items() if name not in rewritten}
        if lost.keys() - known.gone.keys():
            objects = sum(state.is_object for state in known.files.values())
            loss = ransom.sign_of_loss(lost.values(), max(objects, len(lost)))
            done.signs += [] if loss is None else [Sign("", loss)]


class _Look:
    """One file being read."""

    def __init__(self, inspectors: Inspectors, length_bytes: int) -> None:
        self._inspectors = inspectors
        self._inspector: UnderInspection | None = None
        self._digest = blake3()
        self._head = b""
        self._is_begun = False
        self._position = 0
        blocks = max(1, -(-length_bytes // BLOCK_BYTES))
        stride = -(-blocks // BLOCKS_MAX) * BLOCK_BYTES
        self._wanted = {start: bytearray() for start in range(0, length_bytes, stride)}

    def feed(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._digest.update(piece)
        self._sample(piece)
        if self._inspector is not None:
            self._inspector.feed(piece)
        elif not self._is_begun:
            self._head += piece
            if len(self._head) >= SNIFF_BYTES:
                self._begin()

    def close(self) -> None:
        """Give up."""
        if self._inspector is not None:
            self._inspector.close()

    def finish(self, listed: Listed) -> tuple[FileState, Finding | None] | None:
        """Say what the file is, and whether it reads like a demand; None where the inspection could not tell."""
        if not self._is_begun:
            self._begin()
        state = FileState(*_stamp(listed), self._digest.hexdigest(16))
        inspector = self._inspector
        if inspector is None:
            return self._other(state)
        inspection = inspector.finish()
        structure = inspector.structure
        if structure is None:
            if isinstance(inspection, NotAssessed) and not inspection.findings:
                return None
            return self._other(state)
        state = replace(
            state,
            nature=Nature.OBJECT,
            study=blake3(inspector.values.get(_STUDY, b"").rstrip(b" \0")).hexdigest(16),
            verdict=verdict_of(inspection),
        )
        pixels, start = structure.pixel_data, inspector.dataset_offset or 0
        if pixels is None or pixels.is_encapsulated or structure.length_bytes != structure.wire_bytes:
            return state, None
        begins, ends = start + pixels.offset, start + pixels.offset + (pixels.length or 0)
        inside = (block[max(0, begins - at) : max(0, ends - at)] for at, block in self._wanted.items())
        count, looked_at = ransom.random_blocks(inside)
        return replace(state, nature=Nature.NATIVE, random_blocks=count, blocks=looked_at), None

    def _begin(self) -> None:
        self._is_begun = True
        if looks_like_dicom(self._head[:SNIFF_BYTES]):
            self._inspector = self._inspectors.file()
            self._inspector.feed(self._head)

    def _other(self, state: FileState) -> tuple[FileState, Finding | None]:
        """Say what a file is that is no object: random, unless it is of a format that packs its content."""
        text = bytes(self._wanted.get(0, b""))
        if is_text(text) or text[:2] in (b"\xff\xfe", b"\xfe\xff"):
            note = ransom.sign_of_note(text) if state.length_bytes <= ransom.NOTE_BYTES_MAX else None
            return replace(state, nature=Nature.FORMAT), note
        signature = signature_of(self._head)
        if signature is not None and signature.family is not Family.EXECUTABLE:
            return replace(state, nature=Nature.FORMAT), None
        count, looked_at = ransom.random_blocks(self._wanted.values())
        return replace(state, random_blocks=count, blocks=looked_at), None

    def _sample(self, piece: bytes) -> None:
        """Keep what of the piece lies in the blocks that are looked at."""
        start, end = self._position, self._position + len(piece)
        self._position = end
        for at, block in self._wanted.items():
            if at < end and start < at + BLOCK_BYTES:
                block += piece[max(0, at - start) : at + BLOCK_BYTES - start]


def _stamp(listed: Listed) -> tuple[int, int, int]:
    return listed.length_bytes, listed.modified_us, listed.changed_us


def _is_other(before: FileState, after: FileState) -> bool:
    """Tell whether a file's content is not what it was in another form: one that walks is the same by its study."""
    if before.digest == after.digest:
        return False
    is_same = before.is_object and after.is_object and before.study == after.study
    return not is_same or bool(after.sign)


def _recent(moments: Mapping[str, int], now_us: int) -> dict[str, int]:
    return {name: at_us for name, at_us in moments.items() if now_us - RATE_WINDOW_US <= at_us <= now_us}


def _moment(state: FileState, known: Known, now_us: int) -> int:
    """Tell when a file changed: as it says, where that lies between the last pass and now, else now."""
    return state.modified_us if known.at_us < state.modified_us <= now_us else now_us
