"""How tests are named, the same in every process; and where they keep compiled loops."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import pytest

SHORT_BYTES = 24
IMAGING = Path(__file__).parents[1] / "src/leadglass/imaging"


def pytest_configure(config: pytest.Config) -> None:
    """Keep machine code by what it was made from: numba's own key is one file's, not that of what the file calls."""
    sources = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(IMAGING.glob("*.py")))).hexdigest()
    os.environ.setdefault("NUMBA_CACHE_DIR", f"{tempfile.gettempdir()}/leadglass-loops-{os.getuid()}-{sources[:16]}")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name long bytes by their length: those of an archive hold the second it was made in."""
    if isinstance(val, bytes) and len(val) > SHORT_BYTES:
        return f"{argname}-{len(val)}-bytes"
    return None
