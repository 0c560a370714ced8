"""A file, folder or disc goes through disarming: each object becomes a proved copy, or is refused and told why.

The originals are read and never changed. A copy is written only after both proofs, so a refusal leaves nothing
behind. Names on the medium are untrusted: one that is plain is kept, any other is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from leadglass.errors import LeadglassError, PeerError, Refused
from leadglass.journeys.export import Sink
from leadglass.limits import DISARM_BYTES_MAX
from leadglass.malware.disarm import Disarmed, Disarmer, too_long
from leadglass.malware.rebuild.changes import Change
from leadglass.malware.rebuild.copying import Copy

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_RESERVED = re.compile(r"(?i)(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?|.*\.part|.*\.")
_FOLDERS_MAX = 16


class Candidate(Protocol):
    """A file of a medium; `label` is untrusted text for a person, `components` where it lies."""

    @property
    def label(self) -> str: ...
    @property
    def length_bytes(self) -> int: ...
    @property
    def components(self) -> tuple[str, ...]: ...
    @property
    def pieces(self) -> Callable[[], Iterable[bytes]]: ...


@dataclass(frozen=True, slots=True)
class CleanLine:
    """What became of one file. `name` is that of the copy; it is empty, and `reason` says why, where there is none."""

    label: str
    name: tuple[str, ...] = ()
    length_before: int = 0
    length_after: int = 0
    sha256_before: str = ""
    sha256_after: str = ""
    changes: tuple[Change, ...] = ()
    frame_digests: tuple[bytes, ...] = ()
    reason: str = ""
    next_step: str = ""


class Cleaner:
    """Disarm files one by one and write their copies."""

    def __init__(self, disarmer: Disarmer, sink: Sink) -> None:
        self._disarmer = disarmer
        self._sink = sink
        self._taken: set[tuple[str, ...]] = set()
        self._count = 0

    def clean(self, file: Candidate) -> CleanLine:
        """Make and write one copy; what is refused is told, only a target that fails raises (StorageError)."""
        try:
            if file.length_bytes > DISARM_BYTES_MAX:
                raise too_long()
            made = disarmed(self._disarmer, file.pieces())
        except (Refused, PeerError) as error:
            return refused(file.label, error)
        name = self._name(file.components)
        copy = made.copy
        return CleanLine(
            file.label,
            name,
            made.length_before,
            copy.length_bytes,
            made.sha256_before,
            self._write(name, copy),
            copy.changes,
            copy.frame_digests,
        )

    def _write(self, name: tuple[str, ...], copy: Copy) -> str:
        """Write a copy and give its SHA-256."""
        digest = sha256()
        try:
            self._sink.begin(name, copy.length_bytes)
            for piece in copy.content:
                self._sink.write(piece)
                digest.update(piece)
            self._sink.end()
        except BaseException:
            self._sink.drop()
            raise
        return digest.hexdigest()

    def _name(self, components: tuple[str, ...]) -> tuple[str, ...]:
        """Keep a plain name; count where it is not, or where two differ in case alone."""
        self._count += 1
        is_plain = 0 < len(components) <= _FOLDERS_MAX and all(
            _PLAIN.fullmatch(part) and not _RESERVED.fullmatch(part) for part in components
        )
        folded = tuple(part.casefold() for part in components)
        above = {folded[:depth] for depth in range(1, len(folded))}
        is_free = folded not in self._taken and not above & self._taken
        if not is_plain or not is_free or any(taken[: len(folded)] == folded for taken in self._taken):
            components = folded = (f"object-{self._count:06}.dcm",)
        self._taken.add(folded)
        return components


def disarmed(by: Disarmer, pieces: Iterable[bytes]) -> Disarmed:
    """Read an object and give a proved copy of it; raises Refused or PeerError, whatever stopped it."""
    try:
        return by.disarm(pieces)
    except (Refused, PeerError):
        raise
    except MemoryError as error:
        raise Refused("The object needs more memory than there is.") from error
    except Exception as error:  # our own bug: this object is not proved, the others go on
        why = f"A fault of Leadglass itself ({type(error).__name__}) stopped it: nothing is proved."
        raise Refused(why, hint="Please report this object's kind and this line.") from error


def refused(label: str, error: LeadglassError) -> CleanLine:
    """Tell a file of which no copy was made."""
    return CleanLine(label, reason=error.message, next_step=error.hint)
