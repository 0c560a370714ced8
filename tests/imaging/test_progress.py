"""Progress: told as it is, and an answer of False stops the work."""

from __future__ import annotations

import pytest

from leadglass.errors import Cancelled
from leadglass.imaging.progress import tell


def test_what_is_done_is_told() -> None:
    told: list[tuple[int, int]] = []

    def report(done: int, total: int) -> bool:
        told.append((done, total))
        return True

    tell(report, 3, 8)
    tell(None, 4, 8)
    assert told == [(3, 8)]


def test_no_means_stop() -> None:
    with pytest.raises(Cancelled, match="3 of 8") as stopped:
        tell(lambda done, total: False, 3, 8)
    assert stopped.value.hint
