"""How tests are named: the same in every process, whatever the bytes they are given."""

from __future__ import annotations

import pytest

SHORT_BYTES = 24


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name long bytes by their length: those of an archive hold the second it was made in."""
    if isinstance(val, bytes) and len(val) > SHORT_BYTES:
        return f"{argname}-{len(val)}-bytes"
    return None
