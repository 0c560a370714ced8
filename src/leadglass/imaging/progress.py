"""How a long computation says how far it is, and how a person stops it.

A computation calls its report between pieces of work, never inside one, and holds nothing but memory: when the report
answers False it raises `Cancelled` and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable

from leadglass.errors import Cancelled

Report = Callable[[int, int], bool]
"""Called with the pieces done and the pieces in all; answers whether to go on."""


def tell(report: Report | None, done: int, total: int) -> None:
    """Report progress. Raises Cancelled when the answer is to stop."""
    if report is not None and not report(done, total):
        raise Cancelled(f"Stopped after {done} of {total} parts.", hint="Nothing was kept; start it again when wanted.")
