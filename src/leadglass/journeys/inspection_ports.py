"""The handshake between journeys and inspection: what a journey asks of an inspector, wherever it runs.

`journeys/inspect.py` has those of this process, `edge/sandbox.py` those of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from leadglass.dicom.frame_digests import FrameDigests
from leadglass.dicom.structure import Structure
from leadglass.errors import LimitExceeded
from leadglass.finding import Inspection


class UnderInspection(Protocol):
    """One object under inspection, in this process or another. Not thread-safe.

    `values` and `structure` may stay empty until `finish`; what is known early is a courtesy.
    """

    @property
    def dataset_offset(self) -> int | None: ...
    @property
    def transfer_syntax_uid(self) -> str: ...
    @property
    def values(self) -> Mapping[int, bytes]: ...
    @property
    def structure(self) -> Structure | None: ...
    @property
    def frame_digests(self) -> FrameDigests | None:
        """Give what the stored pixels of each frame hash to, once finished; None where they cannot be told apart."""

    @property
    def limit_exceeded(self) -> LimitExceeded | None: ...
    @property
    def is_done_with_header(self) -> bool: ...

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes, good during the call only; never raises."""

    def finish(self) -> Inspection:
        """Close the inspection and give everything found; never raises."""

    def close(self) -> None:
        """Give up an object that is not finished; again, and after `finish`, harmless."""


class Inspectors(Protocol):
    """Where inspections come from."""

    def file(self) -> UnderInspection:
        """Begin a Part 10 file."""

    def data_set(self, transfer_syntax_uid: str, dataset_offset: int) -> UnderInspection:
        """Begin a bare data set, as C-STORE carries it."""


class Scan(Protocol):
    """An engine beside ours at work on one file (a virus scanner). It fails closed: `NotAssessed`."""

    def feed(self, data: bytes | memoryview) -> None: ...
    def finish(self) -> Inspection: ...
    def close(self) -> None: ...


class Candidate(Protocol):
    """A file of a medium. `label` is untrusted text for a person; it goes into no record."""

    @property
    def label(self) -> str: ...
    @property
    def pieces(self) -> Callable[[], Iterable[bytes]]: ...
