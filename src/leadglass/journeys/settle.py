"""Settle what was acknowledged: once the catalogue's commits are durable, staged objects get their place.

Until then an object is read where it was staged. A power cut before that leaves it there, synced and complete,
and `recover` brings its row back from the object itself.
"""

from __future__ import annotations

from collections import deque

from leadglass.journeys.ports import Catalogue, Staging


class Settling:
    """The objects that wait for their place. Thread-safe."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._waiting: deque[Staging] = deque()

    def add(self, staging: Staging) -> None:
        """Take an object whose admission was committed."""
        self._waiting.append(staging)

    def settle(self) -> int:
        """Make the commits so far durable and promote their objects; gives how many."""
        count = len(self._waiting)
        self._catalogue.flush()
        for _ in range(count):
            self._waiting.popleft().promote()
        return count
